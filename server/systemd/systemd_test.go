package systemd_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"peal/server/systemd"
)

const patience = time.Minute

func TestSocketsByTheirNames(t *testing.T) {
	own := strconv.Itoa(os.Getpid())
	for _, x := range []struct {
		pid, count, names string
		want              []systemd.Socket
		fault             string
	}{
		{own, "2", "listen:admin", []systemd.Socket{{FD: 3, Name: "listen"}, {FD: 4, Name: "admin"}}, ""},
		{own, "1", "", []systemd.Socket{{FD: 3}}, ""},
		{own, "0", "", nil, ""},
		{"", "", "", nil, ""},
		{"1", "2", "listen:admin", nil, ""}, // of a parent process
		{own, "two", "", nil, `LISTEN_FDS is "two"`},
		{own, "101", "", nil, "from 0 to 100"},
		{own, "2", "listen", nil, "1 names for 2"},
	} {
		t.Setenv("LISTEN_PID", x.pid)
		t.Setenv("LISTEN_FDS", x.count)
		t.Setenv("LISTEN_FDNAMES", x.names)
		got, err := systemd.Sockets()
		if !slices.Equal(got, x.want) || x.fault == "" && err != nil || x.fault != "" && (err == nil || !strings.Contains(err.Error(), x.fault)) {
			t.Errorf("LISTEN_PID=%q LISTEN_FDS=%q LISTEN_FDNAMES=%q: %v, %v", x.pid, x.count, x.names, got, err)
		}
		if _, still := os.LookupEnv("LISTEN_FDS"); still {
			t.Error("LISTEN_FDS is left for child processes")
		}
	}
}

// manager is systemd's end of the notification socket.
func manager(t *testing.T, address string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	t.Setenv("NOTIFY_SOCKET", address)
	return c
}

func next(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	b := make([]byte, 4096)
	c.SetReadDeadline(time.Now().Add(patience))
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func TestNotifierTellsStates(t *testing.T) {
	for name, address := range map[string]string{"path": filepath.Join(t.TempDir(), "notify"), "abstract": "@peal-test-" + strconv.Itoa(os.Getpid())} {
		c := manager(t, address)
		n, err := systemd.NewNotifier()
		if err != nil {
			t.Fatal(err)
		}
		check := func(err error, want string) {
			t.Helper()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got := next(t, c); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		check(n.Ready("Serving\nMAINPID=1"), "READY=1\nSTATUS=Serving MAINPID=1")
		check(n.Status("Up\ngrading"), "STATUS=Up grading")
		check(n.Main(42), "MAINPID=42")
		check(n.Stopping("Draining", 3*time.Second), "STOPPING=1\nSTATUS=Draining\nEXTEND_TIMEOUT_USEC=3000000")
		var before, after unix.Timespec
		unix.ClockGettime(unix.CLOCK_MONOTONIC, &before)
		if err := n.Reloading(); err != nil {
			t.Fatal(err)
		}
		unix.ClockGettime(unix.CLOCK_MONOTONIC, &after)
		at, ok := strings.CutPrefix(next(t, c), "RELOADING=1\nMONOTONIC_USEC=")
		if us, err := strconv.ParseInt(at, 10, 64); !ok || err != nil || us < before.Nano()/1000 || us > after.Nano()/1000 {
			t.Errorf("%s: reloading at %q, between %d and %d", name, at, before.Nano()/1000, after.Nano()/1000)
		}
	}
}

// TestBarrier: it waits until systemd has closed the descriptor that it sends.
func TestBarrier(t *testing.T) {
	c := manager(t, filepath.Join(t.TempDir(), "notify"))
	n, err := systemd.NewNotifier()
	if err != nil {
		t.Fatal(err)
	}
	passed := make(chan error, 1)
	go func() { passed <- n.Barrier(patience) }()
	b, oob := make([]byte, 100), make([]byte, unix.CmsgSpace(4))
	c.SetReadDeadline(time.Now().Add(patience))
	size, oobn, _, _, err := c.ReadMsgUnix(b, oob)
	if err != nil || string(b[:size]) != "BARRIER=1" {
		t.Fatalf("%q, %v", b[:size], err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) != 1 {
		t.Fatalf("%v, %v", messages, err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		t.Fatalf("%v, %v", fds, err)
	}
	select {
	case err := <-passed:
		t.Errorf("it does not wait: %v", err)
	default:
	}
	unix.Close(fds[0])
	if err := <-passed; err != nil {
		t.Error(err)
	}
	if err := n.Barrier(time.Millisecond); err == nil { // nobody reads
		t.Error("a barrier that was not read passes")
	}
}

func TestNotifierOutsideSystemd(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	n, err := systemd.NewNotifier()
	if err != nil || n.Ready("x") != nil || n.Reloading() != nil || n.Stopping("x", 0) != nil || n.Barrier(0) != nil || n.Listens() {
		t.Errorf("an error without systemd: %v", err)
	}
	t.Setenv("NOTIFY_SOCKET", "vsock:2:1")
	if _, err := systemd.NewNotifier(); err == nil || !strings.Contains(err.Error(), `"vsock:2:1"`) {
		t.Errorf("an address of another kind: %v", err)
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "gone"))
	if n, _ := systemd.NewNotifier(); n.Ready("x") == nil {
		t.Error("no error though nobody listens")
	}
}

func TestWatchdogInterval(t *testing.T) {
	own := strconv.Itoa(os.Getpid())
	for _, x := range []struct {
		pid, usec string
		want      time.Duration
		fault     bool
	}{
		{own, "30000000", 30 * time.Second, false},
		{"", "1000", time.Millisecond, false},
		{"1", "1000", 0, false},
		{own, "", 0, false},
		{own, "0", 0, true},
		{own, "soon", 0, true},
	} {
		t.Setenv("WATCHDOG_PID", x.pid)
		t.Setenv("WATCHDOG_USEC", x.usec)
		if got, err := systemd.WatchdogInterval(); got != x.want || (err != nil) != x.fault {
			t.Errorf("WATCHDOG_PID=%q WATCHDOG_USEC=%q: %v, %v", x.pid, x.usec, got, err)
		}
	}
}

// Nothing is reported while the check fails, and again when it succeeds.
func TestWatchReportsSuccessOnly(t *testing.T) {
	c := manager(t, filepath.Join(t.TempDir(), "notify"))
	n, err := systemd.NewNotifier()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	fails := errors.New("stuck")
	const failures = 3
	checks, failed := 0, 0
	ended := make(chan struct{})
	go func() { // ends with ctx
		defer close(ended)
		n.Watch(ctx, 40*time.Millisecond, func(context.Context) error {
			if checks++; checks > 1 && checks <= 1+failures {
				return fails
			}
			return nil
		}, func(err error) {
			if errors.Is(err, fails) {
				failed++
			}
		})
	}()
	for range 2 {
		if got := next(t, c); got != "WATCHDOG=1" {
			t.Errorf("%q", got)
		}
	}
	cancel()
	<-ended
	if checks < 2+failures || failed != failures {
		t.Errorf("%d checks and %d failures before the second report, want %d failures", checks, failed, failures)
	}
}
