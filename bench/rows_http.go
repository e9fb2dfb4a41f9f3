package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"peal/loadtest"
)

// idleTransports are the ways to be connected and receive nothing.
var idleTransports = []struct {
	transport loadtest.Transport
	name, key string
}{{loadtest.WebSocket, "WebSocket", "websocket"}, {loadtest.SSE, "SSE", "sse"}, {loadtest.Poll, "waiting poll", "poll"}}

// idleRequests are what a connection may have asked for before.
var idleRequests = []string{"/", "/channels"}

// idleExperiments read the server's memory with nothing going on. The
// collector keeps its defaults and is not asked to run: what is resident after
// the settling time is what an operator would see.
func (c *Config) idleExperiments() []Experiment {
	var all []Experiment
	for _, before := range [][]string{nil, idleRequests} {
		for _, t := range idleTransports {
			key, what := "idle-"+string(t.transport), "resident bytes per idle connection, "+t.name
			if before != nil {
				key, what = key+"-after", what+", had other requests before"
			}
			all = append(all, Experiment{
				Key:  key,
				Rows: []Row{{What: what, Unit: "bytes", Target: Target{Of: Value, AtMost: true, Limit: 640}}},
				A: func(ctx context.Context) (Sample, error) {
					bytes, err := c.perConnection(ctx, loadtest.Spec{Transport: t.transport, Requests: before, Channels: 1})
					return Sample{bytes}, err
				},
			})
		}
	}
	return all
}

// perConnection opens Many connections and returns the growth of anonymous
// resident memory for each.
func (c *Config) perConnection(ctx context.Context, spec loadtest.Spec) (bytes float64, err error) {
	growth, err := c.growth(ctx, spec, func(_ context.Context, s *Server) (Sample, error) {
		m, err := loadtest.ReadMemory(s.PID)
		return Sample{float64(m.Resident)}, err
	})
	if err != nil {
		return 0, err
	}
	return growth[0], nil
}

func (c *Config) publishExperiment() Experiment {
	return Experiment{
		Key: "publish",
		Rows: []Row{
			{What: fmt.Sprintf("publications per server-CPU-second, HTTP keep-alive, %d channels with one subscriber each", c.Channels),
				Unit: "1/s", Target: Target{Of: Value, Limit: 80_000}},
			{What: "  publications per second", Unit: "1/s"},
		},
		A: func(ctx context.Context) (sample Sample, err error) {
			err = withServer(ctx, c.Peal, c.Loops, func(s *Server) error {
				r, err := c.flood(ctx, s, c.Channels, 0, nil)
				sample = Sample{r.PerServerCPUSecond(), float64(r.Published) / r.Took.Seconds()}
				return err
			})
			return sample, err
		},
	}
}

// flood publishes over HTTP to so many channels that Channels subscribers
// share, one channel each: for Length, or each times to every channel, after
// half of that as warm-up. before, if any, is called in between.
func (c *Config) flood(ctx context.Context, s *Server, channels, each int, before func() error) (r loadtest.Result, err error) {
	spec := loadtest.Spec{Addr: s.Addr, Connections: c.Channels, Channels: 1, Stride: 1, Around: channels}
	err = withPool(ctx, spec, func(pool *loadtest.Pool) error {
		load := loadtest.FloodLoad{Addr: s.Addr, Path: loadtest.PublishPath("c"), Connections: c.Publishers,
			Streams: channels, Size: messageBytes, Length: c.Length / 4, Server: s.PID}
		if each > 0 {
			load.Length, load.Messages = time.Minute, each*channels/2
		}
		if _, err := clean(loadtest.Flood(ctx, pool, load)); err != nil {
			return fmt.Errorf("warm-up: %w", err)
		}
		if before != nil {
			if err := before(); err != nil {
				return err
			}
		}
		load.Length, load.Messages = 4*load.Length, 2*load.Messages
		r, err = clean(loadtest.Flood(ctx, pool, load))
		return err
	})
	return r, err
}

