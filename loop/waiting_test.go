package loop_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"peal/loop"
)

// expectWaiting returns the Ref of the request that waits for word.
func (s *server) expectWaiting(word string) loop.Ref {
	s.t.Helper()
	select {
	case p := <-s.waiting:
		if p.text != word {
			s.t.Fatalf("a request waits for %q, want %q", p.text, word)
		}
		return p.ref
	case <-time.After(patience):
		s.t.Fatalf("no request waits for %q", word)
		return loop.Ref{}
	}
}

// pass says word, and has the request that waits for it looked at again.
func (s *server) pass(word string) {
	s.t.Helper()
	ref := s.expectWaiting(word)
	s.say(word)
	s.group.Again(ref)
}

func (s *server) say(word string) { s.said.Store(word, true) }

func requests(s loop.Stats) int { return int(s.Requests) }

func TestRequestsBehindOneThatWaits(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1}})
	c := s.dial()
	c.send("echo 1\nwait a wait b echo 2\necho 3\nwait a later 4\nwait c poll x now 60\necho 5\nwait d sse x 0\n")
	c.expect("1")
	s.pass("a")
	ref := s.expectWaiting("b")
	c.silent()
	if n := len(s.waiting); n > 0 {
		t.Fatalf("%d requests are looked at behind one that waits", n)
	}
	s.say("b")
	s.group.Again(ref)
	c.expect("2", "3")
	p := <-s.later
	s.group.Answer(p.ref, []byte("4\n"))
	c.expect("4")
	s.pass("c")
	s.await("the poll", func() bool { return s.journal.subscribers() == 1 })
	s.publish("x", "for you")
	c.expect("poll 1 0 1", "m 1 x for you", "5")
	s.pass("d")
	c.expect("stream", "open 0", "m 1 x for you")
	if n := s.sum(requests); n != 7 {
		t.Errorf("%d requests are counted, want 7: one that waits is one", n)
	}
	c.Close()
	s.awaitEmpty()
}

// What comes while a request waits is there when the front looks at it again.
func TestWaitingInsideARequest(t *testing.T) {
	s := start(t, options{})
	c := s.dial()
	c.send("wait a body 10\n123")
	ref := s.expectWaiting("a")
	c.send("4567")
	s.say("a")
	s.group.Again(ref)
	c.expect("continue")
	c.send("890echo next\n")
	c.expect("got 10", "next")
}

func TestAgainForAConnectionThatDoesNotWait(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1}})
	old := s.dial()
	old.send("wait a echo old\n")
	stale := s.expectWaiting("a")
	s.group.Answer(stale, []byte("not the way\n")) // ignored
	old.reset()
	s.awaitEmpty()
	c := s.dial()
	c.send("wait a echo 1\nwait b echo 2\n")
	first := s.expectWaiting("a")
	if first.Slot != stale.Slot {
		t.Fatalf("slots %d and %d: this test is of one used again", stale.Slot, first.Slot)
	}
	s.say("a")
	s.group.Again(stale)
	c.silent()
	s.group.Again(first)
	s.group.Again(first)
	c.expect("1")
	second := s.expectWaiting("b")
	s.say("b")
	s.group.Again(first)
	c.silent()
	s.group.Again(second)
	c.expect("2")
	c.send("later 3\n")
	p := <-s.later
	s.group.Again(p.ref) // it waits for an answer, not for a look
	c.silent()
	s.group.Answer(p.ref, []byte("3\n"))
	c.expect("3")
}

// A client that half-closes behind a request that waits gets its response, and those
// behind it.
func TestHalfCloseBehindARequestThatWaits(t *testing.T) {
	for _, k := range []struct {
		name, requests string
		want           []string
	}{
		{"one", "wait a echo 1\n", []string{"1"}},
		{"several", "echo 1\nwait a echo 2\nwait b echo 3\necho 4\n", []string{"1", "2", "3", "4"}},
		{"a poll", "wait a poll x now 60\necho 2\n", []string{"poll 0 0 0", "2"}},
		{"a stream", "wait a sse x now\n", []string{"stream", "open 0"}},
		{"the last", "wait a last 1\necho never\n", []string{"1"}},
		{"not whole", "wait a echo 1\nech", []string{"1", "unfinished"}},
		{"more than is kept of input", "wait a echo 1\n" + strings.Repeat("echo behind the first one\n", 5000),
			append([]string{"1"}, slices.Repeat([]string{"behind the first one"}, 5000)...)},
	} {
		t.Run(k.name, func(t *testing.T) {
			s := start(t, options{config: loop.Config{Loops: 1, ParkedBytes: 64}})
			c := s.dial()
			c.send(k.requests)
			c.halfClose()
			probe := s.dial()
			probe.send("echo x\n") // by then the end was read, or lies behind what is kept
			probe.expect("x")
			s.pass("a")
			if strings.Contains(k.requests, "wait b") {
				s.pass("b")
			}
			c.expect(k.want...)
			c.expectEnd()
			probe.Close()
			s.awaitEmpty()
		})
	}
}

