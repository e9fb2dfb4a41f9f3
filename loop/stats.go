package loop

import (
	"context"

	"peal/loop/fanout"
)

// Stats is what one loop has done and holds.
type Stats struct {
	Loop        int
	Connections int
	Accepted    uint64
	Exhausted   uint64 // times the kernel was out of descriptors or memory while accepting
	Failed      uint64 // connections that ended before they were accepted
	Refused     uint64 // beyond the limit, or without a descriptor
	Reads       uint64
	Requests    uint64
	Received    uint64 // WebSocket messages from clients
	Heartbeats  uint64
	Dead        uint64 // closed for silence
	Slow        uint64 // given up: takes too little of what is for it alone
	Gapped      uint64 // raw WebSockets closed for a gap
	Fell        uint64 // slow streams closed by the rule of a channel
	Turns       uint64
	InputBytes  int // unread and unfinished input
	Applied     uint64
	Fanout      fanout.Stats
}

// Stats asks the loops for their counters.
func (g *Group) Stats(ctx context.Context) ([]Stats, error) {
	out := make([]Stats, len(g.loops))
	err := g.each(ctx, func(l *Loop) {
		s := Stats{
			Loop: int(l.number), Connections: l.open, Accepted: l.counts.accepted, Refused: l.counts.refused,
			Reads: l.counts.reads, Requests: l.counts.requests, Received: l.counts.received,
			Heartbeats: l.counts.heartbeats, Dead: l.counts.dead, Slow: l.counts.slow, Gapped: l.counts.gapped, Fell: l.counts.fell,
			Turns: l.counts.turns, InputBytes: l.inputBytes, Applied: l.fan.Applied(), Fanout: l.fan.Stats(),
		}
		if a := l.acceptor; a != nil {
			s.Refused += a.counts.refused + a.counts.shed
			s.Exhausted, s.Failed = a.counts.exhausted, a.counts.failed
		}
		out[l.number] = s
	})
	if err != nil {
		return nil, err // a loop may write its own later
	}
	return out, nil
}
