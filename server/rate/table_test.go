package rate_test

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"peal/server/rate"
)

// plain is a bucket as people describe it: tokens that drip in, in exact fractions.
type plain struct {
	limit  rate.Limit
	tokens *big.Rat
	at     time.Duration
}

func newPlain(l rate.Limit) *plain {
	return &plain{l, new(big.Rat).SetInt64(int64(l.Burst)), 0}
}

// take takes n tokens at that time. Only a full bucket gives more than it has.
func (p *plain) take(n int, now time.Duration) bool {
	dripped := big.NewRat(int64(now-p.at)*int64(p.limit.Count), int64(p.limit.Per))
	p.tokens.Add(p.tokens, dripped)
	burst := new(big.Rat).SetInt64(int64(p.limit.Burst))
	if p.tokens.Cmp(burst) > 0 {
		p.tokens = burst
	}
	p.at = now
	if p.tokens.Cmp(new(big.Rat).SetInt64(int64(min(n, p.limit.Burst)))) < 0 {
		return false
	}
	p.tokens.Sub(p.tokens, new(big.Rat).SetInt64(int64(n)))
	return true
}

func (p *plain) give(n int) { p.tokens.Add(p.tokens, new(big.Rat).SetInt64(int64(n))) }

func seeded(t *testing.T) *rand.Rand {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// All limits here have an interval of whole nanoseconds, so both must agree always.
func TestTakeAgreesWithAPlainBucket(t *testing.T) {
	random := seeded(t)
	limits := []rate.Limit{
		rate.PerSecond(1), rate.PerSecond(100), rate.PerSecond(rate.Most),
		{Count: 10, Per: time.Second, Burst: 1}, {Count: 5, Per: time.Second, Burst: 200}, {Count: 1, Per: time.Minute, Burst: 3}, {Count: 1, Per: time.Minute, Burst: rate.Most}, {Count: 30, Per: time.Minute, Burst: 30},
	}
	for round := range 400 {
		table := rate.New(1)
		limit := limits[round%len(limits)]
		interval := limit.Per / time.Duration(limit.Count)
		key, oracle := table.Number(rate.Connection, uint64(round)), newPlain(limit)
		now := time.Duration(random.Int64N(int64(time.Hour)))
		taken := map[bool]int{}
		for step := range 200 {
			switch random.IntN(4) {
			case 0: // at the same moment
			case 1:
				now += time.Duration(random.Int64N(3))
			case 2:
				now += time.Duration(random.Int64N(2 * int64(interval)))
			case 3:
				now += time.Duration(random.Int64N(1 + int64(interval)*int64(limit.Burst)/10))
			}
			n := 1
			if random.IntN(5) == 0 {
				n = random.IntN(1 + min(2*limit.Burst, 4096))
			}
			ok, retry := table.Take(key, limit, n, now)
			if want := oracle.take(n, now); ok != want {
				t.Fatalf("round %d, step %d: %v: %d at %v: %v, want %v", round, step, limit, n, now, ok, want)
			}
			taken[ok]++
			switch {
			case ok && retry != 0:
				t.Fatalf("%v: allowed, and to be tried again in %v", limit, retry)
			case ok && random.IntN(10) == 0:
				table.Return(key, limit, n)
				oracle.give(n)
			case !ok: // retry is exact
				if early, _ := table.Take(key, limit, n, now+retry-1); early {
					t.Fatalf("%v: allowed before %v have passed", limit, retry)
				}
				if random.IntN(2) == 0 {
					now += retry
					if late, _ := table.Take(key, limit, n, now); !late {
						t.Fatalf("%v: refused after %v", limit, retry)
					}
					oracle.take(n, now)
				}
			}
		}
		if limit.Burst < 1000 && taken[true]*taken[false] == 0 {
			t.Errorf("%v: one-sided: %v", limit, taken)
		}
	}
}

// 7 a second, or 999,999 a minute, have no interval of whole nanoseconds.
func TestOtherLimitsAreRightWithinAMillionth(t *testing.T) {
	for _, limit := range []rate.Limit{rate.PerSecond(3), rate.PerSecond(7), {Count: 999_999, Per: time.Second, Burst: 100}, {Count: 999_999, Per: time.Minute, Burst: 10}, {Count: 7, Per: time.Minute, Burst: 7}} {
		table := rate.New(1)
		key := table.Number(rate.Connection, 1)
		now, taken := time.Duration(0), 0
		const most = 300_000
		for range 2 * most { // each second one is refused, and waits
			if ok, retry := table.Take(key, limit, 1, now); ok {
				taken++
			} else {
				now += retry
			}
		}
		want := time.Duration(float64(limit.Per) / float64(limit.Count) * float64(taken-limit.Burst))
		if diff := (now - want).Abs(); diff > want/500_000+limit.Per/time.Duration(limit.Count) {
			t.Errorf("%v: %d took %v, want %v", limit, taken, now, want)
		}
	}
}

// The clock must not go back. If it does nevertheless, nobody gets more than a burst
// for it, and nobody is kept away for longer than the limit can.
func TestClockMovedBack(t *testing.T) {
	limit := rate.Limit{Count: 10, Per: time.Second, Burst: 20}
	table := rate.New(1)
	key := table.Number(rate.Connection, 1)
	take := func(now time.Duration) (n int) {
		for {
			if ok, _ := table.Take(key, limit, 1, now); !ok {
				return n
			}
			n++
		}
	}
	now := 1000 * time.Hour
	if got := take(now); got != 20 {
		t.Fatalf("%d, want the burst", got)
	}
	back := now - 999*time.Hour
	if got := take(back); got > 20 {
		t.Errorf("%d more after the clock went back", got)
	}
	ok, retry := table.Take(key, limit, 1, back)
	if longest := 4096 * limit.Per / 10; ok || retry > longest {
		t.Errorf("%v, to be tried again in %v, longer than %v", ok, retry, longest)
	}
	if ok, _ := table.Take(key, limit, 1, back+retry); !ok {
		t.Error("refused after the time that was given")
	}
}

func TestExtremesDoNotOverflow(t *testing.T) {
	for _, limit := range []rate.Limit{{Count: 1, Per: time.Minute, Burst: rate.Most}, {Count: rate.Most, Per: time.Second, Burst: 1}, {Count: 1, Per: time.Minute, Burst: 1}} {
		for _, now := range []time.Duration{0, 1, 1 << 62} {
			table := rate.New(1)
			key := table.Number(rate.Connection, 1)
			for range 1000 {
				_, retry := table.Take(key, limit, 4096, now)
				if retry < 0 || retry > time.Duration(max(limit.Burst, 4096))*limit.Per {
					t.Fatalf("%v at %v: retry %v", limit, now, retry)
				}
			}
			if ok, _ := table.Take(key, limit, 1, now); ok && limit.Burst < 1000 {
				t.Errorf("%v at %v: the bucket is not empty", limit, now)
			}
		}
	}
}

// A message with more channels than the burst needs a full bucket, and pays for all.
func TestMoreThanTheBurst(t *testing.T) {
	limit := rate.PerSecond(10)
	table := rate.New(1)
	key := table.Number(rate.Connection, 1)
	if ok, _ := table.Take(key, limit, 100, 0); !ok {
		t.Error("a full bucket refuses")
	}
	if ok, retry := table.Take(key, limit, 1, 0); ok || retry != 9*time.Second+100*time.Millisecond {
		t.Errorf("%v, %v: 90 tokens are owed, and one more is wanted", ok, retry)
	}
	if ok, _ := table.Take(key, limit, 100, 9900*time.Millisecond); ok {
		t.Error("allowed before the bucket is full")
	}
	if ok, _ := table.Take(key, limit, 100, 10*time.Second); !ok {
		t.Error("a full bucket refuses")
	}
}

// A limit that is lowered while the server runs keeps nobody away for longer than the
// new one can.
func TestLimitsMayChange(t *testing.T) {
	table := rate.New(1)
	key := table.Number(rate.User, 1)
	slow := rate.Limit{Count: 1, Per: time.Minute, Burst: 1000}
	table.Take(key, slow, 1000, 0)
	if ok, retry := table.Take(key, rate.PerSecond(100), 1, 0); ok || retry > time.Minute {
		t.Errorf("%v, %v", ok, retry)
	}
}

func TestKeysAreApart(t *testing.T) {
	table := rate.New(1)
	limit := rate.PerSecond(1)
	seen := map[rate.Key]string{}
	add := func(what string, k rate.Key) {
		t.Helper()
		if other, ok := seen[k]; ok {
			t.Errorf("%s and %s have one bucket", what, other)
		}
		seen[k] = what
		if ok, _ := table.Take(k, limit, 1, 0); !ok {
			t.Errorf("%s has no bucket of its own", what)
		}
	}
	for _, name := range []string{"", "a", "b", "ab"} {
		user, backend := table.Name(rate.User, name), table.Name(rate.Backend, name)
		add("user "+name, user)
		add("key "+name, backend)
		for _, channel := range []string{"", "a", "b", "ab"} {
			add("user "+name+" on "+channel, table.On(user, "c"+channel))
		}
	}
	for i := range uint64(5) {
		add(fmt.Sprint("connection ", i), table.Number(rate.Connection, i))
	}
	if table.Name(rate.User, "a") == rate.New(1).Name(rate.User, "a") {
		t.Error("the seed is no secret")
	}
}

// While each place has room for all that are not full, the table is exact, however
// many full ones were there before.
func TestFullBucketsMakeRoom(t *testing.T) {
	random := seeded(t)
	table := rate.New(1) // 64 places of 8 buckets
	limit := rate.Limit{Count: 1, Per: time.Second, Burst: 3}
	type one struct {
		key    rate.Key
		oracle *plain
	}
	place := func(k rate.Key) uint64 { return uint64(k) >> 58 }
	now, next := time.Duration(0), uint64(0)
	for range 200 {
		active, used := []one{}, map[uint64]int{}
		for len(active) < 64 {
			next++
			if k := table.Number(rate.Connection, next); used[place(k)] < 8 {
				used[place(k)]++
				active = append(active, one{k, newPlain(limit)})
			}
		}
		for range 500 {
			a := active[random.IntN(len(active))]
			now += time.Duration(random.Int64N(int64(time.Millisecond)))
			ok, _ := table.Take(a.key, limit, 1, now)
			if want := a.oracle.take(1, now); ok != want {
				t.Fatalf("%v, want %v", ok, want)
			}
		}
		now += 3 * time.Second // all are full
	}
}

// Where more buckets are in use than there is room for, the fullest is forgotten, and
// nobody is refused who has a token.
func TestBeyondItsRoomATableForgetsTheFullest(t *testing.T) {
	table := rate.New(1)
	limit := rate.Limit{Count: 1, Per: time.Second, Burst: 10}
	var here []rate.Key // 10 keys of one place
	for i := uint64(0); len(here) < 10; i++ {
		if k := table.Number(rate.Connection, i); k>>58 == 7 {
			here = append(here, k)
		}
	}
	for i, k := range here[:8] {
		if ok, _ := table.Take(k, limit, i+1, 0); !ok {
			t.Fatal("refused with a full bucket")
		}
	}
	if ok, _ := table.Take(here[8], limit, 10, 0); !ok { // in place of the first
		t.Fatal("a new bucket is refused")
	}
	if ok, _ := table.Take(here[9], limit, 10, 0); !ok { // in place of the second
		t.Fatal("a new bucket is refused")
	}
	for i, k := range here[2:8] {
		if ok, _ := table.Take(k, limit, 10-(i+3)+1, 0); ok {
			t.Errorf("bucket %d was forgotten", i+2)
		}
		if ok, _ := table.Take(k, limit, 10-(i+3), 0); !ok {
			t.Errorf("bucket %d has not what it should", i+2)
		}
	}
}

func TestSeveralGoroutinesShareABucket(t *testing.T) {
	table := rate.New(1)
	limit := rate.Limit{Count: 1, Per: time.Minute, Burst: 1000}
	key := table.Name(rate.User, "42")
	var taken atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 500 {
				if ok, _ := table.Take(key, limit, 2, 1); ok && i%10 == 0 {
					table.Return(key, limit, 2)
				} else if ok {
					taken.Add(2)
				}
			}
		})
	}
	all.Wait()
	if taken.Load() != 1000 {
		t.Errorf("%d tokens of 1000 were taken", taken.Load())
	}
}

