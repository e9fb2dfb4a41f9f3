package loop_test

import (
	"fmt"
	"strings"
	"testing"

	"peal/loop"
	"peal/loop/fanout"
	"peal/loop/frame"
)

// Each limit is filled by hogs from one address; an honest client beside them, from
// another, keeps its connection and gets what it is owed.

const honestAddress = "127.0.0.2"

func inputs(s loop.Stats) int      { return s.InputBytes }
func inputFull(s loop.Stats) int   { return int(s.InputFull) }
func messageLate(s loop.Stats) int { return int(s.MessageLate) }
func heldFull(s loop.Stats) int    { return int(s.Fanout.HeldFull) }
func laneFull(s loop.Stats) int    { return int(s.Fanout.LaneFull) }

// part is the first bytes of a text frame of a client.
func part(bytes, of int) string { return string(masked(0x80|opText, strings.Repeat("x", of)))[:bytes] }

func (s *server) advance(seconds int) {
	s.t.Helper()
	if err := s.group.Advance(testContext(), seconds); err != nil {
		s.t.Fatal(err)
	}
}

func TestInputLimitClosesTheHogs(t *testing.T) {
	onlyPlain(t)
	s := start(t, options{config: loop.Config{Loops: 1, InputBytes: 512 << 10}})
	slow := s.dialFrom(honestAddress, 0) // has the largest single message, and is there first
	slow.ws("wsraw", "a now publish")
	slow.send(part(20_000, 40_000))
	request := s.dialFrom(honestAddress, 0)
	request.send("body 3000\n")
	request.expect("continue")
	request.send(strings.Repeat("y", 1000))
	s.await("what they sent", func() bool { return s.sum(inputs) > 21_000 })

	var hogs []*client
	for range 80 {
		hog := s.dial()
		hog.ws("wsraw", "b now publish")
		hog.send(part(10_000, 60_000)) // less than the honest one has
		hogs = append(hogs, hog)
	}
	s.await("the limit", func() bool { return s.sum(inputFull) > 0 })
	for range 3 { // and who comes now, in two pieces
		fresh := s.dialFrom(honestAddress, 0)
		fresh.ws("wsraw", "c now publish")
		fresh.send(part(5_000, 30_000))
		s.await("its part", func() bool { return s.sum(inputs) <= 512<<10 })
		fresh.send(part(30_008, 30_000)[5_000:])
		fresh.expectFrame(opText, strings.Repeat("x", 30_000))
		fresh.Close()
	}
	request.send(strings.Repeat("y", 2000))
	request.expect("got 3000")
	slow.send(part(40_008, 40_000)[20_000:])
	slow.expectFrame(opText, strings.Repeat("x", 40_000))

	closed := s.sum(inputFull)
	for _, hog := range hogs[:1] { // of equals the first go first
		hog.expectClose(1013)
	}
	if closed >= len(hogs) {
		t.Errorf("%d closed of %d hogs: too many", closed, len(hogs))
	}
}

// awaitFrame reads up to a frame with the opcode, which must have the payload.
func (c *client) awaitFrame(op byte, payload string) {
	c.t.Helper()
	for {
		got, text := c.frame()
		if got != op {
			continue
		}
		if payload != "" && text != payload {
			c.t.Fatalf("frame %.100q, want %.100q", text, payload)
		}
		return
	}
}

// reply is a text frame of the server.
func reply(text string) []byte { return frame.AppendMessage(nil, false, []byte(text)) }

// A message that does not become whole has an end, however its bytes trickle; one
// that comes slowly does not.
func TestUnfinishedMessageHasADeadline(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1}})
	trickling, empty, fragments, slow, quick := s.dial(), s.dial(), s.dial(), s.dial(), s.dial()
	for _, c := range []*client{trickling, empty, fragments, slow, quick} {
		c.ws("wsraw", "a now publish")
	}
	send := func(c *client, b string) {
		before := s.sum(reads)
		c.send(b)
		s.await("what was sent", func() bool { return s.sum(reads) > before })
	}
	const message = 60_000
	whole := string(masked(0x80|opText, strings.Repeat("s", message)))
	send(trickling, "\x82"+part(10, 60_000)[1:]) // binary: what trickles is not masked
	send(empty, part(1, 10))
	send(fragments, string(masked(opText, "a")))
	sent := 0
	for second := range 30 {
		if s.sum(messageLate) < 3 {
			if second > 12 {
				t.Fatalf("after %d s %d of 3 are closed", second, s.sum(messageLate))
			}
			send(trickling, "x")
		}
		send(slow, whole[sent:sent+1500])
		sent += 1500
		quick.sendFrame(opText, "#")
		s.advance(1)
		if n := s.sum(messageLate); n > 0 && second < 8 {
			t.Fatalf("%d closed after %d s", n, second)
		}
	}
	for _, c := range []*client{trickling, empty, fragments} {
		c.expectClose(1013)
	}
	slow.send(whole[sent:])
	slow.awaitFrame(opText, strings.Repeat("s", message))
	quick.awaitFrame(opText, strings.Repeat("s", message))
}

