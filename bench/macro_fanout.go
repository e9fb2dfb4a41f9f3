package bench

import (
	"context"
	"fmt"

	"peal/loadtest"
)

// fanoutMacro publishes to subscribers of one channel, inFlight messages at a
// time, on one loop.
func (c *Config) fanoutMacro(subscribers, inFlight int) Macro {
	return Macro{
		Name: fmt.Sprintf("Fanout/subscribers=%d/inflight=%d", subscribers, inFlight),
		Run: func(ctx context.Context, l Launcher) ([]Measure, error) {
			r, err := fanout{server: l, loops: 1, subscribers: subscribers,
				load: loadtest.Load{Length: c.Length, InFlight: inFlight}}.run(ctx)
			if err != nil {
				return nil, err
			}
			return []Measure{
				{"cpu-ns/delivery", 1e9 / r.PerServerCPUSecond()},
				{"p99-ns", float64(r.Latency.Quantile(0.99))},
			}, nil
		},
	}
}
