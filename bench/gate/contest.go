package gate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"peal/bench"
	"peal/bench/record"
)

// Contest measures benchmarks on two builds alternately.
type Contest struct {
	Config    *Config
	Base      *bench.Command // nil: only head is measured
	Head      *bench.Command
	Kept      *Result // stands for base if there is no Base; may be nil
	ExactOnly bool
	// Log receives a line for each sample.
	Log io.Writer
}

// errInvalid marks a run in which the generator was too slow: unstable, not failed.
var errInvalid = errors.New("the run is not valid")

// ErrPairs means that there are too few pairs for the number of figures.
var ErrPairs = errors.New("too few pairs")

// turn is a benchmark that is measured.
type turn struct {
	*bench.Macro
	Samples
	pairs, taken int // wanted, and so far
	took         time.Duration
	ended        bool // a side failed too often
}

// Run takes the samples of all benchmarks and judges them in r, whose Config and sides
// must be set. The benchmarks take turns, a pair each, so that the pairs of each spread
// over the whole run. A pair is base and head, in turns (bench.Turn), every second one
// begun by head, so that what the machine does meanwhile affects both. Benchmarks with a noisy figure that is still
// unstable then take as many pairs again, once.
//
// The error is ErrPairs or the end of ctx.
func (c *Contest) Run(ctx context.Context, macros []bench.Macro, r *Result) ([]Samples, error) {
	var turns []*turn
	for i := range macros {
		turns = append(turns, &turn{Macro: &macros[i], Samples: Samples{Benchmark: macros[i].Name}, pairs: c.Config.Samples})
	}
	if err := c.take(ctx, turns, 1); err != nil {
		return nil, err
	}
	turns, err := c.plan(turns)
	if err == nil {
		err = c.take(ctx, turns, math.MaxInt)
	}
	if err != nil {
		return nil, err
	}
	again := c.again(turns, "samples disagree", func(t *turn) (further int) {
		if t.pairs == c.Config.Samples && c.restless(&t.Samples) {
			return furtherSamples
		}
		return 0
	})
	if err := c.take(ctx, again, math.MaxInt); err != nil {
		return nil, err
	}
	all := c.judge(turns, r)
	again = c.again(turns, "not decided", func(t *turn) (further int) {
		if c.Base != nil && t.given(false) && r.undecided(t.Name) {
			return t.pairs
		}
		return 0
	})
	if len(again) == 0 {
		return all, nil
	}
	if err := c.take(ctx, again, math.MaxInt); err != nil {
		return nil, err
	}
	return c.judge(turns, r), nil
}

func (c *Contest) judge(turns []*turn, r *Result) (all []Samples) {
	for _, t := range turns {
		all = append(all, t.Samples)
	}
	if c.Kept != nil {
		r.vanished = Against(c.Kept, all)
	}
	r.Judge(all)
	return all
}

// again wants further pairs, and returns the benchmarks for which there are any.
func (c *Contest) again(turns []*turn, why string, further func(*turn) int) (all []*turn) {
	for _, t := range turns {
		if n := further(t); n > 0 && !t.ended {
			fmt.Fprintf(c.Log, "%s: %s, taking %d more\n", t.Name, why, n)
			t.pairs += n
			all = append(all, t)
		}
	}
	return all
}

// plan decides after the first pair how many pairs each benchmark takes, and leaves out
// those without figures to judge.
func (c *Contest) plan(turns []*turn) (kept []*turn, err error) {
	figures := 0
	for _, t := range turns {
		exact, noisy := c.kinds(&t.Samples)
		if c.ExactOnly && exact == 0 && !t.ended {
			fmt.Fprintf(c.Log, "%s: no exact figures, skipped\n", t.Name)
			continue
		}
		if kept = append(kept, t); noisy > 0 && !c.ExactOnly && !t.ended {
			t.pairs = c.Config.Pairs
			figures += noisy
		}
	}
	if figures == 0 || c.Base == nil {
		return kept, nil
	}
	level := c.Config.level(figures)
	fmt.Fprintf(c.Log, "%d noisy figures, each at the level %.2g, which needs %d pairs: %s\n", figures, level, fewest(level), left(kept))
	if c.Config.Pairs < fewest(level) {
		err = fmt.Errorf("%w: %d pairs cannot decide about %d noisy figures with p %v, at least %d can: raise pairs (--pairs) or p, or judge fewer figures (--set, --only, kind: shown)",
			ErrPairs, c.Config.Pairs, figures, c.Config.P, fewest(level))
	}
	return kept, err
}

// left is how long the pairs that are still wanted take.
func left(turns []*turn) string {
	var sum time.Duration
	for _, t := range turns {
		sum += t.took / time.Duration(max(t.taken, 1)) * time.Duration(t.pairs-t.taken)
	}
	return fmt.Sprintf("about %.0f s left", sum.Seconds())
}

