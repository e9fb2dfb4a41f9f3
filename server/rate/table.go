package rate

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// ways is how many places a bucket can be in: 128 bytes, two cache lines.
	ways = 8

	// stripes is how many locks a table has.
	stripeBits = 6
	stripes    = 1 << stripeBits

	// mostTokens is how many tokens a full bucket may owe at most: as many as one
	// message can have channels.
	mostTokens = 4096
)

// Buckets is how many buckets the table of a server has: 16 MiB, if so many are used.
const Buckets = 1 << 20

// Table is the buckets.
type Table struct {
	// Fixed.
	seeds [kinds]maphash.Seed
	sets  uint64 // of one stripe, a power of two

	// Shared.
	limited [kinds]atomic.Uint64 // counters: see Limited
	stripes [stripes]stripe
}

// stripe is a part of the table with its own lock. Its size keeps two of them off
// the same cache line.
type stripe struct {
	mu      sync.Mutex
	buckets []bucket // sets of ways; nil until the first use. Guarded by mu
	_       [32]byte
}

// bucket has its key, and the moment at which it is full, in nanoseconds of the
// clock. The zero value is a full bucket that belongs to nobody.
type bucket struct {
	key  Key
	full int64
}

// New returns a table with room for that many buckets, rounded up to a power of two
// of at least 512.
func New(buckets int) *Table {
	t := &Table{sets: 1}
	for t.sets*ways*stripes < uint64(buckets) {
		t.sets *= 2
	}
	for k := range t.seeds {
		t.seeds[k] = maphash.MakeSeed()
	}
	return t
}

// Take takes n tokens, at most 4096, from the bucket of key, and reports whether they
// were there; else nothing is taken, and retry is the time until they will be there if
// nobody else takes any. now is the time of a clock that does not go back. l must be on.
//
// A bucket that is full gives more tokens than its burst, or it never could: then it
// owes them, and is full again later.
func (t *Table) Take(key Key, l Limit, n int, now time.Duration) (ok bool, retry time.Duration) {
	interval := l.interval()
	s := t.stripe(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.bucket(t.sets, key, int64(now))
	lacks := b.lacks(l, int64(now))
	b.full = int64(now) + lacks
	if wait := lacks - interval*int64(l.Burst-min(n, l.Burst)); wait > 0 {
		return false, time.Duration(wait)
	}
	b.full += interval * int64(n)
	return true, 0
}

// Return brings back n tokens that were taken in vain.
func (t *Table) Return(key Key, l Limit, n int) {
	s := t.stripe(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	set := s.set(t.sets, key)
	for i := range set {
		if set[i].key == key {
			set[i].full -= l.interval() * int64(n)
			return
		}
	}
}

// lacks is the time until the bucket is full. It is bounded, so that neither a clock
// that was moved back nor a limit that was lowered since keeps the owner away for
// longer than the limit can.
func (b *bucket) lacks(l Limit, now int64) int64 {
	return min(max(0, b.full-now), l.interval()*int64(max(l.Burst, mostTokens)))
}

func (t *Table) stripe(key Key) *stripe { return &t.stripes[key>>(64-stripeBits)] }

// set returns the places in which the bucket of key can be, none before the first
// use. Its caller holds the lock.
func (s *stripe) set(sets uint64, key Key) []bucket {
	if s.buckets == nil {
		return nil
	}
	at := (uint64(key) & (sets - 1)) * ways
	return s.buckets[at : at+ways : at+ways]
}

// bucket returns that of key, which may be a new one in place of another: of one
// that is full, or else of the one that will be full first. Its caller holds the lock.
func (s *stripe) bucket(sets uint64, key Key, now int64) *bucket {
	if s.buckets == nil {
		s.buckets = make([]bucket, sets*ways)
	}
	set := s.set(sets, key)
	first := 0
	for i := range set {
		if set[i].key == key {
			return &set[i]
		}
		if set[i].full < set[first].full {
			first = i
		}
	}
	set[first] = bucket{key, now}
	return &set[first]
}

// Limited counts a refusal.
func (t *Table) Limited(k Kind) { t.limited[k].Add(1) }

// Stats is how many refusals there were, by kind.
func (t *Table) Stats() map[string]uint64 {
	n := make(map[string]uint64, kinds)
	for k := range kinds {
		n[k.String()] = t.limited[k].Load()
	}
	return n
}
