package simulation_test

import (
	"cmp"
	"slices"
	"strings"

	"peal/server/log"
)

// leaves ends the account of a channel, of which what is under way may come.
func (w *world) leaves(c *conn, name string) {
	w.counts[changes]++
	c.talk.ended[name] = w.oracle.head()
	x := c.current()
	x.hears = slices.DeleteFunc(x.hears, func(h *hearing) bool { return h.account(name) != nil })
}

// judgeSubscribed takes the reply to a subscription, or to a ping: they come in the order of
// what was said.
func (w *world) judgeSubscribed(c *conn, it item) {
	t := c.talk
	if len(t.pending) == 0 || !t.pending[0].handled {
		w.fail("%s: %s on %q, though nobody has seen a request for it", c, it.refusal, it.message.channel)
		return
	}
	p := t.pending[0]
	t.pending = t.pending[1:]
	want := map[string]string{"subscribe": eventSucceeded, "again": eventSucceeded, "ping": "pusher:pong"}[p.command]
	if p.refused {
		want = eventRefused
		w.counts[forbidden]++
	}
	name := w.plan.dialects.namespace + it.message.channel
	if it.refusal != want || p.command != "ping" && name != p.channels[0] {
		w.fail("%s: %s on %q in reply to %v", c, it.refusal, name, p)
		return
	}
	if p.hearing == nil {
		return
	}
	w.counts[changes]++
	w.counts[pushes]++
	if p.start.how != fromNow {
		t.newest = 0 // it may take the connection back
	}
	p.hearing.answered, p.hearing.began = true, p.hearing.position
	if it.cursor != "" && slices.Contains(c.hears(), p.hearing) { // else the client has unsubscribed since
		w.judgeStart(c, p.hearing, it.cursor)
	}
}

// judgeError takes pusher:error, which only client- events are answered with here.
func (w *world) judgeError(c *conn, it item) {
	code, _, _ := strings.Cut(it.refusal, ":")
	switch {
	case it.id == codeOver && code == "draining" && w.draining:
	case it.id != 4301:
		w.fail("%s: error %d: %s", c, it.id, it.refusal)
	case code == "overloaded", code == "log_full", code == "not_stored":
		w.counts[refused]++
	case code == "publish_not_allowed" && c.talk.wrong > 0:
		c.talk.wrong--
		w.counts[forbidden]++
	default:
		w.fail("%s: a client event is refused: %s", c, it.refusal)
	}
}

// judgePushed judges one message. An entry of several channels comes once on each of them that
// the protocol can name: the client finds those that it has.
func (w *world) judgePushed(c *conn, m wireMessage) {
	t := c.talk
	m.channel = w.plan.dialects.namespace + m.channel
	h := c.hearing(m.channel)
	if h != nil && !h.answered {
		h = nil
	}
	e := w.entryOf(m)
	if e == nil {
		w.fail("%s: %.60q on %q (cursor %q) is not in the log", c, m.data, m.channel, m.cursor)
		return
	}
	if e.Sequence > t.newest {
		t.newest, t.on = e.Sequence, nil
	} else if e.Sequence < t.newest || slices.Contains(t.on, m.channel) {
		w.fail("%s: message %d on %s after %d on %q", c, e.Sequence, m.channel, t.newest, t.on)
		return
	}
	t.on = append(t.on, m.channel)
	if h != nil && len(e.Also) > 0 && e.Sequence <= h.began {
		h = nil // it is for another channel, and older than this subscription
	}
	switch {
	case h != nil:
		w.counts[pushed]++
		w.judgeMessage(c, h, m)
	case e.Sequence <= t.ended[m.channel], slices.ContainsFunc(channelsOf(e), func(name string) bool {
		other := c.hearing(name)
		return other != nil && !other.leavesOut(e) || e.Sequence <= t.ended[name]
	}): // which it passes over
	default:
		w.fail("%s: message %d on %s is for nothing that it has", c, e.Sequence, m.channel)
	}
}

// entryOf is the entry that a message was made from, nil for none.
func (w *world) entryOf(m wireMessage) *log.Entry {
	o := w.oracle
	if m.cursor != "" {
		at, ok := o.parse(m.cursor)
		if !ok || at.sequence == 0 || !slices.Contains(channelsOf(o.truth[at.sequence-1]), m.channel) {
			return nil
		}
		return o.truth[at.sequence-1]
	}
	n := numberOf(m.data)
	if n == 0 {
		n = numberOf(unbase64(m.data))
	}
	for _, q := range o.numbers[n] {
		if e := o.truth[q-1]; slices.Contains(channelsOf(e), m.channel) {
			return e
		}
	}
	return nil
}

// isOfThePast tells whether a gap is one of a subscription that the client has ended, which was
// under way.
func (w *world) isOfThePast(c *conn, g wireGap) bool {
	ended, left := c.talk.ended[g.Channel]
	if to, ok := w.oracle.parse(g.To); !ok || !left || to.sequence > ended {
		return false
	}
	h := c.hearing(g.Channel)
	return h == nil || !h.answered && (!h.tellsGapFirst() || g.Reason != "unknown_cursor")
}

// judgePushedEvent checks the channel and the event of a message.
func (w *world) judgePushedEvent(c *conn, e *log.Entry, m wireMessage) {
	if want := cmp.Or(e.Event, defaultEvent); m.event != want || !slices.Contains(channelsOf(e), m.channel) {
		w.fail("%s: message %d has event %q on %q, want %q on %q", c, e.Sequence, m.event, m.channel, want, channelsOf(e))
	}
}

// plainCode is the code of which a close code of the protocol was made.
func (w *world) plainCode(c *conn, code uint16) uint16 {
	switch {
	case code == codeOver && w.draining && w.owedAtDrain(c) == nil:
		return codeGoingAway
	case code == codeOver:
		return codeTryAgain
	case code == codeNoMore && c.dismissed:
		return codeDisconnected
	case code == codeNoMore && c.expected != 0:
		return c.expected
	case code == codeNoMore:
		return codeGap
	case code == codeGoingAway, code == codeTryAgain:
		w.fail("%s: closed with %d, which the protocol does not have", c, code)
	}
	return code
}
