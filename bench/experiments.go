package bench

import (
	"context"
	"fmt"

	"peal/bench/record"
	"peal/loadtest"
)

// idleTransports are the kinds of idle connections.
var idleTransports = []struct {
	transport loadtest.Transport
	name, key string
}{{loadtest.WebSocket, "WebSocket", "websocket"}, {loadtest.SSE, "SSE", "sse"}, {loadtest.Poll, "waiting poll", "poll"}}

// idleRequests are requests that a connection may have made before.
var idleRequests = []string{"/", "/channels"}

// residentLimit is the target for an idle connection, in bytes.
var residentLimit = record.AtMost(record.Value, 640)

// Experiments returns all rows of the table "ceiling", in its order.
//
// The memory of idle connections is read while nothing else happens. The collector
// has its default settings and no collection is forced: the resident memory after
// the settling time is what an operator would see.
func (c *Config) Experiments() (all []Experiment) {
	for _, before := range [][]string{nil, idleRequests} {
		for _, t := range idleTransports {
			key, what := "idle-"+string(t.transport), "resident bytes per idle connection, "+t.name
			if before != nil {
				key, what = key+"-after", what+", had other requests before"
			}
			all = append(all, Experiment{Key: key, Rows: []record.Row{{What: what, Unit: "bytes", Target: residentLimit}},
				A: c.growthSide(loadtest.Spec{Transport: t.transport, Requests: before, Channels: 1}, readResident)})
		}
	}
	for _, inFlight := range []int{1, 16} {
		limit := 0.97
		if inFlight > 1 {
			limit = 1
		}
		for _, subscribers := range []int{c.Subscribers, c.Many} {
			f := fanout{subscribers: subscribers, load: loadtest.Load{Length: c.Length, InFlight: inFlight}}
			what := fmt.Sprintf("%d in flight, %d subscribers", inFlight, subscribers)
			all = append(all, Experiment{
				Key: fmt.Sprintf("fanout-%d-%d", inFlight, subscribers),
				Rows: []record.Row{
					{What: "deliveries per server-CPU-second, " + what, Unit: "1/s", Target: record.AtLeast(record.Ratio, limit)},
					{What: "p99, " + what, Unit: "ms"},
				},
				A: f.side(c.Peal, 1), B: f.side(c.Ceiling, 1),
			})
		}
	}
	return append(all, c.openLoopExperiment(),
		Experiment{
			Key: "ten-channels",
			Rows: []record.Row{
				{What: "deliveries per server-CPU-second, 10 channels on each connection (A) against one (B)", Unit: "1/s", Target: record.AtLeast(record.Ratio, 0.8)},
				{What: "p99", Unit: "ms"},
			},
			A: c.tenChannels(10).side(c.Peal, 1), B: c.tenChannels(1).side(c.Peal, 1),
		},
		Experiment{
			Key: "publish",
			Rows: []record.Row{
				{What: fmt.Sprintf("publications per server-CPU-second, HTTP keep-alive, %d channels with one subscriber each", c.Channels),
					Unit: "1/s", Target: record.AtLeast(record.Value, 80_000)},
				{What: "publications per second", Unit: "1/s"},
			},
			A: func(ctx context.Context) (Sample, error) {
				return OnServer(ctx, c.Peal, c.Loops, func(s *Server) (Sample, error) {
					r, err := c.flood(ctx, s, c.Channels, 0, nil, nil)
					return Sample{r.PerServerCPUSecond(), float64(r.Published) / r.Took.Seconds()}, err
				})
			},
		},
		Experiment{ // a response and the poll that follows it count as one
			Key: "poll",
			Rows: []record.Row{
				{What: fmt.Sprintf("poll answered and polled again, per server-CPU-second, %d pollers", c.Subscribers),
					Unit: "1/s", Target: record.AtLeast(record.Value, 60_000)},
				{What: "p99", Unit: "ms"},
			},
			A: c.polls().side(c.Peal, c.Loops),
		},
		c.acceptExperiment(),
		Experiment{
			Key: "resume",
			Rows: []record.Row{
				{What: fmt.Sprintf("%d clients resuming %d messages each at once: peak RSS beyond before", c.Resuming, resumeMessages),
					Unit: "MB", Target: record.AtMost(record.Value, 64)},
				{What: "time, connecting included", Unit: "s"},
				{What: "server CPU", Unit: "s"},
				{What: "the slowest of the requests that one more client made to the same loops meanwhile", Unit: "ms"},
			},
			A: func(ctx context.Context) (Sample, error) {
				return OnServer(ctx, c.Peal, c.Loops, func(s *Server) (Sample, error) { return c.resume(ctx, s) })
			},
		},
		Experiment{
			Key: "channel",
			Rows: []record.Row{{What: fmt.Sprintf("a channel with one subscriber: %d connections on as many channels (A) and on one (B), each", c.Many),
				Unit: "bytes", Target: record.AtMost(record.Difference, 500)}},
			A: c.growthSide(loadtest.Spec{Channels: 1, Stride: 1}, readResident), B: c.growthSide(loadtest.Spec{Channels: 1}, readResident),
		},
		c.slowExperiment())
}

