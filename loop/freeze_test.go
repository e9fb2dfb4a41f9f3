package loop_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"peal/loop"
	"peal/loop/fanout"
)

// Freeze and Thaw change nothing, and what comes in between is looked at then.
func TestThawGoesOn(t *testing.T) {
	plaintextOnly(t) // a frozen loop does not accept the connection that comes meanwhile, so its handshake waits
	s := start(t, options{sendBuffer: 8 << 10})
	idle, closed, sse, poll, short, slow, json := s.dial(), s.dial(), s.dial(), s.dial(), s.dial(), s.dialWith(4096), s.dial()
	idle.send("echo 1\n")
	idle.expect("1")
	closed.sse("b now")
	sse.sse("a now")
	poll.send("poll a now 60\n")
	short.send("poll nothing now 1\n")
	json.ws("wsjson", "a now publish")
	json.expectFrame(opText, "open 0\n")
	const big = 5_000_000
	slow.send("big 5000000\necho behind\n")
	s.await("a full socket", func() bool { return s.sum(held) > 0 })
	s.await("subscribers", func() bool { return s.journal.subscribers() == 5 })
	for range 2 { // to freeze what is frozen changes nothing
		s.freeze()
	}
	state := s.sum(connections)
	idle.send("echo 2\n")
	closed.halfClose()
	json.sendFrame(opText, "from json")
	late := s.dial()
	late.send("echo late\n")
	s.publish("a", "one")
	read := slow.drainKernel()
	for _, c := range []*client{idle, closed, sse, poll, json, late} {
		c.silent()
	}
	if len(read) >= big || s.sum(connections) != state {
		t.Errorf("%d bytes of a response came, and %d connections are there, of %d", len(read), s.sum(connections), state)
	}
	s.group.Thaw()
	idle.expect("2")
	closed.expectEnd()
	sse.expect("m 1 a one", "m 2 a from json")
	late.expect("late")
	switch line := poll.line(); line {
	case "poll 1 0 1":
		poll.expect("m 1 a one")
	case "poll 2 0 2":
		poll.expect("m 1 a one", "m 2 a from json")
	default:
		t.Errorf("a poll has %q", line)
	}
	json.expectFrame(opText, "m 1 a one\n")
	json.expectFrame(opText, "m 2 a from json\n")
	if line := short.line(); !strings.HasPrefix(line, "poll ") || !strings.HasSuffix(line, " 0 0") {
		t.Errorf("a poll whose time is up has %q", line)
	}
	if line := slow.line(); len(read)+len(line) != big || strings.Trim(line, "x") != "" {
		t.Errorf("%d and %d bytes of a response of %d came", len(read), len(line), big)
	}
	slow.expect("behind")
}

// Freeze waits for responses of workers and for replies, and what comes when all is still waits for the thaw.
func TestFreezeWaitsForResponses(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1}})
	c, ws := s.dial(), s.dial()
	c.send("later 1\necho 2\nlater 3\n")
	p := <-s.later
	ws.ws("wsraw", "a now publish")
	ws.sendFrame(opText, "later reply")
	reply := <-s.later
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := s.group.Freeze(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("frozen while responses are being prepared: %v", err)
	}
	s.group.Answer(p.ref, []byte("1\n"))
	c.expect("1")
	c.silent() // what is behind it waits
	done := make(chan error, 1)
	go func() { done <- s.group.Freeze(patient(t)) }()
	s.group.Answer(reply.ref, []byte("\x81\x02hi"))
	ws.expectFrame(opText, "hi")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s.group.Thaw()
	c.expect("2")
	p = <-s.later
	if err := s.group.Freeze(ctx); err == nil {
		t.Fatal("frozen while a response is being prepared")
	}
	if err := s.group.Settle(patient(t)); err != nil {
		t.Fatal(err)
	}
	s.group.Answer(p.ref, []byte("3\n"))
	c.silent()
	if stay := s.export().Loops[0].Stay; len(stay) != 1 || stay[loop.StayResponse] != 1 {
		t.Errorf("connections stay for %v", stay)
	}
	s.group.Thaw()
	c.expect("3")
	c.send("echo 4\n")
	c.expect("4")
}

// A drain that comes in the middle of a hand-over ends it.
func TestDrainOfFrozenLoops(t *testing.T) {
	s := start(t, options{})
	c := s.dial()
	c.sse("a now")
	s.freeze()
	s.group.Drain(patient(t))
	c.expect("bye")
	c.expectEnd()
}

