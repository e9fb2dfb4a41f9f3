package loop_test

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"peal/loop"
)

func TestWebSocketEcho(t *testing.T) {
	s := start(t, options{})
	var all []*client
	for range 6 { // on both loops
		c := s.dial()
		c.ws("wsraw", "a now publish")
		all = append(all, c)
	}
	for i, c := range all {
		text := strings.Repeat("ä", i*6_000)
		c.sendFrame(opText, text)
		for _, each := range all {
			each.expectFrame(opText, text)
		}
	}
}

func TestWebSocketByteByByte(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1}})
	c := s.dial()
	c.ws("wsraw", "a now publish")
	reads := func() uint64 { return s.stats()[0].Reads }
	wire := string(masked(0x01, "frag")) + string(masked(0x80|opPing, "p")) + string(masked(0x80, "mented")) + string(masked(0x80|opText, "whole"))
	for _, b := range []byte(wire) {
		before := reads()
		c.send(string([]byte{b}))
		s.await("the byte", func() bool { return reads() > before })
	}
	c.expectFrame(opPong, "p")
	c.expectFrame(opText, "fragmented")
	c.expectFrame(opText, "whole")
	// The same in one segment; the pong may leave before or between the messages,
	// which are fanned out when all has been read.
	c.send(wire)
	c.expectFrame(opPong, "p")
	c.expectFrame(opText, "fragmented")
	c.expectFrame(opText, "whole")
	c.Close()
	s.awaitEmpty()
}

// Frames that arrive in the segment of the request that makes the connection a
// WebSocket belong to it.
func TestFramesRightBehindTheHandshake(t *testing.T) {
	s := start(t, options{})
	c := s.dial()
	c.send("echo first\nwsraw a now publish\n", string(masked(0x80|opText, "early")), string(masked(0x80|opPing, "?")))
	c.expect("first", "stream")
	c.expectFrame(opPong, "?")
	c.expectFrame(opText, "early")
}

func TestCloseHandshakeOfTheClient(t *testing.T) {
	s := start(t, options{})
	for _, sent := range []string{closePayload(1000, "done"), closePayload(4999, ""), ""} {
		c := s.dial()
		c.ws("wsraw", "a now")
		c.sendFrame(opClose, sent)
		want := sent
		if len(want) > 2 {
			want = want[:2]
		}
		c.expectFrame(opClose, want)
		c.expectEnd()
	}
	s.awaitConnectionsOf(0)
}

// awaitConnectionsOf is awaitConnections for clients that close when asked to.
func (s *server) awaitConnectionsOf(n int) {
	s.t.Helper()
	// The server waits for the clients to hang up, at most LingerTimeout.
	s.await(fmt.Sprintf("%d subscribers", n), func() bool { return s.journal.subscribers() == n })
}

func TestServerClosesWithTheRightCode(t *testing.T) {
	s := start(t, options{config: loop.Config{MessageBytes: 1000}, keep: 2})
	for range 5 {
		s.publish("old", "x")
	}
	for _, tc := range []struct {
		name, words, send string
		code              int
	}{
		{"too big", "a now publish", string(masked(0x80|opText, strings.Repeat("x", 1001))), 1009},
		{"too big by its header", "a now publish", string(masked(0x80|opBinary, strings.Repeat("x", 70_000))[:10]), 1009},
		{"too big in fragments", "a now publish", string(masked(opText, strings.Repeat("x", 600))) + string(masked(0x80, strings.Repeat("x", 600))), 1009},
		{"not masked", "a now publish", "\x81\x01x", 1002},
		{"reserved bit", "a now publish", string(masked(0xC0|opText, "x")), 1002},
		{"continuation of nothing", "a now publish", string(masked(0x80, "x")), 1002},
		{"half a code", "a now publish", string(masked(0x80|opClose, "x")), 1002},
		{"illegal code", "a now publish", string(masked(0x80|opClose, closePayload(1005, ""))), 1002},
		{"not UTF-8", "a now publish", string(masked(0x80|opText, "\xff")), 1007},
		{"may not publish", "a now", string(masked(0x80|opText, "hello")), 4403},
		{"refused by the front", "a now publish", string(masked(0x80|opText, "throw me out")), 4410},
		{"gap", "old 1", "", 4409},
		{"foreign cursor", "old foreign", "", 4409},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := s.dial()
			c.t = t
			c.ws("wsraw", tc.words)
			c.send(tc.send, string(masked(0x80|opText, "ignored now")))
			c.expectClose(tc.code)
			c.Close()
			s.awaitEmpty()
		})
	}
	if n := len(s.journal.after(0, "a")); n != 0 {
		t.Errorf("%d messages were published", n)
	}
	c := s.dial()
	c.ws("wsraw", "old 1 ignoregap")
	c.expectFrame(opText, "x")
	c.expectFrame(opText, "x")
}

