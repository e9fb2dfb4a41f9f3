package dialect

import (
	"time"

	"peal/loop"
	"peal/server/durable"
	"peal/server/log"
	"peal/server/session"
)

// durableRows are those of the Durable Streams protocol: for each content an event stream
// and a long poll.
func durableRows() (rows []Dialect) {
	for _, c := range durable.Contents {
		rows = append(rows,
			Dialect{
				Name: DurableEvents(c), Framing: loop.EventStream, Internal: true,
				Encode: func(e *log.Entry, _ string, at log.Cursor) []byte { return c.AppendEvents(nil, e, at, false) },
				Open: func(dst []byte, at log.Cursor, _ session.ID, known bool, _ time.Duration) []byte {
					if known { // its front says what is retained
						return dst
					}
					return durable.AppendUpToDate(dst, at, time.Now())
				},
				Heartbeat: func(dst []byte, at log.Cursor) []byte { return durable.AppendUpToDate(dst, at, time.Now()) },
			},
			Dialect{
				Name: DurablePoll(c), Framing: loop.Held, Internal: true,
				Encode:  func(e *log.Entry, _ string, _ log.Cursor) []byte { return c.Encode(e) },
				Respond: func(dst []byte, a Answer) []byte { return respondDurable(dst, c, a) },
			})
	}
	return rows
}

// DurableEvents and DurablePoll are the names of their rows.
func DurableEvents(c durable.Content) string { return "durable-sse-" + c.String() }
func DurablePoll(c durable.Content) string   { return "durable-poll-" + c.String() }

// respondDurable is Respond for a long poll. A reader whose position is no longer retained
// must begin anew: it receives that, and nothing of what is there.
func respondDurable(dst []byte, c durable.Content, a Answer) []byte {
	if len(a.Gaps) > 0 {
		return durable.AppendGone(dst, a.Head, a.HeadOnly)
	}
	messages := make([][]byte, 0, len(a.Messages))
	for _, m := range a.Messages {
		messages = append(messages, a.Bytes(m))
	}
	p := durable.Page{Head: a.Head, Content: c, Next: a.Cursor, UpToDate: !a.More, Live: true, Now: true, HeadOnly: a.HeadOnly, Time: time.Now()}
	return p.Append(dst, messages)
}
