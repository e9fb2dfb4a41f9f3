package loop_test

import (
	"fmt"
	"testing"
	"time"

	"peal/loop"
)

func TestADeadlineIsInWholeSecondsAndNeverEarly(t *testing.T) {
	for _, k := range []struct {
		now, d time.Duration
		want   uint32
	}{
		{0, time.Second, 1},
		{10 * time.Second, 5 * time.Second, 15},
		{10*time.Second + 1, 5 * time.Second, 16},
		{10*time.Second + 999*time.Millisecond, time.Millisecond, 11},
		{10*time.Second + 999*time.Millisecond, 2 * time.Millisecond, 12},
		{10 * time.Second, 1<<63 - 1, 10 + 1<<30},
	} {
		if got := loop.DeadlineTick(k.now, k.d); got != k.want {
			t.Errorf("at %v, %v: tick %d, want %d", k.now, k.d, got, k.want)
		}
	}
}

// age lets time pass on loop 0, and waits until it has.
func (s *server) age(d time.Duration) {
	s.t.Helper()
	s.group.Age(0, d)
	s.stats()
}

func TestDueIsCalledOnceWhenTheDeadlineIsOver(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1, Heartbeat: time.Hour}})
	stream, socket, without := s.dial(), s.dial(), s.dial()
	stream.sse("a now 100")
	socket.ws("wsraw", "a now 200")
	without.sse("a now")
	published := 0
	expectNext := func() { // of all, and nothing before it
		t.Helper()
		published++
		text := fmt.Sprint(published)
		s.publish("a", text)
		for _, c := range []*client{stream, without} {
			c.expect(fmt.Sprintf("m %d a %d", published, published))
		}
		socket.expectFrame(opText, text)
	}
	s.age(50 * time.Second)
	expectNext()
	s.age(52 * time.Second)
	stream.expect("due")
	expectNext()
	s.age(52 * time.Second)
	expectNext()
	s.age(52 * time.Second)
	socket.expectFrame(opText, "due")
	expectNext()
	if n := s.sum(func(l loop.Stats) int { return int(l.Heartbeats) }); n != 0 {
		t.Errorf("%d heartbeats", n)
	}
}

func TestDeadlinesThatAreMoved(t *testing.T) {
	s := prepare(t, options{config: loop.Config{Loops: 1, Heartbeat: time.Hour}})
	rounds := 0
	s.due = func(c loop.Client) {
		if rounds++; rounds < 3 {
			c.SetDeadline(100 * time.Second)
		}
	}
	s.run()
	c := s.dial()
	c.sse("a now 100 ref")
	ref := <-s.refs
	set := func(d time.Duration) {
		t.Helper()
		if !s.visit(ref, func(c loop.Client) { c.SetDeadline(d) }) {
			t.Error("not visited")
		}
	}
	set(300 * time.Second) // later
	s.age(150 * time.Second)
	c.silent()
	set(50 * time.Second) // sooner
	s.age(52 * time.Second)
	c.expect("due") // and again in 100 s, and in 200 s
	s.age(102 * time.Second)
	c.expect("due")
	s.age(102 * time.Second)
	c.expect("due")
	s.age(1000 * time.Second)
	c.silent()
	set(100 * time.Second)
	set(0) // none
	s.age(1000 * time.Second)
	c.silent()
	set(-time.Second) // over
	s.age(2 * time.Second)
	c.expect("due")
}

// Due may end the stream, also one whose socket is full.
func TestDueMayEndTheStream(t *testing.T) {
	s := prepare(t, options{config: loop.Config{Loops: 1, Heartbeat: time.Hour}})
	s.due = func(c loop.Client) {
		c.Close(4401, "token_expired: get a new one")
		c.SetDeadline(time.Second) // of no effect
	}
	s.run()
	stream, socket := s.dial(), s.dial()
	stream.sse("a now 100")
	socket.ws("wsraw", "a now 100")
	s.age(102 * time.Second)
	stream.expect("due", "bye")
	stream.expectEnd()
	stream.Close()
	socket.expectFrame(opText, "due")
	socket.expectClose(4401)
	socket.Close()
	s.awaitEmpty()
}

// A deadline is of one connection, and goes with it.
func TestADeadlineIsForgottenWithItsConnection(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1, Heartbeat: time.Hour}})
	for _, end := range []func(c *client){(*client).reset, func(c *client) { c.halfClose(); c.expectEnd(); c.Close() }} {
		c := s.dial()
		c.sse("a now 100")
		end(c)
		s.awaitEmpty()
	}
	c := s.dial()
	c.sse("a now")
	s.age(1000 * time.Second)
	c.silent()
}

// A deadline leaves heartbeats where they are.
func TestHeartbeatsKeepTheirRhythmBesideDeadlines(t *testing.T) {
	s := prepare(t, options{config: loop.Config{Loops: 1, Heartbeat: 100 * time.Second}})
	s.due = func(c loop.Client) { c.SetDeadline(10 * time.Second) }
	s.run()
	c, beside := s.dial(), s.dial()
	c.sse("a now 10")
	beside.sse("a now")
	beats := func() int { return s.sum(func(st loop.Stats) int { return int(st.Heartbeats) }) }
	for range 80 {
		s.age(12 * time.Second)
	}
	// 960 s with heartbeats 80 to 120 s apart, and ages of 12 s: at most 132.
	if n := beats(); n < 2*7 || n > 2*12 {
		t.Errorf("%d heartbeats of two streams in 960 s", n)
	}
	due := 0
	for due < 60 {
		if c.line() == "due" {
			due++
		}
	}
}
