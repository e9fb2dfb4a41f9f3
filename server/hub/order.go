package hub

import (
	"time"

	"peal/server/rules"
)

// list is the histories of one age by when they were last published to: an
// intrusive doubly linked list. As all expire at the same age, this is nearly the
// order in which they do. Every history is in its list from the lock hold in which
// it is created to the one in which its channel loses it. Guarded by Hub.order.
type list struct {
	newest, oldest *history
}

// classes makes a list for each age that the rules have, and says for each rule
// which is its.
func classes(t *rules.Table) (byRule []uint16, lists []list) {
	places := map[time.Duration]uint16{}
	for i := range t.Len() {
		age := t.At(i).HistoryAge
		place, ok := places[age]
		if !ok {
			place = uint16(len(places))
			places[age] = place
		}
		byRule = append(byRule, place)
	}
	return byRule, make([]list, len(places))
}

// listOf is the list of c's history.
func (h *Hub) listOf(c *channel) *list { return &h.lists[h.classes[c.rule]] }

// oldestHistory is the one least recently published to, nil if there is none.
// It takes a step for each age that the rules have.
func (h *Hub) oldestHistory() (oldest *history) {
	for i := range h.lists {
		if past := h.lists[i].oldest; past != nil && (oldest == nil || past.published < oldest.published) {
			oldest = past
		}
	}
	return oldest
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
	h.listOf(c).remove(c.history)
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
// Histories of different ages take turns. Of one age it ends at the first of
// which something is left. What a shorter TTL has expired behind that one keeps
// its memory, counted, until its turn or eviction comes; no reader is given it.
func (h *Hub) Sweep(now time.Time) (more bool) {
	idle := 0
	for range sweepChannels / sweepStep {
		if h.sweepStep(now.UnixMilli()) {
			idle = 0
		} else if idle++; idle == len(h.lists) {
			return false
		}
	}
	return true
}

// sweepStep sweeps the list whose turn it is.
func (h *Hub) sweepStep(now int64) (more bool) {
	h.order.Lock()
	defer h.order.Unlock()
	list := &h.lists[h.turn]
	h.turn = (h.turn + 1) % len(h.lists)
	for range sweepStep {
		past := list.oldest
		if past == nil {
			return false
		}
		c := past.channel
		s := h.shardOf(c.hash)
		s.mu.Lock()
		h.expireLocked(c, now)
		h.unlinkLocked(s, c)
		s.mu.Unlock()
		if list.oldest == past {
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
