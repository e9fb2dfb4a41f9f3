package httpapi

import (
	"slices"
	"time"

	"peal/loop"
	"peal/loop/fanout"
	"peal/loop/frame"
	"peal/loop/ring"
	"peal/server/dialect"
	"peal/server/durable"
	"peal/server/log"
	"peal/server/look"
	"peal/server/permit"
	"peal/server/refusal"
	"peal/server/response"
	"peal/server/subscribe"
)

// streams serves /streams/{channel}: a channel as a Durable Stream.
type streams struct {
	*shared

	// catching are the event streams, by session, whose reader has not received yet what
	// was retained when they began.
	catching map[uint64]catching
	rows     [len(durable.Contents)]ring.Encoding // of event streams
}

// catching is an event stream that is not up to date.
type catching struct {
	newest uint64        // of what was retained
	left   time.Duration // of its life
}

// What a reader of events receives at once, with the word that nothing follows: all that is
// retained, if it is no more than this. Else it receives it as others do.
const (
	firstMessages = 64
	firstBytes    = 32 << 10
)

// Lives of an event stream. The protocol wants it to end after about a minute, so that
// caches can join readers (section 5.7); readers go on where they were.
const (
	streamLife  = time.Minute
	firstLook   = 50 * time.Millisecond // whether a reader has all that was retained
	catchingFor = time.Second           // between two more looks
)

// streamQuery is what the query of a request says.
type streamQuery struct {
	content durable.Content
	live    string // "", "sse" or "long-poll"
	start   subscribe.Start
	timeout time.Duration // of a long poll
	newest  uint64        // retained after start; 0: nothing, or it is in first
	first   []byte        // events: what is retained after start, if it is little
}

// Found in the query of a request.
var (
	errLive       = refusal.Bad("bad_live", "live must be long-poll or sse, and is left out to read what there is")
	errLiveOffset = refusal.Bad("bad_offset", "with live the query must have offset: -1 for all that is retained, now for what comes, or the last Stream-Next-Offset")
	errContent    = refusal.Bad("bad_format", "format must be json, text or bytes; json without it")
)

func newStreams(s *shared) *streams {
	r := &streams{shared: s, catching: map[uint64]catching{}}
	for i, c := range durable.Contents {
		r.rows[i], _ = s.deps.Dialects.Named(dialect.DurableEvents(c))
	}
	return r
}

// stream reads a part of a channel, or follows it.
func (s *streams) stream(x *exchange) {
	q, err := s.read(x)
	if err != nil {
		x.refuse(err)
		return
	}
	switch {
	case q.live == "sse":
		s.events(x, q)
	case q.live != "":
		s.poll(x, q)
	default:
		s.page(x, q)
	}
}

// read reads the request. The channel of the path is then the only one of the exchange.
func (s *streams) read(x *exchange) (q streamQuery, err *refusal.Error) {
	if x.denied != nil {
		return q, x.denied
	}
	n, err := x.pathChannel()
	if err != nil {
		return q, err
	}
	x.channels.Clear()
	x.channels.AddKnown(n.Text())
	var offset, live, format, timeout []byte
	offsets := 0
	x.args.ParseBytes(x.head.Query)
	for key, value := range x.args.All() {
		switch string(key) {
		case "offset":
			offset = value
			offsets++
		case "live":
			live = value
		case "format":
			format = value
		case "timeout":
			timeout = value
		}
	}
	var ok bool
	if q.content, ok = durable.ParseContent(format); !ok {
		return q, errContent
	}
	if q.live = string(live); q.live != "" && q.live != "long-poll" && q.live != "sse" {
		return q, errLive
	}
	if q.live != "" && offsets == 0 {
		return q, errLiveOffset
	}
	if string(x.head.Method) == "HEAD" {
		q.live, q.start.From = "", fanout.Now // it asks for the tail
		return q, nil
	}
	if offsets > 1 || offsets == 1 && len(offset) == 0 {
		return q, durable.ErrBadOffset
	}
	if q.timeout, err = s.deps.pollTimeout(timeout); err != nil {
		return q, err
	}
	q.start, err = s.start(string(offset))
	return q, err
}

// start is where an offset begins.
func (s *streams) start(offset string) (subscribe.Start, *refusal.Error) {
	switch offset {
	case "", durable.Beginning:
		return subscribe.Start{From: fanout.Earliest}, nil
	case durable.Tail:
		return subscribe.Start{From: fanout.Now}, nil
	}
	c, ok := durable.ParseOffset([]byte(offset))
	if !ok {
		return subscribe.Start{}, durable.ErrBadOffset
	}
	var text [log.MaxCursorBytes]byte
	start, err := subscribe.NewStart(s.deps.Log, c.Append(text[:0]), nil, 1)
	if err == nil && start.From == fanout.Foreign && !start.Behind {
		return start, durable.ErrGone
	}
	return start, err
}

// page has a worker respond with what there is.
func (s *streams) page(x *exchange, q streamQuery) {
	r := x.request()
	r.Action, r.Behind = permit.History, q.start.Behind
	if !x.permits(r) {
		return
	}
	shape := x.shape()
	page := durable.Page{
		Head:    response.Head{Date: x.clock.Date(), Origin: shape.origin, Close: shape.close, KeepAlive: shape.keepAlive},
		Content: q.content, HeadOnly: shape.headOnly, Match: append([]byte(nil), x.rareOne("If-None-Match")...),
	}
	job := look.NewStream(x.channels.List()[0].Text(), q.start, page)
	reply := x.pendingReply()
	if err := s.desk.AskWhole(r.Who, x.call.Conn, &reply, job.Cost(), func(dst []byte) []byte { return job.AppendTo(dst, &s.desk) }); err != nil {
		x.refuse(err)
		return
	}
	x.later()
}

