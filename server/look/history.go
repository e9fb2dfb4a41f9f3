package look

import (
	"runtime"
	"strconv"

	"peal/loop/fanout"
	"peal/loop/ring"
	"peal/server/log"
	"peal/server/publication"
	"peal/server/refusal"
	"peal/server/subscribe"
)

// History is one request for retained messages.
type History struct {
	channel string
	start   subscribe.Start
	limit   int

	// LeftOut is the id of the session that reads: it receives nothing that it was left
	// out of. nil: there is nothing of it.
	LeftOut *[16]byte
}

// NewHistory is the request for a page of channel from start; limit is as it was
// sent, empty for none.
func NewHistory(channel string, start subscribe.Start, limit []byte) (History, *refusal.Error) {
	h := History{channel: channel, start: start}
	var err *refusal.Error
	if h.limit, err = parseLimit(limit, 0, largestPage); err != nil {
		return h, err
	}
	if h.start.From == fanout.Now { // nothing is newer than now: the newest are meant
		h.start = subscribe.Start{From: fanout.Last, Count: standardPage}
		if h.limit > 0 {
			h.start.Count = h.limit
		}
	}
	if h.limit == 0 {
		h.limit = max(standardPage, min(h.start.Count, largestPage))
	}
	return h, nil
}

// Cost is about how many microseconds the page takes.
func (h *History) Cost() int { return historyCost + h.limit }

// page is what the hub has for a request.
type page struct {
	messages    []*ring.Message
	after, upto uint64 // of the log: what is between them, unless there is more
	discarded   uint64
	more        bool
}

func (d *Desk) read(h *History) (p page) {
	p.upto, p.after = d.Hub.Head(), h.start.Sequence
	switch h.start.From {
	case fanout.Last:
		p.after = d.Hub.Newest(h.channel, h.start.Count)
	case fanout.Earliest, fanout.Foreign:
		p.after = 0
	}
	p.messages, p.discarded, p.more = d.Hub.Read(nil, h.channel, p.after, p.upto, h.limit, PageBytes)
	return p
}

// History is what is retained of a channel, oldest first:
// {"channel","cursor","gap":[…]?,"messages":[…],"more"}. cursor is where the next
// page, or a subscription, goes on.
func (d *Desk) History(h History) []byte {
	p := d.read(&h)
	messages, discarded, more, after := p.messages, p.discarded, p.more, p.after
	list := make([]byte, 0, 256*len(messages))
	for i, m := range messages {
		// What is published may be six times as long in JSON; the page is bounded, too.
		if len(list) >= PageBytes {
			messages, more = messages[:i], true
			break
		}
		if i%64 == 63 {
			runtime.Gosched() // a loop that has become ready does not wait for the whole page
		}
		if m.Exclude != nil && h.isLeftOut(m.Exclude) {
			continue
		}
		if len(list) > 0 {
			list = append(list, ',')
		}
		list = appendObject(list, m, h.channel, d.Lineage)
	}
	if h.LeftOut != nil && after < discarded {
		discarded, _ = d.Hub.Concerns(h.channel, discarded, h.isLeftOut)
	}
	covered := p.upto
	if more && len(messages) > 0 {
		covered = messages[len(messages)-1].Sequence
	}

	body := append(make([]byte, 0, 512+len(list)), `{"channel":`...)
	body = publication.AppendString(body, h.channel)
	body = append(body, `,"cursor":"`...)
	body = d.Lineage.Cursor(covered).Append(body)
	body = append(body, '"')
	if gap := (ring.Gap{Channel: h.channel, To: discarded, Foreign: h.start.From == fanout.Foreign}); gap.Foreign {
		body = append(body, `,"gap":`...)
		body = publication.AppendGaps(body, []ring.Gap{gap}, d.Lineage)
	} else if h.start.From == fanout.After && after < discarded {
		gap.From = after
		body = append(body, `,"gap":`...)
		body = publication.AppendGaps(body, []ring.Gap{gap}, d.Lineage)
	}
	body = append(body, `,"messages":[`...)
	body = append(body, list...)
	body = append(body, `],"more":`...)
	body = strconv.AppendBool(body, more)
	return append(body, '}')
}

func (h *History) isLeftOut(x *ring.Exclusion) bool { return h.LeftOut != nil && x.ID == *h.LeftOut }

func appendObject(dst []byte, m *ring.Message, channel string, lineage *log.Lineage) []byte {
	return publication.AppendJSON(dst, m.Entry.(*log.Entry), channel, lineage.Cursor(m.Sequence))
}
