package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"peal/bench/record"
	"peal/loadtest"
	"peal/loadtest/redisd"
)

// Sizes of the publications to a log that several nodes share.
const (
	batchMessages    = 500 // of one request
	batchPublishers  = 4   // requests at a time
	latencyRate      = 50  // messages per second, to few subscribers: nobody waits for a processor
	latencyListeners = 20
	retainedEntries  = 1_000_000
	startWait        = 3 * time.Minute
)

// SharedExperiments compare a node whose log is in Redis (A) with the same server with its log in
// memory (B), one node each: what it costs that others could read the log, too.
func (c *Config) SharedExperiments() []Experiment {
	both := func(f func(context.Context, *Server) (Sample, error), loops int) (a, b Side) {
		a = func(ctx context.Context) (Sample, error) {
			return onRedis(ctx, c.Peal, loops, func(s *Server, _ *redisd.Server) (Sample, error) { return f(ctx, s) })
		}
		b = func(ctx context.Context) (Sample, error) {
			return OnServer(ctx, c.Peal, loops, func(s *Server) (Sample, error) { return f(ctx, s) })
		}
		return a, b
	}
	retained := retainedEntries
	if c.Subscribers < Full().Subscribers {
		retained /= 20
	}
	batches := Experiment{Key: "shared-batches", Rows: []record.Row{
		{What: fmt.Sprintf("entries published per second, in batches of %d of %d bytes, %d requests at a time", batchMessages, messageBytes, batchPublishers), Unit: "1/s"},
		{What: "entries per CPU-second of the server", Unit: "1/s"},
	}}
	batches.A, batches.B = both(c.batches, c.Loops)
	latency := Experiment{Key: "shared-latency", Rows: []record.Row{
		{What: fmt.Sprintf("p50 from publication to delivery, %d messages per second to %d subscribers", latencyRate, latencyListeners), Unit: "ms", Target: record.AtMost(record.Difference, 1)},
		{What: "p99", Unit: "ms"},
	}}
	latency.A, latency.B = both(func(ctx context.Context, s *Server) (Sample, error) {
		r, err := fanout{subscribers: latencyListeners, load: loadtest.Load{Length: 2 * c.Length, Pacer: loadtest.Rate(latencyRate)}}.on(ctx, s)
		if err != nil {
			return nil, err
		}
		return Sample{r.Latency.Quantile(0.5).Seconds() * 1e3, ms(r.Latency)}, nil
	}, c.Loops)
	deliveries := Experiment{Key: "shared-fanout", Rows: []record.Row{
		{What: fmt.Sprintf("deliveries per server-CPU-second, 1 in flight, %d subscribers of one node", c.Subscribers), Unit: "1/s", Target: record.AtLeast(record.Ratio, 0.97)},
		{What: "p99", Unit: "ms"},
	}}
	deliveries.A, deliveries.B = both(func(ctx context.Context, s *Server) (Sample, error) {
		r, err := fanout{subscribers: c.Subscribers, load: loadtest.Load{Length: c.Length, InFlight: 1}}.on(ctx, s)
		return Sample{r.PerServerCPUSecond(), ms(r.Latency)}, err
	}, 1)
	return []Experiment{batches, latency, deliveries,
		{Key: "shared-redis", Rows: []record.Row{
			{What: "entries per CPU-second of Redis, in the same batches", Unit: "1/s", Target: record.AtLeast(record.Value, 100_000)},
		}, A: func(ctx context.Context) (Sample, error) {
			return onRedis(ctx, c.Peal, c.Loops, func(s *Server, r *redisd.Server) (Sample, error) {
				n, cpu, err := c.publishing(ctx, s, r.PID())
				return Sample{float64(n) / cpu.Seconds()}, err
			})
		}},
		{Key: "shared-idle", Rows: []record.Row{
			{What: "an idle node: commands to Redis per second, those inside of scripts included", Unit: "1/s"},
			{What: "CPU of the node, of one processor", Unit: "%"},
			{What: "CPU of Redis, of one processor", Unit: "%"},
		}, A: func(ctx context.Context) (Sample, error) {
			return onRedis(ctx, c.Peal, c.Loops, func(s *Server, r *redisd.Server) (Sample, error) { return c.idleNode(ctx, s, r) })
		}},
		{Key: "shared-start", Rows: []record.Row{
			{What: fmt.Sprintf("start of a node with %d retained entries, in channels of %d messages, until it is ready", retained, batchMessages), Unit: "s"},
			{What: "resident memory of the node then", Unit: "MB"},
			{What: "memory that Redis uses for them", Unit: "MB"},
		}, A: func(ctx context.Context) (Sample, error) { return c.start(ctx, retained) }},
	}
}

// onRedis runs f with a server whose log is in a fresh Redis, which syncs its file each second.
func onRedis(ctx context.Context, l *Command, loops int, f func(*Server, *redisd.Server) (Sample, error)) (v Sample, err error) {
	r, err := redisd.New(redisd.Options{AppendOnly: true, AppendFsync: "everysec"})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := r.Start(ctx); err != nil {
		return nil, err
	}
	return OnServer(ctx, with(l, "--log", r.URL()), loops, func(s *Server) (Sample, error) { return f(s, r) })
}

