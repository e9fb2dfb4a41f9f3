package loop_test

import (
	"strings"
	"testing"
	"time"

	"peal/loop"
)

// A connection that sends more bytes than it may is slowed down; nothing is lost.
func TestBytesOfAConnectionAreSlowed(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1, Inflow: loop.Inflow{Bytes: 20_000}}})
	const n = 60
	c := s.dial()
	go func() {
		for range n {
			c.Write([]byte("echo " + strings.Repeat("x", 995) + "\n"))
		}
	}()
	other := s.dial()
	for range n {
		c.expect(strings.Repeat("x", 995))
		other.echo()
	}
	st := s.stats()[0]
	if st.Slowed == 0 {
		t.Error("reading did not pause")
	}
	c.echo() // and it is no worse afterwards
}

// What is read no longer is no reason to take a message for late, or a client for gone.
func TestSlowedConnectionEndsWithItsClient(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1, HeadTimeout: time.Second, Inflow: loop.Inflow{Bytes: 20_000}}})
	c := s.dial()
	c.ws("wsraw", "a now publish")
	c.sendFrame(2, strings.Repeat("y", 60_000))
	c.sendFrame(1, "behind it")
	s.await("both have come", func() bool { return s.stats()[0].Received == 2 })
	c.sendFrame(2, strings.Repeat("y", 60_000))
	s.await("it is slowed", func() bool { return s.stats()[0].Slowed >= 2 })
	c.reset()
	s.awaitEmpty()
}

func TestFramesOfAConnection(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1, Inflow: loop.Inflow{Frames: 50, FramesBurst: 200}}})
	check := func(name string, send func(c *client)) {
		t.Helper()
		before := s.stats()[0].Flooded
		c := s.dial()
		c.ws("wsraw", "a now publish")
		go func() {
			c.SetWriteDeadline(time.Now().Add(patience))
			send(c)
		}()
		s.await(name+" are too many", func() bool { return s.stats()[0].Flooded == before+1 })
		c.Close()
	}
	write := func(c *client, frame string, n int) { c.Conn.Write([]byte(strings.Repeat(frame, n))) }
	const mask = "\x80\x00\x00\x00\x00"
	check("pings", func(c *client) { write(c, "\x89"+mask, 1000) })
	check("pongs", func(c *client) { write(c, "\x8A"+mask, 1000) })
	check("empty messages", func(c *client) { write(c, "\x81"+mask, 1000) })
	check("empty fragments", func(c *client) { write(c, "\x01"+mask, 1); write(c, "\x00"+mask, 1000) })
	check("frames one at a time", func(c *client) {
		for range 1000 {
			if _, err := c.Conn.Write([]byte("\x8A" + mask)); err != nil {
				return
			}
		}
	})

	few := s.dial()
	few.ws("wsraw", "a now publish")
	for range 150 {
		few.sendFrame(9, "p")
		few.expectFrame(10, "p")
	}
	s.awaitConnections(1)
	few.Close()
	s.awaitEmpty()
}

// With more unfinished requests than may be, those of the address with the most end.
func TestUnfinishedRequestsAreLimited(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1, Heads: 40}})
	var honest []*client
	for range 8 {
		c := s.dialFrom("127.0.0.9", 0)
		c.send("echo half")
		honest = append(honest, c)
	}
	for range 100 {
		c := s.dialFrom(here, 0)
		c.send("ec")
	}
	s.await("some have ended", func() bool { st := s.stats()[0]; return st.HeadsFull >= 68 && st.Heads <= 40 && st.Accepted == 108 })
	for _, c := range honest {
		c.send(" and half\n")
		c.expect("half and half")
	}
	if st := s.stats()[0]; st.Connections != 108-int(st.HeadsFull) {
		t.Errorf("%d connections are left of 108, %d were closed", st.Connections, st.HeadsFull)
	}
}
