package loop_test

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"peal/loop"
	"peal/loop/fanout"
)

// commander opens a WebSocket whose commands the front answers.
func (s *server) commander(channel string) *client {
	s.t.Helper()
	c := s.dial()
	c.ws("wsjson", channel+" now publish")
	c.expectFrame(opText, "open 0\n")
	return c
}

func command(text string) string { return string(masked(0x80|opText, text)) }

// says are n commands with replies of that size, and the replies.
func says(n, size int) (commands string, replies []string) {
	for i := range n {
		commands += command(fmt.Sprintf("say %d %d", i, size))
		replies = append(replies, fmt.Sprintf("%-*d", size, i))
	}
	return commands, replies
}

func (c *client) expectReplies(replies ...string) {
	c.t.Helper()
	for _, text := range replies {
		c.expectFrame(opText, text)
	}
}

func TestRepliesToTheCommandsOfOneReadAreOneSend(t *testing.T) {
	s, k := recorded(t, loop.Config{})
	c := s.commander("a")
	commands, replies := says(16, 100)
	calls := s.inOneBatch(k, map[*client]string{c: commands}, func() { c.expectReplies(replies...) })
	if want := []string{"read", "response"}; !slices.Equal(calls, want) {
		t.Errorf("%v, want %v", calls, want)
	}
}

func TestRepliesOfABatchAreSentWhenAllWasRead(t *testing.T) {
	s, k := recorded(t, loop.Config{})
	const clients = 8
	own := map[*client]string{}
	for range clients {
		own[s.commander("a")] = command("say x 1") + command("say y 1")
	}
	calls := s.inOneBatch(k, own, func() {
		for c := range own {
			c.expectReplies("x", "y")
		}
	})
	if want := slices.Concat(times(clients, "read"), times(clients, "response")); !slices.Equal(calls, want) {
		t.Errorf("%v, want %v", calls, want)
	}
}

// A client that sends many commands at once can take the first replies while the others are made.
func TestManyRepliesLeaveInPieces(t *testing.T) {
	const most = 4 << 10 // replyBytes
	s, k := recorded(t, loop.Config{})
	c := s.commander("a")
	commands, replies := says(200, 96) // frames of 98 bytes
	calls := s.inOneBatch(k, map[*client]string{c: commands}, func() { c.expectReplies(replies...) })
	k.mu.Lock()
	defer k.mu.Unlock()
	if each := most / 98; k.longest != each*98 || len(calls) < 200/each+2 || len(calls) > 200/each+4 { // a turn may end in between
		t.Errorf("the longest send has %d bytes, want %d: %v", k.longest, each*98, calls)
	}
}

// Whatever is written to a connection by another way comes behind the replies that are kept for it.
func TestNothingOvertakesReplies(t *testing.T) {
	for _, kind := range []struct {
		name, last string
		expect     func(c *client)
	}{
		{"pong", string(masked(0x80|opPing, "p")), func(c *client) { c.expectFrame(opPong, "p") }},
		{"close of the front", command("throw me out"), func(c *client) { c.expectClose(4410) }},
		{"close of the client", string(masked(0x80|opClose, closePayload(1000, ""))), func(c *client) {
			c.expectFrame(opClose, closePayload(1000, ""))
			c.expectEnd()
		}},
		{"protocol error", "\xff\xff", func(c *client) {
			if op, _ := c.frame(); op != opClose {
				t.Errorf("opcode %d", op)
			}
		}},
		{"long reply", command("say long 9000") + command("say short 5"), func(c *client) {
			c.expectReplies(fmt.Sprintf("%-9000s", "long"), "short")
		}},
		{"delivery", command("m"), func(c *client) { c.expectFrame(opText, "m 1 a m\n") }},
	} {
		t.Run(kind.name, func(t *testing.T) {
			s, k := recorded(t, loop.Config{})
			c, other := s.commander("a"), s.commander("b")
			commands, replies := says(3, 20)
			calls := s.inOneBatch(k, map[*client]string{c: commands + kind.last, other: commands}, func() {
				c.expectReplies(replies...)
				kind.expect(c)
				other.expectReplies(replies...)
			})
			if n := len(slices.DeleteFunc(calls, func(call string) bool { return call != "response" })); n > 4 {
				t.Errorf("%d sends", n)
			}
		})
	}
}

