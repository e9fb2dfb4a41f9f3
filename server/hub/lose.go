package hub

// OnLose has f called by Lose, behind the loss; f must not block. Before Restore and
// Apply.
func (h *Hub) OnLose(f func(from, upto uint64)) { h.onLose = f }

// Lose drops all histories, and counts every entry up to upto as discarded from every
// channel: of some it is not known what they were; see log.Loser. What was retained
// before from goes, too, because a channel has one gap and not a hole. It is called as
// Apply is, also between two calls of Restore.
//
// Its work is that of all channels and messages there are, some microseconds for each channel (BenchmarkLose). It is
// for what happens once in the life of a store.
func (h *Hub) Lose(from, upto uint64) {
	h.order.Lock()
	h.journal.lose(upto)
	for i := range h.shards {
		h.loseShard(&h.shards[i], upto)
	}
	h.head.Store(max(h.head.Load(), upto))
	h.ring.Lose(upto)
	h.order.Unlock()
	if h.onLose != nil {
		h.onLose(from, upto)
	}
}

// loseShard is Lose for one shard. h.order is held.
func (h *Hub) loseShard(s *shard, upto uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for bucket := range s.watermarks {
		s.watermarks[bucket] = max(s.watermarks[bucket], upto)
	}
	s.forgotten = forgotten{} // the watermarks say as much
	for _, c := range s.channels {
		for c.history != nil && c.history.count > 0 {
			h.dropLocked(c)
		}
		c.discarded = max(c.discarded, upto)
		h.unlinkLocked(s, c) // may forget it, which a range allows
	}
	s.runs = nil // dropLocked notes them
}