// probe finds out what is retained after the start of a live read. If it is nothing, the
// read begins at the tail.
func (s *streams) probe(x *exchange, q *streamQuery) *refusal.Error {
	if q.start.From == fanout.Now || q.start.Behind {
		return nil
	}
	channel, head := x.channels.List()[0].Text(), s.desk.Hub.Head()
	found, discarded, more := s.desk.Hub.Read(nil, channel, q.start.Sequence, head, firstMessages, firstBytes)
	if q.start.From == fanout.After && q.start.Sequence < discarded {
		return durable.ErrGone
	}
	x.call.Work += len(found)
	if !more && (q.live == "sse" || len(found) == 0) {
		for i, m := range found {
			at := s.desk.Lineage.Cursor(m.Sequence)
			q.first = q.content.AppendEvents(q.first, m.Entry.(*log.Entry), at, i == len(found)-1)
		}
		q.start = subscribe.Start{From: fanout.After, Sequence: max(head, q.start.Sequence)}
		return nil
	}
	// Before the first one there is, and not before all: that would be a position whose
	// reader does not know it.
	q.start = subscribe.Start{From: fanout.After, Sequence: found[0].Sequence - 1}
	info, _ := s.desk.Hub.Channel(channel)
	q.newest = max(info.Newest, found[0].Sequence)
	return nil
}

// subscribe makes the subscription of a live read.
func (s *streams) subscribe(x *exchange, q *streamQuery, row string) (w subscribe.Wish, sub *loop.Subscription, err *refusal.Error) {
	if err := s.probe(x, q); err != nil {
		return w, nil, err
	}
	k, _ := s.deps.Dialects.Named(row)
	w = subscribe.Wish{
		Channels: &x.channels, Dialects: s.deps.Dialects, Dialect: k,
		Start: q.start, Known: q.newest > 0 || len(q.first) > 0, Timeout: q.timeout,
	}
	if w.Visitor, err = subscribe.NewVisitor(nil, nil, x.grant); err != nil {
		return w, nil, err
	}
	r := x.request()
	r.Draining, r.Opens = x.call.Draining, true
	sub, err = w.Subscribe(&s.gate, r)
	return w, sub, err
}

// poll parks the request until there is something.
func (s *streams) poll(x *exchange, q streamQuery) {
	w, sub, err := s.subscribe(x, &q, dialect.DurablePoll(q.content))
	if x.asks(err) {
		return
	}
	if err != nil {
		x.refuse(err)
		return
	}
	shape := x.shape()
	sub.Origin = x.origin
	c := x.call
	c.Verdict, c.Sub, c.Close = loop.Park, sub, shape.close || shape.keepAlive
	s.arrive(x, &w, sub)
}

// events turns the connection into an event stream.
func (s *streams) events(x *exchange, q streamQuery) {
	w, sub, err := s.subscribe(x, &q, dialect.DurableEvents(q.content))
	if x.asks(err) {
		return
	}
	if err != nil {
		x.refuse(err)
		return
	}
	h := response.Head{
		Status: 200, Type: "text/event-stream", Size: response.Endless, Close: true, Date: x.clock.Date(),
		Origin: x.cors, Lines: "Cache-Control: no-cache, no-store\r\nX-Accel-Buffering: no\r\n" + durable.Nosniff,
	}
	if q.content == durable.Bytes {
		h.Lines += durable.SSEEncoding
	}
	c := x.call
	c.Out = append(h.Append(c.Out), q.first...)
	c.Verdict, c.Sub = loop.Stream, sub
	sub.Deadline = streamLife
	s.arrive(x, &w, sub)
	if q.newest == 0 {
		return // it has all there is, and the stream begins with that
	}
	sub.Named = true // so that Left is called
	s.catching[c.Session] = catching{q.newest, sub.Deadline}
	ref := c.Conn
	time.AfterFunc(firstLook, func() { s.deps.Door.Do(ref, s.caughtUp) })
}

// arrive is subscribing.arrive; the stream ends when the token of its reader does, or
// before.
func (s *streams) arrive(x *exchange, w *subscribe.Wish, sub *loop.Subscription) {
	life := sub.Deadline
	(&subscribing{s.shared}).arrive(x, w, sub)
	if sub.Deadline == 0 || sub.Deadline > life {
		sub.Deadline = life
	}
}

// has reports whether k is the row of an event stream of this room.
func (s *streams) has(k ring.Encoding) bool {
	return slices.Contains(s.rows[:], s.deps.Dialects.PlainOf(k))
}

// caughtUp writes that the reader has all there was, or looks again later.
func (s *streams) caughtUp(c loop.Client) {
	k, ok := s.catching[c.Session()]
	if !ok {
		return
	}
	if sequence, all := c.Position(); all && sequence >= k.newest {
		delete(s.catching, c.Session())
		c.Write(durable.AppendUpToDate(nil, s.desk.Lineage.Cursor(sequence), time.Now()))
		c.SetDeadline(k.left)
		return
	}
	wait := min(catchingFor, k.left)
	k.left -= wait
	s.catching[c.Session()] = k
	c.SetDeadline(wait)
}

// due implements loop.Front for event streams of this room: they end, unless their reader
// is still catching up.
func (s *streams) due(c loop.Client) {
	if s.catching[c.Session()].left > 0 {
		s.caughtUp(c)
		return
	}
	c.Close(frame.CloseGoingAway, "")
}

// left implements loop.Front.
func (s *streams) left(session uint64) { delete(s.catching, session) }
