package token

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"

	"peal/server/grant"
)

// digest is the SHA-256 of a whole token.
type digest [sha256.Size]byte

const shardCount = 16

// cache has verified tokens, in shards by their digests. A full shard evicts one that
// was not used since the hand of its clock last passed it.
type cache struct {
	entries, bytes int // limits of one shard
	scopes         scopes
	shards         [shardCount]shard
}

type shard struct {
	mu    sync.Mutex
	slots []slot
	index map[uint64]uint32 // of slots, by the first bytes of the digest
	bytes int
	hand  int

	// generation changes when something is dropped: a grant whose verification began in
	// an earlier one is not put.
	generation uint64

	hits, evicted uint64
}

type slot struct {
	digest digest
	grant  *grant.Grant
	scope  *scope
	bytes  int32
	used   bool
}

// slotBytes is the memory of a slot, its place in the index and a grant, beside the
// texts of the grant.
const slotBytes = 64 + 24 + 80

func newCache(entries, bytes int, form Form) *cache {
	c := &cache{entries: max(1, entries/shardCount), bytes: bytes / 2 / shardCount}
	c.scopes.limit, c.scopes.form = bytes/2, form
	c.scopes.all = map[digest]*scope{}
	for i := range c.shards {
		c.shards[i].index = map[uint64]uint32{}
	}
	return c
}

func (d *digest) prefix() uint64 { return binary.LittleEndian.Uint64(d[:8]) }

func (c *cache) shard(d *digest) *shard { return &c.shards[d[8]%shardCount] }

// get returns the grant of a digest, nil if it is not there. If it has expired at now,
// in seconds, it is removed.
func (c *cache) get(d *digest, now int64) (g *grant.Grant, expired bool) {
	s := c.shard(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.index[d.prefix()]
	if !ok || s.slots[i].digest != *d {
		return nil, false
	}
	if g = s.slots[i].grant; hasExpired(g, now) {
		c.removeLocked(s, int(i))
		return nil, true
	}
	s.slots[i].used = true
	s.hits++
	return g, false
}

// hasExpired reports whether a token with an end has reached it.
func hasExpired(g *grant.Grant, now int64) bool { return g.Expires != 0 && g.Expires <= now }

// generation is what put needs of the time before the verification.
func (c *cache) generation(d *digest) uint64 {
	s := c.shard(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.generation
}

// put remembers a grant, unless something was dropped since the generation. It keeps
// the use of the scope, or releases it.
func (c *cache) put(d *digest, g *grant.Grant, one *scope, generation uint64, now int64) {
	bytes := slotBytes + textBytes(g.Subject) + textBytes(g.ID) + textBytes(g.Info)
	if !one.shared {
		bytes += one.bytes
	}
	s := c.shard(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.generation != generation || bytes > c.bytes {
		c.scopes.release(one)
		return
	}
	if i, ok := s.index[d.prefix()]; ok {
		c.removeLocked(s, int(i)) // another worker was faster
	}
	// Two are looked at for each that comes, so what has expired does not stay.
	for range 2 {
		c.passLocked(s, now, false)
	}
	for len(s.slots) >= c.entries || s.bytes+bytes > c.bytes {
		c.evictLocked(s, now)
	}
	s.index[d.prefix()] = uint32(len(s.slots))
	s.slots = append(s.slots, slot{digest: *d, grant: g, scope: one, bytes: int32(bytes)})
	s.bytes += bytes
}

// passLocked moves the hand on, and removes the slot it was at if that has expired
// or, if evict, was not used since the last time. It reports whether it did.
func (c *cache) passLocked(s *shard, now int64, evict bool) bool {
	if len(s.slots) == 0 {
		return false
	}
	if s.hand >= len(s.slots) {
		s.hand = 0
	}
	one := &s.slots[s.hand]
	expired := hasExpired(one.grant, now)
	remove := expired || evict && !one.used
	if remove {
		c.removeLocked(s, s.hand)
		if !expired {
			s.evicted++
		}
	} else if evict {
		one.used = false
	}
	s.hand++ // past the last slot, if that is here now: it is the newest
	return remove
}

// maxPasses bounds the search for a slot to evict.
const maxPasses = 64

// evictLocked removes one slot of s, which has some.
func (c *cache) evictLocked(s *shard, now int64) {
	for range maxPasses {
		if c.passLocked(s, now, true) {
			return
		}
	}
	c.removeLocked(s, min(s.hand, len(s.slots)-1))
	s.evicted++
}

func (c *cache) removeLocked(s *shard, i int) {
	one, last := s.slots[i], len(s.slots)-1
	delete(s.index, one.digest.prefix())
	if i < last {
		s.slots[i] = s.slots[last]
		s.index[s.slots[i].digest.prefix()] = uint32(i)
	}
	s.slots[last] = slot{}
	s.slots = s.slots[:last]
	s.bytes -= int(one.bytes)
	c.scopes.release(one.scope)
}

// dropStep is how many slots drop looks at before it lets others have the shard.
const dropStep = 256

// drop removes the grants that f picks, and those that are being verified meanwhile
// are not put.
func (c *cache) drop(f func(*grant.Grant) bool) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.generation++
		// From the end, where put adds and from where removeLocked takes: nothing that was
		// there before is passed over.
		for at := len(s.slots) - 1; at >= 0; at-- {
			if at%dropStep == 0 {
				s.mu.Unlock()
				s.mu.Lock()
			}
			if at = min(at, len(s.slots)-1); at >= 0 && f(s.slots[at].grant) {
				c.removeLocked(s, at)
			}
		}
		s.mu.Unlock()
	}
}

func textBytes(text string) int { return (len(text) + 15) &^ 15 }
