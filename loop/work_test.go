package loop_test

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"peal/loop"
	"peal/loop/deflate"
)

// What one client sends in one piece costs a callback no more than a turn's
// budget and one item more, whatever it is, and all of it is answered in order.
func TestOneCallbackDoesLittle(t *testing.T) {
	const turn, item = 400, 150
	for _, kind := range []struct {
		name, first, each string
		answer            func(c *client)
	}{
		{"pings", "wsjson", string(masked(0x80|opPing, "x")), func(c *client) { c.expectFrame(opPong, "x") }},
		{"commands", "wsjson", string(masked(0x80|opText, "work 30")), func(c *client) { c.expectFrame(opText, "done") }},
		{"messages", "wsjson", string(masked(0x80|opText, "#")), nil},
		{"compressed messages", "wsjson", string(masked(0xC0|opText, string(deflate.AppendMessage(nil, []byte("#"+strings.Repeat(" ", 30_000)), deflate.Wide)))), nil},
		{"compressed noise", "wsjson", string(masked(0xC0|opText, string(deflate.AppendStored(nil, []byte("#"+strings.Repeat("~!", 400)))[:807]))), nil},
		{"requests", "", "echo x\n", func(c *client) { c.expect("x") }},
		{"dear requests", "", "work 100\n", func(c *client) { c.expect("done") }},
		{"published", "", "pub b x\n", func(c *client) { c.line() }},
	} {
		t.Run(kind.name, func(t *testing.T) {
			s := start(t, options{config: loop.Config{Loops: 1, TurnWork: turn}, slots: 1 << 15})
			n := 8000 / len(kind.each)
			all := strings.Repeat(kind.each, n)
			var clients []*client
			for range 4 {
				c := s.dial()
				if kind.first != "" {
					c.ws(kind.first, "a now publish deflate")
					c.expectFrame(opText, "open 0\n")
				}
				clients = append(clients, c)
			}
			for _, c := range clients {
				c.send(all)
			}
			for _, c := range clients {
				for range n {
					if kind.answer != nil {
						kind.answer(c)
					}
				}
			}
			if kind.answer == nil {
				s.await("all messages", func() bool { return int(s.received.Load()) == 4*n })
			}
			one := s.stats()[0]
			if one.LongestWork > turn+item {
				t.Errorf("a callback did %d units of work, want at most %d", one.LongestWork, turn+item)
			}
			if one.Deferred == 0 {
				t.Errorf("nothing was put off: %d units in all", one.Work)
			}
		})
	}
}

// A client that sends much goes on behind those that send little.
func TestWhoSendsLittleIsNotBehindWhoSendsMuch(t *testing.T) {
	s := prepare(t, options{config: loop.Config{Loops: 1, TurnWork: 400}})
	const hostile, each = 8, 1000
	var handled atomic.Int64
	s.world.echoed = func(string) { handled.Store(s.requests.Load()) }
	s.run()
	var clients []*client
	for range hostile + 1 {
		clients = append(clients, s.dial())
	}
	s.awaitConnections(hostile + 1)
	held, goOn := make(chan struct{}), make(chan struct{})
	s.group.PostTo(0, func() { close(held); <-goOn })
	<-held
	for _, c := range clients[:hostile] {
		c.send(strings.Repeat("work 10\n", each))
	}
	honest := clients[hostile]
	honest.send("echo me\n")
	close(goOn)
	honest.expect("me")
	// A quarter of a turn for each of them at the event, or a turn.
	if most := int64(hostile*(100/14+2) + 400/14 + 2); handled.Load() > most {
		t.Errorf("%d requests were handled before the one of the honest client, want at most %d of %d", handled.Load(), most, hostile*each)
	}
	for _, c := range clients[:hostile] {
		c.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.ReadFull(c.r, make([]byte, each*len("done\n"))); err != nil {
			t.Fatal(err)
		}
	}
}

// Input that waits for a turn is taken whatever becomes of the connection meanwhile.
func TestInputThatWaitsForATurn(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1, TurnWork: 100}})
	c := s.dial()
	var in strings.Builder
	for i := range 300 {
		fmt.Fprintf(&in, "echo %d\n", i)
		if i%50 == 0 {
			fmt.Fprintf(&in, "later %d\n", i)
		}
	}
	c.send(in.String(), "sse a first\n")
	for i := range 300 {
		c.expect(fmt.Sprint(i))
		if i%50 == 0 {
			p := <-s.later
			s.group.Answer(p.ref, []byte(p.text+"\n"))
			c.expect(fmt.Sprint(i))
		}
	}
	c.expect("stream", "open 0")

	gone := s.dial()
	gone.send(strings.Repeat("work 90\n", 1000))
	gone.Close()
	c.Close()
	s.awaitEmpty()
}

// Timers that are due at once are served in bounded turns.
func TestTimersAreServedInTurns(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1, Heartbeat: time.Hour}})
	const streams = 500
	for i := range streams {
		c := s.dial()
		if i%2 == 0 {
			c.sse("a now")
		} else {
			c.ws("wsjson", "a now")
		}
	}
	before := s.stats()[0]
	s.group.Age(0, 2*time.Hour)
	beats := func(s loop.Stats) int { return int(s.Heartbeats) }
	s.await("all heartbeats", func() bool { return s.sum(beats) == streams })
	after := s.stats()[0]
	const beat = 8 // units
	if most := uint64(beat * loop.TurnTimers); after.LongestWork > max(before.LongestWork, most) {
		t.Errorf("%d heartbeats: %d units of work in one callback, want at most %d", streams, after.LongestWork, most)
	}
	if after.Turns == before.Turns { // how many is not known: ticks serve timers, too
		t.Errorf("%d heartbeats, and not one turn", streams)
	}
}

// What is read and dropped is work, too, and a client that is to hang up cannot send for
// ever.
func TestDroppedInputIsCounted(t *testing.T) {
	s := start(t, options{config: loop.Config{Loops: 1}})
	c := s.dial()
	c.sse("a now")
	before := s.stats()[0].Work
	const sent = 1 << 20
	c.send(strings.Repeat("x", sent))
	s.await("work", func() bool { return s.stats()[0].Work-before >= sent/4096 })

	ended := s.dial()
	ended.send("last bye\n")
	ended.expect("bye")
	ended.SetDeadline(time.Now().Add(patience))
	piece, all := make([]byte, 1<<20), 0
	for all < 1<<30 {
		n, err := ended.Conn.Write(piece)
		if all += n; err != nil {
			break
		}
	}
	if all > 64<<20 { // with what the sockets hold
		t.Errorf("it could send %d bytes behind the end", all)
	}
}
