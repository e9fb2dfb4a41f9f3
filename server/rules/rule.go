package rules

import (
	"time"

	"peal/loop/fanout"
)

// Rule is what holds for the channels that it matches. In a rule as it is
// written a zero means: as the server's settings say. In a Rule of a Table
// nothing is left open.
type Rule struct {
	// Match is the pattern, 1 to 200 bytes of printable UTF-8.
	Match string

	// HistoryMessages, HistoryBytes and HistoryAge limit what is retained of
	// each channel, as hub.Limits do: negative messages are no history, bytes are
	// those that log.Entry.Size counts.
	HistoryMessages int
	HistoryBytes    int
	HistoryAge      time.Duration

	// Slow is what becomes of subscribers that cannot keep up. Default Resume.
	Slow fanout.Policy

	// ClientPublish says whether clients may publish by WebSocket. Publishing by
	// HTTP is the backend's and always allowed. Default Yes.
	ClientPublish Choice

	// MessageBytes is the size of one message's data. Never more than the
	// server's own limit.
	MessageBytes int

	// MaxSubscribers is how many subscribers a channel may have. It is looked at
	// before somebody subscribes, so that loops in which this happens at the same
	// moment may exceed it by a few. Default 0: no limit.
	MaxSubscribers int

	// Presence says whether one can be listed on these channels, and told who comes
	// and goes. Default Yes.
	Presence Choice
}

// over returns r with what it leaves open filled in from d.
func (r Rule) over(d Rule) Rule {
	number := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	number(&r.HistoryMessages, d.HistoryMessages)
	number(&r.HistoryBytes, d.HistoryBytes)
	number(&r.MessageBytes, d.MessageBytes)
	number(&r.MaxSubscribers, d.MaxSubscribers)
	if r.HistoryAge == 0 {
		r.HistoryAge = d.HistoryAge
	}
	if r.Slow == 0 {
		r.Slow = d.Slow
	}
	if r.ClientPublish == 0 {
		r.ClientPublish = d.ClientPublish
	}
	if r.Presence == 0 {
		r.Presence = d.Presence
	}
	return r
}

// Choice is yes, no, or 0 for what is left open.
type Choice uint8

const (
	Yes Choice = 1 + iota
	No
)
