package bench

import (
	"context"
	"fmt"
	"time"

	"peal/loadtest"
)

// Config is what is measured and how long. All fields but the metrics' must be
// set; Full and Short are two sensible ones.
type Config struct {
	Peal    Launcher
	Ceiling Launcher

	Loops       int           // of Peal, where it is not compared with the one-threaded ceiling
	Length      time.Duration // of each measured run
	Settle      time.Duration // before memory is read
	Subscribers int           // of the smaller fan-out, polls, channels
	Many        int           // of the greater fan-out, idle connections
	Channels    int           // of the HTTP publication row
	Publishers  int           // connections of the HTTP publication row; 0: 64
	Resuming    int           // clients that resume at once
	OpenRate    float64       // messages per second of the open loop; 0: half of the ceiling's closed loop

	Metrics Metrics
}

// Full is the configuration of the design's table.
func Full() Config {
	return Config{Loops: 2, Length: 4 * time.Second, Settle: 4 * time.Second,
		Subscribers: 5_000, Many: 15_000, Channels: 10_000, Resuming: 10_000}
}

// Short is a pass of a few minutes that shows that everything works; its
// numbers are not the targets'.
func Short() Config {
	return Config{Loops: 2, Length: time.Second, Settle: time.Second,
		Subscribers: 1_000, Many: 3_000, Channels: 2_000, Resuming: 2_000}
}

// GateSizes is the configuration for comparing two builds, many samples of
// each: one sample of a Macro takes three seconds at most.
func GateSizes() Config {
	return Config{Loops: 2, Length: 800 * time.Millisecond, Settle: 500 * time.Millisecond,
		Subscribers: 1_000, Many: 3_000, Channels: 2_000, Resuming: 2_000, Metrics: PealMetrics}
}

// messageBytes is the size of every message but the slow consumer's.
const messageBytes = 128

// Experiments returns all rows of the table, in its order.
func (c *Config) Experiments() []Experiment {
	var all []Experiment
	all = append(all, c.idleExperiments()...)
	for _, inFlight := range []int{1, 16} {
		for _, subscribers := range []int{c.Subscribers, c.Many} {
			all = append(all, c.fanoutExperiment(subscribers, inFlight))
		}
	}
	return append(all,
		c.openLoopExperiment(),
		c.tenChannelsExperiment(),
		c.publishExperiment(),
		c.pollExperiment(),
		c.acceptExperiment(),
		c.resumeExperiment(),
		c.channelExperiment(),
		c.slowExperiment(),
	)
}

// fanout is one load on a fresh server.
type fanout struct {
	server      Launcher
	loops       int
	transport   loadtest.Transport
	format      loadtest.Format
	subscribers int
	channels    int // of each connection
	stalled     int
	warmUp      loadtest.Load
	load        loadtest.Load
	before      func(*Server) error // after the warm-up; may be nil
	after       func(*Server) error // with the load still connected; may be nil
}

// run returns the measured run's result, or an error if a message was lost,
// repeated or reordered.
func (f fanout) run(ctx context.Context) (r loadtest.Result, err error) {
	err = withServer(ctx, f.server, f.loops, func(s *Server) error {
		r, err = f.on(ctx, s)
		return err
	})
	return r, err
}

