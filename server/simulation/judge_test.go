package simulation_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"peal/server/log"
)

// An item is what a client makes of some bytes.
type item struct {
	kind    itemKind
	message wireMessage
	cursor  string // itemCursor, and of an answer
	gaps    []wireGap
	answer  []wireMessage
	code    uint16 // itemClose
	id      int    // itemReply; 0: the greeting
	refusal string // itemReply and itemRefused: code of an error
	session string // id of the session, "" for none
	closes  bool   // a response: the connection ends behind it
}

type itemKind uint8

const (
	itemNothing    itemKind = iota // a comment, part of an event
	itemHead                       // of a stream
	itemMessage                    // one publication
	itemCursor                     // a position without a publication
	itemGap                        // part of the past is gone
	itemAnswer                     // a whole poll: gaps, messages, a cursor
	itemReply                      // to a command of peal.v1, or its greeting
	itemClose                      // the server ends a WebSocket
	itemPing                       // a heartbeat
	itemPong                       // the answer to one of the client's
	itemPublished                  // a response to a publication
	itemRefused                    // a response with an error
	itemSubscribed                 // the Pusher protocol: a subscription has begun
	itemError                      // likewise: an error
)

// wireMessage is a publication as it came. Raw ones have no channel, and no
// cursor unless the transport has a place for it.
type wireMessage struct {
	channel, cursor, event string
	data                   []byte
	rewritten              bool // line ends may have been changed, and binary data be base64: plain SSE
	encoded                bool // binary data are base64
}

// wireGap is a gap as it was told.
type wireGap struct {
	Channel string `json:"channel"`
	From    string `json:"from"`
	To      string `json:"to"`
	Reason  string `json:"reason"`
}

// judge says whether c may receive it now, and notes what c knows afterwards.
func (w *world) judge(c *conn, it item) {
	w.judgeSession(c, it.session)
	switch it.kind {
	case itemHead:
		if it.session == "" && c.transport() != pusherSocket { // which says it later
			w.fail("%s: the head of a stream without a session", c)
		}
	case itemMessage:
		h := c.only()
		if c.transport() == pusherSocket {
			w.judgePushed(c, it.message)
			return
		}
		if c.talk != nil {
			h = c.hearing(it.message.channel)
			w.judgeOrder(c, h, it.message.cursor)
		}
		w.judgeMessage(c, h, it.message)
	case itemCursor:
		w.judgeEverywhere(c, it.cursor)
	case itemPing:
		w.judgeEverywhere(c, it.cursor)
		w.pong(c, it.cursor)
	case itemPong:
		w.judgePong(c, it.cursor)
	case itemReply:
		w.judgeReply(c, it)
	case itemSubscribed:
		w.judgeSubscribed(c, it)
	case itemError:
		w.judgeError(c, it)
	case itemGap:
		w.judgeGaps(c, it.gaps)
	case itemClose:
		w.judgeClose(c, it.code)
	case itemAnswer:
		if len(it.answer) > w.plan.loop.Fanout.AnswerMessages {
			w.fail("%s: %d messages in one answer", c, len(it.answer))
		}
		w.judgeGaps(c, it.gaps)
		for _, m := range it.answer {
			w.judgeMessage(c, c.only(), m)
		}
		w.judgeCursor(c, c.only(), it.cursor)
		w.responded(c, it)
	case itemPublished:
		w.judgePublished(c, c.current().number, it.cursor)
		w.responded(c, it)
	case itemRefused:
		w.judgeRefused(c, it)
	}
}

// responded ends the exchange under way.
func (w *world) responded(c *conn, it item) {
	x := c.current()
	if x == nil {
		c.ended = true
		return
	}
	if !x.begun && !c.ended && c.socket.kernel != nil && it.kind != itemRefused {
		w.fail("%s: a response to %.40q, which nobody has seen", c, x.wire)
	}
	c.exchanges = c.exchanges[1:]
	c.active = w.machine.now()
	if it.closes && !x.closes && !w.draining && !c.dismissed && !c.halfClosed && it.kind != itemRefused {
		w.fail("%s: it is closed behind the response to %.40q", c, x.wire)
	}
	c.ended = c.ended || it.closes
}

