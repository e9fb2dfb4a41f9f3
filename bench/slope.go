package bench

import (
	"context"
	"fmt"

	"peal/bench/record"
	"peal/loadtest"
)

// slopeSizes are numbers of connections of one server. Between two of them the memory
// grows by what a connection costs; what does not depend on their number is left out.
var slopeSizes = []int{2_500, 5_000, 10_000, 18_000}

// slopeExperiment measures bytes per idle WebSocket from each size to the next: resident, Go's heap, and the kernel's for
// both ends. If the last is no more than the first, a larger number may be extrapolated.
func (c *Config) slopeExperiment() Experiment {
	sizes := slopeSizes
	if c.Many < Full().Many {
		sizes = []int{500, 1_000, 2_000}
	}
	e := Experiment{Key: "slope", A: func(ctx context.Context) (Sample, error) {
		return OnServer(ctx, c.Peal, c.Loops, func(s *Server) (Sample, error) { return c.slope(ctx, s, sizes) })
	}}
	for _, kind := range []string{"resident", "Go heap in use", "kernel, both ends"} {
		for i, n := range sizes[1:] {
			e.Rows = append(e.Rows, record.Row{What: fmt.Sprintf("%s, for each WebSocket from %d to %d", kind, sizes[i], n), Unit: "bytes"})
		}
	}
	return e
}

// slope opens the connections of each size beside those of the one before.
func (c *Config) slope(ctx context.Context, s *Server, sizes []int) (Sample, error) {
	var all []Sample
	open := 0
	for _, n := range sizes {
		spec := loadtest.Spec{Connections: n - open, Channels: 1}
		s.address(&spec)
		pool, opened, err := loadtest.OpenPool(ctx, spec, loadtest.LoopbackSources...)
		if err != nil {
			return nil, err
		}
		defer pool.Close()
		if err := opened.Err(); err != nil {
			return nil, err
		}
		open = n
		sleep(ctx, c.Settle)
		v, err := c.readKinds(ctx, s)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	var slopes Sample
	for kind := range all[0] {
		for i := range sizes[1:] {
			slopes = append(slopes, (all[i+1][kind]-all[i][kind])/float64(sizes[i+1]-sizes[i]))
		}
	}
	return slopes, ctx.Err()
}