// on is run on a server that is there already.
func (f fanout) on(ctx context.Context, s *Server) (r loadtest.Result, err error) {
	f.channels = max(f.channels, 1)
	spec := loadtest.Spec{Addr: s.Addr, Transport: f.transport, Format: f.format, Connections: f.subscribers, Stalled: f.stalled, Channels: f.channels}
	s.Subscribe(&spec)
	err = withPool(ctx, spec, func(pool *loadtest.Pool) error {
		publisher, err := loadtest.DialWS(ctx, s.Addr, f.channels, s.PublishWS)
		if err != nil {
			return err
		}
		defer publisher.Close()
		if f.transport == loadtest.Poll {
			sleep(ctx, 500*time.Millisecond) // a held poll does not say that it is held
		}
		f.load.Streams, f.load.Server = f.channels, s.PID
		if f.load.Size == 0 {
			f.load.Size = messageBytes
		}
		if f.warmUp.Length == 0 {
			f.warmUp = loadtest.Load{Length: f.load.Length / 4, InFlight: 1, Size: f.load.Size}
		}
		f.warmUp.Streams = f.channels
		if r, err = clean(loadtest.Run(ctx, pool, publisher, f.warmUp)); err != nil {
			return fmt.Errorf("warm-up: %w", err)
		}
		if f.before != nil {
			if err := f.before(s); err != nil {
				return err
			}
		}
		if r, err = clean(loadtest.Run(ctx, pool, publisher, f.load)); err != nil || f.after == nil {
			return err
		}
		return f.after(s)
	})
	return r, err
}

// clean turns a result with losses into an error.
func clean(r loadtest.Result, err error) (loadtest.Result, error) {
	switch {
	case err != nil:
		return r, err
	case !r.Clean() || r.Stalled || r.Closed > 0:
		return r, fmt.Errorf("of %d expected messages %d lost, %d duplicated, %d reordered, %d foreign; %d connections closed; stalled: %t",
			r.Expected, r.Lost, r.Duplicated, r.Reordered, r.Foreign, r.Closed, r.Stalled)
	case r.Delivered == 0:
		return r, fmt.Errorf("nothing was delivered")
	}
	return r, nil
}

// withServer runs f with a fresh server and stops it.
func withServer(ctx context.Context, l Launcher, loops int, f func(*Server) error) (err error) {
	s, err := l.Launch(ctx, loops)
	if err != nil {
		return err
	}
	defer func() {
		if alive := s.Alive(); alive != nil {
			err = alive // explains whatever else went wrong
		}
		if stop := s.Stop(); err == nil {
			err = stop
		}
	}()
	return f(s)
}

