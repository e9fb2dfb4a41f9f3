package simulation_test

import (
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
)

// The first seed, and how many.
const (
	seedVariable  = "PEAL_SEED"
	seedsVariable = "PEAL_SEEDS"
)

// stepsOfSeed is the length of a schedule.
const stepsOfSeed = 700

// numberFromEnv is the number in the environment variable name, 0 for none.
func numberFromEnv(t *testing.T, name string) uint64 {
	v := os.Getenv(name)
	if v == "" {
		return 0
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		t.Fatalf("%s=%q: must be a whole number", name, v)
	}
	return n
}

// seedsFromEnv is the first seed and how many there are, by default from 1 on: PEAL_SEED
// is one, and PEAL_SEEDS so many.
func seedsFromEnv(t *testing.T, standard uint64) (first, seeds uint64) {
	first, seeds = 1, standard
	if v := numberFromEnv(t, seedVariable); v != 0 {
		first, seeds = v, 1
	}
	if v := numberFromEnv(t, seedsVariable); v != 0 {
		seeds = v
	}
	return first, seeds
}

// simulate runs one schedule, in a bubble of its own: the clock of what an
// engine does on its goroutine is the world's.
func simulate(t *testing.T, seed uint64, b bug) (w *world) {
	synctest.Test(t, func(*testing.T) {
		w = newWorld(seed, b)
		w.run(stepsOfSeed)
	})
	return w
}

// TestSimulation runs seeded schedules of the whole server. A failure prints its
// seed and how to run it alone. PEAL_SEED is the first, PEAL_SEEDS how many.
func TestSimulation(t *testing.T) {
	seeds := uint64(2500)
	if raceEnabled {
		seeds = 150
	}
	if testing.Short() {
		seeds = 100
	}
	first, seeds := seedsFromEnv(t, seeds)
	var sum counts
	for seed := first; seed < first+seeds && !t.Failed(); seed++ {
		w := simulate(t, seed, bug{})
		if w.failure != "" {
			t.Errorf("%s\nalone: PEAL_SEED=%d go test ./server/simulation -run '^TestSimulation$'", w.failure, seed)
		}
		for i, n := range w.counts {
			sum[i] += n
		}
	}
	t.Logf("seeds %d–%d, %d steps each: %s", first, first+seeds-1, stepsOfSeed, sum)
	for i, n := range sum[:kindsOfAll] {
		if n == 0 && seeds >= 200 && !t.Failed() {
			t.Errorf("count %d is 0: the schedules met too little to prove anything", i)
		}
	}
}

func upgradesOf(seed uint64) bug {
	return bug{upgrades: true, dialects: seed%3 == 0, proxied: seed%7 == 0}
}

// TestFoundSeedsOfUpgrades runs those that have found something: what a successor reads while segments are removed
// (35), sessions that entries leave out (108), positions at a control entry (133), and what files do not have any
// more (46, 265).
func TestFoundSeedsOfUpgrades(t *testing.T) {
	for _, seed := range []uint64{35, 46, 108, 133, 265} {
		if w := simulate(t, seed, upgradesOf(seed)); w.failure != "" {
			t.Error(w.failure)
		}
	}
}

// TestSimulationOfUpgrades runs schedules in which other processes go on with the server. PEAL_SEED
// and PEAL_SEEDS are as in TestSimulation.
func TestSimulationOfUpgrades(t *testing.T) {
	seeds := uint64(150)
	if raceEnabled || testing.Short() {
		seeds = 20
	}
	first, seeds := seedsFromEnv(t, seeds)
	var sum counts
	for seed := first; seed < first+seeds && !t.Failed(); seed++ {
		w := simulate(t, seed, upgradesOf(seed))
		if w.failure != "" {
			t.Errorf("%s\nalone: PEAL_SEED=%d go test ./server/simulation -run '^TestSimulationOfUpgrades$'", w.failure, seed)
		}
		for i, n := range w.counts {
			sum[i] += n
		}
	}
	if seeds >= 100 && !t.Failed() && (sum[upgrades] < int(seeds) || sum[moved] < 2*int(seeds) || sum[amended] < int(seeds)/4 || sum[refusals] == 0) {
		t.Errorf("%d hand-overs of %d connections, %d by changes, %d refused: too few to prove anything", sum[upgrades], sum[moved], sum[amended], sum[refusals])
	}
	t.Logf("seeds %d–%d, %d steps each: %s; %d hand-overs of %d connections, %d by changes, %d stayed, %d hand-overs refused", first, first+seeds-1, stepsOfSeed, sum, sum[upgrades], sum[moved], sum[amended], sum[stayed], sum[refusals])
}

// TestSeedRepeats: what a seed has found must be found again.
func TestSeedRepeats(t *testing.T) {
	for seed := uint64(1); seed <= 10; seed++ {
		a, b := simulate(t, seed, bug{}), simulate(t, seed, bug{})
		if a.counts != b.counts || !slices.Equal(a.steps, b.steps) {
			t.Fatalf("seed %d went two ways: %v and %v", seed, a.counts, b.counts)
		}
	}
	for seed := uint64(1); seed <= 4; seed++ {
		a, b := simulate(t, seed, upgradesOf(seed)), simulate(t, seed, upgradesOf(seed))
		if a.counts != b.counts || !slices.Equal(a.steps, b.steps) {
			t.Fatalf("seed %d with hand-overs went two ways: %v and %v", seed, a.counts, b.counts)
		}
	}
}
