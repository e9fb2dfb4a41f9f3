package bench

import "context"

// Macro is a benchmark of a whole server: one run is one sample, on a fresh
// server. Its figures are written in Go's benchmark format
// (golang.org/design/14313-benchmark-format), so that benchstat reads them, and
// cmd/peal-gate compares them between two builds.
type Macro struct {
	// Name is the benchmark's, without "Benchmark": "Fanout/subscribers=5000/inflight=1".
	Name string
	// Run starts a server of l, measures and stops it. A run in which a message
	// was lost, repeated or reordered is an error and not a figure.
	Run func(ctx context.Context, l Launcher) ([]Measure, error)
}

// Measure is one figure of a run. The unit names it within its benchmark:
// "cpu-ns/delivery", "allocs/delivery", "sends/delivery", "B/connection".
type Measure struct {
	Unit  string
	Value float64
}

// Macros returns the benchmarks of a whole server that c's sizes give.
func (c *Config) Macros() []Macro {
	return []Macro{c.fanoutMacro(c.Subscribers, 1)}
}
