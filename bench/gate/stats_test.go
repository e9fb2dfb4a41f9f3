package gate

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"peal/bench"
)

func TestSignedRankIntervals(t *testing.T) {
	// Hollander, Wolfe, Chicken, example 3.1 (depression scores, Y - X): the estimate is
	// -0.46, the interval at 96.1 % goes from -0.786 to -0.010.
	d := []float64{-0.952, 0.147, -1.022, -0.430, -0.620, -0.590, -0.490, 0.080, -0.010}
	s := newSignedRank(d)
	low, high := s.interval(0.0391)
	estimate := s.estimate()
	if math.Abs(estimate+0.46) > 1e-9 || math.Abs(low+0.786) > 1e-9 || math.Abs(high+0.010) > 1e-9 {
		t.Errorf("%.4f [%.4f, %.4f]", estimate, low, high)
	}
	// The test's table: with n pairs and this level of both sides, rank sums below c reject.
	for _, row := range []struct {
		n, c  int
		level float64
	}{{5, 0, 0.05}, {6, 1, 0.05}, {8, 4, 0.05}, {10, 9, 0.05}, {10, 4, 0.01}, {15, 26, 0.05}, {20, 53, 0.05}, {30, 138, 0.05}, {30, 110, 0.01}} {
		if c := critical(row.n, row.level); c != row.c {
			t.Errorf("%d pairs at %v: %d, want %d", row.n, row.level, c, row.c)
		}
	}
	for _, level := range []float64{0.05, 0.005, 0.01 / 40, 0.1} {
		if n := fewest(level); critical(n, level) == 0 || critical(n-1, level) != 0 {
			t.Errorf("level %v: %d pairs are not the fewest", level, n)
		}
	}
}

func TestPairsOfAnyValuesHaveAResult(t *testing.T) {
	noisy := Metric{Kind: Noisy, ThresholdPercent: 5, SeePercent: 10}
	floored := noisy
	floored.Floor = 2
	rate := noisy
	rate.Higher = true
	same := func(v float64) (all []float64) {
		for range 15 {
			all = append(all, v)
		}
		return all
	}
	check := func(m Metric, base, head []float64, want Verdict, change string) {
		t.Helper()
		f := Figure{Base: base, Head: head, Verdict: Same}
		f.judgePairs(&m, 0.005, 0.02)
		got := "–"
		if f.LowPercent != nil && f.HighPercent != nil {
			got = fmt.Sprintf("%.1f [%.1f, %.1f]", *f.ChangePercent, *f.LowPercent, *f.HighPercent)
		}
		if f.Verdict != want || got != change {
			t.Errorf("%v → %v: %s %s, want %s %s", base, head, f.Verdict, got, want, change)
		}
	}
	check(noisy, same(7), same(7), Same, "0.0 [0.0, 0.0]") // identical
	check(noisy, same(0), same(0), Same, "0.0 [0.0, 0.0]")
	check(noisy, same(0), same(1), Unstable, "–")
	check(noisy, same(-1), same(1), Unstable, "–")
	check(floored, same(0), same(1.9), Same, "0.0 [0.0, 0.0]")
	check(floored, same(0), same(3), Worse, "50.0 [50.0, 50.0]")
	check(noisy, same(100), same(106), Worse, "6.0 [6.0, 6.0]") // ties
	check(noisy, same(100), same(104), Same, "4.0 [4.0, 4.0]")
	check(noisy, same(100), same(90), Better, "-10.0 [-10.0, -10.0]")
	check(rate, same(100), same(94), Worse, "-6.0 [-6.0, -6.0]")
	check(rate, same(100), same(96), Same, "-4.0 [-4.0, -4.0]")
	check(rate, same(100), same(110), Better, "10.0 [10.0, 10.0]")
	check(noisy, same(1)[:3], same(9)[:3], Unstable, "–") // too few
}

