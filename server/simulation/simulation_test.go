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

// TestSeedRepeats: what a seed has found must be found again.
func TestSeedRepeats(t *testing.T) {
	for seed := uint64(1); seed <= 10; seed++ {
		a, b := simulate(t, seed, bug{}), simulate(t, seed, bug{})
		if a.counts != b.counts || !slices.Equal(a.steps, b.steps) {
			t.Fatalf("seed %d went two ways: %v and %v", seed, a.counts, b.counts)
		}
	}
}
