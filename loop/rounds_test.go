package loop_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"peal/loop"
)

// pause stops the first loop until release is called, so that what comes meanwhile is
// ready at once.
func (s *server) pause() (release func()) { return s.pauseLoop(0) }

func (s *server) pauseLoop(loop int) (release func()) {
	held, goOn := make(chan struct{}), make(chan struct{})
	s.group.PostTo(loop, func() { close(held); <-goOn })
	<-held
	return func() { close(goOn) }
}

// cheap returns connections whose requests have cost little so far.
func (s *server) cheap(n int) (clients []*client) {
	for range n {
		c := s.dial()
		for range 4 {
			c.send("echo a\n")
			c.expect("a")
		}
		clients = append(clients, c)
	}
	return clients
}

// dear returns connections that have made a dear request.
func (s *server) dear(n int) (clients []*client) {
	for range n {
		c := s.dial()
		c.send("work 300\n")
		c.expect("done")
		clients = append(clients, c)
	}
	return clients
}

// A request that costs little does not wait for dear ones that were ready before it.
func TestDearRequestsOfOnePollWaitForTurns(t *testing.T) {
	s := prepare(t, options{config: loop.Config{Loops: 1, TurnWork: 400}})
	var handled atomic.Int64
	s.world.echoed = func(string) { handled.Store(s.requests.Load()) }
	s.run()
	dear, me := s.dear(40), s.cheap(1)[0]
	release := s.pause()
	before := s.requests.Load()
	for _, c := range dear {
		c.send("work 300\n")
	}
	me.send("echo me\n")
	release()
	me.expect("me")
	if n := handled.Load() - before; n > 8 {
		t.Errorf("%d of %d dear requests were handled first, want at most 7", n-1, len(dear))
	}
	for _, c := range dear {
		c.expect("done")
	}
	// Those that have become cheap are served at once again.
	for range 5 {
		dear[0].send("echo a\n")
		dear[0].expect("a")
	}
	release = s.pause()
	before = s.requests.Load()
	for _, c := range dear[1:] {
		c.send("work 300\n")
	}
	dear[0].send("echo me\n")
	release()
	dear[0].expect("me")
	if n := handled.Load() - before; n > 8 {
		t.Errorf("%d of %d dear requests were handled first, want at most 7", n-1, len(dear))
	}
}

// New connections wait for turns, too, when many of them come at once.
func TestNewConnectionsDoNotDelayOthers(t *testing.T) {
	s := prepare(t, options{config: loop.Config{Loops: 1, TurnWork: 400}})
	var handled atomic.Int64
	s.world.echoed = func(string) { handled.Store(s.requests.Load()) }
	s.run()
	me := s.cheap(1)[0]
	var fresh []*client
	for range 40 {
		fresh = append(fresh, s.dial())
	}
	s.awaitConnections(41)
	release := s.pause()
	before := s.requests.Load()
	for _, c := range fresh {
		c.send("work 200\n")
	}
	me.send("echo me\n")
	release()
	me.expect("me")
	if n := handled.Load() - before; n > 8 {
		t.Errorf("%d of %d first requests were handled before the other, want at most 7", n-1, len(fresh))
	}
	for _, c := range fresh {
		c.expect("done")
	}
}

// large are messages of which a loop applies two in a turn.
const (
	large     = 40
	largeSize = 250_000
)

func (s *server) publishLarge() {
	for range large {
		s.publish("a", strings.Repeat("m", largeSize))
	}
}

// Events that cost little do not wait for all messages of the ring.
func TestEventsAreNotBehindTheRing(t *testing.T) {
	s := prepare(t, options{config: loop.Config{Loops: 1}})
	var left atomic.Int64
	s.world.echoed = func(string) { left.Store(int64(s.group.Behind(0))) }
	s.run()
	s.dial().sse("a now")
	cheap := s.cheap(30)
	release := s.pause()
	s.publishLarge()
	for i, c := range cheap {
		c.send(fmt.Sprintf("echo %d\n", i))
	}
	release()
	for i, c := range cheap {
		c.expect(fmt.Sprint(i))
	}
	if n := left.Load(); n < large/2 {
		t.Errorf("of %d messages, %d were left in the ring when the last of %d requests was handled, want at least half", large, n, len(cheap))
	}
	s.await("the rest", func() bool { return s.group.Behind(0) == 0 })
}

// Dear input waits while messages wait in the ring, but not for ever.
func TestDearInputWaitsForTheRing(t *testing.T) {
	s := prepare(t, options{config: loop.Config{Loops: 1, TurnWork: 400}})
	var early atomic.Int64
	s.world.echoed = func(text string) {
		if len(text) > 1 && s.group.Behind(0) > 0 {
			early.Add(1)
		}
	}
	s.run()
	s.dial().sse("a now")
	dear := s.dear(40)
	text := strings.Repeat("e", 20_000)
	release := s.pause()
	s.publishLarge()
	for _, c := range dear {
		c.send("echo ", text, "\n")
	}
	release()
	for _, c := range dear {
		c.expect(text)
	}
	if n := early.Load(); n < 1 || n > 15 {
		t.Errorf("%d of %d dear requests were handled while messages waited in the ring, want 1 to 15", n, len(dear))
	}
}

// What dear input has published must be taken by all loops before there is more of it,
// which input that costs little does not wait for.
func TestDearInputWaitsForOtherLoops(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 2, TurnWork: 400}})
	s.group.StopTicks()
	me := s.cheap(1)[0] // on the first loop, because it is the first
	dear := s.dear(41)  // half of them as well
	text := strings.Repeat("e", 20_000)
	release := s.pauseLoop(1)
	for _, c := range dear {
		c.send("pub a ", text, "\n")
	}
	for range 60 { // turns enough for all
		me.send("echo me\n")
		me.expect("me")
	}
	if n := s.journal.Head(); n < 1 || n > 3 {
		t.Errorf("%d dear messages were published while the other loop took nothing, want 1 to 3", n)
	}
	me.send("pub a x\n")
	if got := me.line(); !strings.HasPrefix(got, "ok ") {
		t.Errorf("a small message: %q", got)
	}
	release()
	for _, c := range dear {
		if got := c.line(); !strings.HasPrefix(got, "ok ") {
			t.Fatalf("a dear message: %q", got)
		}
	}
	if n := s.journal.Head(); n != 42 {
		t.Errorf("%d messages were published, want 42", n)
	}
}

// Input that waits goes on when the other loop has taken something, whenever that is:
// nothing else would wake its loop.
func TestNoReleaseIsLost(t *testing.T) {
	rounds := 4000
	if testing.Short() {
		rounds = 400
	}
	s := start(t, options{config: loop.Config{Loops: 2, TurnWork: 100}})
	s.group.StopTicks()
	c := s.dial()
	text := strings.Repeat("e", 7_000) // dear, and a turn's work
	for i := range rounds {
		for range 3 {
			c.send("pub a ", text, "\n")
		}
		for n := range 3 {
			c.expect(fmt.Sprint("ok ", 3*i+n+1))
		}
	}
}
