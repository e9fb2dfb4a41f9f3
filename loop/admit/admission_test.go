package admit_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"peal/loop/admit"
)

var (
	every10ms = admit.Rate{Interval: 10 * time.Millisecond, Burst: 2}
	flood     = admit.Client{Key: 66, Limited: true}
)

func none(int64) int64 { return 0 }

func client(key int) admit.Client { return admit.Client{Key: uint64(key), Limited: true} }

func newAdmission(l admit.Limits) *admit.Admission {
	if l.Connections == 0 {
		l.Connections = 1 << 20
	}
	return admit.New(l, 1)
}

func TestReasonsInTheirOrder(t *testing.T) {
	a := newAdmission(admit.Limits{Connections: 3, PerAddress: 1, AddressRate: every10ms})
	check := func(name string, c admit.Client, open int, want admit.Reason) {
		t.Helper()
		if why, _ := a.Admit(c, open, time.Minute); why != want {
			t.Errorf("%s: refused for %q, want %q", name, why, want)
		}
	}
	check("the first", client(1), 0, admit.None)
	check("a second one of the address", client(1), 1, admit.Address)
	check("a third one, too soon", client(1), 1, admit.AddressRate)
	check("another address", client(2), 1, admit.None)
	check("one without a limit", admit.Client{Key: 2}, 2, admit.None)
	check("beyond all", client(3), 3, admit.Full)
	a.Press(true)
	check("without memory", client(4), 2, admit.Memory)
	a.Press(false)
	check("with memory again", client(4), 2, admit.None)
	a.Leave(1)
	a.Leave(2)
	a.Leave(4)
	if n := a.Stats().Addresses; n != 0 {
		t.Errorf("%d addresses are left; those that were refused must not be counted", n)
	}
	s := a.Stats()
	for _, r := range []admit.Reason{admit.Address, admit.AddressRate, admit.Full, admit.Memory} {
		if s.Refused[r.String()] != 1 {
			t.Errorf("%d refused for %s", s.Refused[r.String()], r)
		}
	}
}

// An address beyond its rate takes nothing from the rate of all.
func TestFloodOfOneAddressLeavesTheTotalRateAlone(t *testing.T) {
	a := newAdmission(admit.Limits{Rate: admit.Rate{Interval: time.Millisecond, Burst: 10}, AddressRate: every10ms})
	now := time.Minute
	for range 1000 {
		a.Admit(flood, 0, now)
	}
	if wait := a.Pause(now); wait != 0 {
		t.Fatalf("accepting pauses for %v because of one address", wait)
	}
	for i := range 8 { // two of the burst were the flood's
		if why, _ := a.Admit(client(i), 0, now); why != admit.None {
			t.Errorf("another client is refused: %s", why)
		}
	}
	if wait := a.Pause(now); wait != time.Millisecond {
		t.Errorf("the rate is used up, and accepting pauses for %v", wait)
	}
	if s := a.Stats(); s.Pauses != 1 {
		t.Errorf("%d pauses", s.Pauses)
	}
}

// An address out of 2^64 is no burden: neither the counts of others nor the table suffer.
func TestManyAddressesTakeNothingFromOthers(t *testing.T) {
	a := newAdmission(admit.Limits{PerAddress: 4, AddressRate: admit.Rate{Interval: time.Second, Burst: 100}})
	for range 3 {
		a.Admit(client(1), 0, time.Minute)
	}
	for i := range 200_000 {
		key := client(1000 + i)
		if why, _ := a.Admit(key, 0, time.Minute); why != admit.None {
			t.Fatalf("address %d: %s", i, why)
		}
		a.Leave(key.Key) // it goes at once
	}
	if n := a.Stats().Addresses; n != 1 {
		t.Errorf("%d addresses are counted, want the one that has connections", n)
	}
	if n := a.Connections(1); n != 3 {
		t.Errorf("the honest address has %d connections, want 3", n)
	}
}

func TestCountsAreExact(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 2))
		var counts admit.Counts
		truth := map[uint64]int{}
		for range 3000 {
			key, limit := uint64(random.IntN(8)), random.IntN(6)
			if truth[key] > 0 && random.IntN(2) == 0 {
				counts.Leave(key)
				truth[key]--
			} else if ok := counts.Enter(key, limit); ok != (limit == 0 || truth[key] < limit) {
				t.Fatalf("seed %d: Enter reports %v with %d of %d", seed, ok, truth[key], limit)
			} else if ok {
				truth[key]++
			}
			if counts.Of(key) != truth[key] {
				t.Fatalf("seed %d: %d, want %d", seed, counts.Of(key), truth[key])
			}
		}
	}
}