// withPool runs f with all subscribers of spec open, and closes them.
func withPool(ctx context.Context, spec loadtest.Spec, f func(*loadtest.Pool) error) error {
	pool, opened, err := loadtest.OpenPool(ctx, spec, 2)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := opened.Err(); err != nil {
		return err
	}
	return f(pool)
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// perCPU is the side that counts deliveries per server-CPU-second.
func perCPU(f fanout) Side {
	return func(ctx context.Context) (Sample, error) {
		r, err := f.run(ctx)
		return Sample{r.PerServerCPUSecond(), ms(r.Latency)}, err
	}
}

// ms is p99 in milliseconds; 0 without a histogram.
func ms(l *loadtest.Latency) float64 {
	if l == nil {
		return 0
	}
	return float64(l.Quantile(0.99)) / 1e6
}

func (c *Config) fanoutExperiment(subscribers, inFlight int) Experiment {
	limit := 0.97
	if inFlight > 1 {
		limit = 1
	}
	side := func(l Launcher) Side {
		return perCPU(fanout{server: l, loops: 1, subscribers: subscribers, load: loadtest.Load{Length: c.Length, InFlight: inFlight}})
	}
	what := fmt.Sprintf("%d in flight, %d subscribers", inFlight, subscribers)
	return Experiment{
		Key: fmt.Sprintf("fanout-%d-%d", inFlight, subscribers),
		Rows: []Row{
			{What: "deliveries per server-CPU-second, " + what, Unit: "1/s", Target: Target{Of: Ratio, Limit: limit}},
			{What: "  p99, " + what, Unit: "ms"},
		},
		A: side(c.Peal), B: side(c.Ceiling),
	}
}

// openLoopExperiment takes as the ceiling's saturation the rate at which it
// completes messages with one in flight: what it carries without coalescing.
func (c *Config) openLoopExperiment() Experiment {
	rate := c.OpenRate
	side := func(l Launcher) Side {
		return func(ctx context.Context) (Sample, error) {
			r, err := fanout{server: l, loops: 1, subscribers: c.Subscribers,
				load: loadtest.Load{Length: 2 * c.Length, Pacer: loadtest.Rate(rate)}}.run(ctx)
			if err != nil {
				return nil, err
			}
			return Sample{ms(r.Latency), ms(r.Lag), rate}, nil
		}
	}
	return Experiment{
		Key: "open-loop",
		Rows: []Row{
			{What: "p99 at half of the ceiling's saturation, open loop", Unit: "ms", Target: Target{Of: Ratio, AtMost: true, Limit: 1.25}},
			{What: "  p99 of the sender's lag", Unit: "ms"},
			{What: "  the rate", Unit: "messages/s"},
		},
		Before: func(ctx context.Context) error {
			if rate > 0 {
				return nil
			}
			r, err := fanout{server: c.Ceiling, loops: 1, subscribers: c.Subscribers,
				load: loadtest.Load{Length: c.Length, InFlight: 1}}.run(ctx)
			if err == nil {
				rate = float64(r.Published) / r.Took.Seconds() / 2
			}
			return err
		},
		A: side(c.Peal), B: side(c.Ceiling),
	}
}

func (c *Config) tenChannelsExperiment() Experiment {
	side := func(channels int) Side {
		return perCPU(fanout{server: c.Peal, loops: 1, subscribers: c.Subscribers, channels: channels,
			load: loadtest.Load{Length: c.Length, InFlight: 1}})
	}
	return Experiment{
		Key: "ten-channels",
		Rows: []Row{
			{What: "deliveries per server-CPU-second, 10 channels on each connection (A) against one (B)", Unit: "1/s", Target: Target{Of: Ratio, Limit: 0.8}},
			{What: "  p99", Unit: "ms"},
		},
		A: side(10), B: side(1),
	}
}

// slowBytes is the size of the slow consumer's messages.
const slowBytes = 4096

// slowFanout fills the stalled connection's socket with big messages first, so
// that the server is really stuck with it when measuring starts.
func (c *Config) slowFanout(l Launcher, stalled int) fanout {
	return fanout{server: l, loops: 1, subscribers: c.Subscribers, stalled: stalled,
		warmUp: loadtest.Load{Length: c.Length, InFlight: 16, Size: slowBytes},
		load:   loadtest.Load{Length: 2 * c.Length, Size: slowBytes, Pacer: loadtest.Rate(10)}}
}

func (c *Config) slowExperiment() Experiment {
	held := c.Metrics.URL != ""
	side := func(stalled int) Side {
		return func(ctx context.Context) (Sample, error) {
			var v []float64
			f := c.slowFanout(c.Peal, stalled)
			f.after = func(s *Server) (err error) {
				if held {
					v, err = c.Metrics.read(ctx, s, "peal_held_bytes")
				}
				return err
			}
			r, err := f.run(ctx)
			if !held {
				return Sample{ms(r.Latency)}, err
			}
			return Sample{ms(r.Latency), sum(v)}, err
		}
	}
	e := Experiment{
		Key: "slow-consumer",
		Rows: []Row{{What: fmt.Sprintf("p99 of %d others, with (A) and without (B) a subscriber that reads nothing", c.Subscribers),
			Unit: "ms", Target: Target{Of: Ratio, AtMost: true, Limit: 1.10}}}, // ours: the design says that nobody waits, in no number
		A: side(1), B: side(0),
	}
	if held {
		e.Rows = append(e.Rows, Row{What: fmt.Sprintf("  bytes held for connections: its half-sent message of %d bytes, and", slowBytes),
			Unit: "bytes", Target: Target{Of: Value, AtMost: true, Limit: slowBytes + 1024}})
	}
	return e
}

func sum(v []float64) (s float64) {
	for _, x := range v {
		s += x
	}
	return s
}
