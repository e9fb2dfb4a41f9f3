package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"peal/bench/record"
	"peal/loadtest"
)

// crowd is how many connections are idle while others are measured: as many as the
// 20,000 descriptors of one process allow.
const crowd = 18_000

// EdgeExperiments measure what is neither fan-out nor load: heartbeats, lone publications on an
// idle server, publishers on a Unix socket, a log that syncs each entry, and what a connection costs
// at several sizes. B, where there is one, is the other command of the pair: Peal over
// loopback TCP, or what --versus names.
func (c *Config) EdgeExperiments() []Experiment {
	return append([]Experiment{c.heartbeatExperiment(20 * time.Second), c.heartbeatExperiment(time.Second),
		c.loneExperiment(), c.syncExperiment(), c.slopeExperiment()}, c.socketExperiments()...)
}

// heartbeatExperiment measures the requests of another client while idle WebSockets get
// their heartbeats. All of them were opened within a second or two, so that their heartbeats come
// about as close together as they ever do.
func (c *Config) heartbeatExperiment(every time.Duration) Experiment {
	n := crowd
	if c.Many < Full().Many {
		n = c.Many
	}
	side := func(l *Command) Side {
		return func(ctx context.Context) (Sample, error) {
			return OnServer(ctx, with(l, "--heartbeat", every.String()), c.Loops, func(s *Server) (Sample, error) {
				return c.besideHeartbeats(ctx, s, n, every)
			})
		}
	}
	return Experiment{
		Key: "heartbeats-" + every.String(),
		Rows: []record.Row{
			{What: fmt.Sprintf("heartbeats of %d idle WebSockets, one each %v: p99.9 of the requests of another client meanwhile", n, every), Unit: "ms", Target: record.AtMost(record.Value, 5)},
			{What: "p99", Unit: "ms"},
			{What: "the longest", Unit: "ms"},
			{What: "p99.9 of how late the measuring process itself wakes", Unit: "ms"},
			{What: "CPU of the server, of one processor", Unit: "%"},
			{What: "heartbeats per second", Unit: "1/s"},
		},
		A: side(c.Peal), B: c.versus(side),
	}
}

// versus is the other side of a pair: nil where --versus names no other server.
func (c *Config) versus(side func(*Command) Side) Side {
	if c.Ceiling == nil || c.Ceiling.Bare {
		return nil
	}
	return side(c.Ceiling)
}

// besideHeartbeats returns a value for each row of heartbeatExperiment.
func (c *Config) besideHeartbeats(ctx context.Context, s *Server, n int, every time.Duration) (sample Sample, err error) {
	err = withPool(ctx, s, loadtest.Spec{Connections: n, Channels: 1, Window: 1024}, func(*loadtest.Pool) error {
		sleep(ctx, every*7/10+c.Settle/2)
		sent, cpu, err := c.beats(ctx, s)
		if err != nil {
			return err
		}
		length := max(2*c.Length, every/2)
		over, cancel := context.WithTimeout(ctx, length)
		defer cancel()
		var beside sync.WaitGroup
		late := loadtest.NewLatency()
		beside.Go(func() { wakeUps(over, late) })
		took, err := visits(over, s.Addr, c.Loops)
		cancel()
		beside.Wait()
		if err != nil {
			return err
		}
		sentAfter, cpuAfter, err := c.beats(ctx, s)
		sample = Sample{took.Quantile(0.999).Seconds() * 1e3, ms(took), took.Max().Seconds() * 1e3, late.Quantile(0.999).Seconds() * 1e3,
			100 * (cpuAfter - cpu).Seconds() / length.Seconds(), (sentAfter - sent) / length.Seconds()}
		return errors.Join(err, ctx.Err())
	})
	return sample, err
}

// beats is how many heartbeats a server has sent, and its CPU time.
func (c *Config) beats(ctx context.Context, s *Server) (sent float64, cpu time.Duration, err error) {
	v, err := c.Metrics.read(ctx, s, "peal_heartbeats_total")
	if err != nil {
		return 0, 0, err
	}
	cpu, err = loadtest.CPUTime(s.PID)
	return sum(v), cpu, err
}

// visitPause is between two requests of one connection.
const visitPause = time.Millisecond

// visits makes requests on so many connections, one after another on each, until ctx ends, and returns how
// long each took from its first byte to the end of its response.
func visits(ctx context.Context, addr string, connections int) (*loadtest.Latency, error) {
	errs := make([]error, connections)
	each := make([]*loadtest.Latency, connections)
	var all sync.WaitGroup
	for i := range connections {
		each[i] = loadtest.NewLatency()
		all.Go(func() { errs[i] = visit(ctx, addr, each[i]) })
	}
	all.Wait()
	for _, other := range each[1:] {
		if err := each[0].Merge(other); err != nil {
			return nil, err
		}
	}
	return each[0], errors.Join(errs...)
}