// pollExperiment counts an answer and the poll that follows it as one.
func (c *Config) pollExperiment() Experiment {
	return Experiment{
		Key: "poll",
		Rows: []Row{
			{What: fmt.Sprintf("poll answered and polled again, per server-CPU-second, %d pollers", c.Subscribers),
				Unit: "1/s", Target: Target{Of: Value, Limit: 60_000}},
			{What: "  p99", Unit: "ms"},
		},
		A: func(ctx context.Context) (Sample, error) {
			r, err := c.pollFanout(c.Peal).run(ctx)
			return Sample{r.PerServerCPUSecond(), ms(r.Latency)}, err
		},
	}
}

func (c *Config) pollFanout(l Launcher) fanout {
	return fanout{server: &pollLauncher{l}, loops: c.Loops, transport: loadtest.Poll, subscribers: c.Subscribers,
		load: loadtest.Load{Length: c.Length, InFlight: 1}}
}

// pollLauncher leaves the path of the subscribers to the transport.
type pollLauncher struct{ Launcher }

func (l *pollLauncher) Launch(ctx context.Context, loops int) (*Server, error) {
	s, err := l.Launcher.Launch(ctx, loops)
	if err == nil {
		s.Subscribe = func(spec *loadtest.Spec) {}
	}
	return s, err
}

func (c *Config) acceptExperiment() Experiment {
	rows := []Row{
		{What: "accepted and upgraded connections per server-CPU-second", Unit: "1/s", Target: Target{Of: Value, Limit: 40_000}},
	}
	if c.Metrics.LoopConnections != "" {
		rows = append(rows, Row{What: "imbalance between loops after the burst", Unit: "%", Target: Target{Of: Value, AtMost: true, Limit: 1}})
	}
	return Experiment{
		Key:  "accept",
		Rows: rows,
		A: func(ctx context.Context) (sample Sample, err error) {
			err = withServer(ctx, c.Peal, c.Loops, func(s *Server) error {
				cost, imbalance, err := c.accept(ctx, s, len(rows) > 1)
				if sample = (Sample{1 / cost.Seconds()}); len(rows) > 1 {
					sample = append(sample, imbalance)
				}
				return err
			})
			return sample, err
		},
	}
}

// accept opens Many connections at once and returns what one of them cost in
// CPU time, and, if balance is asked for, the imbalance between the loops then,
// in percent.
func (c *Config) accept(ctx context.Context, s *Server, balance bool) (cost time.Duration, imbalance float64, err error) {
	before, err := loadtest.CPUTime(s.PID)
	if err != nil {
		return 0, 0, err
	}
	spec := loadtest.Spec{Addr: s.Addr, Connections: c.Many, Channels: 1, Window: 1024}
	s.Subscribe(&spec)
	err = withPool(ctx, spec, func(*loadtest.Pool) error {
		after, err := loadtest.CPUTime(s.PID)
		if err != nil {
			return err
		}
		if cost = (after - before) / time.Duration(c.Many); balance {
			imbalance, err = c.Metrics.Imbalance(ctx, s)
		}
		return err
	})
	return cost, imbalance, err
}

// resumeMessages is how many each client catches up on.
const resumeMessages = 100

func (c *Config) resumeExperiment() Experiment {
	return Experiment{
		Key: "resume",
		Rows: []Row{
			{What: fmt.Sprintf("%d clients resuming %d messages each at once: peak RSS beyond before", c.Resuming, resumeMessages),
				Unit: "MB", Target: Target{Of: Value, AtMost: true, Limit: 64}},
			{What: "  time, connecting included", Unit: "s"},
			{What: "  server CPU", Unit: "s"},
			{What: "  the slowest of the requests that one more client made to the same loops meanwhile", Unit: "ms"},
		},
		A: func(ctx context.Context) (sample Sample, err error) {
			err = withServer(ctx, c.Peal, c.Loops, func(s *Server) error {
				sample, err = c.resume(ctx, s)
				return err
			})
			return sample, err
		},
	}
}

