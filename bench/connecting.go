package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"peal/bench/record"
	"peal/loadtest"
)

// connectBursts is how often all connections of connectExperiment open again.
const connectBursts = 4

// connectExperiment compares opening and closing WebSockets with the C program. Each has one thread, and
// each makes the same system calls for a connection: accept4, epoll_ctl, read, send; then read and close.
// The first burst finds a new server, whose memory has to be mapped yet. Clients close without a close
// frame, all at once, as those of a proxy that ends.
func (c *Config) connectExperiment() Experiment {
	side := func(l *Command) Side {
		return func(ctx context.Context) (Sample, error) {
			return OnServer(ctx, l, 1, func(s *Server) (Sample, error) { return c.connect(ctx, s) })
		}
	}
	what := fmt.Sprintf("per server-CPU-second, one loop, %d WebSockets at once", c.Subscribers)
	return Experiment{
		Key: "accept-c",
		Rows: []record.Row{
			{What: "connections accepted and upgraded " + what, Unit: "1/s", Target: record.AtLeast(record.Ratio, 0.9)},
			{What: "connections opened and closed again " + what, Unit: "1/s", Target: record.AtLeast(record.Ratio, 0.9)},
			{What: "connections accepted and upgraded " + what + ", by a server that has just started", Unit: "1/s"},
		},
		A: side(c.Peal), B: side(c.Ceiling),
	}
}

// connect returns a value for each row of connectExperiment.
func (c *Config) connect(ctx context.Context, s *Server) (Sample, error) {
	descriptors, err := loadtest.Descriptors(s.PID)
	if err != nil {
		return nil, err
	}
	burst := *c
	burst.Many = c.Subscribers
	rate := func(cost time.Duration, of int) float64 { return float64(of) / cost.Seconds() }
	var first, opened, both time.Duration // of one connection, summed over the bursts
	for i := range 1 + connectBursts {
		before, err := loadtest.CPUTime(s.PID)
		if err != nil {
			return nil, err
		}
		cost, _, _, err := burst.accept(ctx, s, false)
		if err != nil {
			return nil, err
		}
		if err := closedAgain(ctx, s, descriptors); err != nil {
			return nil, err
		}
		after, err := loadtest.CPUTime(s.PID)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			first = cost
			continue
		}
		opened += cost
		both += (after - before) / time.Duration(burst.Many)
	}
	return Sample{rate(opened, connectBursts), rate(both, connectBursts), rate(first, 1)}, nil
}

// openCloseMeasures counts what a WebSocket costs a server with one loop from its accept to the end of its socket. The
// connections open one after another: in a burst, the system calls depend on how many arrive together.
func (c *Config) openCloseMeasures(ctx context.Context, l *Command) ([]Measure, error) {
	return OnServer(ctx, l, 1, func(s *Server) ([]Measure, error) {
		descriptors, err := loadtest.Descriptors(s.PID)
		if err != nil {
			return nil, err
		}
		life := func() (r loadtest.Result, err error) {
			spec := loadtest.Spec{Connections: max(c.Many/6, 1), Channels: 1, Window: 1}
			err = withPool(ctx, s, spec, func(*loadtest.Pool) error { return nil })
			r.Published = uint64(spec.Connections)
			return r, errors.Join(err, closedAgain(ctx, s, descriptors))
		}
		if _, err := life(); err != nil { // the memory that a server keeps for connections
			return nil, err
		}
		before, err := c.Metrics.begin(ctx, s)
		if err != nil {
			return nil, err
		}
		calls := counters{}
		r, err := withSyscalls(s, calls, life)
		if err != nil {
			return nil, err
		}
		n, err := c.Metrics.end(ctx, s, before)
		n[published] = float64(r.Published)
		v := calls.per("syscalls/connection", syscalls, published, 1)
		v = append(v, n.per("allocs/connection", heapObjects, published, 1)...)
		return append(v, n.per("alloc-B/connection", heapBytes, published, 0)...), err
	})
}
