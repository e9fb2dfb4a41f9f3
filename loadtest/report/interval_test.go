package report

import (
	"math/rand/v2"
	"testing"
)

// TestRankSumCut has values of the tables of the rank-sum test, two-sided, 1 %.
func TestRankSumCut(t *testing.T) {
	for _, c := range []struct{ n, m, critical int }{ // the greatest sum that is significant; −1: none
		{4, 5, -1}, {5, 5, 0}, {4, 6, 0}, {6, 6, 2}, {7, 7, 4}, {8, 10, 11}, {10, 10, 16}, {20, 20, 105},
	} {
		if got := rankSumCut(c.n, c.m); got != c.critical+1 {
			t.Errorf("%d and %d: %d, want %d", c.n, c.m, got, c.critical+1)
		}
	}
	if runsNeeded() != 5 {
		t.Errorf("%d runs are needed, want 5", runsNeeded())
	}
}

// TestShiftSeldomFindsWhatIsNotThere draws both sides from one distribution with a
// long tail: 1 % of 2,000 times, on average, the interval may leave zero out.
func TestShiftSeldomFindsWhatIsNotThere(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2)) // always the same
	draw := func() (all []float64) {
		for range 6 {
			all = append(all, r.ExpFloat64()*r.ExpFloat64())
		}
		return all
	}
	wrong := 0
	for range 2000 {
		low, estimate, high, enough := shift(draw(), draw())
		if !enough || estimate < low || estimate > high {
			t.Fatalf("%v in %v to %v, enough %t", estimate, low, high, enough)
		}
		if low > 0 || high < 0 {
			wrong++
		}
	}
	if wrong > 30 {
		t.Errorf("%d of 2000 differences seen", wrong)
	}
}