// RequestExperiments compare what is not fan-out with programs that do the least possible: publications over HTTP and
// connections that open and close with C, publications without subscribers with nginx.
func (c *Config) RequestExperiments() []Experiment {
	return append(append(c.publishingExperiments(), c.returningExperiments()...), c.connectExperiment())
}

// openLoopExperiment publishes at half of the ceiling's saturation: the rate at
// which the ceiling completes messages with one in flight, without coalescing.
func (c *Config) openLoopExperiment() Experiment {
	rate := c.OpenRate
	side := func(l *Command) Side {
		return func(ctx context.Context) (Sample, error) {
			if rate <= 0 {
				r, err := fanout{subscribers: c.Subscribers, load: loadtest.Load{Length: c.Length, InFlight: 1}}.run(ctx, c.Ceiling, 1)
				if err != nil {
					return nil, fmt.Errorf("find the rate: %w", err)
				}
				rate = float64(r.Published) / r.Took.Seconds() / 2
			}
			r, err := c.openLoop(c.Subscribers, rate).run(ctx, l, 1)
			return Sample{ms(r.Latency), ms(r.Lag), rate}, err
		}
	}
	return Experiment{
		Key: "open-loop",
		Rows: []record.Row{
			{What: "p99 at half of the ceiling's saturation, open loop", Unit: "ms", Target: record.AtMost(record.Ratio, 1.25)},
			{What: "p99 of the sender's lag", Unit: "ms"},
			{What: "the rate", Unit: "messages/s"},
		},
		A: side(c.Peal), B: side(c.Ceiling),
	}
}

func (c *Config) acceptExperiment() Experiment {
	rows := []record.Row{{What: "accepted and upgraded connections per server-CPU-second", Unit: "1/s", Target: record.AtLeast(record.Value, 40_000)}}
	balance := c.Metrics.LoopConnections != ""
	if balance {
		rows = append(rows, record.Row{What: "imbalance between loops after the burst", Unit: "%", Target: record.AtMost(record.Value, 1)})
	}
	return Experiment{Key: "accept", Rows: rows, A: func(ctx context.Context) (Sample, error) {
		return OnServer(ctx, c.Peal, c.Loops, func(s *Server) (Sample, error) {
			cost, _, imbalance, err := c.accept(ctx, s, balance)
			return Sample{1 / cost.Seconds(), imbalance}[:len(rows)], err
		})
	}}
}

func (c *Config) slowExperiment() Experiment {
	rows := []record.Row{{What: fmt.Sprintf("p99 of %d others, with (A) and without (B) a subscriber that reads nothing", c.Subscribers),
		Unit: "ms", Target: record.AtMost(record.Ratio, 1.10)}} // we chose 1.10: no client may wait for a slow consumer
	if c.Metrics.URL != "" {
		rows = append(rows, record.Row{What: fmt.Sprintf("bytes held for connections: its half-sent message of %d bytes, and", slowBytes),
			Unit: "bytes", Target: record.AtMost(record.Value, slowBytes+1024)})
	}
	side := func(stalled int) Side {
		return func(ctx context.Context) (Sample, error) {
			r, held, err := c.slow(ctx, c.Peal, stalled)
			if err == nil && len(rows) > 1 && held == nil {
				err = missing(heldMetric)
			}
			return Sample{ms(r.Latency), sum(held)}[:len(rows)], err
		}
	}
	return Experiment{Key: "slow-consumer", Rows: rows, A: side(1), B: side(0)}
}

