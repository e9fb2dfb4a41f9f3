package loop_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"peal/loop"
)

// testContext ends when patience does.
func testContext() context.Context { return shortContext(patience) }

// shortContext is a context for one call, released by its own end.
func shortContext(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	context.AfterFunc(ctx, cancel)
	return ctx
}

func TestInheritedListener(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, options{listen: func(t testing.TB) (int, net.Addr) {
		f, err := ln.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		fd, err := loop.Inherit(int(f.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		return fd, ln.Addr()
	}})
	ln.Close() // the Group has its own copy
	c := s.dial()
	c.send("echo heir\n")
	c.expect("heir")
}

func TestInheritRefusesWhatDoesNotListen(t *testing.T) {
	before := openDescriptors()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	udp, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, fd := range map[string]int{"pipe": int(r.Fd()), "UDP socket": udp, "closed": 1 << 20, "negative": -1} {
		if own, err := loop.Inherit(fd); err == nil {
			t.Errorf("%s: inherited as %d", name, own)
		}
	}
	r.Close()
	w.Close()
	unix.Close(udp)
	if after := openDescriptors(); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

func listenUnix(path string) func(t testing.TB) (int, net.Addr) {
	return func(t testing.TB) (int, net.Addr) {
		t.Helper()
		fd, addr, err := loop.Listen("unix:" + path)
		if err != nil {
			t.Fatal(err)
		}
		return fd, addr
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peal.sock")
	serve := func(name string) {
		t.Run(name, func(t *testing.T) {
			s := start(t, options{listen: listenUnix(path)})
			c := s.dial()
			c.send("echo local\n")
			c.expect("local")
			// Much more than a Unix socket takes at once.
			c.sse("a now")
			data := strings.Repeat("y", 10_000)
			for range 200 {
				s.publish("a", data)
			}
			for i := range 200 {
				c.expect(fmt.Sprintf("m %d a %s", i+1, data))
			}
			if _, _, err := loop.Listen("unix:" + path); err == nil {
				t.Error("two servers listen on one path")
			}
		})
	}
	serve("first")
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("this test is of a socket file left behind: %v", err)
	}
	serve("over the first one's file")
}

// A path that was mistyped must not cost a file.
func TestUnixSocketSparesFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(path, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	if fd, _, err := loop.Listen("unix:" + path); err == nil {
		t.Error("listens on the path of a file")
		unix.Close(fd)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "data" {
		t.Errorf("the file now: %q, %v", b, err)
	}
}

func TestListenSaysWhatIsWrong(t *testing.T) {
	before := openDescriptors()
	for _, address := range []string{"127.0.0.1:99999", "nowhere", "unix:/does/not/exist", "unix:" + strings.Repeat("x", 200)} {
		if fd, _, err := loop.Listen(address); err == nil {
			t.Errorf("listens on %q", address)
			unix.Close(fd)
		}
	}
	if after := openDescriptors(); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}
