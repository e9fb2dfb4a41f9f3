package bench

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"
)

// Row is one line of the table.
type Row struct {
	What   string
	Unit   string // "bytes", "1/s", "ms", …
	Target Target
}

// Target says what is judged, and the limit. The zero value judges nothing.
type Target struct {
	Of     Quantity
	AtMost bool // otherwise: at least
	Limit  float64
}

// Quantity is what a target is about.
type Quantity uint8

const (
	Nothing    Quantity = iota
	Value               // the median of side A
	Ratio               // the median of the pairs' A ÷ B
	Difference          // the median of the pairs' A − B
)

// Sample is one measurement: a value per row of its experiment.
type Sample []float64

// Side measures one sample on a fresh server.
type Side func(ctx context.Context) (Sample, error)

// Experiment is one or several rows measured together.
type Experiment struct {
	Key  string // selects it on the command line
	Rows []Row
	A    Side
	B    Side // nil: the target is absolute
	// Before, if any, runs once before the first sample.
	Before func(ctx context.Context) error
}

// Outcome is what one row came to. Pairs and Err are about the whole
// experiment.
type Outcome struct {
	Row
	Key  string
	A, B []float64
	Err  error // of the first sample that failed; its pair does not count
}

// sampleTimeout bounds one sample, opening and settling included.
const sampleTimeout = 3 * time.Minute

// Run takes pairs of samples and tells progress to log.
func (e *Experiment) Run(ctx context.Context, pairs int, log io.Writer) []Outcome {
	outcomes := make([]Outcome, len(e.Rows))
	for i, row := range e.Rows {
		outcomes[i] = Outcome{Row: row, Key: e.Key}
	}
	failed := func(err error) []Outcome {
		fmt.Fprintf(log, "%s: %v\n", e.Key, err)
		for i := range outcomes {
			outcomes[i].Err = err
		}
		return outcomes
	}
	if e.Before != nil {
		if err := e.Before(ctx); err != nil {
			return failed(err)
		}
	}
	for pair := range pairs {
		a, b, err := e.pair(ctx, pair%2 == 1)
		if ctx.Err() != nil {
			return failed(ctx.Err())
		}
		if err != nil {
			outcomes = failed(err)
			if pair == 0 {
				return outcomes // it will not get better
			}
			continue
		}
		for i := range outcomes {
			outcomes[i].A = append(outcomes[i].A, a[i])
			if b != nil {
				outcomes[i].B = append(outcomes[i].B, b[i])
			}
		}
		fmt.Fprintf(log, "%s %d/%d: %.4g", e.Key, pair+1, pairs, []float64(a))
		if b != nil {
			fmt.Fprintf(log, " against %.4g", []float64(b))
		}
		fmt.Fprintln(log)
	}
	return outcomes
}

// pair takes A and B, in reverse order if asked.
func (e *Experiment) pair(ctx context.Context, reverse bool) (a, b Sample, err error) {
	sides := []struct {
		side Side
		to   *Sample
	}{{e.A, &a}, {e.B, &b}}
	if reverse {
		slices.Reverse(sides)
	}
	for _, s := range sides {
		if s.side == nil {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, sampleTimeout)
		*s.to, err = s.side(ctx)
		cancel()
		if err != nil {
			return nil, nil, err
		}
		if len(*s.to) != len(e.Rows) {
			panic(fmt.Sprintf("bench: %s: %d values for %d rows", e.Key, len(*s.to), len(e.Rows)))
		}
	}
	return a, b, nil
}

// Judged returns the values that the target is about, one per pair.
func (o *Outcome) Judged() []float64 {
	switch o.Target.Of {
	case Ratio, Difference:
		v := make([]float64, min(len(o.A), len(o.B)))
		for i := range v {
			if v[i] = o.A[i] - o.B[i]; o.Target.Of == Ratio {
				v[i] = o.A[i] / o.B[i]
			}
		}
		return v
	}
	return o.A
}

// Verdict is "met", "missed", "failed", or "" where there is no target.
func (o *Outcome) Verdict() string {
	v := o.Judged()
	switch {
	case len(v) == 0:
		return "not measured"
	case o.Err != nil:
		return "failed"
	case o.Target.Of == Nothing:
		return ""
	case o.Target.AtMost && Median(v) <= o.Target.Limit, !o.Target.AtMost && Median(v) >= o.Target.Limit:
		return "met"
	}
	return "missed"
}

// Median of v; 0 for none.
func Median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}
