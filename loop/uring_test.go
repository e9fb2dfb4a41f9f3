package loop_test

import (
	"bytes"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"peal/loop"
)

// everythingByRing runs all tests of the package that open no kernel of their own with io-uring.
var everythingByRing = os.Getenv("PEAL_LOOP_URING") != ""

// openedRing opens a kernel that sends by io_uring, or skips the test where the system has none.
func openedRing(t testing.TB) loop.Gatherer {
	t.Helper()
	var log bytes.Buffer
	k, err := loop.OpenGathering(slog.New(slog.NewTextHandler(&log, nil)))(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	g := loop.GathererOf(k)
	if g == nil {
		t.Skip(log.String())
	}
	return g
}

// socketPair is a pair whose first end is non-blocking and has room for little.
func socketPair(t testing.TB) (near, far int) {
	t.Helper()
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptInt(p[0], unix.SOL_SOCKET, unix.SO_SNDBUF, 4096); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Close(p[0])
		unix.Close(p[1])
	})
	return p[0], p[1]
}

// tcpPair is a pair of TCP.
func tcpPair(t testing.TB) (near, far int) {
	t.Helper()
	fd, addr := listenTCP(t, 4096)
	defer unix.Close(fd)
	far, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	sa, _ := unix.Getsockname(fd)
	if err := unix.Connect(far, sa); err != nil {
		t.Fatal(err, addr)
	}
	_ = unix.SetNonblock(far, true)
	for {
		near, _, err = unix.Accept4(fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err == nil {
			break
		}
	}
	t.Cleanup(func() {
		unix.Close(near)
		unix.Close(far)
	})
	return near, far
}

// received reads what is there, and waits for the rest of want bytes.
func received(t testing.TB, fd, want int) (all []byte) {
	t.Helper()
	b := make([]byte, 1<<16)
	for end := time.Now().Add(patience); len(all) < want && time.Now().Before(end); {
		if n, err := unix.Read(fd, b); err == nil && n > 0 {
			all = append(all, b[:n]...)
		} else if err == nil {
			break
		}
	}
	return all
}

// Each pair of Unix sockets has a twin, to which Send sends the same, with the same results. What TCP takes depends on
// acknowledgements, so there only what arrives is compared with the results.
func TestSendAllDoesWhatSendDoes(t *testing.T) {
	k := openedRing(t)
	random := rand.New(rand.NewPCG(1, 2))
	const pairs = 64
	var near, far, twin, twinFar [pairs]int
	var taken, arrived [pairs][]byte
	for i := range pairs {
		if i%2 == 0 {
			near[i], far[i] = socketPair(t)
			twin[i], twinFar[i] = socketPair(t)
		} else {
			near[i], far[i] = tcpPair(t)
		}
		switch i % 16 {
		case 2, 3:
			unix.Shutdown(near[i], unix.SHUT_WR)
			unix.Shutdown(twin[i], unix.SHUT_WR)
		case 4:
			near[i], twin[i] = 1<<20, 1<<20 // no descriptor
		}
	}
	seen := map[string]int{}
	drain := func(i, part int) {
		n := (len(taken[i]) - len(arrived[i])) / part
		arrived[i] = append(arrived[i], received(t, far[i], n)...)
		if i%2 == 0 {
			received(t, twinFar[i], n)
		}
	}
	for round := range 200 {
		sends := make([]loop.Sending, 1+random.IntN(pairs))
		for i := range sends {
			b := make([]byte, 1+random.IntN(8192))
			for j := range b {
				b[j] = byte(random.Uint32())
			}
			sends[i] = loop.Sending{Socket: int32(near[i]), B: b}
			if random.IntN(20) == 0 {
				sends[i].Err = io.EOF // is left as it is
			}
		}
		k.SendAll(sends)
		for i, s := range sends {
			if s.Err == io.EOF {
				if s.N != 0 || s.Full {
					t.Fatalf("round %d: a send that was not to be made: %d, %v", round, s.N, s.Full)
				}
				continue
			}
			taken[i] = append(taken[i], s.B[:s.N]...)
			if i%2 == 0 {
				if n, full, err := k.Send(int32(twin[i]), s.B); n != s.N || full != s.Full || err != s.Err {
					t.Fatalf("round %d, pair %d: SendAll returned %d, %v, %v, Send %d, %v, %v", round, i, s.N, s.Full, s.Err, n, full, err)
				}
			} else if s.Full != (s.N < len(s.B)) && s.Err == nil {
				t.Fatalf("round %d, pair %d: %d of %d B were taken, full is %v", round, i, s.N, len(s.B), s.Full)
			}
			switch {
			case s.Err != nil:
				seen["error"]++
			case s.N == 0:
				seen["full"]++
			case s.Full:
				seen["part"]++
			default:
				seen["whole"]++
			}
			if s.Err == nil && random.IntN(3) == 0 {
				drain(i, 2)
			}
		}
	}
	for i := range pairs {
		if drain(i, 1); !bytes.Equal(taken[i], arrived[i]) {
			t.Errorf("pair %d: %d B were taken, and %d arrived, or others", i, len(taken[i]), len(arrived[i]))
		}
	}
	for _, kind := range []string{"whole", "part", "full", "error"} {
		if seen[kind] == 0 {
			t.Errorf("no send was of the kind %q: %v", kind, seen)
		}
	}
}

// What the kernel does not take of a submission is sent by Send, in its order.
func TestSubmissionsThatTheKernelTakesInPart(t *testing.T) {
	for _, taken := range []int{0, 1, 7, 63} {
		k := openedRing(t)
		loop.LimitSubmissions(k, taken)
		for range 3 {
			var sends [64]loop.Sending
			var far [64]int
			for i := range sends {
				near, f := socketPair(t)
				sends[i], far[i] = loop.Sending{Socket: int32(near), B: []byte{byte(i), 'x'}}, f
			}
			k.SendAll(sends[:])
			for i, s := range sends {
				if got := received(t, far[i], 2); s.N != 2 || s.Full || s.Err != nil || string(got) != string([]byte{byte(i), 'x'}) {
					t.Fatalf("of a submission of which %d were taken, send %d: %d, %v, %v; %q arrived", taken, i, s.N, s.Full, s.Err, got)
				}
			}
		}
	}
}

// A kernel in which sends wait must not be used: one client could stop the loop.
func TestARingWhoseSendsWaitIsRefused(t *testing.T) {
	openedRing(t)
	if err := loop.TryWaitingRing(); err == nil || !strings.Contains(err.Error(), "wait") {
		t.Errorf("a ring whose sends wait for room: error %v", err)
	}
}

func TestARingThatIsForbidden(t *testing.T) {
	var log bytes.Buffer
	open := loop.OpenForbidden(slog.New(slog.NewTextHandler(&log, nil)))
	for i := range 2 {
		k, err := open(i, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		if loop.GathererOf(k) != nil {
			t.Error("a kernel without a ring gathers sends")
		}
	}
	if n := strings.Count(log.String(), "io-uring:"); n != 1 {
		t.Errorf("%d lines of the log, want 1: %s", n, log.String())
	}
}
