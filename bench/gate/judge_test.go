package gate

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"peal/bench"
)

const judgeConfig = `
metrics:
  - {unit: allocs/delivery, kind: exact, margin: 0.01}
  - {unit: B/connection, kind: exact, margin-percent: 2}
  - {unit: hits, kind: exact, higher-is-better: true, margin: 1}
  - {unit: cpu-ns/delivery, kind: noisy, threshold-percent: 5}
  - {unit: deliveries/s, kind: noisy, threshold-percent: 5, higher-is-better: true}
`

func parse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := ParseConfig([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// side makes runs that each have one figure.
func side(unit string, values ...float64) (s Side) {
	for _, v := range values {
		s.Runs = append(s.Runs, []bench.Measure{{Unit: unit, Value: v}})
	}
	return s
}

// around is n values that spread evenly by a share to both sides of v.
func around(v, share float64, n int) (all []float64) {
	for i := range n {
		all = append(all, v*(1+share*(2*float64(i)/float64(n-1)-1)))
	}
	return all
}

// mixed is v in another order, so that pairs with the samples of another side differ.
func mixed(v []float64) []float64 {
	v = slices.Clone(v)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(v), func(i, j int) { v[i], v[j] = v[j], v[i] })
	return v
}

func TestVerdictOfAFigure(t *testing.T) {
	check := func(unit string, base, head []float64, want Verdict) {
		t.Helper()
		r := &Result{Base: Build{Name: "base"}, Config: parse(t, judgeConfig)}
		of := func(v []float64) Side {
			if len(v) == 0 {
				return side("another", 1, 1, 1)
			}
			return side(unit, v...)
		}
		r.Judge([]Samples{{Benchmark: "B", Base: of(base), Head: of(mixed(head))}})
		r.Figures = slices.DeleteFunc(r.Figures, func(f Figure) bool { return f.Unit != unit })
		if f := r.Figures[0]; f.Verdict != want {
			t.Errorf("%s %v → %v: %s (%s), want %s", unit, base, head, f.Verdict, f.Why, want)
		}
	}
	exact := func(v ...float64) []float64 { return v }
	check("allocs/delivery", exact(0, 0, 0), exact(0, 0.009, 0), Same)
	check("allocs/delivery", exact(0, 0, 0), exact(1, 1, 1), Worse)
	check("allocs/delivery", exact(1, 1, 1), exact(0, 0, 0), Better)
	check("allocs/delivery", exact(0, 0, 0), exact(0, 0.5, 0), Unstable)
	check("allocs/delivery", exact(0, 0.5, 0), exact(0, 0.5, 0.5), Unstable)
	check("allocs/delivery", exact(0, 0.5, 0), exact(0, 0, 0), Same) // not worse, whatever base is
	check("B/connection", exact(1150, 1181, 1200), exact(1060, 1100, 800), Better)
	check("B/connection", exact(1150, 1181, 1200), exact(1060, 1100, 1400), Unstable)
	check("allocs/delivery", exact(0, 0.1, 0), exact(1, 1.1, 1), Worse) // spread, but apart
	check("B/connection", exact(350, 351, 350), exact(355, 356, 356), Same)
	check("B/connection", exact(350, 351, 350), exact(358, 358, 358), Worse)
	check("hits", exact(10, 10, 10), exact(8, 8, 8), Worse)
	check("hits", exact(10, 10, 10), exact(12, 12, 12), Better)
	check("allocs/delivery", exact(0, 0, 0), nil, Gone)
	check("allocs/delivery", nil, exact(5, 5, 5), New)
	check("p99-ns", exact(1, 1, 1), exact(9, 9, 9), NotJudged)

	check("cpu-ns/delivery", around(5000, 0.05, 15), around(5000, 0.05, 15), Same)
	check("cpu-ns/delivery", around(5000, 0.05, 15), around(5500, 0.05, 15), Worse)
	check("cpu-ns/delivery", around(5000, 0.05, 15), around(4500, 0.05, 15), Better)
	check("cpu-ns/delivery", around(5000, 0.01, 15), around(5150, 0.01, 15), Same) // certain, but within the threshold
	check("cpu-ns/delivery", around(5000, 0.3, 15), around(5500, 0.3, 15), Unstable)
	check("cpu-ns/delivery", around(5000, 0.2, 15), around(9000, 0.2, 15), Worse)      // uncertain how much, but that it is
	check("cpu-ns/delivery", around(5000, 0.02, 15), around(5300, 0.02, 15), Worse)    // beyond the threshold
	check("cpu-ns/delivery", around(5000, 0.04, 15), around(5200, 0.04, 15), Same)     // within, and 10 % are excluded
	check("cpu-ns/delivery", around(5000, 0.08, 15), around(5200, 0.08, 15), Unstable) // 10 % are not
	check("cpu-ns/delivery", exact(5000, 5000, 5000), exact(9000, 9000, 9000), Unstable)
	check("deliveries/s", around(200e3, 0.02, 15), around(180e3, 0.02, 15), Worse)
	check("deliveries/s", around(200e3, 0.02, 15), around(230e3, 0.02, 15), Better)
}

func TestNoisyFiguresAreNotJudgedWhereOnlyExactOnesAre(t *testing.T) {
	r := &Result{Base: Build{Name: "base"}, Config: parse(t, judgeConfig), ExactOnly: true}
	r.Judge([]Samples{{Benchmark: "B", Base: side("cpu-ns/delivery", 1, 1, 1), Head: side("cpu-ns/delivery", 9, 9, 9)}})
	if f := r.Figures[0]; f.Verdict != NotJudged || r.Exit != ExitFailed {
		t.Errorf("%s, exit %d; want not judged, and a run that judged nothing failed", f.Verdict, r.Exit)
	}
}

func TestFailures(t *testing.T) {
	boom := errors.New("boom")
	invalid := fmt.Errorf("%w: short of CPU", errInvalid)
	ok := side("allocs/delivery", 0, 0, 0)
	failed := func(n, passed int, err error) Side {
		s := ok
		s.Runs, s.Failed, s.Err = s.Runs[:passed], n, err
		return s
	}
	check := func(name string, base, head Side, exit int, figure Verdict) {
		t.Helper()
		r := &Result{Base: Build{Name: "base"}, Config: parse(t, judgeConfig)}
		r.Judge([]Samples{{Benchmark: "B", Base: base, Head: head}, {Benchmark: "C", Base: ok, Head: ok}})
		if r.Exit != exit || r.Figures[0].Benchmark == "B" && r.Figures[0].Verdict != figure {
			t.Errorf("%s: exit %d, %+v, figure %s; want exit %d, %s", name, r.Exit, r.Failures, r.Figures[0].Verdict, exit, figure)
		}
	}
	check("one of head", ok, failed(1, 3, boom), ExitPass, Same)
	check("one of each", failed(1, 3, boom), failed(1, 3, boom), ExitPass, Same)
	check("head alone", ok, failed(2, 0, boom), ExitRegression, NotJudged)
	check("head alone, in between", ok, failed(2, 2, boom), ExitRegression, NotJudged)
	check("head, and base once", failed(1, 3, boom), failed(2, 0, boom), ExitFailed, NotJudged)
	check("base alone", failed(2, 0, boom), ok, ExitPass, New)
	check("both", failed(2, 0, boom), failed(2, 0, boom), ExitFailed, NotJudged)
	check("an invalid generator", ok, failed(2, 0, invalid), ExitUnstable, NotJudged)
	alone := &Result{Base: Build{Name: "base"}, Config: parse(t, judgeConfig)}
	alone.Judge([]Samples{{Benchmark: "B", Base: failed(2, 0, invalid), Head: failed(2, 0, invalid)}})
	if want := "unstable (no valid run)"; alone.Exit != ExitUnstable || alone.Headline() != want {
		t.Errorf("only invalid runs: exit %d, %q; want unstable, %q", alone.Exit, alone.Headline(), want)
	}
}

func TestPrecedence(t *testing.T) {
	figure := func(v Verdict) Samples {
		switch v {
		case Worse:
			return Samples{"worse", side("allocs/delivery", 0, 0, 0), side("allocs/delivery", 1, 1, 1)}
		case Unstable:
			return Samples{"unstable", side("allocs/delivery", 0, 0, 0), side("allocs/delivery", 0, 0, 9)}
		case Failed:
			bad := Side{Failed: 2, Err: errors.New("boom")}
			return Samples{"failed", bad, bad}
		}
		return Samples{"same", side("allocs/delivery", 0, 0, 0), side("allocs/delivery", 0, 0, 0)}
	}
	check := func(want int, all ...Verdict) {
		t.Helper()
		r := &Result{Base: Build{Name: "base"}, Config: parse(t, judgeConfig)}
		var samples []Samples
		for _, v := range all {
			samples = append(samples, figure(v))
		}
		if r.Judge(samples); r.Exit != want {
			t.Errorf("%v: exit %d, want %d", all, r.Exit, want)
		}
	}
	check(ExitPass, Same)
	check(ExitFailed) // nothing was compared
	check(ExitRegression, Unstable, Worse, Failed, Same)
	check(ExitFailed, Same, Unstable, Failed)
	check(ExitUnstable, Same, Unstable)
}
