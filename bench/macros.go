package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"peal/loadtest"
)

// Macros returns the benchmarks of a whole server that c's sizes give.
func (c *Config) Macros() (all []Macro) {
	for _, before := range [][]string{nil, idleRequests} {
		for _, t := range idleTransports {
			name := t.key
			if before != nil {
				name += "/after=requests"
			}
			all = append(all, c.idleMacro(name, loadtest.Spec{Transport: t.transport, Requests: before}))
		}
	}
	all = append(all, secured(c.idleMacro("wss", loadtest.Spec{})))
	for _, inFlight := range []int{1, 16} {
		for _, subscribers := range []int{c.Subscribers, c.Many} {
			all = append(all, c.fanoutMacro("", fanout{subscribers: subscribers, load: loadtest.Load{InFlight: inFlight}}))
		}
	}
	// Few subscribers and many messages, so that a sample contains several of the
	// slowest hundredth.
	few, rate := max(c.Subscribers/5, 1), c.OpenRate
	if rate <= 0 {
		rate = openLoopDeliveries / float64(few)
	}
	all = append(all, c.publicationMacros()...)
	return append(all,
		c.fanoutMacro("", fanout{subscribers: c.Subscribers, load: loadtest.Load{InFlight: 1, Size: largeBytes}}),
		c.fanoutMacro("/transport=sse", fanout{transport: loadtest.SSE, subscribers: c.Subscribers, load: loadtest.Load{InFlight: 1}}),
		// Few, because their clients open as many records as the server seals.
		secured(c.fanoutMacro("/transport=wss", fanout{subscribers: few, load: loadtest.Load{InFlight: 1}})),
		c.fanoutMacro("/transport=peal.v1", fanout{protocol: "peal.v1", format: loadtest.JSON, subscribers: c.Subscribers, load: loadtest.Load{InFlight: 1}}),
		Macro{fmt.Sprintf("OpenLoop/subscribers=%d/rate=%g", few, rate), func(ctx context.Context, l *Command) ([]Measure, error) {
			r, err := c.openLoop(few, rate).run(ctx, l, 1)
			return outside(r, "delivery"), err
		}},
		Macro{fmt.Sprintf("TenChannels/subscribers=%d", c.Subscribers), c.counted(c.tenChannels(10), "delivery")},
		c.publishMacro("Publish", 1, 8, false),
		c.publishMacro("ManyChannels", 10, 40, false),
		c.publishMacro("LogPublish", 1, 8, true),
		// A response and the poll after it count as one. One loop, because two could
		// encode a message at the same moment.
		Macro{fmt.Sprintf("Poll/pollers=%d", c.Subscribers), c.counted(c.polls(), "poll")},
		c.acceptMacro("", c.Many),
		Macro{fmt.Sprintf("OpenClose/connections=%d", max(c.Many/6, 1)), c.openCloseMeasures},
		secured(c.acceptMacro("/transport=wss", max(c.Many/6, 1))),
		Macro{fmt.Sprintf("Resume/clients=%d/messages=%d", c.Resuming, resumeMessages), c.resumeMeasures},
		Macro{fmt.Sprintf("Channel/channels=%d", c.Many), c.channelMeasures},
		Macro{fmt.Sprintf("OwnChannels/own=%d/connections=%d", ownChannelsOfMacro, c.Many), c.ownMeasures},
		// Other subscribers must not wait for one that reads nothing, and the server
		// must hold at most a half-sent message for it.
		Macro{fmt.Sprintf("Slow/subscribers=%d", c.Subscribers), func(ctx context.Context, l *Command) ([]Measure, error) {
			r, held, err := c.slow(ctx, l, 1)
			v := outside(r, "delivery")
			if held != nil {
				v = append(v, Measure{"held-B", sum(held)})
			}
			return v, err
		}},
	)
}

// openLoopDeliveries is the default rate of the open loop, in deliveries per second:
// about half of what one loop can do without coalescing.
const openLoopDeliveries = 50_000

func (c *Config) idleMacro(transport string, spec loadtest.Spec) Macro {
	spec.Channels = 1
	return Macro{"Idle/transport=" + transport, func(ctx context.Context, l *Command) ([]Measure, error) {
		each, err := c.growth(ctx, l, spec, readLive)
		return memoryMeasures(each, "connection"), err
	}}
}

