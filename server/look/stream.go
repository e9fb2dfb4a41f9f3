package look

import (
	"runtime"
	"time"

	"peal/loop/fanout"
	"peal/server/durable"
	"peal/server/log"
	"peal/server/subscribe"
)

// Stream is one request for a part of a channel as a Durable Stream.
type Stream struct {
	Page    durable.Page // without what is found: Next, UpToDate, Time
	history History
}

// NewStream is the request for what channel has from start on.
func NewStream(channel string, start subscribe.Start, page durable.Page) Stream {
	return Stream{Page: page, history: History{channel: channel, start: start, limit: largestPage}}
}

// Cost is about how many microseconds it takes.
func (s *Stream) Cost() int { return historyCost + largestPage/4 }

// AppendTo appends the whole response: the page, or that it is gone.
func (s Stream) AppendTo(dst []byte, d *Desk) []byte {
	p := s.Page
	p.Time = time.Now()
	if s.history.start.From == fanout.Now {
		p.Next, p.UpToDate, p.Now = d.Lineage.Cursor(d.Hub.Head()), true, true
		return p.Append(dst, nil)
	}
	found := d.read(&s.history)
	if s.history.start.From == fanout.After && found.after < found.discarded {
		return durable.AppendGone(dst, p.Head, p.HeadOnly)
	}
	size := 0
	var messages [][]byte
	covered, more := found.upto, found.more
	for i, m := range found.messages {
		if size >= PageBytes {
			more, found.messages = true, found.messages[:i]
			break
		}
		if i%64 == 63 {
			runtime.Gosched() // as in History
		}
		b := p.Content.Encode(m.Entry.(*log.Entry))
		messages, size = append(messages, b), size+len(b)
	}
	if more && len(found.messages) > 0 {
		covered = found.messages[len(found.messages)-1].Sequence
	}
	p.From, p.Next, p.UpToDate = d.Lineage.Cursor(found.after), d.Lineage.Cursor(covered), !more
	return p.Append(dst, messages)
}
