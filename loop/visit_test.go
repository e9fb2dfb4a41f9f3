package loop_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"peal/loop"
)

// visit has f run on a connection, and waits for what is behind it at the door.
func (s *server) visit(ref loop.Ref, f func(c loop.Client)) (ran bool) {
	s.t.Helper()
	s.group.Do(ref, func(c loop.Client) {
		ran = true
		f(c)
	})
	s.stats()
	return ran
}

func writes(b string) func(c loop.Client) {
	return func(c loop.Client) { c.Write([]byte(b)) }
}

func TestDoWritesToStreams(t *testing.T) {
	s := start(t, options{})
	stream, socket := s.dial(), s.dial()
	stream.sse("a now ref")
	streamRef := <-s.refs
	socket.ws("wsraw", "a now ref")
	socketRef := <-s.refs
	s.publish("a", "1")
	stream.expect("m 1 a 1")
	socket.expectFrame(opText, "1")
	if !s.visit(streamRef, writes("from elsewhere\n")) || !s.visit(socketRef, writes(string(reply("from elsewhere")))) {
		t.Error("a stream that is open is not visited")
	}
	s.publish("a", "2")
	stream.expect("from elsewhere", "m 2 a 2")
	socket.expectFrame(opText, "from elsewhere")
	socket.expectFrame(opText, "2")
}

// Only the stream that the Ref was of is visited, and only as long as it is one.
func TestDoOnWhatIsNoStream(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1}})
	unwanted := func(c loop.Client) { c.Write([]byte("unwanted\n")); c.Close(4410, "unwanted") }
	old := s.dial()
	old.sse("a now ref")
	stale := <-s.refs
	if !s.visit(stale, func(loop.Client) {}) {
		t.Error("an open stream is not visited")
	}
	old.Close()
	s.awaitEmpty()
	c := s.dial()
	c.send("later 1\n")
	p := <-s.later
	if s.visit(stale, unwanted) || s.visit(p.ref, unwanted) {
		t.Error("a request that waits for its answer is visited")
	}
	s.group.Answer(p.ref, []byte("1\n"))
	c.expect("1")
	c.send("poll a now 60 ref\n")
	if ref := <-s.refs; s.visit(ref, unwanted) {
		t.Error("a poll is visited")
	}
	s.publish("a", "x")
	c.expect("poll 1 0 1", "m 1 a x")
	c.sse("a now ref")
	if ref := <-s.refs; s.visit(stale, unwanted) || s.visit(p.ref, unwanted) || !s.visit(ref, func(loop.Client) {}) {
		t.Error("a Ref of another, or of an earlier request, is taken for its own")
	}
	s.publish("a", "y")
	c.expect("m 2 a y")
}

func TestCloseFromEverywhere(t *testing.T) {
	s := start(t, options{})
	end := func(c loop.Client) {
		c.Close(4401, "your token has expired")
		c.Write([]byte("never"))
		c.Close(4400, "only once")
	}
	stream, socket, speaker := s.dial(), s.dial(), s.dial()
	stream.sse("a now ref named")
	streamRef := <-s.refs
	socket.ws("wsraw", "a now ref named")
	socketRef := <-s.refs
	speaker.ws("wsraw", "a now publish named")
	s.publish("a", "before")
	stream.expect("m 1 a before")
	for _, c := range []*client{socket, speaker} {
		c.expectFrame(opText, "before")
	}
	for _, ref := range []loop.Ref{streamRef, socketRef} {
		if !s.visit(ref, end) || s.visit(ref, end) {
			t.Error("a stream is ended once, and not visited afterwards")
		}
	}
	speaker.send(string(masked(0x80|opText, "close 4401 your token has expired")) + string(masked(0x80|opText, "close 4400 only once")))
	s.await("all have left", func() bool { return len(s.left.sorted()) == 3 })
	s.publish("a", "after")
	stream.expect("bye")
	stream.expectEnd()
	stream.Close()
	for _, c := range []*client{socket, speaker} {
		payload := closePayload(4401, "your token has expired")
		c.expectFrame(opClose, payload)
		c.sendFrame(opClose, payload[:2])
		c.expectEnd()
		c.Close()
	}
	if n := s.sum(func(l loop.Stats) int { return int(l.Closes[4401]) }); n != 2 {
		t.Errorf("%d closes with 4401 counted, want 2", n)
	}
	s.awaitEmpty()
}

// What a slow client was half-sent becomes whole before its end; a client that does not
// even take that is closed.
func TestCloseOfASlowStream(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1, LingerTimeout: 2 * time.Second, Heartbeat: time.Hour}, sendBuffer: 4 << 10})
	message := strings.Repeat("message ", 64<<10)
	var all []*client
	var refs []loop.Ref
	for _, kind := range []string{"sse", "wsjson", "sse", "wsjson"} {
		c := s.dialWith(4 << 10)
		c.send(kind + " a now ref\n")
		all, refs = append(all, c), append(refs, <-s.refs)
	}
	s.publish("a", message)
	s.await("full sockets", func() bool { return s.stats()[0].Fanout.Full >= 4 })
	for _, ref := range refs {
		if !s.visit(ref, func(c loop.Client) { c.Close(4401, "over") }) {
			t.Error("a slow stream is not visited")
		}
	}
	all[0].expect("stream", "open 0", "m 1 a "+message, "bye")
	all[0].expectEnd()
	all[0].Close()
	all[1].expect("stream")
	all[1].expectFrame(opText, "open 0\n")
	all[1].expectFrame(opText, "m 1 a "+message+"\n")
	all[1].expectFrame(opClose, closePayload(4401, "over"))
	all[1].Close()
	s.awaitConnections(2)
	s.group.Age(0, 4*time.Second)
	s.awaitEmpty()
}

// A reply that is written by Do counts as one that was owed.
func TestDoSettlesWhatIsOwed(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1}})
	c := s.dial()
	c.ws("wsraw", "a now publish")
	const messages = 3 * loop.MaxLate
	for i := range messages {
		c.sendFrame(opText, fmt.Sprintf("later %d", i))
	}
	for i := range messages {
		if i == messages-3 {
			s.await("the last messages", func() bool { return len(s.later) == 3 })
			c.halfClose()
		}
		p := <-s.later
		if p.text != fmt.Sprint(i) || len(s.later) >= loop.MaxLate {
			t.Fatalf("message %q, want %d; %d are under way", p.text, i, len(s.later)+1)
		}
		s.visit(p.ref, func(c loop.Client) {
			c.Write(reply(p.text))
			c.Unowe()
		})
		c.expectFrame(opText, p.text)
	}
	c.expectEnd()
	s.awaitEmpty()
}

// A client that leaves and is owed a reply gets its own good-bye, and no second one.
func TestCloseOfAClientThatLeaves(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1}})
	c := s.dial()
	c.ws("wsraw", "a now publish")
	c.send(string(masked(0x80|opText, "later 1")) + string(masked(0x80|opClose, "\x03\xe8")))
	p := <-s.later
	s.await("its close frame", func() bool { return s.stats()[0].Fanout.Views == 0 })
	s.visit(p.ref, func(c loop.Client) {
		c.Close(4401, "over")
		c.Write(reply("never"))
	})
	c.expectFrame(opClose, "\x03\xe8")
	c.expectEnd()
	s.awaitEmpty()
}