// fanoutMacro is f for the usual length, on one loop.
func (c *Config) fanoutMacro(of string, f fanout) Macro {
	name := fmt.Sprintf("Fanout%s/subscribers=%d/inflight=%d", of, f.subscribers, f.load.InFlight)
	if f.load.Size > 0 {
		name += fmt.Sprintf("/size=%d", f.load.Size)
	}
	f.load.Length = c.Length
	return Macro{name, c.counted(f, "delivery")}
}

// counted measures a fan-out on one loop: CPU time and latency from outside, and the
// server's counters. of replaces "delivery" in the units.
func (c *Config) counted(f fanout, of string) func(context.Context, *Command) ([]Measure, error) {
	return func(ctx context.Context, l *Command) ([]Measure, error) {
		return OnServer(ctx, l, 1, func(s *Server) ([]Measure, error) {
			few := f
			few.subscribers, few.load.Length = 1, f.load.Length/2
			_, alone, err := c.count(ctx, s, few)
			if err != nil {
				return nil, fmt.Errorf("with one subscriber: %w", err)
			}
			r, all, err := c.count(ctx, s, f)
			if err != nil {
				return nil, err
			}
			v := append(outside(r, "delivery"), fanoutMeasures(alone, all)...)
			// Several messages in flight are sent from a strip, whose memory is reused; a
			// poll that returns late gets a response of its own.
			if f.load.InFlight == 1 && f.transport != loadtest.Poll {
				v = append(v, all.per("buffers/publication", "peal_delivery_buffers_total", published, 3)...)
			}
			if isWebSocket(f.transport) && f.protocol == "" { // others carry cursors, which grow
				v = append(v, all.per("B/delivery", "peal_delivery_bytes_total", "peal_deliveries_total", 3)...)
			}
			for i := range v {
				v[i].Unit = strings.Replace(v[i].Unit, "/delivery", "/"+of, 1)
			}
			return v, nil
		})
	}
}

// count runs f on s and also returns the growth of the counters of s.
//
// The system calls are those of the warm-up, because counting them costs time: as many
// for each of its messages.
func (c *Config) count(ctx context.Context, s *Server, f fanout) (r loadtest.Result, n counters, err error) {
	var before counters
	f.warmed = counters{}
	f.before = func() (err error) {
		before, err = c.Metrics.begin(ctx, s)
		return err
	}
	f.after = func(*Server) (err error) {
		n, err = c.Metrics.end(ctx, s, before)
		return err
	}
	if r, err = f.on(ctx, s); err == nil {
		n[published], n[delivered] = float64(r.Published), float64(r.Delivered)
		if calls, known := f.warmed[syscalls]; known {
			n[syscalls] = calls / f.warmed[published] * n[published]
		}
	}
	return r, n, err
}

// fanoutMeasures are the costs of a delivery and of a publication, computed from the
// same load with one subscriber and with all.
//
// A server allocates for each publication (its entry in the history, its
// encoding) and, if something is wrong, for each delivery. The sum of both per
// publication is known for one subscriber and for a thousand: two equations with
// two unknowns. So a delivery without allocations gives 0, not a thousandth of a
// publication, and one with an allocation gives 1. Deliveries are those that the
// subscribers counted.
func fanoutMeasures(alone, all counters) []Measure {
	v := all.per("sends/delivery", "peal_send_calls_total", "peal_deliveries_total", 3)
	if v == nil { // an older build, which counts only sends of the fan-out
		v = all.per("sends/delivery", "peal_delivery_sends_total", "peal_deliveries_total", 3)
	}
	v = append(v, all.per("encodes/publication", "peal_encodings_total", published, 3)...)
	x1, x2 := alone[delivered]/alone[published], all[delivered]/all[published]
	for _, u := range []struct {
		unit, counter string
		digits        int // of a delivery; one less of a publication
	}{{"allocs/", heapObjects, 2}, {"alloc-B/", heapBytes, 1}, {"syscalls/", syscalls, 2}} {
		_, before := alone[u.counter]
		_, after := all[u.counter]
		if !before || !after || x2 <= x1 {
			continue
		}
		y1, y2 := alone[u.counter]/alone[published], all[u.counter]/all[published]
		each := (y2 - y1) / (x2 - x1)
		v = append(v, Measure{u.unit + "delivery", rounded(each, u.digits)}, Measure{u.unit + "publication", rounded(y1-each*x1, u.digits-1)})
	}
	return v
}

