package hub

import (
	"peal/loop/ring"
	"peal/server/log"
)

// Begin tells a new hub that its log does not begin with it: the newest entry
// is head, and the oldest that Restore will bring is oldest, head+1 if there is
// none. What is older counts as discarded, from every channel. Call it before
// anything else.
func (h *Hub) Begin(oldest, head uint64) {
	h.head.Store(head)
	h.journal.lose(oldest - 1)
	for i := range h.shards {
		s := &h.shards[i]
		s.mu.Lock()
		for bucket := range s.watermarks {
			s.watermarks[bucket] = oldest - 1
		}
		s.mu.Unlock()
	}
}

// Restore takes entries that the log had before it was opened: every one from
// the oldest to the head of Begin, in order, in batches of any size, before the
// first Apply. They go to the histories of their channels and not to the ring.
// The limits of history hold all the while, so a log of any length may be
// restored; what has expired is discarded at once. Calls must not overlap.
func (h *Hub) Restore(batch []*log.Entry) {
	now := h.now().UnixMilli()
	h.order.Lock()
	defer h.order.Unlock()
	for _, e := range batch {
		if e.Kind == log.KindPublication {
			h.retain(h.newMessage(e), e, now)
		}
	}
}

// newMessage makes the message that ring and histories share.
func (h *Hub) newMessage(e *log.Entry) *ring.Message {
	m := &ring.Message{
		Sequence: e.Sequence,
		Size:     e.Size(),
		Saved:    e.Saved(),
		Entry:    e,
	}
	if e.Exclude != nil {
		m.Exclude = &ring.Exclusion{ID: *e.Exclude}
		if h.session != nil {
			m.Exclude.Session = h.session(*e.Exclude)
		}
	}
	switch e.Kind {
	case log.KindPublication:
		m.Channel, m.Also = e.Channel, e.Also
	case log.KindPresence:
		m.Channel = log.PresencePrefix + e.Channel
	}
	return m
}
