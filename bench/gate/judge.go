package gate

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"peal/bench"
	"peal/bench/record"
)

// Samples are the results of one benchmark on both sides.
type Samples struct {
	Benchmark string
	Base      Side
	Head      Side
}

// Side is the results of one benchmark on one side.
type Side struct {
	Runs   [][]bench.Measure // each a sample
	Failed int               // runs that ended with an error
	Err    error             // the last of them
}

// units returns the units of the runs, in order of appearance.
func (s *Side) units() (units []string) {
	for _, run := range s.Runs {
		for _, m := range run {
			if !slices.Contains(units, m.Unit) {
				units = append(units, m.Unit)
			}
		}
	}
	return units
}

// values returns the samples of one unit, in the order in which they were taken.
func (s *Side) values(unit string) (v []float64) {
	for _, run := range s.Runs {
		for _, m := range run {
			if m.Unit == unit {
				v = append(v, m.Value)
			}
		}
	}
	return v
}

// Judge adds a figure for each benchmark and unit to r, and sets the exit code. The
// sides and the Config of r must be set. It may be called again with more samples.
func (r *Result) Judge(all []Samples) {
	r.Figures, r.Failures = nil, nil
	for i := range all {
		r.judgeFailures(&all[i])
		r.Figures = append(r.Figures, r.figures(&all[i])...)
	}
	r.judgeNoisy()
	r.settle()
}

// maxFailed is the number of failed runs after which a side is given up.
const maxFailed = 2

// judgeFailures judges failed runs. One failure among runs that passed is reported and
// does not count, because the machine may have caused it. Two failures of head and
// none of base are head's fault.
func (r *Result) judgeFailures(s *Samples) {
	base, head, verdict := s.Base.Failed, s.Head.Failed, Same
	switch {
	case errors.Is(s.Base.Err, errInvalid) && base >= maxFailed || errors.Is(s.Head.Err, errInvalid) && head >= maxFailed:
		verdict = Unstable
	case head >= maxFailed && base == 0 && len(s.Base.Runs) >= maxFailed:
		verdict = Broken
	case base >= maxFailed && head == 0 && len(s.Head.Runs) > 0:
		verdict = New // head fixed it, or base lacks what is measured
	case base >= maxFailed || head >= maxFailed:
		verdict = Failed
	}
	for i, side := range []*Side{&s.Base, &s.Head} {
		if side.Failed > 0 {
			name := []string{"base", "head"}[i]
			r.Failures = append(r.Failures, Failure{s.Benchmark, name, side.Failed, len(side.Runs), side.Err.Error(), verdict})
		}
	}
}

// alone reports whether there is no base, only figures to keep.
func (r *Result) alone() bool { return r.Base.Name == "" }

// given reports whether the benchmark gave samples to compare, or to keep.
func (s *Samples) given(alone bool) bool {
	if alone {
		return s.Head.Failed < maxFailed && len(s.Head.Runs) > 0
	}
	return s.Base.Failed < maxFailed && s.Head.Failed < maxFailed && len(s.Base.Runs) > 0 && len(s.Head.Runs) > 0
}

// figures returns the figures of one benchmark. Exact ones are judged; noisy ones are
// not, because all noisy figures of a run are judged together.
func (r *Result) figures(s *Samples) (all []Figure) {
	units := s.Head.units()
	for _, u := range s.Base.units() {
		if !slices.Contains(units, u) {
			units = append(units, u)
		}
	}
	for _, unit := range units {
		m := r.Config.Metric(s.Benchmark, unit)
		f := Figure{Benchmark: s.Benchmark, Unit: unit, Kind: m.Kind, Base: s.Base.values(unit), Head: s.Head.values(unit), Verdict: NotJudged}
		f.BaseMedian, f.HeadMedian = median(f.Base), median(f.Head)
		if f.BaseMedian != nil && f.HeadMedian != nil && *f.BaseMedian != 0 {
			f.ChangePercent = finite(100 * (*f.HeadMedian/(*f.BaseMedian) - 1))
		}
		switch {
		case !s.given(r.alone()):
			f.Why = "the benchmark failed"
			if s.Base.Failed >= maxFailed && s.Head.Failed < maxFailed {
				f.Verdict = New
			}
		case m.Kind == Shown || m.Kind == Noisy && r.ExactOnly:
		case len(f.Base) == 0:
			f.Verdict = New
			if spread := disagreement(f.Head); m.Kind == Exact && spread > m.margin(*f.HeadMedian)*tolerance {
				f.Verdict, f.Why = Unstable, fmt.Sprintf("new, and its samples differ by %s", number(spread))
			}
		case len(f.Head) == 0:
			f.Verdict, f.Why = Gone, "head no longer reports it"
		case m.Kind == Exact:
			judgeExact(&f, &m)
		default:
			f.Verdict = Same // until judgeNoisy
		}
		all = append(all, f)
	}
	return all
}