// outside is what is measured without the server's help; nil for a failed run.
func outside(r loadtest.Result, of string) []Measure {
	if r.Latency == nil || r.ServerCPU <= 0 {
		return nil
	}
	return []Measure{{"cpu-ns/" + of, rounded(1e9/r.PerServerCPUSecond(), 1)}, {"p50-ns", float64(r.Latency.Quantile(0.5))},
		{"p99-ns", float64(r.Latency.Quantile(0.99))}, {"tail-ns", tail(r.Latency)}}
}

// tail returns the mean of the slowest hundredth of l, in ns. Where a few messages are
// late, p99 is one of them in one run and none in the next; the tail has a part of each.
func tail(l *loadtest.Latency) (mean float64) {
	rest := max(l.Count()/100, 1)
	n := rest
	for _, b := range slices.Backward(l.Bars()) {
		of := min(b.Count, rest)
		mean, rest = mean+float64(of)*float64(b.To), rest-of
	}
	return math.Round(mean / float64(n))
}

// publishMacro publishes over HTTP, as fast as the server responds, to channels with
// that many subscribers each. It publishes each times to every channel, so that
// histories grow by the same amount in every run. The allocations of a publication
// include those of its request, response, deliveries and of this growth. If kept is
// set, the server has its log in files, with the default policy.
func (c *Config) publishMacro(name string, subscribers, each int, kept bool) Macro {
	channels := max(c.Channels/subscribers, 1)
	name = fmt.Sprintf("%s/channels=%d/subscribers=%d", name, channels, subscribers)
	return Macro{name, func(ctx context.Context, l *Command) (v []Measure, err error) {
		dir := ""
		if kept {
			if dir, err = os.MkdirTemp("", "peal-log-"); err != nil {
				return nil, err
			}
			defer os.RemoveAll(dir)
			of := *l
			of.Args, l = append(slices.Clone(l.Args), "--log", "file:"+dir), &of
		}
		return OnServer(ctx, l, c.Loops, func(s *Server) ([]Measure, error) {
			return c.publishMeasures(ctx, s, channels, each, dir)
		})
	}}
}

// publishMeasures are those of a publication; dir has the log, if it is in files.
func (c *Config) publishMeasures(ctx context.Context, s *Server, channels, each int, dir string) ([]Measure, error) {
	var before, n counters
	var logBefore float64
	warmed := counters{}
	r, err := c.flood(ctx, s, channels, each, warmed, func() (err error) {
		if logBefore, err = bytesIn(dir); err == nil {
			before, err = c.Metrics.begin(ctx, s)
		}
		return err
	})
	if err == nil {
		n, err = c.Metrics.end(ctx, s, before)
	}
	if err != nil {
		return nil, err
	}
	n[published] = float64(r.Published)
	v := []Measure{{"cpu-ns/publication", rounded(float64(r.ServerCPU)/n[published], 1)}}
	v = append(v, n.per("encodes/publication", "peal_encodings_total", published, 3)...)
	v = append(v, n.per("allocs/publication", heapObjects, published, 1)...)
	v = append(v, n.per("alloc-B/publication", heapBytes, published, 0)...)
	v = append(v, warmed.per("syscalls/publication", syscalls, published, 1)...)
	if dir != "" {
		after, err := bytesIn(dir)
		return append(v, Measure{"log-B/publication", rounded((after-logBefore)/n[published], 1)}), err
	}
	return v, nil
}

// bytesIn returns the size of all files in dir; 0 if dir is empty.
func bytesIn(dir string) (sum float64, err error) {
	if dir == "" {
		return 0, nil
	}
	files, err := os.ReadDir(dir)
	for _, f := range files {
		if info, err := f.Info(); err == nil { // it may just have been removed
			sum += float64(info.Size())
		}
	}
	return sum, err
}