func TestResetOfAConnectionThatWaits(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1}})
	for _, end := range []func(c *client){(*client).reset, func(c *client) { c.halfClose(); c.reset() }} {
		c := s.dial()
		c.send("wait a echo 1\n")
		ref := s.expectWaiting("a")
		end(c)
		s.awaitEmpty()
		s.group.Again(ref) // to nobody
	}
	if n := s.sum(requests); n != 0 {
		t.Errorf("%d requests are handled", n)
	}
}

// The time of a request does not pass while it waits; what is left of it does afterwards.
func TestTheTimeOfARequestThatWaits(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1, HeadTimeout: 10 * time.Second, IdleTimeout: 20 * time.Second}})
	age := func(d time.Duration) {
		s.group.Age(0, d)
		s.stats() // behind it
	}
	again := func(c *client, word string, ref loop.Ref) {
		s.say(word)
		s.group.Again(ref)
		c.expect("continue")
	}
	whole, body, trickle := s.dial(), s.dial(), s.dial()
	whole.send("wait a echo 1\n")
	aRef := s.expectWaiting("a")
	body.send("wait b body 10\n12345")
	bRef := s.expectWaiting("b")
	trickle.send("wai")
	s.await("all three to be read", func() bool { return s.sum(reads) >= 3 })
	age(6 * time.Second)
	trickle.send("t c body 10\n12345")
	cRef := s.expectWaiting("c")
	age(100 * time.Second)
	again(trickle, "c", cRef) // 4 s are left
	again(body, "b", bRef)    // 10 s: it begins now
	s.say("a")
	s.group.Again(aRef)
	whole.expect("1")
	age(3 * time.Second)
	for _, c := range []*client{trickle, body} {
		c.silent()
	}
	age(3 * time.Second)
	trickle.expect("late")
	trickle.expectEnd()
	body.send("67890")
	body.expect("got 10")
	whole.send("echo 2\n") // idle since its response, not since its request
	whole.expect("2")
}

// A front that must wait even to refuse a late request is asked again.
func TestALateRequestMayWait(t *testing.T) {
	s := prepare(t, options{config: loop.Config{Loops: 1, HeadTimeout: 10 * time.Second}})
	s.lateWaits = true
	s.run()
	c := s.dial()
	c.send("body 10\n12345")
	c.expect("continue")
	s.group.Age(0, 12*time.Second)
	ref := s.expectWaiting("late")
	s.say("late")
	s.group.Again(ref)
	s.stats()
	s.group.Age(0, 2*time.Second)
	c.expect("late")
	c.expectEnd()
}

// While a request waits, little of what follows is read.
func TestReadingPausesBehindARequestThatWaits(t *testing.T) {
	const parkedBytes, n = 1 << 10, 20_000
	s := start(t, options{config: loop.Config{Loops: 1, ParkedBytes: parkedBytes}})
	s.group.StopTicks()
	c := s.dial()
	c.send("wait a echo first\n")
	ref := s.expectWaiting("a")
	sent := make(chan struct{})
	go func() { // ends when all is read
		defer close(sent)
		for i := range n {
			fmt.Fprintf(c.Conn, "echo %d\n", i)
		}
	}()
	input := func() int { return s.sum(inputs) }
	s.await("input", func() bool { return input() >= parkedBytes })
	for range 20 { // while the sender tries to send more
		if kept := input(); kept > 2*parkedBytes {
			t.Fatalf("%d bytes of input are kept, ParkedBytes is %d", kept, parkedBytes)
		}
	}
	s.say("a")
	s.group.Again(ref)
	c.expect("first")
	for i := range n {
		c.expect(fmt.Sprint(i))
	}
	<-sent
}

// A drain waits for a request that waits; its response is the last.
func TestDrainBehindARequestThatWaits(t *testing.T) {
	s := start(t, options{})
	c, stream := s.dial(), s.dial()
	c.send("wait a echo 1\n")
	ref := s.expectWaiting("a")
	stream.send("wait b sse x now\n")
	streamRef := s.expectWaiting("b")
	passed, drained := make(chan int), make(chan struct{})
	s.group.SayGoodBye(1000, func(open int) { passed <- open })
	if open := <-passed; open != 2 {
		t.Errorf("%d connections are left, want 2", open)
	}
	go func() {
		defer close(drained)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		s.group.Drain(ctx)
	}()
	s.say("a")
	s.say("b")
	s.group.Again(ref)
	s.group.Again(streamRef)
	c.expect("1")
	c.expectEnd()
	stream.expect("stream", "open 0", "bye")
	stream.expectEnd()
	<-drained
}

// Many requests that are looked at again at once do not hold up the loop.
func TestManyRequestsAreLookedAtAgainInTurns(t *testing.T) {
	const turn, n, units = 400, 200, 90
	s := start(t, options{config: loop.Config{Loops: 1, TurnWork: turn}})
	var clients []*client
	var refs []loop.Ref
	for range n {
		c := s.dial()
		c.send(fmt.Sprintf("wait a work %d\n", units))
		clients = append(clients, c)
		refs = append(refs, s.expectWaiting("a"))
	}
	s.say("a")
	s.group.PostTo(0, func() {
		for _, ref := range refs {
			s.group.Again(ref)
		}
	})
	for _, c := range clients {
		c.expect("done")
	}
	if one := s.stats()[0]; one.LongestWork > turn+units+50 {
		t.Errorf("a callback did %d units of work, want at most %d", one.LongestWork, turn+units+50)
	}
}
