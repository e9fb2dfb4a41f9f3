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
	ExactOnly bool
	// Log receives a line for each sample.
	Log io.Writer
}

// errInvalid marks a run in which the generator was too slow: unstable, not failed.
var errInvalid = errors.New("the run is not valid")

// Run takes the samples of all benchmarks. Each pair is base and head, every second
// one in reverse order, so that a slow minute of the machine affects both. The only
// error is the end of ctx.
func (c *Contest) Run(ctx context.Context, macros []bench.Macro) ([]Samples, error) {
	var all []Samples
	for i := range macros {
		s, err := c.benchmark(ctx, &macros[i])
		if err != nil {
			return nil, err
		}
		if s != nil {
			all = append(all, *s)
		}
	}
	return all, nil
}

// benchmark returns nil if only exact figures are measured and m has none.
func (c *Contest) benchmark(ctx context.Context, m *bench.Macro) (*Samples, error) {
	s := &Samples{Benchmark: m.Name}
	pairs := c.Config.Samples
	for pair := 0; pair < pairs; pair++ {
		if end, err := c.pair(ctx, m, s, pair, pairs); end || err != nil {
			return s, err
		}
		exact, noisy := c.kinds(s)
		switch {
		case pair == 0 && c.ExactOnly && !exact:
			fmt.Fprintf(c.Log, "%s: no exact figures, skipped\n", m.Name)
			return nil, nil
		case pair == 0 && !c.ExactOnly && noisy:
			pairs = c.Config.Pairs
		case pair == c.Config.Samples-1 && pairs == c.Config.Samples && c.restless(s):
			fmt.Fprintf(c.Log, "%s: samples disagree, taking %d more\n", m.Name, furtherSamples)
			pairs += furtherSamples
		}
	}
	return s, nil
}

// pair takes one sample of each side. end means that one side failed too often, and
// that the other side was measured to confirm it.
func (c *Contest) pair(ctx context.Context, m *bench.Macro, s *Samples, pair, pairs int) (end bool, err error) {
	order := []*Side{&s.Base, &s.Head}
	if c.Base == nil {
		order = order[1:]
	}
	if pair%2 == 1 {
		slices.Reverse(order)
	}
	for _, side := range order {
		if err := c.sample(ctx, m, s, side, fmt.Sprintf("%d/%d", pair+1, pairs)); err != nil {
			return true, err
		}
		if side.Failed >= maxFailed {
			return true, c.confirm(ctx, m, s, side)
		}
	}
	return false, nil
}

// More takes the same number of pairs again for benchmarks with a noisy figure that
// spreads too much, and reports whether there were any: then call Judge again. Call
// More once. A difference between the sides does not matter here, so the additional
// pairs do not make a false alarm more likely. The only error is the end of ctx.
func (c *Contest) More(ctx context.Context, macros []bench.Macro, all []Samples, r *Result) (more bool, err error) {
	if c.Base == nil || c.ExactOnly {
		return false, nil
	}
	restless := r.blind()
	for i := range all {
		s := &all[i]
		at := slices.IndexFunc(macros, func(m bench.Macro) bool { return m.Name == s.Benchmark })
		if at < 0 || !slices.Contains(restless, s.Benchmark) || !s.given(false) {
			continue
		}
		more = true
		fmt.Fprintf(c.Log, "%s: samples spread too much, taking %d more pairs\n", s.Benchmark, c.Config.Pairs)
		end := false
		for pair := c.Config.Pairs; pair < 2*c.Config.Pairs && !end; pair++ {
			if end, err = c.pair(ctx, &macros[at], s, pair, 2*c.Config.Pairs); err != nil {
				return more, err
			}
		}
	}
	return more, nil
}

// furtherSamples are taken if samples of an exact figure disagree: of five, one
// outlier is ignored.
const furtherSamples = 2

// restless reports whether samples of an exact figure disagree.
func (c *Contest) restless(s *Samples) bool {
	for _, side := range []*Side{&s.Base, &s.Head} {
		for _, unit := range side.units() {
			m, v := c.Config.Metric(s.Benchmark, unit), side.values(unit)
			if m.Kind == Exact && disagreement(v) > m.margin(record.Median(v))*tolerance {
				return true
			}
		}
	}
	return false
}

func (c *Contest) kinds(s *Samples) (exact, noisy bool) {
	for _, unit := range append(s.Base.units(), s.Head.units()...) {
		m := c.Config.Metric(s.Benchmark, unit)
		exact, noisy = exact || m.Kind == Exact, noisy || m.Kind == Noisy
	}
	return exact, noisy
}

// sample takes one sample of a side. A failed run is repeated once. The only error is
// the end of ctx.
func (c *Contest) sample(ctx context.Context, m *bench.Macro, s *Samples, side *Side, at string) error {
	name, launcher := "base", c.Base
	if side == &s.Head {
		name, launcher = "head", c.Head
	}
	for {
		began := time.Now()
		values, err := run(ctx, m, launcher)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err == nil {
			side.Runs = append(side.Runs, values)
			fmt.Fprintf(c.Log, "%s %s %s:%s  (%.1f s)\n", m.Name, at, name, line(values), time.Since(began).Seconds())
			return nil
		}
		side.Failed, side.Err = side.Failed+1, err
		fmt.Fprintf(c.Log, "%s %s %s failed: %v\n", m.Name, at, name, err)
		if side.Failed >= maxFailed {
			return nil
		}
	}
}

func line(run []bench.Measure) (text string) {
	for _, m := range run {
		text += fmt.Sprintf(" %s %s", number(m.Value), m.Unit)
	}
	return text
}

func run(ctx context.Context, m *bench.Macro, l *bench.Command) ([]bench.Measure, error) {
	run, err := m.Sample(ctx, l)
	if err != nil {
		return nil, err
	}
	if len(run) == 0 {
		return nil, errors.New("the benchmark gave no figure")
	}
	for _, m := range run {
		if math.IsNaN(m.Value) || math.IsInf(m.Value, 0) {
			return nil, fmt.Errorf("%s is %v", m.Unit, m.Value)
		}
	}
	return run, nil
}

// confirm measures the other side until it has passed or failed twice, to find out
// whether only one side is at fault.
func (c *Contest) confirm(ctx context.Context, m *bench.Macro, s *Samples, failed *Side) error {
	other := &s.Head
	if failed == &s.Head {
		other = &s.Base
		if c.Base == nil {
			return nil
		}
	}
	for len(other.Runs) < maxFailed && other.Failed < maxFailed {
		if err := c.sample(ctx, m, s, other, "to confirm"); err != nil {
			return err
		}
	}
	return nil
}