func TestRefusalsHaveABudget(t *testing.T) {
	a := newAdmission(admit.Limits{RefusalRate: admit.Rate{Interval: 10 * time.Millisecond, Burst: 4}, FullAtOnce: 2})
	now := time.Minute
	polite := func(why admit.Reason, want bool) {
		t.Helper()
		if _, got := a.Polite(why, 0, now, none); got != want {
			t.Errorf("%s: a response is %v, want %v (%d under way)", why, got, want, a.Refusals.Open())
		}
	}
	polite(admit.Full, true)
	polite(admit.Full, true)
	polite(admit.Full, false) // descriptors
	polite(admit.Address, true)
	polite(admit.Memory, true)
	now += time.Hour
	polite(admit.Address, false) // four are under way
	a.Refusals.End()
	polite(admit.Address, true)
	for range 4 {
		a.Refusals.End()
	}
	for range 3 {
		polite(admit.Address, true)
	}
	a.Refusals.End()
	polite(admit.Address, false) // the rate
	if _, ok := newAdmission(admit.Limits{}).Polite(admit.Address, 0, now, none); ok {
		t.Error("without a rate of refusals there is one with a response")
	}
}

func TestRetryGrowsWithTheOverloadAndIsSpread(t *testing.T) {
	a := newAdmission(admit.Limits{Connections: 1, RefusalRate: admit.Rate{Interval: 10 * time.Millisecond, Burst: 100_000}})
	random := rand.New(rand.NewPCG(1, 1)).Int64N
	now := time.Minute
	measure := func() (least, most time.Duration) {
		least = time.Hour
		for range 1000 {
			d, ok := a.Polite(admit.Address, 0, now, random)
			if !ok {
				t.Fatal("no room for a refusal")
			}
			a.Refusals.End()
			now += 10 * time.Microsecond
			least, most = min(least, d), max(most, d)
		}
		return least, most
	}
	a.Admit(client(1), 1, now)
	low, high := measure()
	if low < time.Second || high > 4*time.Second || high < 2*low {
		t.Errorf("a single refusal: %v to %v", low, high)
	}
	for i := range 2000 {
		a.Admit(client(i), 1, now)
	}
	if later, most := measure(); later <= high || most < 2*later || most > 2*time.Minute {
		t.Errorf("after 2000 refusals, which take 20 s: %v to %v, after one %v to %v", later, most, low, high)
	}
	now += 2 * time.Minute
	a.Admit(client(1), 1, now)
	if _, most := measure(); most > 6*time.Second {
		t.Errorf("two minutes later still up to %v", most)
	}
	if d, _ := a.Polite(admit.AddressRate, 50*time.Second, now, random); d < 50*time.Second {
		t.Errorf("retry after %v, but the rate of the address needs 50 s", d)
	}
}

func BenchmarkAdmit(b *testing.B) {
	a := newAdmission(admit.Limits{PerAddress: 1000, Rate: admit.Rate{Interval: 1, Burst: 1 << 20}, AddressRate: admit.Rate{Interval: 1, Burst: 1 << 20}})
	b.ReportAllocs()
	for i := range b.N {
		now := time.Duration(i) * time.Microsecond
		c := client(i % 50_000)
		if a.Pause(now); i >= 50_000 {
			a.Leave(c.Key)
		}
		a.Admit(c, 1, now)
	}
}

// Loops count and ask while others leave.
func TestStreamsAreCountedByAnyGoroutine(t *testing.T) {
	a := admit.New(admit.Limits{PerAddress: 1}, 1)
	var all sync.WaitGroup
	for key := range uint64(8) {
		all.Go(func() {
			for range 200 {
				a.Count(key)
				if !a.Full(key) || a.Connections(key) != 1 {
					t.Errorf("%d is not full", key)
				}
				a.Leave(key)
			}
		})
	}
	all.Wait()
	if n := a.Stats().Addresses; n != 0 {
		t.Errorf("%d addresses are left", n)
	}
}