// The client ends its side behind its commands: it gets the replies, and then the end.
func TestRepliesBeforeTheEnd(t *testing.T) {
	s, k := recorded(t, loop.Config{})
	c := s.commander("a")
	commands, replies := says(5, 30)
	s.inOneBatch(k, map[*client]string{c: commands}, func() {
		c.tcp().CloseWrite()
		c.expectReplies(replies...)
		c.expectEnd()
	})
}

// A client that reads late has all replies, in order and whole, where its socket and LaneBytes have room for them;
// beyond that it is closed, whether they were made in one read or in many.
func TestRepliesToAClientThatReadsLate(t *testing.T) {
	const size = 1000
	for _, pieces := range []int{1, 100} {
		t.Run(fmt.Sprintf("pieces=%d", pieces), func(t *testing.T) {
			s := start(t, options{config: loop.Config{Loops: 1, Fanout: fanout.Limits{LaneBytes: 256 << 10}}, sendBuffer: 4 << 10})
			late, other := s.commander("a"), s.commander("b")
			_ = late.tcp().SetReadBuffer(4 << 10)
			commands, replies := says(200, size)
			for i := range pieces {
				late.send(commands[i*len(commands)/pieces : (i+1)*len(commands)/pieces])
				other.send(command("say on 2"))
				other.expectReplies("on")
			}
			late.expectReplies(replies...)
			if n := s.stats()[0].Fanout.LaneFull; n != 0 {
				t.Fatalf("%d were given up", n)
			}
			for range 10 { // more than its socket takes
				if _, err := io.WriteString(late, commands); err != nil {
					break // it was closed
				}
			}
			s.await("the end of the client that does not read", func() bool { return s.stats()[0].Fanout.LaneFull == 1 })
			other.send(command("say still 5"))
			other.expectReplies("still")
		})
	}
}

// Clients that have gone when their replies are sent cost the others nothing.
func TestRepliesToClientsThatHaveGone(t *testing.T) {
	s, k := recorded(t, loop.Config{})
	own := map[*client]string{}
	var all []*client
	for range 8 {
		c := s.commander("a")
		all, own[c] = append(all, c), command("say x 1")
	}
	s.inOneBatch(k, own, func() {
		for i, c := range all {
			if i%2 == 0 {
				c.expectReplies("x")
			}
		}
	}, all[1], all[3], all[5], all[7])
	for i, c := range all {
		if i%2 == 0 {
			c.send(command("say y 1"))
			c.expectReplies("y")
			c.Close()
		}
	}
	s.awaitEmpty()
}

// A long reply leaves at once. If its client has gone, the connection is closed while the front handles the command, and
// a subscription behind it is nobody's.
func TestASubscriptionBehindTheEnd(t *testing.T) {
	s, k := recorded(t, loop.Config{})
	gone, other := s.commander("a"), s.commander("a")
	s.inOneBatch(k, map[*client]string{gone: command("join b"), other: command("say x 1")}, func() {
		other.expectReplies("x")
	})
	s.awaitConnections(1)
	if n := s.journal.subscribers(); n != 1 {
		t.Errorf("%d subscribers, want the one that is left", n)
	}
	other.Close()
	s.awaitEmpty()
}

// Replies that workers bring leave in one send, too.
func TestRepliesOfWorkersAreOneSend(t *testing.T) {
	s, k := recorded(t, loop.Config{})
	c := s.commander("a")
	var refs []loop.Ref
	for i := range 6 {
		c.send(command(fmt.Sprintf("later %d", i)))
		refs = append(refs, (<-s.later).ref)
	}
	held, release := make(chan struct{}), make(chan struct{})
	s.group.PostTo(0, func() { close(held); <-release })
	<-held
	k.mu.Lock()
	k.on = true
	k.mu.Unlock()
	for i, ref := range refs {
		s.group.Answer(ref, []byte(fmt.Sprintf("\x81\x01%d", i)))
	}
	close(release)
	c.expectReplies(strings.Split("012345", "")...)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.on = false
	if want := []string{"response"}; !slices.Equal(k.calls, want) {
		t.Errorf("%v, want %v", k.calls, want)
	}
}
