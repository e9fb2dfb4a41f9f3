package hub

import (
	"peal/loop/ring"
	"peal/server/log"
)

// retain appends m, the message of e, to the history of its channels, and makes
// room for it. h.order is held.
func (h *Hub) retain(m *ring.Message, e *log.Entry, now int64) {
	if h.taking == nil { // else it is handed over
		h.journal.add(m, int(h.messages.Load()))
	}
	h.append(m, e, m.Channel, now)
	for _, name := range m.Also {
		h.append(m, e, name, now)
	}
	h.evict()
}

// append adds m to the history of one of its channels, within the channel's
// limits. If m cannot be retained, it is dropped at once, with all older messages.
// h.order is held.
func (h *Hub) append(m *ring.Message, e *log.Entry, name string, now int64) {
	hash := h.hash(name)
	s := h.shardOf(hash)
	s.mu.Lock()
	defer s.mu.Unlock()

	c := s.channels.Get(hash, name)
	place := h.ruleOf(c, name)
	rule := h.rules.At(place)
	expires := expiry(e.Time, e.TTL, rule.HistoryAge.Milliseconds())
	if rule.HistoryMessages < 0 || m.Size > rule.HistoryBytes || m.Size > h.config.TotalBytes || expires <= now {
		h.refuseLocked(s, hash, name, m)
		return
	}
	if c == nil {
		c = h.addLocked(s, hash, name, place)
	}
	if m.Sequence <= c.discarded {
		// A colliding channel of the same entry has just refused it. That needs
		// channels with different limits, but history > discarded must hold.
		h.forgetIdleLocked(s, hash, c)
		return
	}
	h.expireLocked(c, now)
	past := c.history
	if past == nil {
		past = &history{channel: c, hash: hash}
		c.history = past
		h.listOf(c).pushNewest(past)
	} else if past.count > 0 && past.newest() >= m.Sequence {
		return // named twice in one entry
	}
	for past.count > 0 && (int(past.count) >= rule.HistoryMessages || past.bytes+m.Size > rule.HistoryBytes) {
		h.dropLocked(c)
	}
	past.push(m, expires)
	h.published++
	past.published = h.published
	h.bytes.Add(int64(hold(m)))
	h.messages.Add(1)
	if list := h.listOf(c); list.newest != past {
		list.remove(past)
		list.pushNewest(past)
	}
}

// discard makes m, which no history retains, a gap of its channel for clients that
// were away. h.order is held.
func (h *Hub) discard(m *ring.Message) {
	hash := h.hash(m.Channel)
	s := h.shardOf(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	h.refuseLocked(s, hash, m.Channel, m)
}

// ruleOf is the index of the rule of c, or of a channel of that name if c is nil.
func (h *Hub) ruleOf(c *channel, name string) (place int) {
	if c != nil {
		return int(c.rule)
	}
	return h.rules.Index(name)
}

// refuseLocked discards m from a channel that cannot retain it. h.order is held.
func (h *Hub) refuseLocked(s *shard, hash uint64, name string, m *ring.Message) {
	c := s.channels.Get(hash, name)
	if c == nil {
		if before := h.forgottenLocked(s, hash); m.Exclude != nil && m.Sequence > before {
			s.exemptLocked(hash, before, m)
		}
		h.forgetLocked(s, hash, m.Sequence)
		return
	}
	for c.history != nil && c.history.count > 0 {
		h.dropLocked(c)
	}
	if m.Exclude != nil && m.Sequence > c.discarded {
		s.exemptLocked(hash, c.discarded, m)
	}
	c.discarded = max(c.discarded, m.Sequence)
	h.unlinkLocked(s, c)
}

// evict drops the oldest messages of the least recently published channels
// until all histories are within the total. h.order is held.
func (h *Hub) evict() {
	for h.bytes.Load() > int64(h.config.TotalBytes) {
		past := h.oldestHistory()
		if past == nil {
			return
		}
		c := past.channel
		s := h.shardOf(past.hash)
		s.mu.Lock()
		before := past.count
		for past.count > 0 && h.bytes.Load() > int64(h.config.TotalBytes) {
			h.dropLocked(c)
		}
		h.evicted.Add(uint64(before - past.count))
		h.unlinkLocked(s, c)
		s.mu.Unlock()
	}
}
