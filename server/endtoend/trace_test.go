package endtoend_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"testing"
	"time"

	"peal/server"
	"peal/server/admin"
	"peal/server/trace"
)

func (p *peal) trace(q admin.TraceQuestion) trace.Report {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := p.server.Trace(ctx, q)
	if err != nil {
		p.t.Fatalf("trace %+v: %v", q, err)
	}
	return r
}

func TestTraceSaysWhyAMessageWasNotSent(t *testing.T) {
	p := startWith(t, func(c *server.Config) {
		c.Listen, c.TraceLives = []string{"127.0.0.1:0"}, 1000
		c.Hub.Limits.Messages = 4
		c.Loop.Heartbeat = time.Second
	})
	before := p.publish("a", "0")
	ann := p.events("channel=a&client=ann").opened()
	session := ann.header.Get("Peal-Session")
	first := p.publish("a", "1")
	left := p.publishTo("/publish?channel=a&exclude="+session, "2")
	for i := range 6 {
		p.publish("a", fmt.Sprint(3+i))
	}
	ann.next()
	ask := func(user, cursor, want, detail string) trace.Report {
		t.Helper()
		r := p.trace(admin.TraceQuestion{User: user, Cursor: cursor, Channels: []string{"a"}})
		got := ""
		if len(r.Connections) > 0 {
			got = r.Connections[0].Detail
		}
		if r.Verdict != want || got != detail {
			t.Errorf("%s and %s: %q (%q, %s), want %q (%q)", user, cursor, r.Verdict, got, r.Reason, want, detail)
		}
		return r
	}
	sent := ask("ann", first, "sent", "")
	if c := sent.Connections[0]; c.Session != session || c.Transport != "sse" || c.Dialect != "sse-raw" || c.Ended != "" || c.Confirmed != nil || sent.Note == "" {
		t.Errorf("%+v", sent)
	}
	ask("ann", before, "connected later", "")
	ask("bob", first, "not connected", "")
	if r := p.trace(admin.TraceQuestion{User: "ann", Cursor: p.publishTo("/publish?channel=a&exclude="+session, "x")}); r.Verdict != "excluded" || !slices.Equal(r.Channels, []string{"a"}) {
		t.Errorf("excluded: %+v", r)
	}
	_ = left

	// A cursor that is older than the history: a gap, then what is retained.
	behind := p.events("channel=a&client=carl&cursor=" + before)
	if e := behind.next(); e.name != "gap" {
		t.Fatalf("%+v, want a gap", e)
	}
	ask("carl", first, "gap told", "retention")
	ask("carl", before, "had it by its cursor", "")

	// The same client reconnects, and says by its cursor that it has the message.
	last := ann.lastID
	p.awaitSubscribers("a", 2)
	ann.close()
	p.awaitSubscribers("a", 1)
	missed := p.publish("a", "missed")
	ask("ann", missed, "disconnected", "")
	again := p.events("channel=a&client=ann&session=" + session + "&cursor=" + url.QueryEscape(last))
	again.next()
	r := ask("ann", first, "sent", "")
	if c := r.Connections[0]; c.Ended == "" || c.Confirmed == nil || c.Confirmed.By != "reconnect cursor" || c.Confirmed.Cursor != last {
		t.Errorf("after it has reconnected: %+v", r)
	}
	if r := p.trace(admin.TraceQuestion{Session: session, Cursor: first, Channels: []string{"a"}}); r.Verdict != "sent" || len(r.Connections) != 2 {
		t.Errorf("by session: %+v", r)
	}

	// A WebSocket confirms by the pong to a heartbeat.
	s := p.dialSocket("/ws?format=json&channel=b&client=dora", nil)
	p.awaitSubscribers("b", 1)
	to := p.publish("b", "hello")
	s.next()
	p.await("a pong", func() bool {
		r := p.trace(admin.TraceQuestion{User: "dora", Cursor: to})
		return r.Verdict == "sent" && r.Connections[0].Confirmed != nil && r.Connections[0].Confirmed.By == "pong"
	})
	if r := p.trace(admin.TraceQuestion{Channels: []string{"b"}, Cursor: to}); len(r.Connections) != 1 || r.Connections[0].Name != "dora" {
		t.Errorf("by channel: %+v", r)
	}

	// Polls of one client on one connection.
	one := p.poll("channel=c&client=erik&timeout=1")
	third := p.publish("c", "3")
	two := p.poll("channel=c&client=erik&cursor=" + one.Cursor)
	if r := p.trace(admin.TraceQuestion{User: "erik", Cursor: third}); r.Verdict != "sent" || r.Connections[0].Transport != "poll" || r.Connections[0].Confirmed != nil {
		t.Errorf("a poll: %+v", r)
	}
	p.publish("c", "4")
	p.poll("channel=c&client=erik&cursor=" + two.Cursor)
	if r := p.trace(admin.TraceQuestion{User: "erik", Cursor: third}); r.Verdict != "sent" || r.Connections[0].Confirmed == nil || r.Connections[0].Confirmed.By != "next poll" {
		t.Errorf("after the next poll: %+v", r)
	}

	cursors, next, err := p.server.TraceNew(context.Background(), admin.TraceQuestion{User: "erik", Cursor: one.Cursor})
	if err != nil || len(cursors) != 2 || cursors[0] != third || next == "" {
		t.Errorf("new messages: %v, %q, %v", cursors, next, err)
	}
}

