package bench

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"peal/loadtest"
	"peal/loadtest/dialect"
)

// fanout is one load of published messages on a fresh server.
type fanout struct {
	transport   loadtest.Transport // "": WebSocket
	format      loadtest.Format
	protocol    string           // subprotocol of the WebSockets; its format is JSON
	dialect     *dialect.Dialect // of another protocol, whose path is path; nil: none
	path        string
	query       string // further parameters, in which {i} is the number of the connection
	subscribers int
	channels    int // of each connection; 0: 1
	stalled     int
	warmUp      loadtest.Load // zero: a quarter of load with one message in flight
	load        loadtest.Load
	warmed      counters            // receives the system calls of the warm-up and its messages; may be nil
	before      func() error        // after the warm-up; may be nil
	after       func(*Server) error // with the load still connected; may be nil
}

func (c *Config) tenChannels(channels int) fanout {
	return fanout{subscribers: c.Subscribers, channels: channels, load: loadtest.Load{Length: c.Length, InFlight: 1}}
}

func (c *Config) polls() fanout {
	return fanout{transport: loadtest.Poll, subscribers: c.Subscribers, load: loadtest.Load{Length: c.Length, InFlight: 1}}
}

func (c *Config) openLoop(subscribers int, rate float64) fanout {
	return fanout{subscribers: subscribers, load: loadtest.Load{Length: 2 * c.Length, Pacer: loadtest.Rate(rate)}}
}

// slow adds subscribers that read nothing. It returns how many bytes the server
// holds for connections at the end, per loop; nil if the server does not report
// that. Large messages first fill the sockets of the stalled connections, so that
// the server cannot send to them when the measurement starts.
func (c *Config) slow(ctx context.Context, l *Command, stalled int) (r loadtest.Result, held []float64, err error) {
	r, err = fanout{subscribers: c.Subscribers, stalled: stalled,
		warmUp: loadtest.Load{Length: c.Length, InFlight: 16, Size: slowBytes},
		load:   loadtest.Load{Length: 2 * c.Length, Size: slowBytes, Pacer: loadtest.Rate(10)},
		after: func(s *Server) error {
			all, err := c.Metrics.samples(ctx, s)
			held = all[heldMetric]
			return err
		}}.run(ctx, l, 1)
	return r, held, err
}

const heldMetric = "peal_held_bytes"

// run returns the result, or an error if a message was lost, duplicated or
// reordered.
func (f fanout) run(ctx context.Context, l *Command, loops int) (loadtest.Result, error) {
	return OnServer(ctx, l, loops, func(s *Server) (loadtest.Result, error) { return f.on(ctx, s) })
}

// on is run on a running server.
func (f fanout) on(ctx context.Context, s *Server) (r loadtest.Result, err error) {
	f.channels = max(f.channels, 1)
	spec := loadtest.Spec{Transport: f.transport, Format: f.format, Protocol: f.protocol, Dialect: f.dialect, Path: f.path, Connections: f.subscribers, Stalled: f.stalled, Channels: f.channels, Query: f.query}
	if f.query != "" {
		spec.Data = numbered
	}
	err = withPool(ctx, s, spec, func(pool *loadtest.Pool) error {
		publisher, err := s.publisher(ctx, f.channels)
		if err != nil {
			return err
		}
		defer publisher.Close()
		if f.transport == loadtest.Poll {
			sleep(ctx, 500*time.Millisecond) // no response tells that a poll is held
		}
		f.load.Streams, f.load.Server = f.channels, s.PID
		if f.load.Size == 0 {
			f.load.Size = messageBytes
		}
		if f.warmUp.Length == 0 {
			f.warmUp = loadtest.Load{Length: f.load.Length / 4, InFlight: 1, Size: f.load.Size}
		}
		f.warmUp.Streams = f.channels
		warm := func() (loadtest.Result, error) { return clean(loadtest.Run(ctx, pool, publisher, f.warmUp)) }
		if r, err = withSyscalls(s, f.warmed, warm); err != nil {
			return fmt.Errorf("warm-up: %w", err)
		}
		length := f.load.Length
		r, err = s.inParts(12, f.before, func(parts int) (loadtest.Result, error) {
			f.load.Length = length / time.Duration(parts)
			return clean(loadtest.Run(ctx, pool, publisher, f.load))
		})
		if err != nil || f.after == nil {
			return err
		}
		return f.after(s)
	})
	return r, err
}