// judgePublished: the cursor of a publication is that of the entry that it became.
func (w *world) judgePublished(c *conn, number int, cursor string) {
	at, ok := w.oracle.parse(cursor)
	switch {
	case !ok || at.sequence == 0:
		w.fail("%s: published at %q, which means nothing", c, cursor)
		return
	case numberOf(w.oracle.truth[at.sequence-1].Data) != number:
		w.fail("%s: publication %d has the cursor %s, but that is %.20q", c, number, cursor, w.oracle.truth[at.sequence-1].Data)
	}
	w.counts[acknowledged]++
	w.published = append(w.published, known{cursor, at})
}

func (w *world) judgePong(c *conn, payload string) {
	if payload == note && c.notes > 0 {
		c.notes--
		return
	}
	if len(c.pings) == 0 || c.pings[0] != payload {
		w.fail("%s: pong %q, but its pings are %q", c, payload, c.pings)
		return
	}
	c.pings = c.pings[1:]
}

// judgeRefused: a request is refused only for a reason.
func (w *world) judgeRefused(c *conn, it item) {
	x := c.current()
	right := false
	switch it.refusal {
	case "too_many_connections":
		right = c.socket.kernel == nil && w.isScarce()
		w.counts[turnedAway]++
		c.ended = true
	case "overloaded", "log_full", "not_stored":
		right = x != nil && x.number > 0
		w.counts[refused]++
	case "draining":
		right = w.draining
	case "channel_protected", "not_allowed":
		right = x != nil && x.ask.forbidden
		w.counts[forbidden]++
	case "disconnected":
		right = c.dismissed && x != nil && x.ask.transport == poll
	case "request_timeout":
		right = x != nil && w.machine.now()-x.sent >= w.plan.loop.HeadTimeout-tick
		c.ended = true
	}
	if !right {
		w.fail("%s: refused: %s", c, it.refusal)
	}
	w.responded(c, it)
}

func (w *world) judgeMessage(c *conn, h *hearing, m wireMessage) {
	o := w.oracle
	if h == nil {
		w.fail("%s: a message though it is subscribed to nothing: %.60q", c, m.data)
		return
	}
	e := w.identify(h, m)
	if e == nil {
		w.fail("%s at %d: %.60q (cursor %q) is not in the log after its position", c, h.position, m.data, m.cursor)
		return
	}
	q := e.Sequence
	switch {
	case h.tellsGapFirst():
		w.fail("%s: message %d came before the gap of a cursor that means nothing", c, q)
	case !h.wants(e):
		w.fail("%s: message %d on %s is not for it", c, q, e.Channel)
	case q <= h.position:
		w.fail("%s: message %d after %d", c, q, h.position)
	}
	if x := o.missing(h, q-1); x != nil {
		w.fail("%s at %d: message %d came, but %d on %s did not", c, h.position, q, x.Sequence, x.Channel)
	}
	w.judgeContent(c, e, m)
	w.countLeftOut(h, q)
	h.position = q
	w.counts[messages]++
	w.countUpdate(c, channelsOf(e))
	switch {
	case m.cursor == "" || c.transport() == poll:
	case c.talk != nil: // good for this channel only
		c.client.learnsOf(m.channel, known{m.cursor, mark{o.life(), q}})
	default:
		c.client.learns(m.cursor, mark{o.life(), q})
	}
}

// identify finds the entry that m was made from: by its cursor, else the one
// with that number (plan.equalData).
func (w *world) identify(h *hearing, m wireMessage) *log.Entry {
	o := w.oracle
	if m.cursor != "" {
		at, ok := o.parse(m.cursor)
		if !ok || at.sequence == 0 {
			return nil
		}
		return o.truth[at.sequence-1]
	}
	n := numberOf(m.data)
	if n == 0 && (m.rewritten || m.encoded) {
		n = numberOf(unbase64(m.data))
	}
	for _, q := range o.numbers[n] {
		if e := o.truth[q-1]; q > h.position && h.wants(e) {
			return e
		}
	}
	return nil
}

func unbase64(b []byte) []byte {
	out, err := base64.StdEncoding.DecodeString(string(b))
	if err != nil {
		return nil
	}
	return out
}

