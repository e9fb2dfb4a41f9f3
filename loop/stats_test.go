package loop_test

import (
	"fmt"
	"testing"
	"time"

	"peal/loop"
)

func TestStatsSayWhatConnectionsAre(t *testing.T) {
	s := start(t, options{})
	count := func() (sum loop.Transports) {
		for _, one := range s.stats() {
			sum.Add(one.Transports)
		}
		return sum
	}
	want := func(what string, want loop.Transports) {
		t.Helper()
		s.await(what+fmt.Sprintf(": %+v", want), func() bool { return count() == want })
	}
	want("nobody", loop.Transports{})
	idle, stream, socket, poll := s.dial(), s.dial(), s.dial(), s.dial()
	want("four that have said nothing", loop.Transports{HTTP: 4})
	stream.sse("a now")
	socket.ws("wsraw", "a now publish")
	poll.send("poll b now 60\n")
	want("one of each", loop.Transports{WebSocket: 1, SSE: 1, Poll: 1, HTTP: 1})
	s.publish("b", "x")
	want("the poll was answered", loop.Transports{WebSocket: 1, SSE: 1, HTTP: 2})
	for _, c := range []*client{idle, stream, socket, poll} {
		c.reset()
	}
	want("nobody again", loop.Transports{})
}

// A loop that waits is not busy, one that works is, and never more than the
// clock: so a rate is a share.
func TestBusyIsTheTimeALoopWorks(t *testing.T) {
	began := time.Now()
	s := start(t, options{config: loop.Config{Loops: 1}})
	busy := func() time.Duration { return s.stats()[0].Busy }
	c := s.dial()
	c.sse("a now")
	before := busy()
	const work = 30 * time.Millisecond
	done := make(chan struct{})
	s.group.PostTo(0, func() {
		for end := time.Now().Add(work); time.Now().Before(end); { // as a long turn would
		}
		close(done)
	})
	<-done
	if got := busy() - before; got < work {
		t.Errorf("busy for %v, which is less than the %v worked", got, work)
	}
	if all, got := time.Since(began), busy(); got > all {
		t.Errorf("busy for %v of %v", got, all)
	}
	s.await("a moment of little work", func() bool {
		before, began := busy(), time.Now()
		c.silent()
		busy() // an event after the silence, which might count it as its own
		return busy()-before < time.Since(began)/2
	})
}

func TestClosesAreCountedByCode(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1, MessageBytes: 100}, keep: 1})
	check := func(code int, close func(c *client)) {
		t.Helper()
		before := s.stats()[0].Closes[code]
		c := s.dial()
		close(c)
		if got := s.stats()[0].Closes[code] - before; got != 1 {
			t.Errorf("%d closes with %d, want 1", got, code)
		}
	}
	check(1009, func(c *client) {
		c.ws("wsraw", "a now publish")
		c.sendFrame(opText, fmt.Sprintf("%0200d", 1))
		c.frame()
	})
	check(4403, func(c *client) {
		c.ws("wsraw", "a now")
		c.sendFrame(opText, "x")
		c.frame()
	})
	foreign := s.stats()[0].Foreign
	check(4409, func(c *client) {
		c.ws("wsraw", "a foreign")
		c.frame()
	})
	if got := s.stats()[0].Foreign - foreign; got != 1 {
		t.Errorf("%d foreign cursors, want 1", got)
	}
	// The client goes first: the answer to its close frame is not counted.
	total := func() (n uint64) {
		for _, one := range s.stats()[0].Closes {
			n += one
		}
		return n
	}
	before := total()
	c := s.dial()
	c.ws("wsraw", "a now publish")
	c.sendFrame(opClose, closePayload(1000, ""))
	c.frame()
	if got := total() - before; got != 0 {
		t.Errorf("%d closes for one that the client began", got)
	}
}

// BenchmarkStats is how long a scrape keeps a loop with so many connections
// from its work.
func BenchmarkStats(b *testing.B) {
	for _, n := range []int{1000, 50_000} {
		b.Run(fmt.Sprintf("connections=%d", n), func(b *testing.B) {
			count := loop.CountTransports(n)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if got := count(); got.HTTP != n {
					b.Fatalf("%+v", got)
				}
			}
		})
	}
}

// All subscribers are sent the same bytes, not a copy each.
func TestSubscribersShareTheBytesOfAMessage(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1}})
	var clients []*client
	for range 10 {
		c := s.dial()
		c.sse("a now")
		clients = append(clients, c)
	}
	before := s.stats()[0]
	const messages = 5
	for range messages {
		n := s.publish("a", "x")
		for _, c := range clients {
			c.expect(fmt.Sprintf("m %d a x", n))
		}
	}
	after := s.stats()[0]
	if n := after.Fanout.Sends - before.Fanout.Sends; n != messages*10 {
		t.Errorf("%d sends, want %d", n, messages*10)
	}
	if n := after.SendCalls - before.SendCalls; n != messages*10 {
		t.Errorf("%d system calls for %d deliveries, want one for each", n, messages*10)
	}
	if n := after.Buffers - before.Buffers; n != messages {
		t.Errorf("sent from %d buffers, want one for each of %d messages", n, messages)
	}
}