// A client that does not answer our close frame is not waited for for ever.
func TestUnansweredCloseEnds(t *testing.T) {
	t.Parallel()
	s := start(t, options{config: loop.Config{LingerTimeout: time.Second}})
	c := s.dial()
	c.ws("wsraw", "a now")
	c.sendFrame(opText, "not allowed")
	if op, _ := c.frame(); op != opClose {
		t.Fatalf("frame %d", op)
	}
	s.awaitEmpty()
	c.expectEnd()
}

func TestHeartbeats(t *testing.T) {
	t.Parallel()
	s := start(t, options{config: loop.Config{Heartbeat: time.Second}})
	s.publish("other", "x")
	alive, silent, stream := s.dial(), s.dial(), s.dial()
	alive.ws("wsraw", "a now")
	silent.ws("wsraw", "a now")
	stream.sse("a now")
	begin := time.Now()
	done := make(chan string, 1)
	go func() { // ends with the connection, or when it has seen 6 pings
		for range 6 {
			op, p, err := readFrame(alive.r)
			if op != opPing || p != "1" || err != nil {
				done <- fmt.Sprintf("frame %d %q, %v", op, p, err)
				return
			}
			alive.Conn.Write(masked(0x80|opPong, p))
		}
		done <- ""
	}()
	for i := range 2 {
		if op, p := silent.frame(); op != opPing || p != "1" {
			t.Fatalf("frame %d: %d %q", i, op, p)
		}
	}
	silent.expectEnd()
	if d := time.Since(begin); d < 2*time.Second {
		t.Errorf("a silent client lived %v", d)
	}
	stream.expect("beat 1", "beat 1", "beat 1")
	if wrong := <-done; wrong != "" {
		t.Error(wrong)
	}
	if n := s.sum(func(s loop.Stats) int { return int(s.Dead) }); n != 1 {
		t.Errorf("%d were dead, want 1", n)
	}
}

// A client that is behind, and reads what it can, is not asked for a sign of
// life, so that it gives none is no reason to close.
func TestBehindIsNotDead(t *testing.T) {
	t.Parallel()
	s := start(t, options{config: loop.Config{Heartbeat: time.Second}, sendBuffer: 8 << 10})
	c := s.dialWith(4 << 10)
	c.ws("wsraw", "a now")
	data := strings.Repeat("b", 20_000)
	const n = 400
	for range n {
		s.publish("a", data)
	}
	c.SetReadDeadline(time.Now().Add(time.Minute))
	got := 0
	for begin := time.Now(); time.Since(begin) < 6*time.Second && got < n-20; got++ {
		if op, p, err := readFrame(c.r); op != opText || len(p) != len(data) || err != nil {
			t.Fatalf("message %d: frame %d of %d bytes, %v", got, op, len(p), err)
		}
		time.Sleep(20 * time.Millisecond) // the client's own pace
	}
	for ; got < n; got++ {
		if op, p, err := readFrame(c.r); op != opText || len(p) != len(data) || err != nil {
			t.Fatalf("message %d: frame %d of %d bytes, %v", got, op, len(p), err)
		}
	}
}

