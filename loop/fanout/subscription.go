package fanout

import "peal/loop/ring"

// From says where a subscription starts.
type From uint8

const (
	Now      From = iota // after the newest of the log
	After                // after Sequence
	Earliest             // everything retained
	Last                 // the newest Count of the channels together
	Foreign              // everything retained, after a gap: see ring.Gap.Foreign
)

// Subscription is what a member asks to receive. Those of many members may share
// Channels.
type Subscription struct {
	Channels []string // sorted, no duplicates, at least one; kept by nobody
	Sequence uint64   // After
	Count    int      // Last, at least 1

	// Small ones, side by side: each poll allocates one of these.
	Encoding  ring.Encoding
	From      From
	IgnoreGap bool   // go on after a gap that the encoding cannot express
	OneShot   bool   // a poll: one answer, then no longer subscribed
	Close     bool   // OneShot: the connection ends with the answer
	HeadOnly  bool   // OneShot by HEAD: headers only
	Introduce bool   // OneShot: the answer has a name by which publishers leave the client out, from its next poll on
	Most      uint16 // OneShot: messages in the answer, 0 for the limit
	Origin    uint16 // OneShot: who may read the answer, a number that the encoder knows
}
