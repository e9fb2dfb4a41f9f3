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

// units returns the units of both sides, in order of appearance.
func (s *Samples) units() (units []string) {
	for _, run := range slices.Concat(s.Head.Runs, s.Base.Runs) {
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
	r.judgeGone(all)
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
	case base >= maxFailed && head == 0 && len(s.Head.Runs) > 0 && !r.baseHas(s.Benchmark):
		verdict = New // base lacks what is measured
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
	for _, unit := range s.units() {
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
			f.Verdict, f.Why = r.gone(s.Benchmark, unit), "head no longer reports it"
		case m.Kind == Exact:
			judgeExact(&f, &m)
		case len(f.Base) != len(s.Base.Runs) || len(f.Head) != len(s.Head.Runs):
			f.Verdict, f.Why = Unstable, "some runs did not report it: there are no pairs"
		default:
			f.Verdict = Same // until judgeNoisy
		}
		all = append(all, f)
	}
	return all
}

// judgeGone adds a failure for each benchmark that only base has, and a figure for
// each that base keeps in its repository and that no side reports any more.
func (r *Result) judgeGone(all []Samples) {
	for _, name := range r.vanished {
		r.Failures = append(r.Failures, Failure{Benchmark: name, Side: "head", Error: "head no longer has this benchmark", Verdict: r.gone(name)})
	}
	for _, k := range r.expected {
		same := func(f Figure) bool { return f.Benchmark == k.Benchmark && f.Unit == k.Unit }
		measured := func(s Samples) bool { return s.Benchmark == k.Benchmark && s.given(r.alone()) }
		if slices.ContainsFunc(all, measured) && !slices.ContainsFunc(r.Figures, same) {
			r.Figures = append(r.Figures, Figure{Benchmark: k.Benchmark, Unit: k.Unit, Kind: k.Kind, BaseMedian: k.HeadMedian,
				Verdict: r.gone(k.Benchmark, k.Unit), Why: "base keeps it, and no side reports it"})
		}
	}
}

// gone is the verdict about a benchmark that is gone, or one of its units: what --allow
// names is not judged.
func (r *Result) gone(benchmark string, unit ...string) Verdict {
	if r.Allows(benchmark) || len(unit) > 0 && r.Allows(benchmark+": "+unit[0]) {
		return NotJudged
	}
	return Gone
}

// tolerance allows for rounding of quotients of counts.
const tolerance = 1 + 1e-9

// sign is the direction that is worse.
func (m *Metric) sign() float64 {
	if m.Higher {
		return -1
	}
	return 1
}

// worse returns how much worse head is than base, in the unit.
func (m *Metric) worse(base, head float64) float64 { return m.sign() * (head - base) }

// differences returns ln(head/base) of each pair, or its negative if higher is better:
// above 0 is worse. Values below the floor count as the floor. Equal values give 0; nil
// means that another value is not above 0.
func (m *Metric) differences(base, head []float64) []float64 {
	d := make([]float64, len(base))
	for i := range d {
		b, h := max(base[i], m.Floor), max(head[i], m.Floor)
		if b == h {
			continue
		}
		if b <= 0 || h <= 0 {
			return nil
		}
		d[i] = m.sign() * math.Log(h/b)
	}
	return d
}

// logarithm returns the difference of a change for the worse by percent.
func (m *Metric) logarithm(percent float64) float64 {
	return m.sign() * math.Log1p(m.sign()*percent/100)
}

// percent returns the change of head against base of a difference.
func (m *Metric) percent(d float64) *float64 { return finite(100 * math.Expm1(m.sign()*d)) }

// judgeExact compares the medians within the margin. If samples of a side differ by
// more than the margin, the figure is unstable, unless even head's best sample is
// worse than base's worst by more than the margin, or even head's worst is not worse
// than base's best by more than it: then the samples show enough.
func judgeExact(f *Figure, m *Metric) {
	margin := m.margin(*f.BaseMedian)
	f.Limit = &margin
	allowed := margin * tolerance
	by := m.worse(*f.BaseMedian, *f.HeadMedian)
	best, worst := slices.Min[[]float64], slices.Max[[]float64]
	if m.Higher {
		best, worst = worst, best
	}
	apart, most := m.worse(worst(f.Base), best(f.Head)), m.worse(best(f.Base), worst(f.Head))
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

// judgeNoisy judges all noisy figures of the run together. What fails or is better, of
// any of them and at either look, is an error with a probability of at most Config.P
// together: that is the level.
//
// What passes needs no such division by the number of figures. The run passes only if
// each figure does, so a run with one figure that is worse by what the gate promises to
// see passes no more often than that figure alone (an intersection-union test: Berger
// 1982, Technometrics 24, 295). Over both looks that is at most Config.P, too.
func (r *Result) judgeNoisy() {
	var judged []*Figure
	for i := range r.Figures {
		if f := &r.Figures[i]; f.Kind == Noisy && f.Verdict == Same {
			judged = append(judged, f)
		}
	}
	r.Intervals = nil
	if len(judged) == 0 {
		return
	}
	level := r.Config.level(len(judged))
	r.Intervals = &Intervals{Figures: len(judged), Level: level, Passing: [2]float64{r.Config.passing(0), r.Config.passing(math.MaxInt)}, FewestPairs: fewest(level)}
	for _, f := range judged {
		m := r.Config.Metric(f.Benchmark, f.Unit)
		f.judgePairs(&m, level, 2*r.Config.passing(len(f.Base)))
	}
}

// judgePairs judges by the interval of the logarithm of head/base: the lower end of that
// with one level, and the upper end of that with another, from which it passes.
func (f *Figure) judgePairs(m *Metric, level, pass float64) {
	f.Limit = &m.ThresholdPercent
	d := m.differences(f.Base, f.Head)
	if d == nil {
		f.Verdict, f.Why = Unstable, "a sample is not above 0: set a floor, or kind: exact"
		return
	}
	s := newSignedRank(d)
	by := s.estimate()
	low, most := s.interval(level)
	_, high := s.interval(pass)
	f.ChangePercent, f.LowPercent, f.HighPercent = m.percent(by), m.percent(low), m.percent(high)
	if math.IsInf(low, -1) {
		f.LowPercent = nil
	}
	if math.IsInf(high, 1) {
		f.HighPercent = nil
	}
	if m.Higher {
		f.LowPercent, f.HighPercent = f.HighPercent, f.LowPercent
	}
	threshold := m.logarithm(m.ThresholdPercent)
	switch {
	case low > 0 && by > threshold:
		f.Verdict = Worse
	case high >= m.logarithm(m.SeePercent):
		f.Verdict, f.Why = Unstable, fmt.Sprintf("a change for the worse by %s %% is not excluded", number(m.SeePercent))
	case most < 0 && by < -threshold:
		f.Verdict = Better
	}
}

// undecided reports whether the benchmark has an unstable noisy figure, about which
// more pairs can decide.
func (r *Result) undecided(benchmark string) bool {
	return slices.ContainsFunc(r.Figures, func(f Figure) bool {
		return f.Benchmark == benchmark && f.Kind == Noisy && f.Verdict == Unstable && f.Limit != nil
	})
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