// seen is a client of the walk, and what it has received.
type seen struct {
	name, session, channel string
	next                   func() (data, cursor string, gap bool)
	close                  func()
	got                    map[string]bool // by cursor
	open                   bool
}

// A random walk of clients, publishers and ends: for each message and each connection the trace says what
// the client has seen.
func TestTraceSaysWhatClientsHaveSeen(t *testing.T) {
	p := startWith(t, func(c *server.Config) {
		c.Listen, c.TraceLives, c.Hub.Limits.Messages = []string{"127.0.0.1:0"}, 10_000, 8
	})
	random := rand.New(rand.NewPCG(7, 7))
	channels := []string{"x", "y"}
	subscribers := map[string]int{}
	var clients []*seen
	type sent struct{ cursor, channel, exclude string }
	var messages []sent
	bySession := map[string]*seen{}
	publish := func(channel, exclude string) string {
		path := "/publish?channel=" + channel
		if exclude != "" {
			path += "&exclude=" + exclude
		}
		cursor := p.publishTo(path, fmt.Sprintf("m%d", len(messages)))
		messages = append(messages, sent{cursor, channel, exclude})
		return cursor
	}
	read := func(c *seen, last string) {
		for !c.got[last] {
			data, cursor, gap := c.next()
			if !gap && data != "" {
				c.got[cursor] = true
			}
		}
	}
	catchUp := func(c *seen) { read(c, publish(c.channel, "")) } // it has all that it is sent when it has the next message
	connect := func() {
		c := &seen{name: fmt.Sprintf("user%d", random.IntN(4)), channel: channels[random.IntN(2)], got: map[string]bool{}, open: true}
		query := "channel=" + c.channel + "&format=json&client=" + c.name
		if len(messages) > 0 && random.IntN(2) == 0 {
			query += "&cursor=" + messages[max(0, len(messages)-1-random.IntN(30))].cursor
		}
		if random.IntN(2) == 0 {
			s := p.events(query)
			c.session, c.close = s.header.Get("Peal-Session"), s.close
			c.next = func() (string, string, bool) {
				e := s.next()
				if e.name == "gap" {
					return "", "", true
				}
				m := decode[message](t, []byte(e.data))
				return m.text(), e.id, false
			}
		} else {
			s, response, err := p.tryDialSocket("/ws?"+query, nil)
			if err != nil {
				t.Fatal(err)
			}
			c.session, c.close = response.Header.Get("Peal-Session"), s.close
			c.next = func() (string, string, bool) {
				text := s.next().data
				m := decode[struct {
					Cursor string
					Data   any
					Gap    []any
				}](t, []byte(text))
				return fmt.Sprint(m.Data), m.Cursor, m.Gap != nil
			}
		}
		subscribers[c.channel]++
		p.awaitSubscribers(c.channel, subscribers[c.channel])
		clients, bySession[c.session] = append(clients, c), c
	}
	for range 160 {
		var open []*seen
		for _, c := range clients {
			if c.open {
				open = append(open, c)
			}
		}
		switch n := random.IntN(10); {
		case n < 6 && len(open) > 0:
			exclude := ""
			if random.IntN(4) == 0 {
				exclude = open[random.IntN(len(open))].session
			}
			publish(channels[random.IntN(2)], exclude)
		case n < 8 && len(open) < 8:
			connect()
		case len(open) > 0:
			c := open[random.IntN(len(open))]
			catchUp(c)
			c.close()
			c.open = false
			subscribers[c.channel]--
			p.awaitSubscribers(c.channel, subscribers[c.channel])
		}
	}
	last := map[string]string{}
	for _, name := range channels {
		last[name] = publish(name, "")
	}
	for _, c := range clients {
		if c.open {
			read(c, last[c.channel])
		}
	}
	reached, wrong := map[string]int{}, 0
	for _, m := range messages {
		for name := range 4 {
			r := p.trace(admin.TraceQuestion{User: fmt.Sprintf("user%d", name), Cursor: m.cursor, Channels: []string{m.channel}})
			any := false
			for _, one := range r.Connections {
				c := bySession[one.Session]
				if c == nil {
					continue
				}
				saw := c.got[m.cursor]
				any = any || saw
				reached[one.Verdict]++
				// Without the message, the trace does not know whom it left out.
				if told := one.Verdict == "sent" && !(r.Note != "" && m.exclude == c.session); told != saw {
					if wrong++; wrong < 5 {
						t.Errorf("%s to %s (%s): %+v, seen: %v", m.cursor, c.name, c.session, one, saw)
					}
				}
			}
			if any && r.Verdict != "sent" {
				t.Errorf("%s to user%d: %s", m.cursor, name, r.Verdict)
			}
		}
	}
	for _, v := range []string{"sent", "connected later", "disconnected", "not subscribed then", "had it by its cursor", "gap told"} {
		if reached[v] == 0 {
			t.Errorf("no answer was %q", v)
		}
	}
	t.Logf("%d messages, %d connections: %v", len(messages), len(clients), reached)
}
