package endtoend_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// commander is a peal.v1 client by docs/protocol.md: it keeps a cursor for each
// channel, and checks that each channel's messages come once and in order.
type commander struct {
	t       *testing.T
	p       *peal
	s       *socket
	id      int
	cursors map[string]string // of channels it had at least once
	joined  map[string]bool   // as it last asked
	got     map[string]int    // messages of each channel, numbered from 0
}

func (c *commander) connect() {
	c.s = c.p.dialSocket("/ws", map[string][]string{"Sec-Websocket-Protocol": {"peal.v1"}})
	clear(c.joined)
	c.read() // connected
}

// said is any frame of the server.
type said struct {
	ID        *int
	OK        bool
	Error     *struct{ Code, Message string }
	Cursor    string
	Gap       []gap
	Connected *struct{ Cursor string }
	message
}

// read takes the next frame, and counts it if it is a message.
func (c *commander) read() said {
	c.t.Helper()
	text := c.s.next().data
	var f said
	if err := json.Unmarshal([]byte(text), &f); err != nil {
		c.t.Fatalf("%v: %s", err, text)
	}
	var m message
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		c.t.Fatalf("%v: %s", err, text)
	}
	f.Cursor, f.message = m.Cursor, m
	if f.Error != nil || f.Gap != nil {
		c.t.Fatalf("said %s", text)
	}
	if m.Channel != "" {
		if n, _ := strconv.Atoi(m.text()); n != c.got[m.Channel] || !c.joined[m.Channel] {
			c.t.Fatalf("message %s on %s, want %d (subscribed: %v)", m.text(), m.Channel, c.got[m.Channel], c.joined[m.Channel])
		}
		c.got[m.Channel]++
		c.cursors[m.Channel] = m.Cursor
	}
	return f
}

// command sends one and waits for its answer; messages may come before it.
func (c *commander) command(name, fields string) string {
	c.t.Helper()
	c.id++
	c.s.send(false, fmt.Sprintf(`{"id":%d,"command":%q%s}`, c.id, name, fields))
	for {
		if f := c.read(); f.ID != nil {
			if *f.ID != c.id || !f.OK {
				c.t.Fatalf("answer %+v to command %d", f, c.id)
			}
			return f.Cursor
		}
	}
}

func (c *commander) subscribe(channel string) {
	c.joined[channel] = true
	from := `,"cursor":"earliest"`
	if at := c.cursors[channel]; at != "" {
		from = fmt.Sprintf(`,"cursor":%q`, at)
	}
	c.command("subscribe", fmt.Sprintf(`,"channel":%q`, channel)+from)
}

// pollOnce takes the channel's next messages by another transport.
func (c *commander) pollOnce(channel string) {
	cursor := c.cursors[channel]
	if cursor == "" {
		cursor = "earliest"
	}
	a := c.p.poll("timeout=1&channel=" + channel + "&cursor=" + cursor)
	for _, m := range a.Messages {
		if n, _ := strconv.Atoi(m.text()); n != c.got[channel] || len(a.Gap) > 0 {
			c.t.Fatalf("polled %s on %s, want %d", m.text(), channel, c.got[channel])
		}
		c.got[channel]++
	}
	c.cursors[channel] = a.Cursor
}

func TestCommandsMissAndRepeatNothing(t *testing.T) {
	const channels, messages = 6, 400
	for seed := range uint64(3) {
		p := start(t)
		var publishing sync.WaitGroup
		publishing.Go(func() {
			for n := range messages {
				for ch := range channels {
					p.publish(fmt.Sprint("c", ch), strconv.Itoa(n))
				}
			}
		})
		rnd := rand.New(rand.NewPCG(seed, 9))
		c := &commander{t: t, p: p, cursors: map[string]string{}, joined: map[string]bool{}, got: map[string]int{}}
		c.connect()
		for range 300 {
			channel := fmt.Sprint("c", rnd.IntN(channels))
			switch n := rnd.IntN(20); {
			case n == 0:
				c.s.close()
				c.connect()
			case n == 1 && !c.joined[channel]:
				c.pollOnce(channel)
			case n < 10 && !c.joined[channel]:
				c.subscribe(channel)
			case n < 13 && c.joined[channel]:
				c.command("unsubscribe", fmt.Sprintf(`,"channel":%q`, channel))
				delete(c.joined, channel)
			default:
				c.command("ping", "")
			}
		}
		publishing.Wait()
		for ch := range channels {
			if channel := fmt.Sprint("c", ch); !c.joined[channel] {
				c.subscribe(channel)
			}
		}
		for ch := range channels {
			for c.got[fmt.Sprint("c", ch)] < messages {
				c.read()
			}
		}
		if cursor := c.command("ping", ""); cursor == "" {
			t.Error("no cursor though everything came")
		}
		c.s.close()
		p.stop()
	}
}

func TestCommandHistoryToASlowReader(t *testing.T) {
	p := start(t)
	for range 16 {
		p.publish("big", strings.Repeat("x", 60_000))
	}
	s := p.dialSocket("/ws", map[string][]string{"Sec-Websocket-Protocol": {"peal.v1"}})
	s.next()
	for i := range 30 { // 30 MB if each were prepared at once
		s.send(false, fmt.Sprintf(`{"id":%d,"command":"history","channel":"big"}`, i))
	}
	whole, busy := 0, 0
	for range 30 {
		var a struct {
			OK       bool
			Error    struct{ Code string }
			Messages []message
		}
		if err := json.Unmarshal([]byte(s.next().data), &a); err != nil {
			t.Fatal(err)
		}
		switch {
		case a.OK && len(a.Messages) == 16:
			whole++
		case a.Error.Code == "busy":
			busy++
		default:
			t.Fatalf("answer %+v", a.Error)
		}
	}
	if whole == 0 || busy == 0 {
		t.Errorf("%d answers, %d refusals: want some of both", whole, busy)
	}
}

func TestDrainSaysGoodByeToCommanders(t *testing.T) {
	p := start(t)
	s := p.dialSocket("/ws", map[string][]string{"Sec-Websocket-Protocol": {"peal.v1"}})
	s.next()
	p.stop()
	if code := s.closed(); code != 1001 {
		t.Errorf("closed with %d, want 1001", code)
	}
}
