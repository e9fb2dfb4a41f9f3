package hub

import (
	"time"

	"peal/server/rules"
)

// list has the histories of one age, ordered by their last publication: an
// intrusive doubly linked list. All expire at the same age, so this is nearly the
// order in which they expire. Every history is in its list from the lock hold in
// which it is created to the one in which its channel loses it. Guarded by Hub.order.
type list struct {
	newest, oldest *history
}

// classes returns a list for each age in the rules, and for each rule the index of
// its list.
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

// oldestHistory is the least recently published history, nil if there is none. It
// takes a step for each age in the rules.
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

// remove removes h.
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

// unlinkLocked removes the history of c if it is empty, and forgets c if it then
// has nothing left. h.order is held.
func (h *Hub) unlinkLocked(s *shard, c *channel) {
	if c.history == nil || c.history.count > 0 {
		return
	}
	past := c.history
	h.listOf(c).remove(past)
	c.history = nil
	h.forgetIdleLocked(s, past.hash, c)
}

// Limits of one Sweep and of one of its lock holds, in channels.
const (
	sweepChannels = 4096
	sweepStep     = 32 // appends wait for that many at most
)

// Sweep removes histories that have expired because nothing was published to their
// channel, and forgets the channels without subscribers among them: at most
// 4,096 of them, the least recently published first, delaying appends for 32
// at a time. more reports that there may be others: call again soon; otherwise a
// second later is enough.
//
// Histories of different ages take turns. For one age it ends at the first history
// with unexpired messages. Messages behind that one that a shorter TTL has expired
// keep their memory, which is counted, until their turn or eviction; no reader
// receives them.
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
		s := h.shardOf(past.hash)
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

// reap removes the history of a channel that a reader found completely expired. The
// reader must not wait for h.order under its shard's lock, so it calls reap without
// it.
func (h *Hub) reap(name string) {
	hash := h.hash(name)
	s := h.shardOf(hash)
	h.order.Lock()
	defer h.order.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.channels.Get(hash, name); c != nil {
		h.unlinkLocked(s, c)
	}
}
