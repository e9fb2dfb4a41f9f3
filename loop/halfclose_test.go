package loop_test

import (
	"crypto/tls"
	"slices"
	"strings"
	"testing"

	"peal/loop"
)

// halfClose ends the client's side: it sends nothing more, and still reads.
func (c *client) halfClose() {
	c.t.Helper()
	if secured, ok := c.Conn.(*tls.Conn); ok {
		secured.CloseWrite()
	}
	if err := c.tcp().CloseWrite(); err != nil {
		c.t.Fatal(err)
	}
}

func reads(s loop.Stats) int { return int(s.Reads) }

// A client that half-closes gets every pending response, in order, and then the end.
func TestHalfClosedClientGetsAllResponses(t *testing.T) {
	s := start(t, options{config: loop.Config{ParkedBytes: 64}})
	check := func(name, requests string, later int, want ...string) {
		t.Run(name, func(t *testing.T) {
			c := s.dial()
			c.send(requests)
			c.halfClose()
			for range later {
				p := <-s.later
				s.group.Answer(p.ref, []byte(p.text+"\n"))
			}
			c.expect(want...)
			c.expectEnd()
			s.awaitEmpty()
		})
	}
	check("nothing asked", "", 0)
	check("one request", "echo 1\n", 0, "1")
	check("several", "echo 1\necho 2\necho 3\n", 0, "1", "2", "3")
	check("of a worker", "later 1\n", 1, "1")
	check("of workers and at once", "later 1\necho 2\nlater 3\necho 4\n", 2, "1", "2", "3", "4")
	check("the last of a worker", "later 1\nlastlater 2\n", 2, "1", "2")
	check("more than is kept of input while one waits", "later 1\n"+strings.Repeat("echo behind the first one\n", 5000), 1,
		append([]string{"1"}, slices.Repeat([]string{"behind the first one"}, 5000)...)...)
}

// The front knows, once, which clients have ended their side while they wait for the response of another goroutine; they may have it still.
func TestTheFrontKnowsWhoHasEndedWhileItWaits(t *testing.T) {
	s := start(t, options{})
	for _, verb := range []string{"later 1\n", "lastlater 1\n", "echo 0\nlater 1\n"} {
		c := s.dial()
		c.send(verb)
		p := <-s.later
		select {
		case session := <-s.ended:
			t.Fatalf("%q: session %d has ended before its client", verb, session)
		default:
		}
		c.halfClose()
		<-s.ended
		s.group.Answer(p.ref, []byte(p.text+"\n"))
		if verb[0] == 'e' {
			c.expect("0")
		}
		c.expect("1")
		c.expectEnd()
	}
	c := s.dial()
	c.send("echo 1\n")
	c.halfClose()
	c.expect("1")
	c.expectEnd()
	s.awaitEmpty()
	if len(s.ended) > 0 {
		t.Error("a client that waits for nothing, or a second time")
	}
}

func TestHalfCloseInsideARequestIsRefused(t *testing.T) {
	s := start(t, options{})
	check := func(requests string, want ...string) {
		t.Helper()
		c := s.dial()
		c.send(requests)
		c.halfClose()
		c.expect(want...)
		c.expectEnd()
	}
	check("ech", "unfinished")
	check("echo 1\nech", "1", "unfinished")
	check("body 10\n12345", "continue") // the front has no word for it: the end
	s.awaitEmpty()
}

// A held poll of a half-closed client is answered with its position, receives
// nothing more and is counted nowhere; then come the requests behind it. A tab that
// was closed looks the same.
func TestHalfClosedPollIsAnsweredAtOnce(t *testing.T) {
	s := start(t, options{})
	for range 7 {
		s.publish("other", "x")
	}
	c := s.dial()
	c.send("poll a now 60 named\necho behind\npoll a now 60 named\n")
	s.await("the poll", func() bool { return s.journal.subscribers() == 1 })
	c.halfClose()
	c.expect("poll 7 0 0", "behind", "poll 7 0 0")
	c.expectEnd()
	s.awaitEmpty()
	if got := s.left.sorted(); len(got) != 2 {
		t.Errorf("left was called for %v, want twice", got)
	}

	behind := s.dial()
	behind.send("later 1\necho 2\npoll a now 60\necho 3\n")
	p := <-s.later
	behind.halfClose()
	s.group.Answer(p.ref, []byte("1\n"))
	behind.expect("1", "2", "poll 7 0 0", "3")
	behind.expectEnd()

	full := s.dial() // its end lies behind more than is kept
	full.send("poll a now 60\n", strings.Repeat("echo behind\n", 5_000))
	s.await("the poll", func() bool { return s.journal.subscribers() == 1 })
	full.halfClose()
	full.expect("poll 7 0 0")
	for range 5_000 {
		full.expect("behind")
	}
	full.expectEnd()
	s.awaitEmpty()
}

