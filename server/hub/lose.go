package hub

// OnLose has f called by Lose, behind the loss; f must not block. Before Restore and
// Apply.
func (h *Hub) OnLose(f func(from, upto uint64)) { h.onLose = f }

// Lose drops all histories, and counts every entry up to upto as discarded from every
// channel: of some it is not known what they were; see log.Loser. What was retained
// before from goes, too, because a channel has one gap and not a hole. It is called as
// Apply is, also between two calls of Restore.
//
// Publishing waits for it. Its work is that of all channels there are, a fraction of a microsecond
// for each (BenchmarkLose); it does not look at messages.
func (h *Hub) Lose(from, upto uint64) {
	h.order.Lock()
	h.journal.lose(upto)
	for i := range h.shards {
		h.loseShard(&h.shards[i], upto)
	}
	// No shard has a history now, so nobody counts anything off meanwhile. Data that messages
	// share counts as held by those that are gone: one that follows may be charged less.
	clear(h.lists)
	h.bytes.Store(0)
	h.messages.Store(0)
	h.head.Store(max(h.head.Load(), upto))
	h.ring.Lose(upto)
	h.order.Unlock()
	if h.onLose != nil {
		h.onLose(from, upto)
	}
}

// loseShard is Lose for one shard. h.order is held. Histories are dropped as a whole, and lists
// with them, because what they hold is not beyond upto.
func (h *Hub) loseShard(s *shard, upto uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for bucket := range s.watermarks {
		s.watermarks[bucket] = max(s.watermarks[bucket], upto)
	}
	s.forgotten = forgotten{} // the watermarks say as much
	s.runs = nil
	for _, c := range s.channels.All() {
		c.history = nil
		if c.subscribers != 0 {
			c.discarded = max(c.discarded, upto)
			continue
		}
		hash := h.hashOf(c)
		s.channels.Remove(hash, c.name())
		if c.discarded > upto {
			h.forgetLocked(s, hash, c.discarded)
		}
	}
}
