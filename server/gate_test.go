package server_test

import (
	"net"
	"testing"
	"time"

	"peal/server"
)

// TestGate: a client that connects while the gate is shut waits, and is served afterwards.
func TestGate(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := server.NewGate(ln)
	accepted := make(chan net.Conn, 8)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := g.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	next := func() net.Conn {
		t.Helper()
		select {
		case c := <-accepted:
			return c
		case <-time.After(time.Minute):
			t.Fatal("nothing is accepted")
			return nil
		}
	}
	dial()
	first := next()
	for range 3 {
		g.Shut()
		client := dial()
		if _, err := client.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if len(accepted) > 0 {
			t.Error("it accepts though it is shut")
		}
		if n := g.Open(); n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
		g.Reopen()
		c := next()
		if n := g.Open(); n != 2 {
			t.Errorf("%d connections, want 2", n)
		}
		c.Close()
		c.Close()
	}
	first.Close()
	if n := g.Open(); n != 0 {
		t.Errorf("%d connections, want none", n)
	}
	g.Shut()
	g.Close()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("Accept does not end with the gate")
	}
}
