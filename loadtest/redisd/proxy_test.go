package redisd_test

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"peal/loadtest/redisd"
)

// shout answers every byte it gets with the same byte, and notes it.
type shout struct {
	net.Listener
	mu  sync.Mutex
	got []byte
}

func newShout(t *testing.T) *shout {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	s := &shout{Listener: l}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				for b := make([]byte, 1); ; {
					if _, err := conn.Read(b); err != nil {
						return
					}
					s.mu.Lock()
					s.got = append(s.got, b[0])
					s.mu.Unlock()
					if _, err := conn.Write(b); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); running.Wait() })
	return s
}

func (s *shout) has(b byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.got {
		if c == b {
			return true
		}
	}
	return false
}

func dial(t *testing.T, p *redisd.Proxy) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp4", p.Addr())
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

// heard sends b and reports whether it comes back within that time.
func heard(t *testing.T, conn net.Conn, b byte, within time.Duration) bool {
	t.Helper()
	_, err := conn.Write([]byte{b})
	must(t, err)
	return comes(t, conn, b, within)
}

func comes(t *testing.T, conn net.Conn, b byte, within time.Duration) bool {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(within))
	got := []byte{0}
	_, err := io.ReadFull(conn, got)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	return err == nil && got[0] == b
}

const (
	long  = time.Minute            // for what happens
	short = 100 * time.Millisecond // for what must not
)

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(long); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in %v: %s", long, what)
		}
	}
}

func TestOneWayStalls(t *testing.T) {
	server := newShout(t)
	for _, way := range []redisd.Way{redisd.ToServer, redisd.ToClient} {
		p := redisd.ProxyFor(t, server.Addr().String())
		conn := dial(t, p)
		if !heard(t, conn, 'a', long) {
			t.Fatal("not passed on")
		}
		p.Stall(way)
		b := byte('1' + way)
		if heard(t, conn, b, short) {
			t.Errorf("way %d: an answer came through", way)
		}
		if way == redisd.ToClient {
			eventually(t, "the request reaches the server", func() bool { return server.has(b) })
		} else if server.has(b) {
			t.Error("the request reached the server")
		}
		must(t, p.Go())
		if !comes(t, conn, b, long) {
			t.Errorf("way %d: what was held back does not come", way)
		}
	}
}

func TestCutAndRefuse(t *testing.T) {
	p := redisd.ProxyFor(t, newShout(t).Addr().String())
	first := dial(t, p)
	if !heard(t, first, 'a', long) {
		t.Fatal("not passed on")
	}
	p.Cut()
	if _, err := first.Read([]byte{0}); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a cut connection: %v", err)
	}
	second := dial(t, p)
	if !heard(t, second, 'b', long) || p.Accepted() != 2 {
		t.Errorf("a new connection is not good; %d were accepted", p.Accepted())
	}
	p.Refuse()
	if _, err := second.Read([]byte{0}); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a connection when all are refused: %v", err)
	}
	if conn, err := net.Dial("tcp4", p.Addr()); err == nil {
		conn.Close()
		t.Error("not refused")
	}
	must(t, p.Go())
	if !heard(t, dial(t, p), 'c', long) {
		t.Error("not accepted again")
	}
}

func TestAStalledConnectionCanBeCut(t *testing.T) {
	p := redisd.ProxyFor(t, newShout(t).Addr().String())
	conn := dial(t, p)
	p.Stall(redisd.ToClient)
	if heard(t, conn, 'a', short) {
		t.Error("not stalled")
	}
	p.Cut()
	conn.SetReadDeadline(time.Now().Add(long))
	if _, err := conn.Read([]byte{0}); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestDelayAndTarget(t *testing.T) {
	first, second := newShout(t), newShout(t)
	p := redisd.ProxyFor(t, first.Addr().String())
	p.Delay(100 * time.Millisecond)
	conn := dial(t, p)
	before := time.Now()
	if !heard(t, conn, 'a', long) {
		t.Error("not passed on")
	}
	if took := time.Since(before); took < 200*time.Millisecond {
		t.Errorf("there and back in %v, want a delay of 100 ms each way", took)
	}
	p.Delay(0)
	p.Target(second.Addr().String())
	if !heard(t, dial(t, p), 'b', long) || !second.has('b') || first.has('b') {
		t.Error("a new connection does not go to the new target")
	}
	if !heard(t, conn, 'c', long) || !first.has('c') {
		t.Error("an old connection does not stay with its server")
	}
}
