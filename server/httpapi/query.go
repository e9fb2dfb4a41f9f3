package httpapi

import (
	"runtime"
	"strconv"

	"peal/loop"
	"peal/loop/ring"
	"peal/server/hub"
	"peal/server/log"
	"peal/server/presence"
	"peal/server/publication"
)

// Limits of one page of an answer.
const (
	channelsPage    = 100 // without limit=
	maxChannelsPage = 1000
	historyPage     = 100 // without limit=
	maxHistoryPage  = 1000

	// PageBytes ends a page of history or presence, as it is sent; it may be longer
	// by one message or member.
	PageBytes = 1 << 20
)

// serveChannels lists channels by name: {"channels":[…],"next":…?}. The hub
// looks at each channel there is, so a worker asks it.
func (f *Front) serveChannels(c *loop.Call, _ *routed) {
	p, err := f.query()
	var limit int
	if err == nil {
		limit, err = parseLimit(p.limit, channelsPage, maxChannelsPage)
	}
	if err != nil {
		f.refuse(c, asError(err), "")
		return
	}
	q := f.questions(c)
	prefix, after := string(p.prefix), string(p.after)
	f.ask(c, &q, channelsCost, func() { q.answer(q.channelsBody(prefix, after, limit)) })
}

// serveChannel tells about one channel. One that nobody knows is not an error:
// channels exist by being used.
func (f *Front) serveChannel(c *loop.Call, r *routed) {
	n, _, err := f.queryOf(r)
	if err != nil {
		f.refuse(c, asError(err), "")
		return
	}
	info, _ := f.deps.Hub.Channel(n.text())
	info.Name = n.text()
	body := appendInfo(nil, f.deps.Log.Lineage(), info)
	f.reply(c, 200, jsonType, noStore, body)
}

// serveHistory returns what is retained of a channel, oldest first, after the
// cursor, or the newest messages:
// {"channel","cursor","gap":[…]?,"messages":[…],"more"}.
// cursor is where the next page, or a subscription, goes on.
func (f *Front) serveHistory(c *loop.Call, r *routed) {
	n, p, err := f.queryOf(r)
	var from loop.From
	var after uint64
	var last int
	if err == nil {
		from, after, last, err = f.start(&p)
	}
	var h history
	if err == nil {
		h, err = newHistory(n.text(), from, after, last, p.limit)
	}
	if err != nil {
		f.refuse(c, asError(err), "")
		return
	}
	q := f.questions(c)
	f.ask(c, &q, historyCost+h.limit, func() { q.answer(q.historyBody(h)) })
}

// queryOf is query for a request whose path names the channel.
func (f *Front) queryOf(r *routed) (*name, params, error) {
	n, err := f.channelOf(r)
	if err != nil {
		return nil, params{}, err
	}
	p, err := f.query()
	if err != nil {
		return nil, params{}, err
	}
	for _, other := range f.picked {
		if other.text() != n.text() {
			return nil, params{}, contradiction("channel", "the path and the query name different ones: the path is enough")
		}
	}
	return n, p, nil
}

// ask has a worker run what answers q, which costs about so many microseconds.
func (f *Front) ask(c *loop.Call, q *questions, cost int, run func()) {
	j := newJob(c.Peer, c.Session)
	j.cost, j.run = cost, run
	tally := &f.deps.Workers.tally
	j.refuse = func() {
		tally.refuse(errBusy)
		q.door.Answer(q.ref, appendError(nil, q.shape, q.clock.date(), errBusy, retryLine(errBusy)))
	}
	if !f.deps.Workers.try(j) {
		f.refuse(c, errBusy, "")
		return
	}
	f.later(c)
}

// questions is what a worker needs to answer a request, by value.
type questions struct {
	hub      Directory
	presence *presence.Table
	lineage  *log.Lineage
	door     Answerer
	clock    *clock
	ref      loop.Ref
	shape    shape
}

func (f *Front) questions(c *loop.Call) questions {
	return questions{f.deps.Hub, f.deps.Presence, f.deps.Log.Lineage(), f.deps.Door, &f.clock, c.Conn, f.shape()}
}

func (q *questions) answer(body []byte) {
	q.door.Answer(q.ref, appendAnswer(nil, q.shape, q.clock.date(), 200, jsonType, noStore, body))
}