// acceptBursts is how often acceptMeasures opens all connections: one burst takes 50 ms
// of CPU time, which spreads by 12 %.
const acceptBursts = 3

func (c *Config) acceptMacro(of string, connections int) Macro {
	return Macro{fmt.Sprintf("Accept%s/connections=%d", of, connections), func(ctx context.Context, l *Command) ([]Measure, error) {
		of := *c
		of.Many = connections
		return of.acceptMeasures(ctx, l)
	}}
}

// acceptMeasures measures bursts of new connections. Then a few open one after another,
// with the system calls counted: in a burst, they depend on how many arrive together.
func (c *Config) acceptMeasures(ctx context.Context, l *Command) ([]Measure, error) {
	return OnServer(ctx, l, c.Loops, func(s *Server) ([]Measure, error) {
		balance := c.Metrics.LoopConnections != "" && c.Metrics.of(s)
		before, err := loadtest.Descriptors(s.PID)
		if err != nil {
			return nil, err
		}
		var cost, took, percent float64
		for range acceptBursts {
			s.turn.pass()
			of, in, imbalance, err := c.accept(ctx, s, balance)
			if err != nil {
				return nil, err
			}
			cost, took, percent = cost+float64(of), took+float64(in), max(percent, imbalance)
			if err := closedAgain(ctx, s, before); err != nil {
				return nil, err
			}
		}
		v := []Measure{{"cpu-ns/connection", cost / acceptBursts}, {"open-ns/connection", took / acceptBursts / float64(c.Many)}}
		if balance {
			v = append(v, Measure{"imbalance-percent", rounded(percent, 2)})
		}
		n, spec := counters{}, loadtest.Spec{Connections: max(c.Many/6, 1), Channels: 1, Window: 1}
		s.address(&spec)
		var pool *loadtest.Pool
		_, err = withSyscalls(s, n, func() (r loadtest.Result, err error) {
			var opened loadtest.Opened
			pool, opened, err = loadtest.OpenPool(ctx, spec, loadtest.LoopbackSources...)
			r.Published = uint64(opened.Connections)
			return r, errors.Join(err, opened.Err())
		})
		if pool != nil {
			err = errors.Join(err, pool.Close())
		}
		return append(v, n.per("syscalls/connection", syscalls, published, 1)...), err
	})
}

// closedAgain waits until the server has closed its ends of the connections, except for
// a few, which may be those to its metrics.
func closedAgain(ctx context.Context, s *Server, descriptors int) error {
	const few = 8
	for range 1000 {
		if n, err := loadtest.Descriptors(s.PID); err != nil || n <= descriptors+few {
			return err
		}
		sleep(ctx, 10*time.Millisecond)
	}
	return errors.New("the server keeps connections open that its clients have closed")
}

// resumeMeasures lets all clients resume at once.
func (c *Config) resumeMeasures(ctx context.Context, l *Command) ([]Measure, error) {
	return OnServer(ctx, l, c.Loops, func(s *Server) ([]Measure, error) {
		v, err := c.resume(ctx, s)
		if err != nil {
			return nil, err
		}
		return []Measure{{"peak-B", v[0] * 1e6}, {"resume-ns", v[1] * 1e9}, {"cpu-ns/client", rounded(v[2]*1e9/float64(c.Resuming), 1)}}, nil
	})
}

// channelMeasures are the memory of a channel with one subscriber, without its
// connection: the difference between two servers.
func (c *Config) channelMeasures(ctx context.Context, l *Command) ([]Measure, error) {
	own, err := c.growth(ctx, l, loadtest.Spec{Channels: 1, Stride: 1}, readLive)
	if err != nil {
		return nil, err
	}
	shared, err := c.growth(ctx, l, loadtest.Spec{Channels: 1}, readLive)
	if err != nil {
		return nil, err
	}
	for i := range own {
		own[i] -= shared[i]
	}
	return memoryMeasures(own, "channel"), nil
}

// memoryMeasures are readLive's growth.
func memoryMeasures(each Sample, of string) (v []Measure) {
	for i, x := range each {
		v = append(v, Measure{[]string{"B/", "heap-B/"}[i] + of, rounded(x, 1)})
	}
	return v
}
