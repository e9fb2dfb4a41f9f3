package loop

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"peal/loop/fanout"
)

// LifeState is what a loop remembers of the lives of its connections, as plain data for a
// loop of another process: see life. It is bounded as that is. Times have passed at the export.
type LifeState struct {
	Births map[uint16][]BirthState // by the loop that session numbers name; ascending
	Ends   []EndState              // the newest last, as Gaps
	Gaps   []GapState
}

// BirthState says that the connections from session number First on were accepted Ago, or
// between that and the next.
type BirthState struct {
	First uint64
	Ago   time.Duration
}

// EndState is a stream or a waiting poll that has ended.
type EndState struct {
	Session                          uint64
	Peer                             netip.AddrPort
	Ago                              time.Duration
	Code                             uint16
	Dialect, Transport, Reason, Name string
}

// GapState is a gap that a client received.
type GapState struct {
	Session uint64
	Ago     time.Duration
	Reason  string
	To      uint64
}

// ago is how long ago a tick was.
func (l *Loop) ago(then uint32) time.Duration { return time.Duration(l.tick-then) * tick }

// then is the tick of that long ago. It may be before the first one: only differences are looked at.
func (l *Loop) then(ago time.Duration) uint32 { return l.tick - uint32(max(0, ago)/tick) }

// exportLife returns what the loop remembers. It changes nothing.
func (l *Loop) exportLife(names fanout.Names) LifeState {
	s := LifeState{Births: map[uint16][]BirthState{}}
	births := func(number uint16, all []birth) {
		for _, b := range all {
			s.Births[number] = append(s.Births[number], BirthState{b.first, l.ago(b.tick)})
		}
	}
	births(l.number, l.life.births)
	for number, all := range l.life.elsewhere {
		births(number, all)
	}
	l.life.ends.newest(func(n *ended) bool {
		s.Ends = append(s.Ends, EndState{n.session, n.peer.addrPort(), l.ago(n.tick), n.code, names.EncodingName(n.dialect), n.transport, n.reason, n.name})
		return true
	})
	l.life.gaps.newest(func(n *gapNote) bool {
		s.Gaps = append(s.Gaps, GapState{n.session, l.ago(n.tick), gapTexts[n.reason], n.to})
		return true
	})
	slices.Reverse(s.Ends)
	slices.Reverse(s.Gaps)
	return s
}

// ImportLife has the loop of that number, modulo the number of loops, remember what one of another
// process has, Passed ago. Like Import, it is called before Start by the goroutine that calls Start,
// or behind Start by any. What it does not know, as a dialect, it leaves out.
func (g *Group) ImportLife(ctx context.Context, loop int, in Incoming, s LifeState) error {
	l := g.loops[loop%len(g.loops)]
	if !g.started {
		l.begin()
		l.importLife(in, &s)
		return nil
	}
	return g.each(ctx, func(one *Loop) {
		if one == l {
			l.importLife(in, &s)
		}
	})
}

func (l *Loop) importLife(in Incoming, s *LifeState) {
	then := func(ago time.Duration) uint32 { return l.then(ago + in.Passed) }
	for number, all := range s.Births {
		births := make([]birth, 0, len(all))
		for _, b := range all[max(0, len(all)-mostBirths):] {
			births = append(births, birth{b.First, then(b.Ago)})
		}
		switch {
		case number == l.number && len(l.life.births) == 0:
			l.life.births = births
		case len(l.life.elsewhere) < mostElsewhere:
			if l.life.elsewhere == nil {
				l.life.elsewhere = map[uint16][]birth{}
			}
			l.life.elsewhere[number] = births
		}
	}
	for i := range s.Ends {
		e := &s.Ends[i]
		if dialect, ok := in.Names.EncodingOf(e.Dialect); ok {
			l.life.ends.add(ended{e.Session, peerOf(e.Peer), then(e.Ago), e.Code, dialect, e.Transport, e.Reason, e.Name}, mostEnds)
		}
	}
	for _, g := range s.Gaps {
		if reason := slices.Index(gapTexts[:], g.Reason); reason >= 0 {
			l.life.gaps.add(gapNote{session: g.Session, to: g.To, tick: then(g.Ago), reason: uint8(reason)}, mostGaps)
		}
	}
}
