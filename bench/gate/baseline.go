package gate

import (
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
