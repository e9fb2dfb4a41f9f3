package gate

import (
	"fmt"
	"io"

	"golang.org/x/perf/benchfmt"

	"peal/bench/record"
)

// WriteBenchmarks writes one side's samples as Go benchmark results, one line a
// run, so that benchstat compares the files of two sides.
func WriteBenchmarks(w io.Writer, machine record.Machine, build Build, all []Samples, side func(*Samples) *Side) error {
	config := []benchfmt.Config{
		{Key: "goos", Value: []byte("linux"), File: true},
		{Key: "cpu", Value: []byte(machine.CPU), File: true},
		{Key: "kernel", Value: []byte(machine.Kernel), File: true},
		{Key: "commit", Value: []byte(build.Commit), File: true},
	}
	to := benchfmt.NewWriter(w)
	for i := range all {
		for _, run := range side(&all[i]).Runs {
			r := benchfmt.Result{Config: config, Name: benchfmt.Name(all[i].Benchmark), Iters: 1}
			for _, m := range run {
				r.Values = append(r.Values, benchfmt.Value{Value: m.Value, Unit: m.Unit})
			}
			if err := to.Write(&r); err != nil {
				return fmt.Errorf("write benchmark results: %w", err)
			}
		}
	}
	return nil
}
