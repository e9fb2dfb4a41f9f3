package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"peal/loadtest"
)

// on is c with l as the server.
func (c *Config) on(l Launcher) *Config {
	d := *c
	d.Peal = l
	return &d
}

// idleMacros measure what a connection costs that receives nothing, of each
// transport, also if it had requests before.
func (c *Config) idleMacros() []Macro {
	var all []Macro
	for _, before := range [][]string{nil, idleRequests} {
		for _, t := range idleTransports {
			name := "Idle/transport=" + t.key
			if before != nil {
				name += "/after=requests"
			}
			all = append(all, Macro{Name: name, Run: func(ctx context.Context, l Launcher) ([]Measure, error) {
				each, err := c.on(l).growth(ctx, loadtest.Spec{Transport: t.transport, Requests: before, Channels: 1}, readResident)
				return memoryMeasures(each, "connection"), err
			}})
		}
	}
	return all
}

// readResident is what the server holds, and what is alive of it on Go's heap,
// if it tells: the first is what an operator sees and depends on when the
// collector ran last, the second is the same in each run.
func readResident(ctx context.Context, s *Server) (Sample, error) {
	m, err := loadtest.ReadMemory(s.PID)
	if err != nil || s.Admin == "" {
		return Sample{float64(m.Resident)}, err
	}
	h, err := readLive(ctx, s)
	if errors.Is(err, errStatus) {
		return Sample{float64(m.Resident)}, nil
	}
	return Sample{float64(m.Resident), h.held}, err
}

// memoryMeasures are readResident's growth.
func memoryMeasures(each Sample, of string) (v []Measure) {
	for i, kind := range []string{"B/", "heap-B/"} {
		if i < len(each) {
			v = append(v, Measure{kind + of, rounded(each[i], 1)})
		}
	}
	return v
}

// openLoopDeliveries is how many a second the open loop asks for where no rate
// is given: about half of what a loop carries without coalescing.
const openLoopDeliveries = 50_000

// openLoopMacro publishes at a fixed rate, the same for every build.
func (c *Config) openLoopMacro() Macro {
	rate := c.OpenRate
	if rate <= 0 {
		rate = openLoopDeliveries / float64(c.Subscribers)
	}
	return Macro{
		Name: fmt.Sprintf("OpenLoop/subscribers=%d/rate=%g", c.Subscribers, rate),
		Run: func(ctx context.Context, l Launcher) ([]Measure, error) {
			r, err := fanout{server: l, loops: 1, subscribers: c.Subscribers,
				load: loadtest.Load{Length: 2 * c.Length, Pacer: loadtest.Rate(rate)}}.run(ctx)
			return outside(r, "delivery"), err
		},
	}
}

// outside is what is measured without the server's help; nil of a run that failed.
func outside(r loadtest.Result, of string) []Measure {
	if r.Latency == nil || r.ServerCPU <= 0 {
		return nil
	}
	return []Measure{{"cpu-ns/" + of, rounded(1e9/r.PerServerCPUSecond(), 1)}, {"p99-ns", float64(r.Latency.Quantile(0.99))}}
}

func (c *Config) tenChannelsMacro() Macro {
	return c.countedMacro(fmt.Sprintf("TenChannels/subscribers=%d", c.Subscribers),
		fanout{loops: 1, transport: loadtest.WebSocket, subscribers: c.Subscribers, channels: 10, load: loadtest.Load{Length: c.Length, InFlight: 1}})
}

// pollMacro counts an answer and the poll that follows it as one. It takes one
// loop, as two may encode a message at the same moment.
func (c *Config) pollMacro() Macro {
	f := c.pollFanout(nil)
	f.loops = 1
	m := c.countedMacro(fmt.Sprintf("Poll/pollers=%d", c.Subscribers), f)
	run := m.Run
	m.Run = func(ctx context.Context, l Launcher) ([]Measure, error) {
		v, err := run(ctx, &pollLauncher{l})
		for i := range v {
			v[i].Unit = strings.Replace(v[i].Unit, "/delivery", "/poll", 1)
		}
		return v, err
	}
	return m
}

