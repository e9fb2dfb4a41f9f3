package loop_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"peal/loop"
)

// dismiss has Group.Dismiss pick by session and waits for its end.
func (s *server) dismiss(pick func(session uint64) *loop.Ending) (ended int) {
	s.t.Helper()
	done := make(chan int, 2)
	if !s.group.Dismiss(func(_ loop.Front, session uint64) *loop.Ending { return pick(session) }, func(n int) { done <- n }) {
		s.t.Fatal("refused")
	}
	select {
	case n := <-done:
		return n
	case <-time.After(patience):
		s.t.Fatal("the dismissal does not end")
		return 0
	}
}

var over = &loop.Ending{Code: 4410, Reason: "disconnected: by the test", Cause: "dismissed"}

func everybody(uint64) *loop.Ending { return over }

func (c *client) expectDismissed() {
	c.t.Helper()
	op, payload := c.frame()
	if want := closePayload(4410, "disconnected: by the test"); op != opClose || payload != want {
		c.t.Fatalf("frame %d %q, want a close frame %q", op, payload, want)
	}
	c.sendFrame(opClose, payload[:2])
	c.expectEnd()
}

func TestDismissEndsNamedConnectionsOfEachKind(t *testing.T) {
	s := start(t, options{})
	raw, commands, stream, poll := s.dial(), s.dial(), s.dial(), s.dial()
	raw.ws("wsraw", "a now named")
	commands.ws("wsjson", "a,b now named")
	commands.expectFrame(opText, "open 0\n")
	stream.sse("a now named")
	poll.send("poll a,b now 60 named\n", "echo never\n")
	s.await("the poll is held", func() bool { return s.sum(polls) == 1 })
	unnamed, between := s.dial(), s.dial()
	unnamed.sse("a now")
	between.send("echo before\n")
	between.expect("before")

	if n := s.dismiss(everybody); n != 4 {
		t.Errorf("%d ended, want 4", n)
	}
	raw.expectDismissed()
	commands.expectDismissed()
	stream.expect("bye")
	stream.expectEnd()
	poll.expect("dismissed close=true")
	poll.expectEnd()
	if named, left := s.named.sorted(), s.left.sorted(); !slices.Equal(named, left) {
		t.Errorf("named %d, left %d", named, left)
	}
	if n := s.sum(func(l loop.Stats) int { return int(l.Dismissed) }); n != 4 {
		t.Errorf("%d counted", n)
	}
	if n := s.sum(func(l loop.Stats) int { return int(l.Closes[4410]) }); n != 2 {
		t.Errorf("%d closes with 4410 counted, want 2", n)
	}
	s.publish("a", "still here")
	unnamed.expect("m 1 a still here")
	between.send("echo after\n")
	between.expect("after")
}

// One dismissal may end connections in different ways.
func TestDismissEndsEachInItsWay(t *testing.T) {
	s := start(t, options{})
	socket, poll, spared := s.dial(), s.dial(), s.dial()
	socket.ws("wsraw", "a now named")
	poll.send("poll a now 60 named\n")
	s.await("the poll is held", func() bool { return s.sum(polls) == 1 })
	sessions := s.named.inOrder()
	spared.ws("wsraw", "a now named")
	expired := &loop.Ending{Code: 4401, Reason: "token_expired: get a new one", Cause: "expired"}
	gone := &loop.Ending{Code: 4403, Reason: "not_allowed: ask for more", Cause: "forbidden"}
	if n := s.dismiss(func(session uint64) *loop.Ending {
		return map[uint64]*loop.Ending{sessions[0]: expired, sessions[1]: gone}[session]
	}); n != 2 {
		t.Errorf("%d ended, want 2", n)
	}
	socket.expectFrame(opClose, closePayload(4401, "token_expired: get a new one"))
	poll.expect("forbidden close=true")
	poll.expectEnd()
	s.publish("a", "still here")
	spared.expectFrame(opText, "still here")
	if n := s.sum(func(l loop.Stats) int { return int(l.Closes[4401]) }); n != 1 {
		t.Errorf("%d closes with 4401 counted, want 1", n)
	}
}