// MemoryExperiments measure the three kinds of memory of an idle connection: the
// server's resident memory, Go's heap in it, and the kernel's memory. The latter is
// the growth of the whole machine, so it includes both ends of each connection.
//
// The heap is in use, not live: garbage that was not collected yet counts. It
// needs metrics.
func (c *Config) MemoryExperiments() (all []Experiment) {
	for _, t := range idleTransports {
		all = append(all, Experiment{
			Key: "memory-" + string(t.transport),
			Rows: []record.Row{{What: "resident, " + t.name, Unit: "bytes", Target: residentLimit},
				{What: "Go heap in use, " + t.name, Unit: "bytes"}, {What: "kernel, both ends, " + t.name, Unit: "bytes"}},
			A: c.growthSide(loadtest.Spec{Transport: t.transport, Channels: 1}, c.readKinds),
		})
	}
	return all
}

// TransportExperiments measure the cost of a message of messageBytes and of a
// connection for each transport and format, which are the key.
func (c *Config) TransportExperiments() (all []Experiment) {
	for _, way := range []struct {
		name      string
		transport loadtest.Transport
		format    loadtest.Format
	}{
		{"WebSocket, raw", loadtest.WebSocket, loadtest.Raw}, {"WebSocket, json", loadtest.WebSocket, loadtest.JSON},
		{"SSE, raw", loadtest.SSE, loadtest.Raw}, {"SSE, json", loadtest.SSE, loadtest.JSON},
		{"long polling, raw", loadtest.Poll, loadtest.Raw}, {"long polling, json", loadtest.Poll, loadtest.JSON},
	} {
		idle := c.growthSide(loadtest.Spec{Transport: way.transport, Format: way.format, Channels: 1}, readResident)
		f := fanout{transport: way.transport, format: way.format, subscribers: c.Subscribers, load: loadtest.Load{Length: c.Length, InFlight: 1}}
		all = append(all, Experiment{
			Key: way.name,
			Rows: []record.Row{
				{What: "resident bytes per idle connection"},
				{What: "bytes per message, server to client"},
				{What: "bytes per message, client to server"},
				{What: "server CPU per delivery, µs"},
				{What: "p50, ms"},
				{What: "p99, ms"},
			},
			A: func(ctx context.Context) (Sample, error) {
				sample, err := idle(ctx)
				if err != nil {
					return nil, fmt.Errorf("idle: %w", err)
				}
				r, err := f.run(ctx, c.Peal, c.Loops)
				if err != nil {
					return nil, err
				}
				n := float64(r.Delivered)
				return append(sample, float64(r.Traffic.Read)/n, float64(r.Traffic.Written)/n, r.ServerCPU.Seconds()*1e6/n,
					float64(r.Latency.Quantile(0.5))/1e6, ms(r.Latency)), nil
			},
		})
	}
	return all
}

// side measures deliveries per server-CPU-second, and the p99 in ms.
func (f fanout) side(l *Command, loops int) Side {
	return func(ctx context.Context) (Sample, error) {
		r, err := f.run(ctx, l, loops)
		return Sample{r.PerServerCPUSecond(), ms(r.Latency)}, err
	}
}

func (c *Config) growthSide(spec loadtest.Spec, read reader) Side {
	return func(ctx context.Context) (Sample, error) { return c.growth(ctx, c.Peal, spec, read) }
}

// ms is the p99 in milliseconds; 0 without a histogram.
func ms(l *loadtest.Latency) float64 {
	if l == nil {
		return 0
	}
	return float64(l.Quantile(0.99)) / 1e6
}