// resume publishes first and lets clients come for it afterwards. A new pool's
// run is number 1, so the messages are stamped with that.
func (c *Config) resume(ctx context.Context, s *Server) (Sample, error) {
	publisher, err := loadtest.DialHTTP(ctx, s.Addr, loadtest.PublishPath("c"))
	if err != nil {
		return nil, err
	}
	defer publisher.Close()
	if err := publisher.Queue(0, []byte("before")); err != nil {
		return nil, err
	}
	var answer struct{ Cursor string }
	if err := json.Unmarshal(publisher.LastAnswer, &answer); err != nil || answer.Cursor == "" {
		return nil, fmt.Errorf("publish: no cursor in %.200q", publisher.LastAnswer)
	}
	for i := range uint64(resumeMessages) {
		m := loadtest.AppendMessage(nil, loadtest.Stamp{Run: 1, Sequence: i + 1, Scheduled: loadtest.Now()}, messageBytes)
		if err := publisher.Queue(0, m); err != nil {
			return nil, err
		}
	}
	if err := loadtest.ResetPeak(s.PID); err != nil {
		return nil, err
	}
	before, err := loadtest.ReadMemory(s.PID)
	if err != nil {
		return nil, err
	}
	cpuBefore, err := loadtest.CPUTime(s.PID)
	if err != nil {
		return nil, err
	}
	slowest := probe(s.Addr)
	began := time.Now()
	spec := loadtest.Spec{Addr: s.Addr, Connections: c.Resuming, Channels: 1, Window: 1024, Cursor: answer.Cursor}
	var sample Sample
	err = withPool(ctx, spec, func(pool *loadtest.Pool) error {
		published := []uint64{resumeMessages}
		if _, err := pool.Await(ctx, published, time.Minute); err != nil {
			return err
		}
		took := time.Since(began)
		stall, err := slowest()
		if err != nil {
			return err
		}
		cpuAfter, err := loadtest.CPUTime(s.PID)
		if err != nil {
			return err
		}
		after, err := loadtest.ReadMemory(s.PID)
		if err != nil {
			return err
		}
		received, err := pool.Report(ctx, published)
		if err != nil {
			return err
		}
		sample = Sample{(float64(after.Peak) - float64(before.Total)) / 1e6, took.Seconds(), (cpuAfter - cpuBefore).Seconds(), float64(stall) / 1e6}
		_, err = clean(loadtest.Result{Received: received}, nil)
		return err
	})
	return sample, err
}

// probe makes one request after another, which the loop of its connection
// answers by itself, until slowest is called, which returns the longest of them.
func probe(addr string) (slowest func() (time.Duration, error)) {
	stop, ended := make(chan struct{}), make(chan struct{})
	var longest time.Duration
	var failed error
	go func() { // ends with slowest
		defer close(ended)
		for failed == nil {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
			began := time.Now()
			answer, err := http.Get("http://" + addr + "/channels/none")
			if failed = err; err == nil {
				_, failed = io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
			}
			longest = max(longest, time.Since(began))
		}
	}()
	return func() (time.Duration, error) {
		close(stop)
		<-ended
		return longest, failed
	}
}

func (c *Config) channelExperiment() Experiment {
	side := func(stride int) Side {
		return func(ctx context.Context) (Sample, error) {
			bytes, err := c.perConnection(ctx, loadtest.Spec{Channels: 1, Stride: stride})
			return Sample{bytes}, err
		}
	}
	return Experiment{
		Key: "channel",
		Rows: []Row{{What: fmt.Sprintf("a channel with one subscriber: %d connections on as many channels (A) and on one (B), each", c.Many),
			Unit: "bytes", Target: Target{Of: Difference, AtMost: true, Limit: 500}}},
		A: side(1), B: side(0),
	}
}
