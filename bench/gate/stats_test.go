package gate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"peal/bench"
	"peal/bench/record"
)

// simulated are runs of a gate with made-up samples.
type simulated struct {
	config  *Config
	random  *rand.Rand
	figures int
	noise   float64 // standard deviation of a sample, as a share
	slow    float64 // of every second pair, as a share: a machine that has moods
}

func simulate(t *testing.T, threshold, noise float64) *simulated {
	t.Helper()
	c := fmt.Sprintf("metrics: [{unit: cpu-ns/delivery, kind: noisy, threshold-percent: %v, see-percent: 1000}]", threshold)
	config, err := ParseConfig([]byte(c))
	if err != nil {
		t.Fatal(err)
	}
	return &simulated{config: config, random: rand.New(rand.NewPCG(7, 11)), figures: 6, noise: noise}
}

// run judges one run, whose first figure is worse by effect in head.
func (s *simulated) run(effect float64) *Result {
	r := &Result{Base: Build{Name: "base"}, Config: s.config}
	r.Judge(s.samples(effect))
	return r
}

func (s *simulated) samples(effect float64) (all []Samples) {
	for i := range s.figures {
		one := Samples{Benchmark: fmt.Sprint("B", i)}
		for pair := range s.config.Pairs {
			mood := 1 + s.slow*float64(pair%2)
			draw := func() float64 { return 5000 * mood * math.Exp(s.noise*s.random.NormFloat64()) }
			head := draw()
			if i == 0 {
				head *= 1 + effect
			}
			one.Base.Runs = append(one.Base.Runs, []bench.Measure{{Unit: "cpu-ns/delivery", Value: draw()}})
			one.Head.Runs = append(one.Head.Runs, []bench.Measure{{Unit: "cpu-ns/delivery", Value: head}})
		}
		all = append(all, one)
	}
	return all
}

func TestFalseAlarmsAreAsRareAsHolmPromises(t *testing.T) {
	const runs = 2_000
	for _, slow := range []float64{0, 0.1} {
		s := simulate(t, 5, 0.05) // without the threshold, which would stop most
		s.slow = slow
		found := 0
		for range runs {
			r := &Result{Base: Build{Name: "base"}, Config: s.config}
			for _, one := range s.samples(0) {
				r.Figures = append(r.Figures, r.figures(&one)...)
			}
			if slices.ContainsFunc(r.testNoisy(), func(f *Figure) bool { return *f.P < *f.Level }) {
				found++
			}
		}
		// 0.01 and three standard deviations of a count with that chance.
		if limit := runs*0.01 + 3*math.Sqrt(runs*0.01*0.99); float64(found) > limit {
			t.Errorf("moods of %v: differences in %d of %d runs in which there are none; at most %.0f", slow, found, runs, limit)
		}
		t.Logf("moods of %v: %d of %d", slow, found, runs)
	}
}

func TestTenPercentAreFoundInNineOfTenRuns(t *testing.T) {
	const runs = 300
	for _, noise := range []float64{0.04, 0.05} {
		s, found, elsewhere := simulate(t, 5, noise), 0, 0
		for range runs {
			r := s.run(0.10)
			if r.Figures[0].Verdict == Worse {
				found++
			}
			for _, f := range r.Figures[1:] {
				if f.Verdict == Worse {
					elsewhere++
				}
			}
		}
		if found < runs*9/10 || elsewhere > runs/100 {
			t.Errorf("noise %v: found in %d of %d runs with %d pairs, and %d times where nothing was", noise, found, runs, s.config.Pairs, elsewhere)
		}
		t.Logf("noise %v: %d of %d", noise, found, runs)
	}
}

// TestTheSmallestEffectIsSeenInNineOfTen plants the smallest effect that the gate reports.
func TestTheSmallestEffectIsSeenInNineOfTen(t *testing.T) {
	const runs = 200
	s := simulate(t, 1e-9, 0.05)
	var reported []float64
	for range 50 {
		reported = append(reported, *s.run(0).Figures[0].SeenPercent)
	}
	effect, found := record.Median(reported)/100, 0
	for range runs {
		if s.run(effect).Figures[0].Verdict == Worse {
			found++
		}
	}
	if share := float64(found) / runs; share < 0.80 || share > 0.97 {
		t.Errorf("reported %.1f %% as detectable; found it in %.0f %% of the runs", 100*effect, 100*share)
	}
	t.Logf("%.1f %% [%.1f–%.1f] found in %d of %d", 100*effect, slices.Min(reported), slices.Max(reported), found, runs)
}

func TestCriticalUIsWhereTheTestTurns(t *testing.T) {
	// Tables of the Mann-Whitney test, two-sided: with 10 and 10 at 0.05 the
	// smaller U may be at most 23, at 0.01 at most 16.
	for level, lower := range map[float64]int{0.05: 23, 0.01: 16} {
		if u, ok := criticalU(10, 10, level); !ok || u != 100-lower {
			t.Errorf("level %v: U %d (%t), want %d", level, u, ok, 100-lower)
		}
	}
	if _, ok := criticalU(3, 3, 0.01); ok {
		t.Error("three samples are enough for 0.01")
	}
}

func TestHolmStepsDown(t *testing.T) {
	check := func(ps []float64, want ...float64) {
		t.Helper()
		got := holm(ps, 0.01)
		for i := range want {
			if math.Abs(got[i]-want[i]) > 1e-12 {
				t.Errorf("%v: levels %v, want %v", ps, got, want)
				return
			}
		}
	}
	check([]float64{0.5, 0.001, 0.004}, 0.01, 0.01/3, 0.01/2)
	check([]float64{0.005, 0.004, 0.001}, 0.01, 0.01/2, 0.01/3)
	check([]float64{0.004, 0.005, 0.006}, 0.01/3, 0.01/3, 0.01/3) // nothing after the first that fails
	check(nil)
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
