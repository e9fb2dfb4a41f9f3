package admit

import (
	"sync/atomic"
	"time"
)

// Refusals is the budget of refusals that have a response. The lock of
// the Admission guards all but open; any goroutine may call End.
type Refusals struct {
	bucket Bucket
	open   atomic.Int32 // under way

	recent int           // refusals, halved every halfLife
	halved time.Duration // when that was done last
}

// begin reports whether there is room for one more refusal under way: within the rate, and while
// fewer than atOnce are. End must follow after true.
func (f *Refusals) begin(r Rate, atOnce int, now time.Duration) bool {
	if int(f.open.Load()) >= atOnce || f.bucket.Take(r, now) > 0 {
		return false
	}
	f.open.Add(1)
	return true
}

// End ends one that has begun.
func (f *Refusals) End() { f.open.Add(-1) }

// Open is how many are under way.
func (f *Refusals) Open() int { return int(f.open.Load()) }

const (
	halfLife   = 8 * time.Second
	leastRetry = 2 * time.Second
	mostRetry  = time.Minute
)

// count counts a refusal.
func (f *Refusals) count(now time.Duration) {
	for f.recent > 0 && now-f.halved >= halfLife {
		f.recent /= 2
		f.halved += halfLife
	}
	if f.recent == 0 {
		f.halved = now
	}
	f.recent++
}

// retry is when a client that was refused is to come back, at least after wait. It
// grows with the overload: the clients that were refused lately come back over the time in which they can
// all be refused once more. It is spread over half to one and a half times of that.
func (f *Refusals) retry(r Rate, wait time.Duration, random func(n int64) int64) time.Duration {
	base := leastRetry
	if r.IsOn() {
		base += time.Duration(f.recent) * r.Interval
	}
	base = min(max(base, wait), mostRetry)
	return max(wait, base/2) + time.Duration(random(int64(base)))
}