// tolerance allows for rounding of quotients of counts.
const tolerance = 1 + 1e-9

// worse returns how much worse head is than base, in the unit.
func (m *Metric) worse(base, head float64) float64 {
	if m.Higher {
		return base - head
	}
	return head - base
}

// judgeExact compares the medians within the margin. If samples of a side differ by
// more than the margin, the figure is unstable, unless even head's best sample is
// worse than base's worst by more than the margin, or even head's worst is not worse
// than base's best by more than it: then the samples show enough.
func judgeExact(f *Figure, m *Metric) {
	margin := m.margin(*f.BaseMedian)
	f.Limit = &margin
	allowed := margin * tolerance
	by := m.worse(*f.BaseMedian, *f.HeadMedian)
	apart, most := m.worse(slices.Max(f.Base), slices.Min(f.Head)), m.worse(slices.Min(f.Base), slices.Max(f.Head))
	if m.Higher {
		apart, most = m.worse(slices.Min(f.Base), slices.Max(f.Head)), m.worse(slices.Max(f.Base), slices.Min(f.Head))
	}
	spread := max(disagreement(f.Base), disagreement(f.Head))
	switch {
	case apart > allowed, by > allowed && spread <= allowed:
		f.Verdict = Worse
	case spread > allowed && most > allowed:
		f.Verdict, f.Why = Unstable, fmt.Sprintf("samples differ by up to %s", number(spread))
	case by < -allowed:
		f.Verdict = Better
	default:
		f.Verdict = Same
	}
}

// judgeNoisy judges all noisy figures of the run together.
func (r *Result) judgeNoisy() {
	if r.ExactOnly {
		return
	}
	judged := r.testNoisy()
	for _, f := range judged {
		m := r.Config.Metric(f.Benchmark, f.Unit)
		f.Limit = &m.ThresholdPercent
		first := r.Config.P / float64(len(judged)) // the level that a single regression must pass
		seen := 100 * smallestEffect(f.Base, f.Head, first)
		if m.Higher {
			seen = 100 * smallestEffect(inverse(f.Base), inverse(f.Head), first)
			seen = 100 * seen / (100 + seen)
		}
		f.SeenPercent = finite(seen)
		significant := *f.P < *f.Level
		by := 100 * m.worse(*f.BaseMedian, *f.HeadMedian) / *f.BaseMedian
		switch {
		case significant && by > m.ThresholdPercent:
			f.Verdict = Worse
		case f.SeenPercent == nil || seen > m.SeePercent:
			f.Verdict, f.Why = Unstable, fmt.Sprintf("could not have detected %s %%", number(m.SeePercent))
		case significant && by < -m.ThresholdPercent:
			f.Verdict = Better
		}
	}
}

// blind returns the benchmarks with a noisy figure that could not have detected a
// regression of the configured size.
func (r *Result) blind() (benchmarks []string) {
	for i := range r.Figures {
		f := &r.Figures[i]
		if f.P == nil {
			continue // not judged by a test
		}
		if m := r.Config.Metric(f.Benchmark, f.Unit); f.SeenPercent == nil || *f.SeenPercent > m.SeePercent {
			benchmarks = append(benchmarks, f.Benchmark)
		}
	}
	return benchmarks
}

// testNoisy sets p and level of the noisy figures, and returns these figures.
func (r *Result) testNoisy() (judged []*Figure) {
	var ps []float64
	for i := range r.Figures {
		if f := &r.Figures[i]; f.Kind == Noisy && f.Verdict == Same {
			judged, ps = append(judged, f), append(ps, compare(f.Base, f.Head))
		}
	}
	levels := holm(ps, r.Config.P)
	for i, f := range judged {
		f.P, f.Level = &ps[i], &levels[i]
	}
	return judged
}

func inverse(v []float64) []float64 {
	w := make([]float64, len(v))
	for i := range v {
		w[i] = 1 / v[i]
	}
	return w
}

func median(v []float64) *float64 {
	if len(v) == 0 {
		return nil
	}
	return finite(record.Median(v))
}

// finite returns x, or nil for a value that JSON cannot represent.
func finite(x float64) *float64 {
	if math.IsInf(x, 0) || math.IsNaN(x) {
		return nil
	}
	return &x
}