// The bytes that stalled clients are owed are limited, and the hogs pay.
func TestHeldLimitClosesTheHogs(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1, Fanout: fanout.Limits{HeldBytes: 1 << 20}}, sendBuffer: 4 << 10})
	honest := s.dialFrom(honestAddress, 4<<10) // stalls first, in mid-message
	honest.sse("a now")
	s.publish("a", strings.Repeat("m", 200_000))
	s.await("a stalled subscriber", func() bool { return s.sum(held) > 0 })
	polite := s.dialFrom(honestAddress, 4<<10) // waits for a large response
	polite.send("big 150000\n")

	for range 24 {
		s.dialWith(4 << 10).send("big 190000\n") // and does not read
	}
	s.await("hogs that are given up", func() bool { return s.sum(heldFull) >= 10 })
	if n := s.sum(held); n > 1<<20 {
		t.Errorf("%d B are held, the limit is %d", n, 1<<20)
	}
	if n := len(polite.line()); n != 150_000 {
		t.Errorf("a response of %d bytes, want 150000", n)
	}
	honest.expect("m 1 a " + strings.Repeat("m", 200_000))
	s.publish("a", "next")
	honest.expect("m 2 a next")
}

// A client that sends and does not read has only so many replies on the way, and is
// closed when more of them wait for its socket than LaneBytes.
func TestLateRepliesAreLimited(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1}, sendBuffer: 4 << 10})
	c := s.dial()
	c.ws("wsraw", "a now publish")
	const messages = 1000
	for i := range messages {
		c.sendFrame(opText, fmt.Sprintf("later %d", i))
	}
	for i := range messages {
		p := <-s.later
		if i%loop.MaxLate == 0 { // the others that may be under way are here, and no more
			s.await("as many as may wait", func() bool { return len(s.later) == min(loop.MaxLate, messages-i)-1 })
			probe := s.dial()
			probe.send("echo x\n")
			probe.expect("x")
			if n := len(s.later); n >= loop.MaxLate {
				t.Fatalf("%d replies are on the way", n+1)
			}
			probe.Close()
		}
		if p.text != fmt.Sprint(i) {
			t.Fatalf("message %q, want %d", p.text, i)
		}
		s.group.Answer(p.ref, reply(p.text))
		c.expectFrame(opText, p.text)
	}

	hog := s.dialWith(4 << 10)
	hog.ws("wsraw", "a now publish")
	go func() { // ends when the hog is closed
		for {
			if _, err := hog.Write(masked(0x80|opText, "later hog")); err != nil {
				return
			}
		}
	}()
	for s.sum(laneFull) == 0 {
		p := <-s.later
		s.group.Answer(p.ref, reply(strings.Repeat("r", 2000)))
	}
	c.sendFrame(opText, "later still here")
	for p := range s.later {
		if p.text == "still here" {
			s.group.Answer(p.ref, reply("still here"))
			break
		}
	}
	c.expectFrame(opText, "still here")
	if n := s.sum(held); n > 0 {
		t.Errorf("%d B are held for the hog", n)
	}
}

// A client that says good-bye behind its messages gets the replies that are still
// to come, and then its end.
func TestRepliesThatAreOwedComeBeforeTheEnd(t *testing.T) {
	for name, end := range map[string]func(c *client){
		"close frame": func(c *client) { c.send(string(masked(0x80|opClose, "\x03\xe8"))) },
		"half-close":  func(c *client) { c.halfClose() },
		"both":        func(c *client) { c.send(string(masked(0x80|opClose, "\x03\xe8"))); c.halfClose() },
		"messages behind it": func(c *client) {
			c.send(string(masked(0x80|opClose, "\x03\xe8")) + string(masked(0x80|opText, "later 4")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, options{config: loop.Config{Loops: 1}})
			c := s.dial()
			c.ws("wsraw", "a now publish")
			for i := range 3 {
				c.sendFrame(opText, fmt.Sprintf("later %d", i))
			}
			end(c)
			for range 3 {
				p := <-s.later
				s.await("the end has come", func() bool { return s.sum(func(st loop.Stats) int { return st.Fanout.Views }) == 0 })
				s.group.Answer(p.ref, reply(p.text))
				c.expectFrame(opText, p.text)
			}
			if name != "half-close" {
				c.expectFrame(opClose, "\x03\xe8")
			}
			c.expectEnd()
			s.awaitEmpty()
			if len(s.later) > 0 {
				t.Error("a message behind the close frame was taken")
			}
		})
	}
}

// Channels are limited on each loop, and those go who are subscribed to most.
func TestChannelLimitClosesTheHogs(t *testing.T) {
	const most = 1000
	s := start(t, options{config: loop.Config{Loops: 1, Channels: most}})
	names := func(who string, n int) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf("%s-%02d", who, i))
		}
		return strings.Join(all, ",")
	}
	var honest []*client
	for i := range 5 {
		c := s.dialFrom(honestAddress, 0)
		c.sse(names(fmt.Sprint("honest", i), 20) + " now")
		honest = append(honest, c)
	}
	var hogs []*client
	for i := range 14 {
		hog := s.dial()
		hog.ws("wsraw", names(fmt.Sprint("hog", i), 90)+" now")
		hogs = append(hogs, hog)
	}
	channels := func(s loop.Stats) int { return s.Fanout.Channels }
	s.await("few enough channels", func() bool { return s.sum(channels) <= most })
	closed := s.sum(func(s loop.Stats) int { return int(s.ChannelsFull) })
	if closed == 0 || closed > 8 {
		t.Errorf("%d of %d hogs are closed", closed, len(hogs))
	}
	for i, c := range honest {
		c.sseAfter(s, fmt.Sprintf("honest%d-07", i))
	}
	hogs[0].expectClose(1013)
}

// sseAfter publishes and wants the message on the stream.
func (c *client) sseAfter(s *server, channel string) {
	c.t.Helper()
	sequence := s.publish(channel, "hi")
	c.expect(fmt.Sprintf("m %d %s hi", sequence, channel))
}
