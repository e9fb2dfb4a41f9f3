package admit

import "time"

// Rate is one event each Interval, and Burst of them at once. The zero value is no limit.
type Rate struct {
	Interval time.Duration
	Burst    int // at least 1
}

// IsOn reports whether something is limited.
func (r Rate) IsOn() bool { return r.Interval > 0 }

// PerSecond is the number of events in a second, 0 without a limit.
func (r Rate) PerSecond() float64 {
	if !r.IsOn() {
		return 0
	}
	return float64(time.Second) / float64(r.Interval)
}

// Bucket is the moment at which it is full (the generic cell rate algorithm). The zero
// value is a full one.
type Bucket struct{ full time.Duration }

// Wait returns how long it takes until a token is there, 0 if there is one.
func (b *Bucket) Wait(r Rate, now time.Duration) time.Duration {
	if !r.IsOn() {
		return 0
	}
	return max(0, b.lacks(r, now)-r.Interval*time.Duration(r.Burst-1))
}

// Take takes a token, if there is one. If not, wait is the time until there is.
func (b *Bucket) Take(r Rate, now time.Duration) (wait time.Duration) {
	if !r.IsOn() {
		return 0
	}
	if wait := b.Wait(r, now); wait > 0 {
		return wait
	}
	b.full = now + b.lacks(r, now) + r.Interval
	return 0
}

// lacks is the time until the bucket is full; no more than an empty one needs, so that a limit that
// was lowered since keeps nobody away for longer than it can.
func (b *Bucket) lacks(r Rate, now time.Duration) time.Duration {
	return min(max(0, b.full-now), r.Interval*time.Duration(r.Burst))
}

const (
	ways = 8       // places that a bucket can be in: 128 bytes, two cache lines
	sets = 1 << 12 // 512 KiB in all

	// Places is how many buckets there is room for.
	Places = ways * sets
)

// Buckets are buckets by key, in 512 KiB once one was used. When all places for a key are taken, the
// bucket that will be full first is forgotten: its owner has its burst again.
//
// Concurrency: none of its own.
type Buckets struct {
	seed   uint64
	places []place // sets of ways; nil before the first use
}

type place struct {
	key    uint64
	bucket Bucket
}

// NewBuckets returns none; seed is secret, so that nobody can choose addresses that share one set.
func NewBuckets(seed uint64) Buckets { return Buckets{seed: seed} }

// Take is Bucket.Take for the bucket of key.
func (b *Buckets) Take(key uint64, r Rate, now time.Duration) (wait time.Duration) {
	if !r.IsOn() {
		return 0
	}
	if b.places == nil {
		b.places = make([]place, Places)
	}
	at := mix(key^b.seed) % sets * ways
	set := b.places[at : at+ways : at+ways]
	first := 0
	for i := range set {
		if set[i].key == key {
			return set[i].bucket.Take(r, now)
		}
		if set[i].bucket.full < set[first].bucket.full {
			first = i
		}
	}
	set[first] = place{key: key}
	return set[first].bucket.Take(r, now)
}

// mix is the finalizer of MurmurHash3: each bit of k changes half of the bits.
func mix(k uint64) uint64 {
	k = (k ^ k>>33) * 0xff51afd7ed558ccd
	k = (k ^ k>>33) * 0xc4ceb9fe1a85ec53
	return k ^ k>>33
}
