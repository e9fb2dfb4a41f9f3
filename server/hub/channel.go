package hub

import (
	"strings"
	"sync"

	"peal/loop/dense"
)

// channel is one channel with subscribers or history. There may be many idle
// channels: see TestIdleChannelIsCheap before adding a field.
type channel struct {
	// Fixed.
	name string
	hash uint64
	rule uint16 // its index in Hub.rules; beside subscribers it takes no extra memory

	// Guarded by the shard.
	subscribers int32
	discarded   uint64   // highest sequence ever dropped; all that history holds are greater
	history     *history // nil while nothing is retained; set and cleared under Hub.order too
}

// shard has the channels whose hash falls into it, and the records of forgotten
// ones.
type shard struct {
	mu          sync.Mutex
	channels    dense.Table[string, *channel]
	subscribers int                 // of all its channels
	forgotten   forgotten           // discarded of the channels forgotten last
	runs        map[uint64]run      // by hash of the channel, see exempt.go; nil for none
	changed     map[string]struct{} // channels whose subscribers have changed, see Changed; nil: not recorded
	watermarks  []uint64            // by hash bucket: highest discarded of the channels forgotten before them
}

// The table of watermarks is split among the shards: the bucket of a hash is
// its low bits; the lowest of these select the shard, the others the index in it.
const (
	shardCount  = 256
	bucketCount = 65_536
)

// shardOf returns the shard of a hash.
func (h *Hub) shardOf(hash uint64) *shard { return &h.shards[hash&h.shardMask] }

// watermarkLocked returns the address of the watermark of a hash in s, its shard.
func (h *Hub) watermarkLocked(s *shard, hash uint64) *uint64 {
	return &s.watermarks[(hash&h.bucketMask)>>h.shardBits]
}

// openLocked returns the channel.
func (h *Hub) openLocked(s *shard, hash uint64, name string) *channel {
	if c := s.channels.Get(hash, name); c != nil {
		return c
	}
	return h.addLocked(s, hash, name, h.rules.Index(name))
}

// Is and Hash are for the table of channels.
func (c *channel) Is(name string) bool { return c.name == name }
func (c *channel) Hash() uint64        { return c.hash }

// each calls f for all channels of s, which is locked. f may unlock s for a while: those that go meanwhile
// are left out, and those that come, too.
func (s *shard) each(f func(name string, c *channel) bool) {
	for _, c := range s.channels.All() {
		if (c.subscribers != 0 || c.history != nil) && !f(c.name, c) {
			return
		}
	}
}

// addLocked adds the channel, which must not exist. It begins with the discarded of
// its hash and has its own copy of name.
func (h *Hub) addLocked(s *shard, hash uint64, name string, rule int) *channel {
	c := &channel{name: strings.Clone(name), hash: hash, rule: uint16(rule), discarded: h.forgottenLocked(s, hash)}
	s.channels.Add(hash, c)
	return c
}

// forgetIdleLocked removes c if it has neither subscribers nor history, and
// remembers its discarded.
func (h *Hub) forgetIdleLocked(s *shard, c *channel) {
	if c.subscribers != 0 || c.history != nil {
		return
	}
	h.forgetLocked(s, c.hash, c.discarded)
	s.channels.Remove(c.hash, c.name)
}

// dropLocked drops the oldest message of c, which must have one. The history
// may then be empty: the caller unlinks it.
func (h *Hub) dropLocked(c *channel) {
	m := c.history.drop()
	if m.Exclude != nil {
		h.shardOf(c.hash).exemptLocked(c.hash, c.discarded, m)
	}
	c.discarded = m.Sequence
	h.bytes.Add(-int64(release(m)))
	h.messages.Add(-1)
}

// expireLocked drops the messages of c that have expired by now, and reports
// whether that emptied its history. Each message is dropped once, so the cost
// is part of its publication's.
func (h *Hub) expireLocked(c *channel, now int64) (emptied bool) {
	if c.history == nil {
		return false
	}
	for c.history.count > 0 && c.history.at(0).expires <= now {
		h.dropLocked(c)
	}
	return c.history.count == 0
}