func TestManyKeysAllocateBoundedMemory(t *testing.T) {
	keys := uint64(10_000_000)
	if raceEnabled || testing.Short() {
		keys = 1_000_000
	}
	table := rate.New(rate.Buckets)
	limit := rate.PerSecond(1)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range keys {
		if ok, _ := table.Take(table.Number(rate.User, i), limit, 1, time.Duration(i)); !ok {
			t.Fatalf("key %d is refused, and was never seen before", i)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 17<<20 {
		t.Errorf("%d MiB after %d keys", grown>>20, keys)
	}
	runtime.KeepAlive(table)
}

func TestTakeMakesNoGarbage(t *testing.T) {
	table := rate.New(1)
	limit := rate.PerSecond(100)
	name, now := "user-42", time.Duration(0)
	table.Take(table.Name(rate.User, name), limit, 1, now)
	table.Take(table.On(table.Number(rate.Connection, 9), "chat"), limit, 1, now)
	table.Take(table.Number(rate.Connection, 9), limit, 1, now)
	if n := testing.AllocsPerRun(1000, func() {
		now++
		user := table.Name(rate.User, name)
		table.Take(user, limit, 1, now)
		table.Return(user, limit, 1)
		table.Take(table.On(table.Number(rate.Connection, 9), "chat"), limit, 1, now)
		table.Take(table.Number(rate.Connection, 9), limit, 1, now)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestRefusalsAreCountedByKind(t *testing.T) {
	table := rate.New(1)
	table.Limited(rate.Backend)
	table.Limited(rate.Channel)
	table.Limited(rate.Channel)
	got := fmt.Sprint(table.Stats())
	if got != "map[channel:2 connection:0 key:1 user:0]" {
		t.Error(got)
	}
}

func BenchmarkTake(b *testing.B) {
	for _, keys := range []uint64{1, 1000, 1_000_000, 10_000_000} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			table, limit := rate.New(rate.Buckets), rate.PerSecond(100)
			for i := range uint64(1000) {
				table.Take(table.Number(rate.Connection, i), limit, 1, 0)
			}
			b.ReportAllocs()
			at, now := uint64(1), time.Duration(0)
			for b.Loop() {
				at, now = at*6364136223846793005+1442695040888963407, now+time.Microsecond
				table.Take(table.Number(rate.Connection, at>>20%keys), limit, 1, now)
			}
		})
	}
}
