package loop_test

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"peal/loop"
)

// Connections that are described while the loops run are passed on by what has changed of them; those that end or begin
// meanwhile, or wait for something, are not mistaken for others. judgeChanges compares all of them.
func TestConnectionsAhead(t *testing.T) {
	plaintextOnly(t)
	s := start(t, options{config: loop.Config{Loops: 2}})
	var sse []*client
	for range 30 {
		c := s.dial()
		c.sse("a now")
		sse = append(sse, c)
	}
	idle, ends, half, poll := s.dial(), s.dial(), s.dial(), s.dial()
	for _, c := range []*client{idle, ends, half} {
		c.send("echo it\n")
		c.expect("it")
	}
	poll.send("poll a now 60\n")
	s.await("parked polls", func() bool { return s.sum(func(l loop.Stats) int { return l.Transports.Poll }) == 1 })
	s.describe()
	n := 0
	for i := range s.ahead {
		n += len(s.ahead[i])
	}
	if n != 34 {
		t.Fatalf("%d connections are described, of 34", n)
	}
	for i := range s.ahead { // another process has copies
		for j := range s.ahead[i] {
			fd, err := unix.FcntlInt(uintptr(s.ahead[i][j].Socket), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { unix.Close(fd) })
		}
	}

	if err := ends.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	ends.expectEnd() // although its socket is open elsewhere
	half.send("echo the ")
	fresh := s.dial()
	fresh.sse("a now") // in the place of the one that has ended
	s.publish("a", "one")
	for _, c := range append(sse, fresh) {
		c.expect("m 1 a one")
	}
	poll.expect("poll 1 0 1", "m 1 a one")
	s.await("input", func() bool { return s.sum(func(l loop.Stats) int { return l.InputBytes }) > 0 })
	s.stop()
	s.export()
	if s.changed != 30+1 { // the poll is a connection without a request now
		t.Errorf("changes say all of %d connections, of 31", s.changed)
	}
	s.group.Thaw()
	half.send("rest\n")
	half.expect("the rest")
	idle.send("echo again\n")
	idle.expect("again")
}