// One client that reads nothing: the others get everything at once, and it
// costs the server no more than what it has half received.
func TestStalledClientAmongOthers(t *testing.T) {
	onlyPlain(t)
	const messages, bytes, others = 300, 8 << 10, 40
	for _, tc := range []struct {
		name  string
		keep  int
		begin func(c *client)
		after func(t *testing.T, c *client)
	}{
		{"event stream with all history", 0,
			func(c *client) { c.sse("a now") },
			func(t *testing.T, c *client) {
				for i := range messages {
					c.expect(fmt.Sprintf("m %d a %s", i+1, body(i, bytes)))
				}
			}},
		{"event stream with little history", 10,
			func(c *client) { c.sse("a now") },
			func(t *testing.T, c *client) { expectOneGap(t, c, messages) }},
		{"WebSocket with all history", 0,
			func(c *client) { c.ws("wsraw", "a now") },
			func(t *testing.T, c *client) {
				for i := range messages {
					c.expectFrame(opText, body(i, bytes))
				}
			}},
		{"WebSocket with little history", 10,
			func(c *client) { c.ws("wsraw", "a now") },
			func(t *testing.T, c *client) {
				for i := 0; ; i++ {
					op, payload := c.frame()
					if op == opClose {
						if payload[:2] != closePayload(4409, "") {
							t.Errorf("closed with %q", payload)
						}
						return
					}
					if payload != body(i, bytes) {
						t.Fatalf("message %d: %.20q", i, payload)
					}
				}
			}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := start(t, options{config: loop.Config{Loops: 1}, keep: tc.keep, sendBuffer: 8 << 10})
			stalled := s.dialWith(4 << 10)
			tc.begin(stalled)
			var rest []*client
			for range others {
				c := s.dial()
				c.sse("a now")
				rest = append(rest, c)
			}
			for i := range messages {
				s.publish("a", body(i, bytes))
				for _, c := range rest {
					c.expect(fmt.Sprintf("m %d a %s", i+1, body(i, bytes)))
				}
				if i%10 == 0 {
					if n := s.sum(held); n > bytes+1024 {
						t.Fatalf("after %d messages %d bytes are held for one stalled client", i, n)
					}
				}
			}
			if n := s.stats()[0].Fanout.Full; n == 0 {
				t.Fatal("the client never stalled: this test tests nothing")
			}
			stalled.t = t
			tc.after(t, stalled)
			for _, c := range rest {
				c.Close()
			}
			stalled.Close()
			s.awaitEmpty()
		})
	}
}

func body(i, n int) string { return fmt.Sprintf("%06d", i) + strings.Repeat("d", n-6) }

// expectOneGap wants a run from the first message, one gap, and a run to the last.
func expectOneGap(t *testing.T, c *client, last int) {
	t.Helper()
	at, gaps := 0, 0
	for at < last {
		line := c.line()
		var n, from, to int
		if _, err := fmt.Sscanf(line, "gap a %d %d", &from, &to); err == nil {
			if gaps++; from != at || to <= at || to >= last {
				t.Fatalf("%q after message %d", line, at)
			}
			at = to
		} else if _, err := fmt.Sscanf(line, "m %d a", &n); err != nil || n != at+1 {
			t.Fatalf("%.20q after message %d", line, at)
		} else {
			at = n
		}
	}
	if gaps != 1 {
		t.Errorf("%d gap notices, want 1", gaps)
	}
}

// What a client sends to be answered must not pile up when it takes no answers.
func TestPingFloodOfOneThatReadsNothing(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1}, sendBuffer: 8 << 10})
	c := s.dialWith(4 << 10)
	c.ws("wsraw", "a now")
	ping := string(masked(0x80|opPing, strings.Repeat("p", 125)))
	flood := strings.Repeat(ping, 1000)
	c.SetWriteDeadline(time.Now().Add(patience))
	for {
		if _, err := io.WriteString(c.Conn, flood); err != nil {
			if isTimeout(err) {
				t.Fatal("still taken after a long time")
			}
			break // reset by the server
		}
		if n := s.sum(held); n > 64<<10 {
			t.Fatalf("%d bytes held", n)
		}
	}
	s.awaitEmpty()
	if n := s.stats()[0].Slow; n != 1 {
		t.Errorf("%d were given up, want 1", n)
	}
}

// The writer of messages longer than the socket's buffers gets its pong at a
// message's end, never inside.
func TestPongBetweenMessages(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1, MessageBytes: 1 << 20}, sendBuffer: 8 << 10})
	c := s.dialWith(4 << 10)
	c.ws("wsraw", "a now")
	big := strings.Repeat("g", 500_000)
	s.publish("a", big)
	s.publish("a", big)
	s.await("a full socket", func() bool { return s.stats()[0].Fanout.Full > 0 })
	c.sendFrame(opPing, "now?")
	c.r = bufio.NewReaderSize(c.Conn, 64<<10)
	got, pongs := 0, 0
	for got < 2 || pongs < 1 {
		switch op, payload := c.frame(); {
		case op == opText && payload == big:
			got++
		case op == opPong && payload == "now?":
			pongs++
		default:
			t.Fatalf("frame %d of %d bytes", op, len(payload))
		}
	}
}
