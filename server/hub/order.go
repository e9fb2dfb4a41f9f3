package hub

import "time"

// list is the histories by when they were last published to: an intrusive
// doubly linked list. Every history is in it from the lock hold in which it is
// created to the one in which its channel loses it. Guarded by Hub.order.
type list struct {
	newest, oldest *history
}

// pushNewest adds h, which is not in the list.
func (l *list) pushNewest(h *history) {
	h.older = l.newest
	if l.newest != nil {
		l.newest.newer = h
	} else {
		l.oldest = h
	}
	l.newest = h
}

// remove takes h out.
func (l *list) remove(h *history) {
	if h.newer != nil {
		h.newer.older = h.older
	} else {
		l.newest = h.older
	}
	if h.older != nil {
		h.older.newer = h.newer
	} else {
		l.oldest = h.newer
	}
	h.newer, h.older = nil, nil
}

// unlinkLocked takes away the history of c if it has an empty one, and forgets
// c if that leaves nothing of it. h.order is held.
func (h *Hub) unlinkLocked(s *shard, c *channel) {
	if c.history == nil || c.history.count > 0 {
		return
	}
	h.list.remove(c.history)
	c.history = nil
	h.forgetIdleLocked(s, c)
}

// What one Sweep and one of its lock holds may do.
const (
	sweepChannels = 4096
	sweepStep     = 32 // appends wait for so many at most
)

// Sweep takes away histories that expired since nobody published to their
// channel, and forgets the channels without subscribers among them: at most
// 4,096 of them, the least recently published first, holding up appends for 32
// at a time. more means that there may be others: call again soon; otherwise a
// second later will do.
//
// It ends at the first history of which something is left. What a shorter TTL
// has expired behind that one keeps its memory, counted, until its turn or
// eviction comes; no reader is given it.
func (h *Hub) Sweep(now time.Time) (more bool) {
	for range sweepChannels / sweepStep {
		if !h.sweepStep(now.UnixMilli()) {
			return false
		}
	}
	return true
}

func (h *Hub) sweepStep(now int64) (more bool) {
	h.order.Lock()
	defer h.order.Unlock()
	for range sweepStep {
		past := h.list.oldest
		if past == nil {
			return false
		}
		c := past.channel
		s := h.shardOf(c.hash)
		s.mu.Lock()
		h.expireLocked(c, now)
		h.unlinkLocked(s, c)
		s.mu.Unlock()
		if h.list.oldest == past {
			return false
		}
	}
	return true
}

// reap takes away the history of a channel that a reader found expired as a
// whole. The reader, who must not wait for h.order under its shard's lock,
// calls it without.
func (h *Hub) reap(name string) {
	hash := h.hash(name)
	s := h.shardOf(hash)
	h.order.Lock()
	defer h.order.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.channels[name]; c != nil {
		h.unlinkLocked(s, c)
	}
}