// batches returns the entries per second, and per CPU-second of the server.
func (c *Config) batches(ctx context.Context, s *Server) (Sample, error) {
	began := time.Now()
	n, cpu, err := c.publishing(ctx, s, s.PID)
	return Sample{float64(n) / time.Since(began).Seconds(), float64(n) / cpu.Seconds()}, err
}

// publishing publishes batches for Length. It returns how many entries were acknowledged, and the
// CPU that the process has used.
func (c *Config) publishing(ctx context.Context, s *Server, pid int) (n int, cpu time.Duration, err error) {
	before, err := loadtest.CPUTime(pid)
	if err != nil {
		return 0, 0, err
	}
	over := time.Now().Add(c.Length)
	n, err = publishBatches(ctx, s.Addr, 1, func(int) bool { return time.Now().Before(over) })
	if err != nil {
		return 0, 0, err
	}
	after, err := loadtest.CPUTime(pid)
	return n, after - before, err
}

// batchBody is a batch of messages on one channel.
func batchBody(channel int) []byte {
	one := fmt.Sprintf(`{"channel":"batch-%d","data":%q}`, channel, strings.Repeat("x", messageBytes))
	return []byte(`{"messages":[` + strings.Repeat(one+",", batchMessages-1) + one + `]}`)
}

// publishBatches publishes batch after batch on so many channels in turn, batchPublishers at a
// time, while more is true of the number of entries that were sent. It returns how many; all are
// acknowledged.
func publishBatches(ctx context.Context, addr string, channels int, more func(sent int) bool) (int, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: batchPublishers}, Timeout: time.Minute}
	defer client.CloseIdleConnections()
	var sent, turn atomic.Int64
	failed := make([]error, batchPublishers)
	var all sync.WaitGroup
	for i := range batchPublishers {
		all.Go(func() {
			body := batchBody(0)
			for ctx.Err() == nil && failed[i] == nil && more(int(sent.Load())) {
				var took bool
				if took, failed[i] = publishBatch(ctx, client, addr, body); took {
					sent.Add(batchMessages)
					if channels > 1 {
						body = batchBody(int(turn.Add(1)) % channels)
					}
				} else if failed[i] == nil {
					sleep(ctx, 5*time.Millisecond)
				}
			}
		})
	}
	all.Wait()
	return int(sent.Load()), errors.Join(append(failed, ctx.Err())...)
}

// publishBatch reports whether all of a batch was acknowledged, or refused because the server has
// too much to do (429).
func publishBatch(ctx context.Context, client *http.Client, addr string, body []byte) (took bool, err error) {
	request, err := http.NewRequestWithContext(ctx, "POST", "http://"+addr+"/publish/batch", bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(request)
	if err != nil {
		return false, err
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	switch n := bytes.Count(said, []byte(`"cursor"`)); {
	case err != nil:
		return false, err
	case answer.StatusCode == http.StatusOK && n == batchMessages:
		return true, nil
	case answer.StatusCode == http.StatusTooManyRequests, answer.StatusCode == http.StatusOK && n == 0:
		return false, nil
	default:
		return false, fmt.Errorf("a batch: status %d, %d of %d messages taken: %.300s", answer.StatusCode, n, batchMessages, said)
	}
}

// idleNode returns the commands to Redis per second, and the CPU of the node and of Redis in
// percent of a processor.
func (c *Config) idleNode(ctx context.Context, s *Server, r *redisd.Server) (Sample, error) {
	sleep(ctx, c.Settle/2)
	read := func() (v Sample, err error) {
		text, err := r.Info(ctx, "total_commands_processed")
		if err != nil {
			return nil, err
		}
		commands, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, err
		}
		v = Sample{commands}
		for _, pid := range []int{s.PID, r.PID()} {
			cpu, err := loadtest.CPUTime(pid)
			if err != nil {
				return nil, err
			}
			v = append(v, 100*cpu.Seconds())
		}
		return v, nil
	}
	before, err := read()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	sleep(ctx, 2*c.Length)
	took := time.Since(began).Seconds()
	after, err := read()
	if err != nil {
		return nil, err
	}
	for i := range after {
		after[i] = (after[i] - before[i]) / took
	}
	return after, nil
}

// start has a node start that finds so many entries.
func (c *Config) start(ctx context.Context, entries int) (Sample, error) {
	l := with(c.Peal, "--log-entries", strconv.Itoa(2*entries))
	l.Wait = startWait
	return onRedis(ctx, l, c.Loops, func(first *Server, r *redisd.Server) (Sample, error) {
		if _, err := publishBatches(ctx, first.Addr, max(1, entries/batchMessages), func(sent int) bool { return sent < entries }); err != nil {
			return nil, err
		}
		began := time.Now()
		return OnServer(ctx, with(l, "--log", r.URL()), c.Loops, func(s *Server) (Sample, error) {
			for ctx.Err() == nil {
				if _, err := loadtest.Get(ctx, "http://"+s.Admin+"/readyz"); err == nil {
					break
				}
				sleep(ctx, 5*time.Millisecond)
			}
			took := time.Since(began)
			m, err := loadtest.ReadMemory(s.PID)
			if err != nil {
				return nil, err
			}
			text, err := r.Info(ctx, "used_memory")
			if err != nil {
				return nil, err
			}
			used, err := strconv.ParseFloat(text, 64)
			return Sample{took.Seconds(), float64(m.Resident) / 1e6, used / 1e6}, errors.Join(err, ctx.Err())
		})
	})
}
