package loop

import (
	"context"
	"time"

	"peal/loop/admit"
	"peal/loop/fanout"
)

// Stats is what one loop has done and holds.
type Stats struct {
	Loop         int
	Connections  int
	Accepted     uint64
	Exhausted    uint64      // times the kernel was out of descriptors or memory while accepting
	Failed       uint64      // connections that ended before they were accepted
	Refused      uint64      // without a descriptor, or for a reason of Admission
	Admission    admit.Stats // of the loop that accepts
	Reads        uint64
	Requests     uint64
	Received     uint64 // WebSocket messages from clients
	Heartbeats   uint64
	Dead         uint64 // closed for silence
	Slow         uint64 // given up: takes too little of what is for it alone
	InputFull    uint64 // closed: held most of the input when all was beyond Config.InputBytes
	ChannelsFull uint64 // closed: had most channels when there were more than Config.Channels
	MessageLate  uint64 // closed: a WebSocket message did not become whole in time
	Gapped       uint64 // raw WebSockets closed for a gap
	Fell         uint64 // slow streams closed by the rule of a channel
	Dismissed    uint64 // ended by Group.Dismiss
	Shed         uint64 // closed by Group.ShedStalled
	Slowed       uint64 // times that reading from a connection paused for Config.Inflow.Bytes
	Flooded      uint64 // closed: more frames than Config.Inflow.Frames
	HeadsFull    uint64 // closed: an unfinished request when there were more than Config.Heads
	Heads        int    // unfinished requests
	Turns        uint64
	Deferred     uint64            // times that input waited for a turn: its connection had used up its part, or is dear and the loop busy
	Work         uint64            // units of about a microsecond: Config.TurnWork
	LongestWork  uint64            // most units of one callback
	SendCalls    uint64            // system calls that sent
	Buffers      uint64            // sends of the fan-out whose bytes lay elsewhere than those of the send before
	Foreign      uint64            // streams with a gap because their cursor is unknown here
	Gaps         map[string]uint64 // gaps that clients received, or were closed for, by reason
	Busy         time.Duration     // spent working, not waiting for events
	Lag          time.Duration     // how long the loop took to come to this question
	Behind       uint64            // messages in the ring that it has not taken yet
	Transports   Transports        // connections by what they are now
	Closes       map[int]uint64    // close frames that the loop sent first, by code; 0 is any that the server does not use
	InputBytes   int               // unread and unfinished input
	Applied      uint64
	Fanout       fanout.Stats
}

// Transports counts connections by what they are at the moment.
type Transports struct {
	WebSocket int
	SSE       int
	Poll      int // waiting for its answer
	HTTP      int // between requests, inside one, answered by a worker, or about to end
}

// Add adds the counts of other to t.
func (t *Transports) Add(other Transports) {
	t.WebSocket += other.WebSocket
	t.SSE += other.SSE
	t.Poll += other.Poll
	t.HTTP += other.HTTP
}

// transports looks at every connection: counting at each change of state would
// cost every poll, and 50,000 are looked at in less than a tenth of a millisecond
// (BenchmarkStats).
func (l *Loop) transports() (t Transports) {
	for slot := range l.used {
		switch l.conn(slot).state {
		case stateFree:
		case stateWS, stateWSClosing:
			t.WebSocket++
		case stateSSE:
			t.SSE++
		case stateParked:
			t.Poll++
		default:
			t.HTTP++
		}
	}
	return t
}

// Stats asks the loops for their counters.
func (g *Group) Stats(ctx context.Context) ([]Stats, error) {
	out := make([]Stats, len(g.loops))
	asked := time.Now()
	err := g.each(ctx, func(l *Loop) {
		s := g.StatsOf(int(l.number))
		s.Lag = time.Since(asked)
		out[l.number] = s
	})
	if err != nil {
		return nil, err // a loop may write its own later
	}
	return out, nil
}

// StatsOf are the counters of one loop, without Lag. It is called on that loop, by
// Each.
func (g *Group) StatsOf(loop int) Stats {
	l := g.loops[loop]
	s := Stats{
		Loop: int(l.number), Connections: l.open, Accepted: l.counts.accepted, Refused: l.counts.refused,
		Reads: l.counts.reads, Requests: l.counts.requests, Received: l.counts.received,
		Heartbeats: l.counts.heartbeats, Dead: l.counts.dead, Slow: l.counts.slow, InputFull: l.counts.inputFull, ChannelsFull: l.counts.channelsFull, MessageLate: l.counts.messageLate, Gapped: l.counts.gapped, Fell: l.counts.fell, Dismissed: l.counts.dismissed, Shed: l.counts.shed, Slowed: l.counts.slowed, Flooded: l.counts.flooded, HeadsFull: l.counts.headsFull, Heads: l.heads,
		Turns: l.counts.turns, Deferred: l.counts.deferred, Work: l.work(), LongestWork: l.counts.longest, SendCalls: l.sender.calls, Buffers: l.sender.buffers, Foreign: l.counts.foreign, Gaps: l.counts.gapCounts(), Busy: l.counts.busy,
		Behind: l.ring.Behind(), Transports: l.transports(), Closes: l.closes.ByCode(), InputBytes: l.inputBytes, Applied: l.fan.Applied(), Fanout: l.fan.Stats(),
	}
	if a := l.acceptor; a != nil {
		s.Admission = a.admission.Stats()
		s.Refused += a.counts.shed
		for _, n := range s.Admission.Refused {
			s.Refused += n
		}
		s.Exhausted, s.Failed = a.counts.exhausted, a.counts.failed
	}
	return s
}