// flood publishes over HTTP to that many channels, which Channels subscribers
// share, with one channel each: for Length, or each times to every channel. A
// quarter of the length, or half of the messages, comes first as warm-up, whose
// system calls warmed receives; then before is called. Both may be nil.
func (c *Config) flood(ctx context.Context, s *Server, channels, each int, warmed counters, before func() error) (r loadtest.Result, err error) {
	spec := loadtest.Spec{Connections: c.Channels, Channels: 1, Stride: 1, Around: channels}
	err = withPool(ctx, s, spec, func(pool *loadtest.Pool) error {
		load := loadtest.FloodLoad{Addr: cmp.Or(s.socket, s.Addr), Host: s.Addr, Path: loadtest.PublishPath("c"), Header: s.Publisher, Connections: c.Publishers,
			Streams: channels, Size: messageBytes, Length: c.Length / 4, Server: s.PID}
		if each > 0 {
			load.Length, load.Messages = time.Minute, each*channels/2
		}
		flood := func() (loadtest.Result, error) { return clean(loadtest.Flood(ctx, pool, load)) }
		if _, err := withSyscalls(s, warmed, flood); err != nil {
			return fmt.Errorf("warm-up: %w", err)
		}
		// Each part has as many messages for each channel.
		length, messages := 4*load.Length, 2*load.Messages
		r, err = s.inParts(4, before, func(parts int) (loadtest.Result, error) {
			load.Length, load.Messages = length/time.Duration(parts), messages/parts
			return flood()
		})
		return err
	})
	return r, err
}

// accept opens Many connections at once and returns the CPU time of each, and the
// time until all were subscribed. If balance is set, it also returns the imbalance
// between the loops, in percent.
func (c *Config) accept(ctx context.Context, s *Server, balance bool) (cost, took time.Duration, imbalance float64, err error) {
	before, err := loadtest.CPUTime(s.PID)
	if err != nil {
		return 0, 0, 0, err
	}
	began := time.Now()
	err = withPool(ctx, s, loadtest.Spec{Connections: c.Many, Channels: 1, Window: 1024}, func(*loadtest.Pool) error {
		took = time.Since(began)
		after, err := loadtest.CPUTime(s.PID)
		if err == nil && balance {
			imbalance, err = c.Metrics.imbalance(ctx, s)
		}
		cost = (after - before) / time.Duration(c.Many)
		return err
	})
	return cost, took, imbalance, err
}

// clean returns an error for a result with losses.
func clean(r loadtest.Result, err error) (loadtest.Result, error) {
	switch {
	case err != nil:
		return r, err
	case !r.Clean() || r.Stalled || r.Closed > 0:
		return r, fmt.Errorf("of %d expected messages %d lost, %d duplicated, %d reordered, %d foreign; %d connections closed; stalled: %t",
			r.Expected, r.Lost, r.Duplicated, r.Reordered, r.Foreign, r.Closed, r.Stalled)
	case r.Delivered == 0:
		return r, fmt.Errorf("no message was delivered")
	}
	return r, nil
}

// OnServer starts a server, runs f and stops the server. If the server exited by
// itself, that is the error.
func OnServer[T any](ctx context.Context, l *Command, loops int, f func(*Server) (T, error)) (v T, err error) {
	s, err := l.Launch(ctx, loops)
	if err != nil {
		return v, err
	}
	defer func() {
		if alive := s.Alive(); alive != nil {
			err = alive // the cause of any other error
		}
		if stop := s.Stop(); err == nil {
			err = stop
		}
	}()
	return f(s)
}

// withPool opens all subscribers of spec on s, runs f and closes them.
func withPool(ctx context.Context, s *Server, spec loadtest.Spec, f func(*loadtest.Pool) error) error {
	s.address(&spec)
	pool, opened, err := loadtest.OpenPool(ctx, spec, loadtest.LoopbackSources...)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := opened.Err(); err != nil {
		return err
	}
	if opened.Connections < spec.Connections {
		return fmt.Errorf("the server has closed %d of %d connections again", spec.Connections-opened.Connections, spec.Connections)
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
