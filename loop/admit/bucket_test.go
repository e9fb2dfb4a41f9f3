package admit_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"peal/loop/admit"
)

func TestBucketIsARateWithABurst(t *testing.T) {
	r := admit.Rate{Interval: 10 * time.Millisecond, Burst: 3}
	var b admit.Bucket
	now := time.Hour
	for i := range 3 {
		if wait := b.Take(r, now); wait != 0 {
			t.Fatalf("token %d of a full bucket: wait %v", i+1, wait)
		}
	}
	if wait := b.Take(r, now); wait != r.Interval || b.Wait(r, now) != wait {
		t.Errorf("an empty bucket: wait %v, want %v", wait, r.Interval)
	}
	if wait := b.Take(r, now+r.Interval); wait != 0 {
		t.Errorf("after the time that was named: wait %v", wait)
	}
	if wait := b.Wait(r, now+time.Hour); wait != 0 {
		t.Errorf("an hour later: wait %v", wait)
	}
	if wait := b.Take(admit.Rate{}, 0); wait != 0 {
		t.Errorf("without a limit: wait %v", wait)
	}
}

func TestBucketOfALoweredLimit(t *testing.T) {
	var b admit.Bucket
	slow := admit.Rate{Interval: time.Minute, Burst: 1000}
	for range 1000 {
		b.Take(slow, 0)
	}
	fast := admit.Rate{Interval: time.Millisecond, Burst: 2}
	if wait := b.Wait(fast, 0); wait > 2*time.Millisecond {
		t.Errorf("wait %v for a bucket that is full after 2 ms", wait)
	}
}

// No schedule lets an owner have more than its burst and its rate.
func TestBucketsHoldTheRate(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		r := admit.Rate{Interval: time.Duration(1+random.IntN(20)) * time.Millisecond, Burst: 1 + random.IntN(20)}
		buckets := admit.NewBuckets(seed)
		taken, now := map[uint64]int{}, time.Duration(0)
		for range 5000 {
			now += time.Duration(random.IntN(int(2 * time.Millisecond)))
			key := uint64(random.IntN(4))
			if buckets.Take(key, r, now) == 0 {
				taken[key]++
			}
			if most := r.Burst + int(now/r.Interval); taken[key] > most {
				t.Fatalf("seed %d: %d taken in %v, at most %d are allowed", seed, taken[key], now, most)
			}
		}
		for key, n := range taken {
			if least := min(int(now/r.Interval), 1000); n < least/2 { // each has asked about 1250 times
				t.Errorf("seed %d: key %d got %d of %d", seed, key, n, least)
			}
		}
	}
}

// However many addresses there are, the memory is the same, and all get their burst.
func TestBucketsAreBounded(t *testing.T) {
	buckets := admit.NewBuckets(1)
	r := admit.Rate{Interval: time.Hour, Burst: 2}
	buckets.Take(0, r, 0)
	n := testing.AllocsPerRun(1, func() {
		for key := range uint64(10 * admit.Places) {
			if wait := buckets.Take(key<<32|1, r, time.Second); wait != 0 {
				t.Fatalf("the first connection of address %d must wait %v", key, wait)
			}
		}
	})
	if n > 0 {
		t.Errorf("%v allocations", n)
	}
}
