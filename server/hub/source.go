package hub

import "peal/loop/ring"

// MaxRead is the most messages that one Read returns, and so the most pointers
// it copies while it holds its channel's shard.
const MaxRead = 1024

// lockPast locks the shard of a channel, drops its expired messages, and returns its
// history, nil for none, and the highest sequence ever dropped from it. unlockPast
// must follow, with the same shard and emptied.
func (h *Hub) lockPast(channel string) (s *shard, past *history, discarded uint64, emptied bool) {
	now := h.now().UnixMilli()
	hash := h.hash(channel)
	s = h.shardOf(hash)
	s.mu.Lock()
	c := s.channels.Get(hash, channel)
	if c == nil {
		return s, nil, h.forgottenLocked(s, hash), false
	}
	emptied = h.expireLocked(c, now)
	return s, c.history, c.discarded, emptied
}

func (h *Hub) unlockPast(s *shard, channel string, emptied bool) {
	s.mu.Unlock()
	if emptied {
		h.reap(channel)
	}
}

// Read appends to dst the retained messages of channel with after < sequence ≤
// upto, oldest first, until their Size exceeds limit bytes (at least one, if
// there is one) or there are count messages, or MaxRead. discarded is the highest
// sequence ever dropped from the channel, as far as it is recorded if the channel is
// not known; more reports that messages up to upto were left out.
//
// All three are from one moment: every publication of the channel with after <
// sequence ≤ upto that the hub has applied is in msgs, or left out and more is
// true, or has a sequence ≤ discarded; no returned message has one. So there is a
// gap if and only if after < discarded. discarded may be beyond upto.
//
// The messages are shared and must not be changed. Any goroutine may call it;
// it allocates only to extend dst.
func (h *Hub) Read(dst []*ring.Message, channel string, after, upto uint64, count, bytes int) (msgs []*ring.Message, discarded uint64, more bool) {
	s, past, discarded, emptied := h.lockPast(channel)
	if past != nil {
		i, end := past.after(after), past.after(upto)
		charged := 0
		for count = min(count, MaxRead); i < end && count > 0; count-- {
			m := past.at(i).message
			if charged += m.Size; charged > bytes && charged > m.Size {
				break
			}
			dst = append(dst, m)
			i++
		}
		more = i < end
	}
	h.unlockPast(s, channel, emptied)
	return dst, discarded, more
}

// Newest returns the position after which exactly n retained messages of
// channel (fewer if fewer are retained; all of them if n < 0) follow. A Read after
// it has no gap, unless messages are discarded in between.
//
// Any goroutine may call it; it does not allocate.
func (h *Hub) Newest(channel string, n int) (after uint64) {
	s, past, after, emptied := h.lockPast(channel)
	if past != nil && n >= 0 && n < int(past.count) {
		after = past.at(past.count - uint32(n) - 1).message.Sequence
	}
	h.unlockPast(s, channel, emptied)
	return after
}

// Latest returns the newest retained message of channel with after < sequence ≤
// upto, nil if there is none, how many others of them it skipped, and the highest
// sequence ever dropped from the channel, all from one moment as in Read.
//
// Any goroutine may call it; it does not allocate.
func (h *Hub) Latest(channel string, after, upto uint64) (m *ring.Message, passed int, discarded uint64) {
	s, past, discarded, emptied := h.lockPast(channel)
	if past != nil {
		if i, end := past.after(after), past.after(upto); i < end {
			m, passed = past.at(end-1).message, int(end-1-i)
		}
	}
	h.unlockPast(s, channel, emptied)
	return m, passed, discarded
}

// Join adds one subscriber of channel, and returns its name as the hub keeps it. The channel exists until Leave.
//
// Any goroutine may call it; an unknown channel is allocated, with a copy of its
// name.
func (h *Hub) Join(channel string) (kept string) {
	hash := h.hash(channel)
	s := h.shardOf(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := h.openLocked(s, hash, channel)
	c.subscribers++
	s.subscribers++
	if s.changed != nil {
		s.changed[c.name()] = struct{}{}
	}
	return c.name()
}

// Leave removes one subscriber of channel. With the last one, a channel without
// history is forgotten. It panics if there is none, because the count is then wrong.
func (h *Hub) Leave(channel string) {
	hash := h.hash(channel)
	s := h.shardOf(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channels.Get(hash, channel)
	if c == nil || c.subscribers == 0 {
		panic("hub: leave without join")
	}
	c.subscribers--
	s.subscribers--
	if s.changed != nil {
		s.changed[c.name()] = struct{}{}
	}
	h.forgetIdleLocked(s, hash, c)
}
