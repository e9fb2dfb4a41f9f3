package hub

import (
	"math"
	"strings"
	"sync"
	"unsafe"

	"peal/loop/dense"
)

// channel is one channel with subscribers or history. There may be many idle
// channels, so it has 32 bytes: see TestIdleChannelIsCheap before adding a field. Its hash
// is computed again where it is needed (Hub.hashOf).
type channel struct {
	// Guarded by the shard.
	discarded   uint64   // highest sequence ever dropped; all that history holds are greater
	history     *history // nil while nothing is retained; set and cleared under Hub.order too
	subscribers int32

	// Fixed.
	rule   uint16 // its index in Hub.rules
	length uint16 // of the name
	text   *byte  // its first byte
}

// name is the channel's name: its text and its length, which take 6 bytes less than a string.
func (c *channel) name() string { return unsafe.String(c.text, c.length) }

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

// Is is for the table of channels.
func (c *channel) Is(name string) bool { return c.name() == name }

// hashOf is the hash of the channel's name.
func (h *Hub) hashOf(c *channel) uint64 { return h.hash(c.name()) }

// each calls f for all channels of s, which is locked. f may unlock s for a while: those that go meanwhile
// are left out, and those that come, too.
func (s *shard) each(f func(name string, c *channel) bool) {
	for _, c := range s.channels.All() {
		if (c.subscribers != 0 || c.history != nil) && !f(c.name(), c) {
			return
		}
	}
}

// addLocked adds the channel, which must not exist. It begins with the discarded of
// its hash and has its own copy of name.
func (h *Hub) addLocked(s *shard, hash uint64, name string, rule int) *channel {
	if len(name) > math.MaxUint16 {
		panic("hub: the name of a channel is longer than 65,535 bytes")
	}
	text := unsafe.StringData(strings.Clone(name))
	c := &channel{text: text, length: uint16(len(name)), rule: uint16(rule), discarded: h.forgottenLocked(s, hash)}
	s.channels.Add(hash, c)
	return c
}

// forgetIdleLocked removes c, whose hash is given, if it has neither subscribers nor history, and
// remembers its discarded.
func (h *Hub) forgetIdleLocked(s *shard, hash uint64, c *channel) {
	if c.subscribers != 0 || c.history != nil {
		return
	}
	h.forgetLocked(s, hash, c.discarded)
	s.channels.Remove(hash, c.name())
}

// dropLocked drops the oldest message of c, which must have one. The history
// may then be empty: the caller unlinks it.
func (h *Hub) dropLocked(c *channel) {
	m := c.history.drop()
	if m.Exclude != nil {
		hash := c.history.hash
		h.shardOf(hash).exemptLocked(hash, c.discarded, m)
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
