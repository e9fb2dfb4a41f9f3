package rules

import (
	"time"

	"peal/loop/fanout"
	"peal/server/rate"
)

// Rule has the limits of the channels that it matches. In a rule of the
// configuration, a zero value stands for the server's own setting. In a Rule of a
// Table no field is zero for that reason.
type Rule struct {
	// Match is the pattern: see package pattern.
	Match string

	// HistoryMessages, HistoryBytes and HistoryAge limit what is retained of
	// each channel, as hub.Limits do: negative messages are no history, bytes are
	// those that log.Entry.Size counts.
	HistoryMessages int
	HistoryBytes    int
	HistoryAge      time.Duration

	// Slow is the policy for slow consumers. Default Resume.
	Slow fanout.Policy

	// ClientPublish is whether clients may publish: over a WebSocket, with a token, and
	// where tokens are needed without one. Others are taken for the backend. Default Yes.
	ClientPublish Choice

	// Subscribe is who may subscribe to these channels, read their history and list
	// their members; Publish is who may publish on them, on any transport. Defaults
	// those of the server: Anyone with auth open, Token with auth token.
	Subscribe, Publish Who

	stated bool // Subscribe is the rule's own

	// MessageBytes is the size of one message's data. Never more than the
	// server's own limit.
	MessageBytes int

	// Rate limits the publications of one client on one channel, in place of the limits
	// of its connection and user. Keys of backends are not limited by it. Default 0: those
	// apply; rate.Off is no limit.
	Rate rate.Limit

	// MaxSubscribers is how many subscribers a channel may have. It is checked
	// before a subscription, so several loops that check at the same moment may
	// exceed it by a few. Default 0: no limit.
	MaxSubscribers int

	// Deflate is whether messages are compressed for clients that can take that.
	// Default No.
	Deflate Choice

	// Presence is whether these channels have lists of members and their events.
	// Default Yes.
	Presence Choice
}

// RestrictsSubscribers reports whether the rule itself says that not anyone may subscribe. It is
// false where that follows from a setting of the server.
func (r *Rule) RestrictsSubscribers() bool { return r.stated && r.Subscribe != Anyone }

// over returns r with its zero fields filled in from d.
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
	if r.Subscribe == 0 {
		r.Subscribe = d.Subscribe
	}
	if r.Publish == 0 {
		r.Publish = d.Publish
	}
	if r.Presence == 0 {
		r.Presence = d.Presence
	}
	if r.Deflate == 0 {
		r.Deflate = d.Deflate
	}
	return r
}

// Choice is yes, no, or 0 for inherited.
type Choice uint8

const (
	Yes Choice = 1 + iota
	No
)
