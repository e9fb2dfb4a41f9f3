package loop

import (
	"cmp"
	"slices"
)

// stall is a connection that was found with a full socket.
type stall struct {
	serial uint32
	rounds uint32 // in how many rounds one after the other
	round  uint32 // the newest of them
}

// sheds is what rounds of ShedStalled remember.
type sheds struct {
	round uint32
	seen  map[uint32]stall // by slot
}

// ShedStalled closes at most most connections of each loop whose socket was full at this
// call and the one before: those first that have been found so most often, then those
// that have what the others of their loop have had for the longest time. It is for
// when memory is short, at intervals of about a second. Any goroutine may call it.
func (g *Group) ShedStalled(most int) {
	for _, l := range g.loops {
		l.Post(func() { l.shedStalled(most) })
	}
}

// EndShedding forgets what ShedStalled has found. Any goroutine may call it.
func (g *Group) EndShedding() {
	for _, l := range g.loops {
		l.Post(func() { l.sheds = sheds{} })
	}
}

func (l *Loop) shedStalled(most int) {
	if l.freeze != nil {
		return // the next call finds them
	}
	s := &l.sheds
	if s.round++; s.seen == nil {
		s.seen = map[uint32]stall{}
	}
	type candidate struct {
		slot, rounds uint32
		position     uint64
	}
	var all []candidate
	for slot := range l.used {
		c := l.conn(slot)
		if c.state == stateFree || !l.fan.Stalled(slot) {
			continue
		}
		was := s.seen[slot]
		if was.serial != c.serial() || was.round != s.round-1 {
			was = stall{serial: c.serial()}
		}
		was.rounds, was.round = was.rounds+1, s.round
		s.seen[slot] = was
		if was.rounds > 1 {
			all = append(all, candidate{slot, was.rounds, l.fan.Position(slot)})
		}
	}
	for slot, was := range s.seen {
		if was.round != s.round {
			delete(s.seen, slot)
		}
	}
	slices.SortFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.rounds, a.rounds), cmp.Compare(a.position, b.position), cmp.Compare(a.slot, b.slot))
	})
	for _, v := range all[:min(most, len(all))] {
		l.counts.shed++
		l.warn(&l.complaints.slow, "slow consumer closed: the process is beyond the mark of memory-limit, and this client's socket has been full the longest", func() []any {
			half, private := l.fan.Held(v.slot)
			return []any{"client", l.clientText(v.slot), "held", half + private}
		})
		l.noteEnd(v.slot, l.conn(v.slot), 0, endMemory)
		l.close(v.slot, l.conn(v.slot))
	}
}