// A poll whose socket is still full of an earlier response is answered behind it.
func TestHalfClosedPollBehindAFullSocket(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1}, sendBuffer: 4 << 10})
	c := s.dialWith(4 << 10)
	c.send("big 1000000\npoll a now 60\n")
	s.await("a full socket", func() bool { return s.sum(held) > 0 })
	c.halfClose()
	before := s.sum(reads)
	if n := len(c.line()); n != 1_000_000 {
		t.Fatalf("%d bytes", n)
	}
	c.expect("poll 0 0 0")
	c.expectEnd()
	s.awaitEmpty()
	// Each time the socket is writable the end is in the event, too.
	if n := s.sum(reads) - before; n > 3 {
		t.Errorf("%d reads after the end was there", n)
	}
}

// A half-closed client that waits costs nothing until its response comes.
func TestHalfClosedClientDoesNotSpin(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1}})
	c := s.dial()
	c.send("later 1\n")
	p := <-s.later
	c.halfClose()
	probe := s.dial()
	echo := func() { probe.send("echo x\n"); probe.expect("x") }
	echo()
	echo() // the end was read by now: it came before these
	before := s.stats()[0]
	for range 100 {
		echo()
	}
	after := s.stats()[0]
	if n := after.Reads - before.Reads; n > 200 {
		t.Errorf("%d reads for 100 requests of somebody else", n)
	}
	if n := after.Turns - before.Turns; n > 100 {
		t.Errorf("%d turns for 100 requests of somebody else", n)
	}
	s.group.Answer(p.ref, []byte("1\n"))
	c.expect("1")
	c.expectEnd()

	gone := s.dial() // half-closed, then reset: nobody is there for the response
	gone.send("later 2\n")
	<-s.later
	gone.halfClose()
	echo()
	gone.reset()
	probe.Close()
	s.awaitEmpty()
}

// Streams are for clients that are there.
func TestHalfCloseEndsAStream(t *testing.T) {
	s := start(t, options{})
	for _, begin := range []func(c *client){
		func(c *client) { c.sse("a now named") },
		func(c *client) { c.ws("wsraw", "a now publish named") },
		func(c *client) { c.ws("wsjson", "a now named"); c.frame() },
	} {
		c := s.dial()
		begin(c)
		c.halfClose()
		c.expectEnd()
		s.awaitEmpty()
	}
	if got := s.left.sorted(); len(got) != 3 {
		t.Errorf("left was called for %v, want thrice", got)
	}
}

// What was read of a client is handled also if the client resets the connection
// before its turn comes, and then the connection is closed.
func TestWhatWaitsForItsTurnOutlivesAReset(t *testing.T) {
	onlyPlain(t)
	const n = 3000
	for _, k := range []struct {
		name, first, each string
		handled           func(s *server) int64
	}{
		{"messages", "wsjson", string(masked(0x80|opText, "#")), func(s *server) int64 { return s.received.Load() }},
		{"published", "wsjson", string(masked(0x80|opText, "x")), func(s *server) int64 { return int64(s.journal.Head()) }},
		{"requests", "", "pub b x\n", func(s *server) int64 { return int64(s.journal.Head()) }},
	} {
		t.Run(k.name, func(t *testing.T) {
			s := start(t, options{config: loop.Config{Loops: 1}})
			c := s.dial()
			if k.first != "" {
				c.ws(k.first, "a now publish")
				c.expectFrame(opText, "open 0\n")
			}
			held, goOn := make(chan struct{}), make(chan struct{})
			s.group.PostTo(0, func() { close(held); <-goOn })
			<-held
			c.send(strings.Repeat(k.each, n))
			if err := c.tcp().SetLinger(0); err != nil { // Close resets
				t.Fatal(err)
			}
			c.Close()
			close(goOn)
			s.awaitEmpty()
			if got := k.handled(s); got != n {
				t.Errorf("%d of %d handled", got, n)
			}
		})
	}
}