func visit(ctx context.Context, addr string, took *loadtest.Latency) error {
	conn, err := net.Dial("tcp4", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	request := []byte("GET /channels/none HTTP/1.1\r\nHost: " + addr + "\r\n\r\n")
	for ctx.Err() == nil {
		time.Sleep(visitPause)
		began := time.Now()
		if _, err := conn.Write(request); err != nil {
			return err
		}
		response, err := http.ReadResponse(in, nil)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if err != nil {
			return err
		}
		took.Record(int64(time.Since(began)))
	}
	return nil
}

// wakeUps records how late a goroutine of this process wakes, until ctx ends.
func wakeUps(ctx context.Context, late *loadtest.Latency) {
	for ctx.Err() == nil {
		began := time.Now()
		time.Sleep(visitPause)
		late.Record(int64(time.Since(began) - visitPause))
	}
}

// Lone publications: one at a time on an idle server.
const (
	lonePublications = 100
	lonePause        = 100 * time.Millisecond
)

// loneExperiment measures what a publication costs a server that has nothing else to do: the request, and what Go's
// runtime does because threads slept and wake. What the server uses without any is taken off.
func (c *Config) loneExperiment() Experiment {
	side := func(l *Command) Side {
		return func(ctx context.Context) (Sample, error) {
			return OnServer(ctx, l, c.Loops, func(s *Server) (Sample, error) { return c.lone(ctx, s) })
		}
	}
	return Experiment{
		Key: "lone-publication",
		Rows: []record.Row{
			{What: fmt.Sprintf("CPU of the server for one publication, of %d, one each %v", lonePublications, lonePause), Unit: "ms", Target: record.AtMost(record.Value, 0.5)},
			{What: "CPU of an idle server in a second", Unit: "ms"},
		},
		A: side(c.Peal), B: c.versus(side),
	}
}

func (c *Config) lone(ctx context.Context, s *Server) (Sample, error) {
	publisher, err := loadtest.DialPublisher(ctx, loadtest.PublishTarget{Endpoint: loadtest.Endpoint{Addr: s.Addr, TLS: s.trust}, Path: loadtest.PublishPath("c"), Header: s.Publisher})
	if err != nil {
		return nil, err
	}
	defer publisher.Close()
	used := func(f func() error) (used, took float64, err error) {
		before, err := loadtest.CPUTime(s.PID)
		if err != nil {
			return 0, 0, err
		}
		began := time.Now()
		if err = f(); err != nil {
			return 0, 0, err
		}
		after, err := loadtest.CPUTime(s.PID)
		return (after - before).Seconds() * 1e3, time.Since(began).Seconds(), errors.Join(err, ctx.Err())
	}
	publish := func(n int) error {
		for range n {
			if _, err := publisher.Publish(0, make([]byte, messageBytes)); err != nil {
				return err
			}
			sleep(ctx, lonePause)
		}
		return nil
	}
	if err := publish(10); err != nil {
		return nil, err
	}
	idle, seconds, err := used(func() error { sleep(ctx, c.Settle); return nil })
	if err != nil {
		return nil, err
	}
	idle /= seconds
	busy, seconds, err := used(func() error { return publish(lonePublications) })
	return Sample{max(0, busy-idle*seconds) / lonePublications, idle}, err
}

// socketExperiments compare publishers on a Unix socket (A) with publishers over loopback TCP (B): as the publish
// row of the ceiling has them, with nobody to deliver to, and with a connection for each publication, as PHP
// without persistent connections has.
func (c *Config) socketExperiments() (all []Experiment) {
	for _, way := range []struct {
		key, what   string
		subscribers int
		header      string
	}{
		{"unix-socket-delivered", fmt.Sprintf("keep-alive, %d channels with one subscriber each", c.Channels), c.Channels, ""},
		{"unix-socket", fmt.Sprintf("keep-alive, %d channels without subscribers", c.Channels), 1, ""},
		{"unix-socket-connect", "a connection for each, no subscribers", 1, "Connection: close\r\n"},
	} {
		side := func(onSocket bool) Side {
			return func(ctx context.Context) (Sample, error) {
				dir, err := os.MkdirTemp("", "peal-socket-")
				if err != nil {
					return nil, err
				}
				defer os.RemoveAll(dir)
				path := "unix:" + filepath.Join(dir, "peal.sock")
				return OnServer(ctx, with(c.Peal, "--listen", path), c.Loops, func(s *Server) (Sample, error) {
					if onSocket {
						s.socket = path
					}
					s.Publisher += way.header
					load := *c
					load.Channels = way.subscribers
					r, err := load.flood(ctx, s, c.Channels, 0, nil, nil)
					published := float64(r.Published)
					return Sample{published / r.ServerCPU.Seconds(), published / r.Took.Seconds()}, err
				})
			}
		}
		all = append(all, Experiment{
			Key: way.key,
			Rows: []record.Row{
				{What: "publications per server-CPU-second over HTTP, on a Unix socket (A) and over loopback TCP (B): " + way.what, Unit: "1/s", Target: record.AtLeast(record.Ratio, 1.3)},
				{What: "publications per second", Unit: "1/s"},
			},
			A: side(true), B: side(false),
		})
	}
	return all
}

// syncExperiment measures publications to a log that syncs each entry before its publisher gets a response.
func (c *Config) syncExperiment() Experiment {
	side := func(l *Command) Side {
		return func(ctx context.Context) (Sample, error) {
			dir, err := os.MkdirTemp("", "peal-sync-")
			if err != nil {
				return nil, err
			}
			defer os.RemoveAll(dir)
			return OnServer(ctx, with(l, "--log", "file:"+filepath.Join(dir, "log"), "--fsync", "always"), c.Loops, func(s *Server) (Sample, error) {
				r, err := c.flood(ctx, s, c.Channels, 0, nil, nil)
				return Sample{r.PerServerCPUSecond(), float64(r.Published) / r.Took.Seconds()}, err
			})
		}
	}
	return Experiment{
		Key: "fsync-always",
		Rows: []record.Row{
			{What: fmt.Sprintf("publications per server-CPU-second with --fsync always, HTTP keep-alive, %d channels with one subscriber each", c.Channels), Unit: "1/s"},
			{What: "publications per second", Unit: "1/s"},
		},
		A: side(c.Peal), B: c.versus(side),
	}
}