func TestDismissLeavesAHalfSentMessageWhole(t *testing.T) {
	s := start(t, options{sendBuffer: 4 << 10})
	c := s.dialWith(4 << 10)
	c.ws("wsraw", "a now named")
	message := strings.Repeat("message ", 128<<10)
	s.publish("a", message)
	s.await("the socket is full", func() bool { return s.sum(held) > 0 })
	s.publish("a", "not begun: it goes with the connection")
	if n := s.dismiss(everybody); n != 1 {
		t.Errorf("%d ended, want 1", n)
	}
	c.expectFrame(opText, message)
	c.expectDismissed()
}

// One dismissal of many connections leaves the loop to others between its turns.
func TestDismissEndsABoundedNumberInATurn(t *testing.T) {
	const many = 1000
	s := start(t, options{config: loop.Config{Loops: 1}})
	clients := make([]*client, many)
	for i := range clients {
		clients[i] = s.dial()
		clients[i].send("wsraw a now named\n")
	}
	for _, c := range clients {
		c.expect("stream")
	}
	turns := func() int { return s.sum(func(l loop.Stats) int { return int(l.Turns) }) }
	before := turns()
	if n := s.dismiss(everybody); n != many {
		t.Errorf("%d ended, want %d", n, many)
	}
	if n := turns() - before; n < many/loop.DismissEnds {
		t.Errorf("%d connections ended in %d turns of at most %d", many, n, loop.DismissEnds)
	}
	for _, c := range clients {
		c.expectDismissed()
	}
}

// Connections that nobody picks cost looks, which are bounded as well.
func TestDismissLooksAtABoundedNumberInATurn(t *testing.T) {
	if turns := loop.DismissTurns(3*loop.DismissLooks + 1)(); turns != 4 {
		t.Errorf("%d turns, want 4", turns)
	}
}

func TestDismissPicksOnEveryLoop(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 3}})
	var clients []*client
	for range 30 {
		c := s.dial()
		c.sse("a now named")
		clients = append(clients, c)
	}
	odd := map[uint64]bool{} // written here, read by the loops afterwards
	sessions := s.named.sorted()
	for i, session := range sessions {
		odd[session] = i%2 == 1
	}
	var wrong atomic.Int32
	done := make(chan int, 1)
	s.group.Dismiss(func(of loop.Front, session uint64) *loop.Ending {
		if int(session&0xff) != of.(front).loop {
			wrong.Add(1)
		}
		if odd[session] {
			return over
		}
		return nil
	}, func(n int) { done <- n })
	if n := <-done; n != 15 || wrong.Load() != 0 {
		t.Errorf("%d ended, want 15; %d asked for on another loop", n, wrong.Load())
	}
	for _, session := range s.left.sorted() {
		if !odd[session] {
			t.Errorf("session %d ended, though nobody picked it", session)
		}
	}
	s.awaitConnections(15)
	_ = clients // open until here
}

func TestDismissIsRefusedWhenTooManyAreUnderWay(t *testing.T) {
	s := prepare(t, options{})
	done := make(chan int, loop.MaxDismissals+1)
	dismiss := func() bool {
		return s.group.Dismiss(func(loop.Front, uint64) *loop.Ending { return over }, func(n int) { done <- n })
	}
	for i := range loop.MaxDismissals { // nothing runs yet
		if !dismiss() {
			t.Fatalf("refused after %d", i)
		}
	}
	if dismiss() {
		t.Error("one too many is not refused")
	}
	s.run()
	for range loop.MaxDismissals {
		<-done
	}
	if !dismiss() {
		t.Error("refused though none is under way")
	}
	<-done
}

// BenchmarkDismiss is what the looks of one turn cost, and those at all
// connections of a loop.
func BenchmarkDismiss(b *testing.B) {
	for _, n := range []int{loop.DismissLooks, 50_000} {
		b.Run(fmt.Sprintf("connections=%d", n), func(b *testing.B) {
			dismiss := loop.DismissTurns(n)
			b.ResetTimer()
			for range b.N {
				dismiss()
			}
		})
	}
}

// A poll that has its answer, which the loop was not told of yet, is not answered again.
func TestAPollThatEndsIsNotDismissedWithASecondAnswer(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1}})
	poll := s.dial()
	poll.send("poll a now 60 named\n")
	s.await("the poll is held", func() bool { return s.sum(polls) == 1 })
	s.group.ExpireAndDismiss(0, 0, &loop.Ending{Cause: "dismissed"})
	if answer := poll.line(); strings.Contains(answer, "dismissed") {
		t.Errorf("answer %q", answer)
	}
	poll.expectEnd()
	s.awaitEmpty()
}