// TestEndsHaveLevelsOfTheirOwn: the lower end, of which a regression is concluded, is
// corrected for the number of figures and the upper end, from which one passes, is not.
func TestEndsHaveLevelsOfTheirOwn(t *testing.T) {
	m := Metric{Kind: Noisy, ThresholdPercent: 5, SeePercent: 10}
	rate := m
	rate.Higher = true
	check := func(m Metric, want Verdict, interval string, differences ...float64) {
		t.Helper()
		f := Figure{Verdict: Same}
		for _, d := range differences {
			f.Base, f.Head = append(f.Base, 1), append(f.Head, math.Exp(d/100))
		}
		f.judgePairs(&m, 0.0005, 0.01)
		low, high := "–", "–"
		if f.LowPercent != nil {
			low = fmt.Sprintf("%.1f", 100*math.Log1p(*f.LowPercent/100))
		}
		if f.HighPercent != nil {
			high = fmt.Sprintf("%.1f", 100*math.Log1p(*f.HighPercent/100))
		}
		if got := low + " " + high; f.Verdict != want || got != interval {
			t.Errorf("%v: %s %s, want %s %s", differences, f.Verdict, got, want, interval)
		}
	}
	// 13 pairs: the second Walsh average from below and the tenth from above.
	check(m, Same, "-0.5 7.5", -1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 15)
	check(rate, Same, "-7.5 0.5", 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -15)
	// The tenth from below is above 0, which is no regression, or the tenth from above
	// below 0, which is not better.
	check(m, Unstable, "-1.5 27.5", -2, -1, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30)
	check(m, Same, "-29.5 -10.5", 2, 1, -20, -21, -22, -23, -24, -25, -26, -27, -28, -29, -30)
	check(m, Better, "-30.5 -21.5", -20, -20, -21, -22, -23, -24, -25, -26, -27, -28, -29, -30, -31)
	// Eight pairs are too few for the lower end, five for both.
	check(m, Same, "– 4.0", 0, 0, 0, 0, 0, 0, 0, 4)
	check(rate, Unstable, "– –", 0, 0, 0, 0, 0)
}

// noises are the kinds of noise of the simulation: each returns the values of a pair.
var noises = []struct {
	name string
	of   func(random *rand.Rand, noise float64) func(pair int) (base, head float64)
}{
	{"normal", func(r *rand.Rand, noise float64) func(int) (float64, float64) {
		return func(int) (float64, float64) { return 1 + noise*r.NormFloat64(), 1 + noise*r.NormFloat64() }
	}},
	{"lognormal", func(r *rand.Rand, noise float64) func(int) (float64, float64) {
		return func(int) (float64, float64) {
			return math.Exp(noise * r.NormFloat64()), math.Exp(noise * r.NormFloat64())
		}
	}},
	// Each sample is 1 % slower than the one before, in the order A B B A.
	{"drift", func(r *rand.Rand, noise float64) func(int) (float64, float64) {
		return func(pair int) (float64, float64) {
			first, second := math.Exp(noise*r.NormFloat64()+0.01*float64(2*pair)), math.Exp(noise*r.NormFloat64()+0.01*float64(2*pair+1))
			if pair%2 == 1 {
				return second, first
			}
			return first, second
		}
	}},
	{"moods", func(r *rand.Rand, noise float64) func(int) (float64, float64) { return moody(r, noise, 30) }},
	{"fast moods", func(r *rand.Rand, noise float64) func(int) (float64, float64) { return moody(r, noise, 8) }},
	// Each server is one of two kinds, 15 % apart, as by the placement of its memory.
	{"bimodal", func(r *rand.Rand, noise float64) func(int) (float64, float64) {
		sample := func() float64 { return math.Exp(noise*r.NormFloat64() + 0.15*float64(r.IntN(2))) }
		return func(int) (float64, float64) { return sample(), sample() }
	}},
	// One sample of ten is up to three times as slow.
	{"outliers", func(r *rand.Rand, noise float64) func(int) (float64, float64) {
		sample := func() float64 {
			x := math.Exp(noise * r.NormFloat64())
			if r.IntN(10) == 0 {
				x *= 1 + 2*r.Float64()
			}
			return x
		}
		return func(int) (float64, float64) { return sample(), sample() }
	}},
}

// moody is a machine that is 30 % slower at times. Its speed changes after one sample of many.
func moody(r *rand.Rand, noise float64, many int) func(pair int) (base, head float64) {
	slow := 0.0
	sample := func() float64 {
		if r.IntN(many) == 0 {
			slow = 0.3 - slow
		}
		return math.Exp(noise*r.NormFloat64() + slow)
	}
	return func(pair int) (float64, float64) {
		first, second := sample(), sample()
		if pair%2 == 1 {
			return second, first
		}
		return first, second
	}
}

// outcome counts the verdicts about a figure with a planted effect.
type outcome struct{ runs, worse, unstable, elsewhere, anyUnstable int }

// simulate judges runs with ten noisy figures, the first of which is worse by effect, by
// Contest.Run, and so with both looks.
func simulate(t *testing.T, kind int, noise, effect float64, runs int) (o outcome) {
	t.Helper()
	config := parse(t, "pairs: 15\nmetrics: [{unit: cpu-ns/delivery, kind: noisy, threshold-percent: 5}]")
	random := rand.New(rand.NewPCG(7, uint64(kind)))
	for range runs {
		var macros []bench.Macro
		for i := range 10 {
			var values [2][]float64
			of, pairs := noises[kind].of(random, noise), 0
			macros = append(macros, script(fmt.Sprint("B", i), new([]string), func(side string, nth int) ([]bench.Measure, error) {
				for ; pairs <= nth; pairs++ {
					base, head := of(pairs)
					if i == 0 {
						head *= 1 + effect
					}
					values[0], values[1] = append(values[0], base), append(values[1], head)
				}
				return []bench.Measure{{Unit: "cpu-ns/delivery", Value: values[side[0]-'A'][nth]}}, nil
			}))
		}
		c := contest(t)
		c.Config = config
		r := c.result()
		if _, err := c.Run(t.Context(), macros, r); err != nil {
			t.Fatal(err)
		}
		o.runs++
		unstable := false
		for i, f := range r.Figures {
			unstable = unstable || f.Verdict == Unstable
			switch {
			case i == 0 && f.Verdict == Worse:
				o.worse++
			case i == 0 && f.Verdict == Unstable:
				o.unstable++
			case f.Verdict == Worse:
				o.elsewhere++
			}
		}
		if unstable {
			o.anyUnstable++
		}
	}
	return o
}

