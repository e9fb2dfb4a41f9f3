package simulation_test

import (
	"encoding/json"
	"fmt"
	"slices"
)

// The fourth kind of stream: peal.v1, whose clients subscribe and unsubscribe
// while connected, and have a cursor for each channel.

// talk is what a client of peal.v1 has asked for and not been told yet.
type talk struct {
	pending  []*pending // in the order of their replies
	next     int        // id of the next command
	newest   uint64     // sequence of the newest message since the last reply
	channels []string

	// Of the Pusher protocol.
	ended map[string]uint64 // by channel: what may still come, since the client has unsubscribed
	on    []string          // channels on which newest has come
	wrong int               // client- events that must be refused
}

// pending is a command without its reply.
type pending struct {
	id       int
	command  string
	channels []string
	number   int      // of a publish
	start    start    // of a subscribe
	hearing  *hearing // likewise, once it is handled
	handled  bool     // the front has it
	refused  bool     // it must be: the client has no grant
}

// isLeaving tells whether the channel is being unsubscribed from already.
func (t *talk) isLeaving(channel string) bool {
	return slices.ContainsFunc(t.pending, func(p *pending) bool { return p.command == "unsubscribe" && slices.Contains(p.channels, channel) })
}

// command has a client say something.
func (w *world) command(c *conn) {
	t := c.talk
	if c.transport() == pusherSocket {
		w.pusherCommand(c)
		return
	}
	if !c.isWebSocket() || c.halfClosed || c.saidClose != 0 || len(t.pending) > 4 {
		return
	}
	t.next++
	p := &pending{id: t.next, command: [...]string{"subscribe", "subscribe", "unsubscribe", "ping", "publish"}[w.rnd.IntN(5)]}
	fields := map[string]any{"id": p.id, "command": p.command}
	switch p.command {
	case "subscribe":
		p.channels = slices.DeleteFunc(w.anySet(), func(name string) bool { return slices.Contains(t.channels, name) })
		if len(p.channels) == 0 {
			return
		}
		p.start = c.client.startOf(p.channels)
		p.start.fields(fields)
		if name := w.closedName(); name != "" && w.rnd.IntN(8) == 0 {
			p.channels, p.refused = append(p.channels, name), true
			break
		}
		t.channels = append(t.channels, p.channels...)
		w.note("%s subscribes to %v from %s", c, p.channels, p.start)
	case "unsubscribe": // also from channels it does not have
		set := w.anySet()
		fields["channel"] = set
		p.channels = slices.DeleteFunc(slices.Clone(set), func(name string) bool { return !slices.Contains(t.channels, name) || t.isLeaving(name) })
		w.note("%s unsubscribes from %v", c, p.channels)
	case "publish":
		w.number++
		p.number, p.channels = w.number, []string{w.anyName()}
		if id := w.anybody(); !id.IsZero() {
			fields["exclude"] = id.String()
		}
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
	w.say(c, saying{payload: b, pending: p})
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
		Connected *struct{ Cursor, Session string }
		ID        *int
		Cursor    string
		Error     struct{ Code string }
	}
	if json.Unmarshal(b, &r) != nil || r.Connected == nil && r.ID == nil {
		return item{}, false
	}
	if r.Connected != nil {
		return item{kind: itemReply, cursor: r.Connected.Cursor, session: r.Connected.Session}, true
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
		if it.session == "" {
			w.fail("%s: a greeting without a session", c)
		}
		if h := c.only(); h != nil { // those of its URL
			h.answered = true
			if it.cursor != "" {
				w.judgeStart(c, h, it.cursor)
			}
		}
		return
	}
	i := slices.IndexFunc(t.pending, func(p *pending) bool { return p.id == it.id })
	if i < 0 || i > 0 && t.pending[i].command != "publish" && slices.ContainsFunc(t.pending[:i], func(p *pending) bool { return p.command != "publish" }) {
		w.fail("%s: reply to command %d, waiting are %v", c, it.id, t.pending)
		return
	}
	p := t.pending[i]
	t.pending = slices.Delete(t.pending, i, i+1)
	if !p.handled {
		w.fail("%s: a reply to %v, which nobody has seen", c, p)
		return
	}
	if it.refusal != "" {
		w.judgeRefusal(c, p, it.refusal)
		return
	}
	if p.refused {
		w.fail("%s: %v, without a grant, is not refused", c, p)
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
		x := c.current()
		for _, h := range x.hears {
			h.accounts = slices.DeleteFunc(h.accounts, func(a account) bool { return slices.Contains(p.channels, a.name) })
		}
		x.hears = slices.DeleteFunc(x.hears, func(h *hearing) bool { return len(h.accounts) == 0 })
		w.judgeEverywhere(c, it.cursor)
	case "ping":
		w.judgeEverywhere(c, it.cursor)
	case "publish":
		w.judgePublished(c, p.number, it.cursor)
	}
}

func (w *world) judgeRefusal(c *conn, p *pending, code string) {
	switch {
	case p.refused && code == "channel_protected":
		w.counts[forbidden]++
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
	for _, h := range c.hears() {
		if h.answered || c.talk == nil {
			w.judgeCursor(c, h, text)
		}
	}
}

func (p *pending) String() string { return fmt.Sprintf("%d %s %v", p.id, p.command, p.channels) }