// Some connections stay, and are counted by why.
func TestConnectionsThatStay(t *testing.T) {
	plaintextOnly(t)
	s := start(t, options{config: loop.Config{Loops: 1}})
	c := s.dial()
	c.sse("a now")
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[1])
	begun := make(chan uint64, 1)
	s.group.Adopt(0, loop.Arrival{Socket: int32(pair[0])}, func(_ loop.Ref, session uint64) *loop.Subscription {
		begun <- session
		return &loop.Subscription{Framing: loop.EventStream, Dialect: eventStream, Commands: true, Subscription: fanout.Subscription{Encoding: eventStream}}
	})
	<-begun
	if _, err := s.group.Export(t.Context(), testNames{}, nil); !errors.Is(err, loop.ErrNotStill) {
		t.Errorf("loops that are not still are handed over: %v", err)
	}
	s.freeze()
	if one := s.export().Loops[0]; len(one.Conns) != 1 || len(one.Stay) != 1 || one.Stay[loop.StayPair] != 1 {
		t.Errorf("%d connections go, and stay for %v", len(one.Conns), one.Stay)
	}
	s.declines.Store(true)
	if one := s.export().Loops[0]; len(one.Conns) != 0 || one.Stay[loop.StayFront] != 1 {
		t.Errorf("%d connections go though the front declines, and stay for %v", len(one.Conns), one.Stay)
	}
	s.group.Thaw()
	s.publish("a", "one")
	c.expect("m 1 a one")
}

// What contradicts itself is refused, with a reason, and nothing of it is left.
func TestBadConnectionsAreRefused(t *testing.T) {
	plaintextOnly(t)
	s := start(t, options{config: loop.Config{Loops: 1}})
	c := s.dial()
	c.ws("wsjson", "a,b now named")
	c.expectFrame(opText, "open 0\n")
	state := s.freezeWhen("a connection", func(all []loop.ConnState) bool { return len(all) == 1 })
	for want, change := range map[string]func(h *loop.ConnState){
		`kind "carrier pigeon" is not known`: func(h *loop.ConnState) { h.Kind = "carrier pigeon" },
		`no session number`:                  func(h *loop.ConnState) { h.Session = 0 },
		`dialect "morse" is not known`:       func(h *loop.ConnState) { h.Dialect = "morse" },
		`encoding "morse" is not known`:      func(h *loop.ConnState) { h.Receives.Encoding = "morse" },
		`channels are not sorted`:            func(h *loop.ConnState) { h.Receives.Channels = []string{"b", "a"} },
		`there twice`:                        func(h *loop.ConnState) { h.Receives.Channels = []string{"a", "a"} },
		`1 marks for 2 channels`:             func(h *loop.ConnState) { h.Receives.Told = []uint64{1} },
		`marks of what it has, and none`:     func(h *loop.ConnState) { h.Receives.Had = []uint64{1, 2} },
		`rest 1 of 0`:                        func(h *loop.ConnState) { h.Receives.Rest, h.Receives.Waits = 1, true },
		`private bytes that do not wait`:     func(h *loop.ConnState) { h.Receives.Private = []byte("x") },
		`2 bytes of answers among 1`: func(h *loop.ConnState) {
			h.Receives = fanout.MemberState{Waits: true, Private: []byte("x"), Answers: 2}
		},
		`origin "https://a" cannot be kept`:   func(h *loop.ConnState) { h.Receives.Origin = "https://a" },
		`a poll without a channel`:            func(h *loop.ConnState) { h.Kind, h.Receives = loop.KindPoll, fanout.MemberState{OneShot: true} },
		`of kind "poll", and a poll: false`:   func(h *loop.ConnState) { h.Kind = loop.KindPoll },
		`of kind "http" and has 2 channels`:   func(h *loop.ConnState) { h.Kind = loop.KindHTTP },
		`publishes, and has no channel`:       func(h *loop.ConnState) { h.Publishes, h.Receives.Channels = true, nil },
		`contradicts its bytes`:               func(h *loop.ConnState) { h.Reader.Kept = 5 },
		`was handed over with "nothing else"`: func(h *loop.ConnState) { h.Front = []byte("nothing else") },
	} {
		n := s.next(options{config: loop.Config{Loops: 1}})
		h := state.Loops[0].Conns[0]
		reader := *h.Reader
		h.Reader = &reader
		change(&h)
		one := loop.GroupState{Loops: []loop.LoopState{{Conns: []loop.ConnState{h}}}}
		descriptors := openDescriptors()
		taken, err := n.takeOver(one)
		if taken != 0 || !errors.Is(err, loop.ErrConn) || !strings.Contains(err.Error(), want) {
			t.Errorf("%d connections were taken over, error %v, want %q", taken, err, want)
		}
		if now := openDescriptors(); now != descriptors {
			t.Errorf("%s: %d descriptors are open, and %d were", want, now, descriptors)
		}
		n.run()
		n.awaitEmpty()
		n.group.Abandon(patient(t))
		if left := n.left.inOrder(); len(left) > 0 {
			t.Errorf("%s: sessions %v have left, which the front did not take over", want, left)
		}
	}
	s.group.Thaw()
	s.publish("b", "one")
	c.expectFrame(opText, "m 1 b one\n")
}

// drainKernel reads what comes without a pause, and returns it.
func (c *client) drainKernel() (all []byte) {
	c.t.Helper()
	b := make([]byte, 64<<10)
	for {
		c.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
		n, err := c.r.Read(b)
		all = append(all, b[:n]...)
		switch {
		case isTimeout(err):
			return all
		case err == io.EOF:
			c.t.Fatal("the connection has ended")
		case err != nil:
			c.t.Fatal(err)
		}
	}
}