var sim = flag.Bool("sim", false, "print the table of docs/gate.md: takes minutes")

// TestSimulation judges made-up runs with fixed seeds. The limits are the promises of
// docs/gate.md, with room for the chance of so few runs.
func TestSimulation(t *testing.T) {
	runs := 60
	if testing.Short() {
		runs = 20
	}
	if raceEnabled {
		runs = 5
	}
	if *sim {
		runs = 1000
	}
	share := func(n int) string { return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(runs)) }
	var table strings.Builder
	for kind, n := range noises {
		for _, noise := range []float64{0.02, 0.05} {
			if !*sim && noise != 0.02 {
				continue
			}
			none, one, two := simulate(t, kind, noise, 0, runs), simulate(t, kind, noise, 0.05, runs), simulate(t, kind, noise, 0.10, runs)
			fmt.Fprintf(&table, "| %s, %.0f %% | %s | %s | %s | %s | %s | %s | %s |\n", n.name, 100*noise, share(none.worse+none.elsewhere), share(none.anyUnstable), share(none.unstable),
				share(one.worse), share(two.worse), share(two.unstable), share(two.runs-two.worse-two.unstable))
			if false := none.worse + none.elsewhere + one.elsewhere + two.elsewhere; false > max(runs*3/50, 1) {
				t.Errorf("%s: %d false alarms in %d runs", n.name, false, 3*runs)
			}
			if missed := two.runs - two.worse - two.unstable; missed > max(runs/50, 1) {
				t.Errorf("%s: +10 %% passed in %d of %d runs", n.name, missed, runs)
			}
			if calm := kind <= 2 && noise < 0.03; calm && (two.worse < runs*9/10 || none.anyUnstable > runs/10) {
				t.Errorf("%s: +10 %% failed in %d of %d runs, and %d without a change were unstable", n.name, two.worse, runs, none.anyUnstable)
			}
		}
	}
	if *sim {
		t.Logf("%d runs a cell, 10 figures, 15 pairs, threshold 5 %%, see 10 %%\n\n"+
			"| Noise of a sample | false alarm in a run | run unstable | figure unstable | +5 %% fails | +10 %% fails | +10 %% unstable | +10 %% passes |\n"+
			"| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n%s", runs, table.String())
	}
}

// TestKeptSeries judges the pairs of real runs of a commit against itself again.
func TestKeptSeries(t *testing.T) {
	b, err := os.ReadFile("../results/gate-pairs.jsonl")
	text, err2 := os.ReadFile("../gate.yaml")
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	config := parse(t, string(text))
	type series struct {
		Run, Benchmark, Unit string
		Base, Head           []float64
	}
	runs := map[string][]series{}
	for line := range bytes.Lines(b) {
		var s series
		if err := json.Unmarshal(line, &s); err != nil {
			t.Fatal(err)
		}
		if config.Metric(s.Benchmark, s.Unit).Kind == Noisy {
			runs[s.Run] = append(runs[s.Run], s)
		}
	}
	for run, all := range runs {
		for _, s := range all {
			m := config.Metric(s.Benchmark, s.Unit)
			f := Figure{Benchmark: s.Benchmark, Unit: s.Unit, Base: s.Base, Head: s.Head, Verdict: Same}
			if f.judgePairs(&m, config.level(len(all)), 2*config.passing(len(s.Base))); f.Verdict == Worse {
				t.Errorf("%s: %s of %s: a false alarm, %+.1f %%", run, s.Unit, s.Benchmark, *f.ChangePercent)
			}
		}
	}
}

func TestOneSampleOfFiveMayBeOut(t *testing.T) {
	for _, c := range []struct {
		v    []float64
		want float64
	}{{nil, 0}, {[]float64{1, 1, 4}, 3}, {[]float64{1, 9, 1, 1, 1}, 0}, {[]float64{1, 9, 1, 9, 1, 1}, 8}, {[]float64{2, 1, -5, 2, 1}, 1}} {
		if got := disagreement(c.v); got != c.want {
			t.Errorf("%v: %v apart, want %v", c.v, got, c.want)
		}
	}
}