func (w *world) judgeContent(c *conn, e *log.Entry, m wireMessage) {
	want, got := e.Data, m.data
	if (m.rewritten || m.encoded) && e.Binary {
		got = unbase64(got)
	} else if m.rewritten {
		want = bytes.ReplaceAll(bytes.ReplaceAll(want, []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n"))
	}
	if !bytes.Equal(want, got) {
		w.fail("%s: message %d is garbled: %.80q, want %.80q", c, e.Sequence, m.data, e.Data)
	}
	if m.encoded {
		w.judgePushedEvent(c, e, m)
		return
	}
	if m.channel != "" && m.channel != e.Channel {
		w.fail("%s: message %d has the channel %q, but is on %q", c, e.Sequence, m.channel, e.Channel)
	}
	if m.event != e.Event && c.transport() != webSocket || m.channel != "" && m.event != e.Event {
		w.fail("%s: message %d has event %q, want %q", c, e.Sequence, m.event, e.Event)
	}
}

// judgeCursor checks a position that claims to cover everything up to it.
func (w *world) judgeCursor(c *conn, h *hearing, text string) {
	o := w.oracle
	at, ok := o.parse(text)
	switch {
	case h == nil:
		w.fail("%s: a cursor though it is subscribed to nothing", c)
		return
	case !ok:
		w.fail("%s: cursor %q means nothing, head %d", c, text, o.head())
		return
	case at.sequence < h.position && c.talk == nil:
		w.fail("%s: cursor %d goes back from %d", c, at.sequence, h.position)
	}
	w.judgeCovered(c, h, at.sequence)
	c.client.learns(text, at)
}

// judgeCovered checks that everything up to that sequence came.
func (w *world) judgeCovered(c *conn, h *hearing, upto uint64) {
	if h.tellsGapFirst() {
		w.fail("%s: cursor %d came before the gap of a cursor that means nothing", c, upto)
	}
	if x := w.oracle.missing(h, upto); x != nil {
		w.fail("%s at %d: its cursor covers %d, but %d on %s did not come", c, h.position, upto, x.Sequence, x.Channel)
	}
	w.countLeftOut(h, upto)
	h.position = max(h.position, upto)
}

// tellsGapFirst tells whether a gap on some channel is still owed because the
// cursor meant nothing.
func (h *hearing) tellsGapFirst() bool {
	if !h.gapAhead {
		return false
	}
	for _, a := range h.accounts {
		if !a.foreign {
			return true
		}
	}
	return false
}

// judgeGaps checks that gaps are real.
func (w *world) judgeGaps(c *conn, told []wireGap) {
	for _, g := range told {
		if c.transport() == pusherSocket {
			g.Channel = w.plan.dialects.namespace + g.Channel
			if w.isOfThePast(c, g) {
				continue
			}
		}
		w.counts[gaps]++
		if err := w.judgeGap(c, g); err != "" {
			w.fail("%s: gap %+v: %s", c, g, err)
		}
	}
}

func (w *world) judgeGap(c *conn, g wireGap) (fault string) {
	h, o := c.hearing(g.Channel), w.oracle
	if h == nil {
		return "not subscribed to it"
	}
	a := h.account(g.Channel)
	to, ok := o.parse(g.To)
	if !ok {
		return "its end means nothing"
	}
	if g.From == "" {
		if g.Reason != "unknown_cursor" || !h.gapAhead || a.foreign {
			return "the cursor was good"
		}
		a.foreign = true
		if to.sequence > max(a.excused, o.discarded(g.Channel)) && to.sequence > o.colliding(g.Channel) {
			return fmt.Sprintf("its end is retained: discarded is %d", o.discarded(g.Channel))
		}
		a.lost = max(a.lost, to.sequence)
		return ""
	}
	from, ok := o.parse(g.From)
	if !ok {
		return "its beginning means nothing"
	}
	if o.missing(h, from.sequence) != nil {
		// The stream may be past what the client knows, never past what it should have.
		return fmt.Sprintf("the client is at %d", h.position)
	}
	known := max(from.sequence, h.position, a.lost, a.excused)
	if g.Reason == "slow" {
		if !o.passesOver(h, g.Channel) || c.transport() == poll || !o.carriesAfter(g.Channel, known, to.sequence) {
			return "nothing may be passed over"
		}
		w.counts[passed]++
		a.lost = max(a.lost, to.sequence)
		return ""
	}
	if g.Reason != "discarded" {
		return "its reason is unknown"
	}
	real := to.sequence <= o.discarded(g.Channel) && o.goneAfter(h, g.Channel, known, to.sequence)
	if !real && (to.sequence == o.floor || slices.Contains(o.floors, to.sequence)) {
		w.counts[coarse]++ // the log does not know what it has deleted
		a.lost = max(a.lost, to.sequence)
		return ""
	}
	if !real && to.sequence > o.colliding(g.Channel) {
		return fmt.Sprintf("everything up to it is retained: discarded is %d", o.discarded(g.Channel))
	}
	if !real {
		w.counts[collisions]++
	}
	a.lost = max(a.lost, to.sequence)
	return ""
}

// judgeClose: a raw WebSocket has no word for a gap, so it is closed with 4409. A
// slow client may be closed because of one, if the channel says so.
func (w *world) judgeClose(c *conn, code uint16) {
	c.ended = true
	h := c.only()
	if c.transport() == pusherSocket {
		code = w.plainCode(c, code)
	}
	switch {
	case c.saidClose != 0 && code == c.saidClose:
		w.judgeReplied(c)
		return
	case c.expected != 0 && code == c.expected, c.excused, c.pressed && code == codeTryAgain:
		c.forget()
	case code == codeDisconnected && c.dismissed:
		c.forget()
	case code == codeGoingAway && w.draining:
		w.judgeGoodBye(c)
		c.forget()
	case code == codeTryAgain && h != nil:
		w.judgeFall(c)
	case code != codeGap || h == nil || !h.mute || h.ignoring:
		w.fail("%s: closed with %d", c, code)
	default:
		w.judgeGapClose(c, h)
	}
	w.sayClose(c, code)
}

// judgeReplied: where the client has ended its side, or has sent a close frame, or the
// server drains, the server's end comes behind the replies to what came before.
func (w *world) judgeReplied(c *conn) {
	if c.talk == nil || c.dismissed {
		return
	}
	for _, p := range c.talk.pending {
		if p.handled {
			w.fail("%s: it ends without the reply to %v, which came before the client's end", c, p)
		}
	}
}

func (w *world) judgeGapClose(c *conn, h *hearing) {
	real := h.gapAhead
	for _, a := range h.accounts {
		from := max(h.position, a.excused)
		real = real || w.oracle.goneAfter(h, a.name, from, w.oracle.head()) || w.oracle.passesOver(h, a.name)
	}
	switch {
	case real:
	case h.position < w.oracle.floor:
		w.counts[coarse]++
	case h.explained(w.oracle):
		w.counts[collisions]++
	default:
		w.fail("%s: closed for a gap that is none (at %d)", c, h.position)
	}
	w.counts[gaps]++
	c.forget()
	c.client.forgets() // its state is stale: it loads it anew
}

// explained tells whether a collision explains a gap on one of the channels.
func (h *hearing) explained(o *oracle) bool {
	for _, a := range h.accounts {
		if o.colliding(a.name) > h.position {
			return true
		}
	}
	return false
}

// numberOf returns the number that data begins with, as dataOf wrote it; 0 for none.
func numberOf(data []byte) (n int) {
	if len(data) == 0 || data[0] != '#' {
		return 0
	}
	for _, b := range data[1:] {
		if b < '0' || b > '9' {
			break
		}
		n = 10*n + int(b-'0')
	}
	return n
}

// dataOf makes the data of publication n, of about that many bytes more, with
// what encoders must take care of.
func dataOf(n, size int, binary bool) []byte {
	b := fmt.Appendf(nil, "#%d;", n)
	b = append(b, strings.Repeat("tä\"g\\\n", size/7)...)
	if n%5 == 0 {
		b = append(b, "\r\n\r"...)
	}
	if binary {
		b = append(b, 0xFF, 0x00)
	}
	return b
}
