package gate

import (
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"

	"peal/bench"
)

// Keep returns the part of r that a later run can be compared with: head's samples,
// without noisy ones if only exact figures were measured, and without system calls,
// which not every machine lets the gate count.
func (r *Result) Keep() *Result {
	k := &Result{Schema: Schema, Began: r.Began, Took: r.Took, Environment: r.Environment, Head: r.Head, ExactOnly: r.ExactOnly, Config: r.Config}
	for _, f := range r.Figures {
		if len(f.Head) == 0 || r.ExactOnly && f.Kind != Exact || strings.HasPrefix(f.Unit, "syscalls/") {
			continue
		}
		k.Figures = append(k.Figures, Figure{Benchmark: f.Benchmark, Unit: f.Unit, Kind: f.Kind, Head: f.Head, HeadMedian: f.HeadMedian, Verdict: New})
	}
	return k
}

// Series are the pairs of one noisy figure in one run, kept to judge them again.
type Series struct {
	Run       int       `json:"run"`
	Benchmark string    `json:"benchmark"`
	Unit      string    `json:"unit"`
	Base      []float64 `json:"base"`
	Head      []float64 `json:"head"`
}

// WritePairs writes the Series of several runs, one a line.
func WritePairs(w io.Writer, runs []*Result) (err error) {
	e := json.NewEncoder(w)
	for i, r := range runs {
		for _, f := range r.Figures {
			if f.Kind == Noisy && len(f.Base) == len(f.Head) && len(f.Base) > 0 {
				err = errors.Join(err, e.Encode(Series{i, f.Benchmark, f.Unit, f.Base, f.Head}))
			}
		}
	}
	return err
}

// Against uses the head of kept, an earlier result, as the base of samples. missing
// are the benchmarks that only kept has.
func Against(kept *Result, samples []Samples) (missing []string) {
	for i := range samples {
		s := &samples[i]
		for _, f := range kept.Figures {
			if f.Benchmark == s.Benchmark {
				s.Base.add(f.Unit, f.Head)
			}
		}
	}
	for _, f := range kept.Figures {
		known := slices.ContainsFunc(samples, func(s Samples) bool { return s.Benchmark == f.Benchmark })
		if !known && !slices.Contains(missing, f.Benchmark) {
			missing = append(missing, f.Benchmark)
		}
	}
	return missing
}

// add adds one value of a unit to each run of the side.
func (s *Side) add(unit string, values []float64) {
	for i, v := range values {
		if i == len(s.Runs) {
			s.Runs = append(s.Runs, nil)
		}
		s.Runs[i] = append(s.Runs[i], bench.Measure{Unit: unit, Value: v})
	}
}

// Rewritten compares the baselines of the repository at base and at head. A figure
// that is worse in head's file counts as raised.
func Rewritten(config *Config, base, head *Result) (all []Change) {
	value := func(r *Result, benchmark, unit string) *float64 {
		i := slices.IndexFunc(r.Figures, func(f Figure) bool { return f.Benchmark == benchmark && f.Unit == unit })
		if i < 0 {
			return nil
		}
		return r.Figures[i].HeadMedian
	}
	for _, f := range base.Figures {
		h := value(head, f.Benchmark, f.Unit)
		m := config.Metric(f.Benchmark, f.Unit)
		what := f.Benchmark + ": " + f.Unit
		switch {
		case f.HeadMedian == nil || h != nil && *h == *f.HeadMedian:
		case h == nil:
			all = append(all, Change{what, number(*f.HeadMedian), "–", true})
		default:
			all = append(all, Change{what, number(*f.HeadMedian), number(*h), m.worse(*f.HeadMedian, *h) > m.margin(*f.HeadMedian)})
		}
	}
	for _, f := range head.Figures {
		if f.HeadMedian != nil && value(base, f.Benchmark, f.Unit) == nil {
			all = append(all, Change{f.Benchmark + ": " + f.Unit, "–", number(*f.HeadMedian), false})
		}
	}
	return all
}
