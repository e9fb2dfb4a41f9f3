package simulation_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"

	"peal/loop"
	"peal/loop/fanout"
	"peal/loop/ring"
)

// The fourth kind of stream: peal.v1, whose clients subscribe and unsubscribe
// while connected, and have a cursor for each channel.

// talk is what a client of peal.v1 has asked for and not been told yet.
type talk struct {
	pending  []pending // in the order of their replies
	next     int       // id of the next command
	newest   uint64    // sequence of the newest message since the last reply
	channels []string
}

// pending is a command without its reply.
type pending struct {
	id       int
	command  string
	channels []string
	hearing  *hearing // of a subscribe
}

// isLeaving tells whether the channel is being unsubscribed from already.
func (t *talk) isLeaving(channel string) bool {
	return slices.ContainsFunc(t.pending, func(p pending) bool { return p.command == "unsubscribe" && slices.Contains(p.channels, channel) })
}

// reply is what the log was not ready to say at once.
type reply struct {
	ref loop.Ref
	out []byte
}

// subscribed opens the account of a subscription as the server is about to see it.
func (w *world) subscribed(c *conn, channels []string, s start, h *hearing) *hearing {
	h.conn = c
	w.oracle.begin(h, channels, s)
	c.hears = append(c.hears, h)
	return h
}

// startCommands does what loop.startCommands does.
func (s *station) startCommands(c *conn, sub *loop.Subscription, head []byte) {
	c.encoding = sub.Dialect
	c.talk = &talk{}
	c.talk.channels = append(c.talk.channels, sub.Channels...)
	if _, err := s.fan.WriteAnswer(c.slot, head); err != nil {
		s.close(c)
		return
	}
	c.state = stateStream
	s.w.front.Open(line{c}, sub)
}

// line implements loop.Client as package loop does.
type line struct{ c *conn }

func (l line) Ref() loop.Ref                  { return l.c.ref() }
func (l line) Session() uint64                { return l.c.session }
func (l line) Peer() netip.AddrPort           { return netip.AddrPort{} }
func (l line) Dialect() ring.Encoding         { return l.c.encoding }
func (l line) PublishTo() string              { return "" }
func (l line) Ask() bool                      { return false }
func (l line) Owe()                           {}
func (l line) Unask()                         {}
func (l line) Spend(int)                      {}
func (l line) Channels(dst []string) []string { return l.c.station.fan.Channels(dst, l.c.slot) }

func (l line) Subscribe(s *loop.Subscription) (start uint64) {
	if fan := l.c.station.fan; l.c.client.w.bug.beginsAnew {
		all := *s
		all.Channels = slices.Concat(s.Channels, fan.Channels(nil, l.c.slot))
		slices.Sort(all.Channels)
		fan.Unsubscribe(l.c.slot)
		s = &all
	}
	start, err := l.c.station.fan.Add(l.c.slot, &s.Subscription)
	if err != nil {
		l.c.client.w.fail("%s: subscribe: %v", l.c, err)
	}
	if s.From == fanout.Foreign {
		notices, _ := l.c.station.fan.AppendForeign(nil, s.Dialect, s.Channels, start)
		l.Write(notices)
	}
	return start
}

func (l line) Unsubscribe(channels []string) {
	if err := l.c.station.fan.Drop(l.c.slot, channels); err != nil {
		l.c.client.w.fail("%s: unsubscribe: %v", l.c, err)
	}
}

func (l line) Position() (sequence uint64, ok bool) {
	return l.c.station.fan.Position(l.c.slot), l.c.station.fan.CaughtUp(l.c.slot)
}

func (l line) Write(b []byte) {
	if l.c.state != stateStream {
		return
	}
	if _, err := l.c.station.fan.Write(l.c.slot, b); err != nil {
		l.c.station.close(l.c)
	}
}

// reply hands on what the log has brought, as the door of a loop does.
func (w *world) reply() {
	replies := w.replies
	w.replies = nil
	for _, r := range replies {
		s := w.stations[r.ref.Loop]
		if int(r.ref.Slot) >= len(s.conns) {
			continue
		}
		c := s.conns[r.ref.Slot]
		if c == nil || c.ref() != r.ref || c.state != stateStream {
			continue
		}
		if _, err := s.fan.WriteAnswer(c.slot, r.out); err != nil {
			s.close(c)
		}
	}
}

// command has a client say something.
func (w *world) command(c *conn) {
	t := c.talk
	if c.state != stateStream || c.socket.dead || len(t.pending) > 4 {
		return
	}
	t.next++
	p := pending{id: t.next, command: [...]string{"subscribe", "subscribe", "unsubscribe", "ping", "publish"}[w.rnd.IntN(5)]}
	fields := map[string]any{"id": p.id, "command": p.command}
	switch p.command {
	case "subscribe":
		p.channels = slices.DeleteFunc(w.anySet(), func(name string) bool { return slices.Contains(t.channels, name) })
		if len(p.channels) == 0 {
			return
		}
		s := c.client.startOf(p.channels)
		s.fields(fields)
		t.channels = append(t.channels, p.channels...)
		p.hearing = w.subscribed(c, p.channels, s, &hearing{})
		w.note("%s subscribes to %v from %s", c, p.channels, s)
	case "unsubscribe": // also from channels it does not have
		set := w.anySet()
		fields["channel"] = set
		p.channels = slices.DeleteFunc(slices.Clone(set), func(name string) bool { return !slices.Contains(t.channels, name) || t.isLeaving(name) })
		w.note("%s unsubscribes from %v", c, p.channels)
	case "publish":
		w.number++
		p.channels = []string{w.anyName()}
		fields["data"] = string(dataOf(w.number, w.rnd.IntN(100), false))
	}
	if fields["channel"] == nil && p.channels != nil {
		fields["channel"] = p.channels
	}
	b, err := json.Marshal(fields)
	if err != nil {
		panic(err) // the test's own words
	}
	t.pending = append(t.pending, p)
	if code, reason := w.front.Message(line{c}, false, b); code != 0 {
		w.fail("%s: %s is answered by close %d: %s", c, b, code, reason)
	}
}

