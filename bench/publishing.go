package bench

import (
	"context"
	"fmt"

	"peal/bench/record"
)

// publishingExperiments compare publications over HTTP with the C program that makes the same
// system calls for each: one read, one send of the response, one of the delivery. Both have one
// thread. How many publishers there are decides how much one look at the sockets finds.
func (c *Config) publishingExperiments() (all []Experiment) {
	for _, publishers := range []int{64, 256} {
		few := *c
		few.Publishers = publishers
		side := func(l *Command) Side {
			return func(ctx context.Context) (Sample, error) {
				return OnServer(ctx, l, 1, func(s *Server) (Sample, error) {
					r, err := few.flood(ctx, s, few.Channels, 0, nil, nil)
					return Sample{r.PerServerCPUSecond(), float64(r.Published) / r.Took.Seconds()}, err
				})
			}
		}
		a := c.Peal
		if a != nil && a.Bare { // the ceiling against itself
			a = c.Publishing
		}
		all = append(all, Experiment{
			Key: fmt.Sprintf("publish-c-%d", publishers),
			Rows: []record.Row{
				{What: fmt.Sprintf("publications per server-CPU-second, HTTP keep-alive, one loop, %d publishers, %d channels with one subscriber each", publishers, c.Channels),
					Unit: "1/s", Target: record.AtLeast(record.Ratio, 0.85)},
				{What: fmt.Sprintf("publications per second, one loop, %d publishers", publishers), Unit: "1/s"},
			},
			A: side(a), B: side(c.Publishing),
		})
	}
	return all
}