// publishMacro publishes over HTTP, as fast as the server answers, to channels
// with so many subscribers each, and each times to every channel: histories grow
// as in every other run. What a publication allocates includes what its request,
// its answer, its deliveries and this growth do.
func (c *Config) publishMacro(name string, subscribers, each int) Macro {
	channels := max(c.Channels/subscribers, 1)
	return Macro{
		Name: fmt.Sprintf("%s/channels=%d/subscribers=%d", name, channels, subscribers),
		Run: func(ctx context.Context, l Launcher) (v []Measure, err error) {
			err = withServer(ctx, l, c.Loops, func(s *Server) error {
				m := meter{metrics: c.Metrics, server: s}
				r, err := c.flood(ctx, s, channels, each, func() error { return m.begin(ctx) })
				if err != nil {
					return err
				}
				n, err := m.end(ctx)
				n.published = float64(r.Published)
				v = append(v, Measure{"cpu-ns/publication", rounded(float64(r.ServerCPU)/n.published, 1)})
				v = append(v, n.perPublication("encodes/publication", "peal_encodings_total")...)
				if n.hasHeap {
					v = append(v, Measure{"allocs/publication", rounded(n.heap.objects/n.published, 1)},
						Measure{"alloc-B/publication", rounded(n.heap.bytes/n.published, 0)})
				}
				return err
			})
			return v, err
		},
	}
}

// acceptMacro opens connections in a burst.
func (c *Config) acceptMacro() Macro {
	return Macro{
		Name: fmt.Sprintf("Accept/connections=%d", c.Many),
		Run: func(ctx context.Context, l Launcher) (v []Measure, err error) {
			err = withServer(ctx, l, c.Loops, func(s *Server) error {
				balance := c.Metrics.LoopConnections != "" && c.Metrics.of(s)
				cost, imbalance, err := c.accept(ctx, s, balance)
				if v = []Measure{{"cpu-ns/connection", float64(cost)}}; balance {
					v = append(v, Measure{"imbalance-percent", rounded(imbalance, 2)})
				}
				return err
			})
			return v, err
		},
	}
}

// resumeMacro has clients come for what they missed, all at once.
func (c *Config) resumeMacro() Macro {
	return Macro{
		Name: fmt.Sprintf("Resume/clients=%d/messages=%d", c.Resuming, resumeMessages),
		Run: func(ctx context.Context, l Launcher) (v []Measure, err error) {
			err = withServer(ctx, l, c.Loops, func(s *Server) error {
				sample, err := c.resume(ctx, s)
				if err == nil {
					v = []Measure{{"peak-B", sample[0] * 1e6}, {"resume-ns", sample[1] * 1e9}, {"cpu-ns/client", rounded(sample[2]*1e9/float64(c.Resuming), 1)}}
				}
				return err
			})
			return v, err
		},
	}
}

// channelMacro measures what a channel with one subscriber costs beyond its
// connection, on two servers.
func (c *Config) channelMacro() Macro {
	return Macro{
		Name: fmt.Sprintf("Channel/channels=%d", c.Many),
		Run: func(ctx context.Context, l Launcher) ([]Measure, error) {
			d := c.on(l)
			own, err := d.growth(ctx, loadtest.Spec{Channels: 1, Stride: 1}, readResident)
			if err != nil {
				return nil, err
			}
			shared, err := d.growth(ctx, loadtest.Spec{Channels: 1}, readResident)
			if err != nil {
				return nil, err
			}
			for i := range own {
				own[i] -= shared[i]
			}
			return memoryMeasures(own, "channel"), nil
		},
	}
}

// slowMacro has one subscriber that reads nothing: the others must not wait
// for it, and the server not hold more for it than a half-sent message.
func (c *Config) slowMacro() Macro {
	return Macro{
		Name: fmt.Sprintf("Slow/subscribers=%d", c.Subscribers),
		Run: func(ctx context.Context, l Launcher) (v []Measure, err error) {
			f := c.slowFanout(l, 1)
			f.after = func(s *Server) error {
				if !c.Metrics.of(s) {
					return nil
				}
				all, err := c.Metrics.sums(ctx, s)
				if held, ok := all["peal_held_bytes"]; ok {
					v = []Measure{{"held-B", held}}
				}
				return err
			}
			r, err := f.run(ctx)
			return append(outside(r, "delivery"), v...), err
		},
	}
}