// take takes pairs, in turns, until each benchmark has as many as it wants, or until has.
func (c *Contest) take(ctx context.Context, turns []*turn, until int) error {
	for more := true; more; {
		more = false
		for _, t := range turns {
			if t.taken >= min(t.pairs, until) {
				continue
			}
			began := time.Now()
			if err := c.pair(ctx, t); err != nil {
				return err
			}
			t.took += time.Since(began)
			if more = true; until > 1 {
				fmt.Fprintln(c.Log, left(turns))
			}
		}
	}
	return nil
}

// pair takes one sample of each side. If one failed too often, it measures the other side
// to confirm it, and ends the turn.
func (c *Contest) pair(ctx context.Context, t *turn) error {
	order := []*Side{&t.Base, &t.Head}
	if c.Base == nil {
		order = order[1:]
	}
	if t.taken%2 == 1 {
		slices.Reverse(order)
	}
	t.taken++
	at := fmt.Sprintf("%d/%d", t.taken, t.pairs)
	var first [2]bench.Outcome
	began := time.Now()
	if len(order) == 2 {
		first = t.Duet(ctx, c.server(t, order[0]), c.server(t, order[1]))
	}
	for i, side := range order {
		if len(order) == 1 || !c.keep(ctx, t, side, at, first[i], time.Since(began)) {
			if err := c.sample(ctx, t, side, at); err != nil {
				return err
			}
		}
		if side.Failed >= maxFailed {
			t.pairs, t.ended = t.taken, true
			return c.confirm(ctx, t, side)
		}
	}
	return nil
}

// furtherSamples are taken if samples of an exact figure disagree: of five, one
// outlier is ignored.
const furtherSamples = 2

// restless reports whether samples of an exact figure disagree.
func (c *Contest) restless(s *Samples) bool {
	for _, side := range []*Side{&s.Base, &s.Head} {
		for _, unit := range s.units() {
			m, v := c.Config.Metric(s.Benchmark, unit), side.values(unit)
			if m.Kind == Exact && len(v) > 0 && disagreement(v) > m.margin(record.Median(v))*tolerance {
				return true
			}
		}
	}
	return false
}

// kinds returns how many exact and noisy figures there are.
func (c *Contest) kinds(s *Samples) (exact, noisy int) {
	for _, unit := range s.units() {
		switch c.Config.Metric(s.Benchmark, unit).Kind {
		case Exact:
			exact++
		case Noisy:
			noisy++
		}
	}
	return exact, noisy
}

// server is that of a side of t.
func (c *Contest) server(t *turn, side *Side) *bench.Command {
	if side == &t.Head {
		return c.Head
	}
	return c.Base
}

// sample takes one sample of a side. A failed run is repeated once. The only error is
// the end of ctx.
func (c *Contest) sample(ctx context.Context, t *turn, side *Side, at string) error {
	for side.Failed < maxFailed {
		began := time.Now()
		values, err := t.Sample(ctx, c.server(t, side))
		if c.keep(ctx, t, side, at, bench.Outcome{Measures: values, Err: err}, time.Since(began)) {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// keep reports whether o is a sample, and keeps it, or that there is none.
func (c *Contest) keep(ctx context.Context, t *turn, side *Side, at string, o bench.Outcome, took time.Duration) bool {
	name := "base"
	if side == &t.Head {
		name = "head"
	}
	if ctx.Err() != nil {
		return false
	}
	if o.Err == nil {
		o.Err = valid(o.Measures)
	}
	if o.Err != nil {
		side.Failed, side.Err = side.Failed+1, o.Err
		fmt.Fprintf(c.Log, "%s %s %s failed: %v\n", t.Name, at, name, o.Err)
		return false
	}
	side.Runs = append(side.Runs, o.Measures)
	fmt.Fprintf(c.Log, "%s %s %s:%s  (%.1f s)\n", t.Name, at, name, line(o.Measures), took.Seconds())
	return true
}

func line(run []bench.Measure) (text string) {
	for _, m := range run {
		text += fmt.Sprintf(" %s %s", number(m.Value), m.Unit)
	}
	return text
}

// valid returns an error for a run without figures, or with one that is not a number.
func valid(run []bench.Measure) error {
	if len(run) == 0 {
		return errors.New("the benchmark gave no figure")
	}
	for _, m := range run {
		if math.IsNaN(m.Value) || math.IsInf(m.Value, 0) {
			return fmt.Errorf("%s is %v", m.Unit, m.Value)
		}
	}
	return nil
}

// confirm measures the other side until it has passed or failed twice, to find out
// whether only one side is at fault.
func (c *Contest) confirm(ctx context.Context, t *turn, failed *Side) error {
	other := &t.Head
	if failed == &t.Head {
		other = &t.Base
		if c.Base == nil {
			return nil
		}
	}
	for len(other.Runs) < maxFailed && other.Failed < maxFailed {
		if err := c.sample(ctx, t, other, "to confirm"); err != nil {
			return err
		}
	}
	return nil
}