// startOf chooses where a subscription of peal.v1 begins.
func (c *client) startOf(channels []string) start {
	if k, ok := c.single[channels[0]]; ok && len(channels) == 1 && c.w.rnd.IntN(3) > 0 {
		c.backs++
		return start{how: fromCursor, text: k.text, mark: k.at}
	}
	return c.anyStart()
}

// fields puts s into a command.
func (s start) fields(fields map[string]any) {
	switch s.how {
	case fromCursor:
		fields["cursor"] = s.text
	case fromEarliest:
		fields["cursor"] = "earliest"
	case fromLast:
		fields["last"] = s.last
	}
}

// replyItem reads a greeting or a reply; ok is false for everything else.
func replyItem(b []byte) (it item, ok bool) {
	var r struct {
		Connected *struct{ Cursor string }
		ID        *int
		Cursor    string
		Error     struct{ Code string }
	}
	if json.Unmarshal(b, &r) != nil || r.Connected == nil && r.ID == nil {
		return item{}, false
	}
	if r.Connected != nil {
		return item{kind: itemReply, cursor: r.Connected.Cursor}, true
	}
	return item{kind: itemReply, id: *r.ID, cursor: r.Cursor, refusal: r.Error.Code}, true
}

// judgeOrder: on one connection messages come in one order, but where a
// subscription has taken it back, which its reply tells.
func (w *world) judgeOrder(c *conn, h *hearing, cursor string) {
	at, ok := w.oracle.parse(cursor)
	if !ok || h == nil || !h.answered {
		w.fail("%s: a message with cursor %q before the reply to its subscription, or without meaning", c, cursor)
	}
	if at.sequence <= c.talk.newest {
		w.fail("%s: message %d after %d", c, at.sequence, c.talk.newest)
	}
	c.talk.newest = at.sequence
}

// judgeReply takes the reply to the oldest command that has none.
func (w *world) judgeReply(c *conn, it item) {
	t := c.talk
	if it.id == 0 {
		if len(c.hears) > 0 { // those of its URL
			c.hears[0].answered = true
		}
		if it.cursor != "" && len(c.hears) > 0 {
			w.judgeStart(c, c.hears[0], it.cursor)
		}
		return
	}
	i := slices.IndexFunc(t.pending, func(p pending) bool { return p.id == it.id })
	if i < 0 || i > 0 && t.pending[i].command != "publish" && slices.ContainsFunc(t.pending[:i], func(p pending) bool { return p.command != "publish" }) {
		w.fail("%s: reply to command %d, waiting are %v", c, it.id, t.pending)
		return
	}
	p := t.pending[i]
	t.pending = slices.Delete(t.pending, i, i+1)
	if it.refusal != "" {
		w.judgeRefusal(c, p, it.refusal)
		return
	}
	switch p.command {
	case "subscribe":
		w.counts[changes]++
		t.newest = 0
		p.hearing.answered = true
		w.judgeStart(c, p.hearing, it.cursor)
	case "unsubscribe":
		w.counts[changes]++
		t.channels = slices.DeleteFunc(t.channels, func(name string) bool { return slices.Contains(p.channels, name) })
		for _, h := range c.hears {
			h.accounts = slices.DeleteFunc(h.accounts, func(a account) bool { return slices.Contains(p.channels, a.name) })
		}
		c.hears = slices.DeleteFunc(c.hears, func(h *hearing) bool { return len(h.accounts) == 0 })
		w.judgeEverywhere(c, it.cursor)
	case "ping":
		w.judgeEverywhere(c, it.cursor)
	case "publish":
		at, ok := w.oracle.parse(it.cursor)
		if !ok {
			w.fail("%s: published at %q, which means nothing", c, it.cursor)
		}
		w.published = append(w.published, known{it.cursor, at})
	}
}

func (w *world) judgeRefusal(c *conn, p pending, code string) {
	switch {
	case p.command != "publish":
		w.fail("%s: %v is refused: %s", c, p, code)
	case code == "overloaded", code == "log_full", code == "not_stored":
		w.counts[refused]++
	default:
		w.fail("%s: publishing is refused: %s", c, code)
	}
}

// judgeStart checks the cursor of a subscription's reply: it is delivered from
// there on, and is good for its channels alone.
func (w *world) judgeStart(c *conn, h *hearing, text string) {
	at, ok := w.oracle.parse(text)
	if !ok || at.sequence < h.position {
		w.fail("%s: subscribed at %q, want at least %d", c, text, h.position)
		return
	}
	w.judgeCovered(c, h, at.sequence)
	for _, a := range h.accounts {
		c.client.learnsOf(a.name, known{text, at})
	}
}

// judgeEverywhere checks a cursor that covers all subscriptions, if there is
// one. One of peal.v1 that has no reply yet may have begun behind it.
func (w *world) judgeEverywhere(c *conn, text string) {
	if text == "" {
		return // more is on the way
	}
	for _, h := range c.hears {
		if h.answered || c.talk == nil {
			w.judgeCursor(c, h, text)
		}
	}
}

func (p pending) String() string { return fmt.Sprintf("%d %s %v", p.id, p.command, p.channels) }
