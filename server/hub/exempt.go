package hub

import "peal/loop/ring"

// run is the newest messages that a channel has dropped, as far as all of them leave out
// the same session: those with floor < sequence ≤ upto. For that session they are no gap.
type run struct {
	floor, upto uint64
	exclusion   *ring.Exclusion
}

// runsPerShard bounds the runs of a shard: 65,536 channels in all, of about 100 B each.
// Beyond it another one is forgotten, and its session may receive a gap for messages that
// were not for it.
const runsPerShard = 256

// exemptLocked notes that m, which leaves out a session, was dropped from the channel of
// that hash, whose highest dropped sequence was before. Messages that leave nobody out are
// not noted: then upto is less than the highest dropped sequence, and the run is over.
func (s *shard) exemptLocked(hash, before uint64, m *ring.Message) {
	r, ok := s.runs[hash]
	if !ok || r.upto != before || r.exclusion.ID != m.Exclude.ID {
		r = run{floor: before, exclusion: m.Exclude}
	}
	r.upto = m.Sequence
	if !ok && len(s.runs) >= runsPerShard {
		for other := range s.runs {
			delete(s.runs, other)
			break
		}
	}
	if s.runs == nil {
		s.runs = map[uint64]run{}
	}
	s.runs[hash] = r
}

// Concerns returns what remains of a gap for one session: the messages of channel that were
// dropped up to a sequence, which Read has returned, without the newest of them that leave
// out the same session, if that is the one that leavesOut knows. whole reports that no
// session has less of it.
//
// Any goroutine may call it.
func (h *Hub) Concerns(channel string, discarded uint64, leavesOut func(x *ring.Exclusion) bool) (upto uint64, whole bool) {
	hash := h.hash(channel)
	s := h.shardOf(hash)
	s.mu.Lock()
	r, ok := s.runs[hash]
	s.mu.Unlock()
	switch {
	case !ok || discarded > r.upto || discarded <= r.floor:
		return discarded, true
	case leavesOut(r.exclusion):
		return r.floor, false
	}
	return discarded, false
}