func (q *questions) channelsBody(prefix, after string, limit int) []byte {
	infos := q.hub.Channels(prefix, after, limit)
	body := append(make([]byte, 0, 64+192*len(infos)), `{"channels":[`...)
	for i, info := range infos {
		if i > 0 {
			body = append(body, ',')
		}
		body = appendInfo(body, q.lineage, info)
	}
	body = append(body, ']')
	if len(infos) == limit {
		body = append(body, `,"next":`...)
		body = publication.AppendString(body, infos[limit-1].Name)
	}
	return append(body, '}')
}

// appendInfo appends {"channel","subscribers","messages","bytes","oldest"?,"newest"?}.
func appendInfo(dst []byte, lineage *log.Lineage, info hub.Info) []byte {
	dst = append(dst, `{"channel":`...)
	dst = publication.AppendString(dst, info.Name)
	dst = append(dst, `,"subscribers":`...)
	dst = strconv.AppendInt(dst, int64(info.Subscribers), 10)
	dst = append(dst, `,"messages":`...)
	dst = strconv.AppendInt(dst, int64(info.Messages), 10)
	dst = append(dst, `,"bytes":`...)
	dst = strconv.AppendInt(dst, int64(info.Bytes), 10)
	if info.Messages > 0 {
		dst = append(dst, `,"oldest":"`...)
		dst = lineage.Cursor(info.Oldest).Append(dst)
		dst = append(dst, `","newest":"`...)
		dst = lineage.Cursor(info.Newest).Append(dst)
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

// history is one request for retained messages.
type history struct {
	channel string
	from    loop.From
	after   uint64
	last    int
	limit   int
}

// newHistory is the request for a page of channel from where start (params.go)
// said; limit is as it was sent.
func newHistory(channel string, from loop.From, after uint64, last int, limit []byte) (history, error) {
	h := history{channel: channel, from: from, after: after, last: last}
	var err error
	if h.limit, err = parseLimit(limit, 0, maxHistoryPage); err != nil {
		return h, err
	}
	if h.from == loop.FromNow { // nothing is newer than now: the newest are meant
		h.from, h.last = loop.FromLast, historyPage
		if h.limit > 0 {
			h.last = h.limit
		}
	}
	if h.limit == 0 {
		h.limit = max(historyPage, min(h.last, maxHistoryPage))
	}
	return h, nil
}

func (q *questions) historyBody(h history) []byte {
	upto := q.hub.Head()
	switch h.from {
	case loop.FromLast:
		h.after = q.hub.Newest(h.channel, h.last)
	case loop.FromEarliest, loop.FromGap:
		h.after = 0
	}
	messages, discarded, more := q.hub.Read(nil, h.channel, h.after, upto, h.limit, PageBytes)
	list := make([]byte, 0, 256*len(messages))
	for i, m := range messages {
		// What is published may be six times as long in JSON; the page is bounded, too.
		if len(list) >= PageBytes {
			messages, more = messages[:i], true
			break
		}
		if i > 0 {
			list = append(list, ',')
		}
		if i%64 == 63 {
			runtime.Gosched() // a loop that has become ready does not wait for the whole page
		}
		list = appendObject(list, m, h.channel, q.lineage)
	}
	covered := upto
	if more && len(messages) > 0 {
		covered = messages[len(messages)-1].Sequence
	}

	body := append(make([]byte, 0, 512+len(list)), `{"channel":`...)
	body = publication.AppendString(body, h.channel)
	body = append(body, `,"cursor":"`...)
	body = q.lineage.Cursor(covered).Append(body)
	body = append(body, '"')
	if gap := (ring.Gap{Channel: h.channel, To: discarded, Foreign: h.from == loop.FromGap}); gap.Foreign {
		body = append(body, `,"gap":`...)
		body = publication.AppendGaps(body, []ring.Gap{gap}, q.lineage)
	} else if h.from == loop.FromCursor && h.after < discarded {
		gap.From = h.after
		body = append(body, `,"gap":`...)
		body = publication.AppendGaps(body, []ring.Gap{gap}, q.lineage)
	}
	body = append(body, `,"messages":[`...)
	body = append(body, list...)
	body = append(body, `],"more":`...)
	body = strconv.AppendBool(body, more)
	return append(body, '}')
}

func appendObject(dst []byte, m *ring.Message, channel string, lineage *log.Lineage) []byte {
	return publication.AppendJSON(dst, m.Entry.(*log.Entry), channel, lineage.Cursor(m.Sequence))
}
