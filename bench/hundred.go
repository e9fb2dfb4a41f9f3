package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"peal/loadtest"
)

// HundredThousand holds total connections, perServer on each of as many server
// processes as that takes, sends every one of them a few messages, and writes
// what it saw to w. Any connection that failed or message that did not arrive
// once and in order is an error.
func HundredThousand(ctx context.Context, l Launcher, total, perServer int, w io.Writer) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	var (
		began   = time.Now()
		servers []*Server
		pools   []*loadtest.Pool
	)
	defer func() {
		var all sync.WaitGroup
		for _, p := range pools {
			all.Go(func() { _ = p.Close() }) // the result is known by now
		}
		all.Wait()
		for _, s := range servers {
			all.Go(func() { _ = s.Stop() }) // Pdeathsig ends what would not stop
		}
		all.Wait()
	}()
	held := 0
	for i := 0; held < total; i++ {
		n := min(perServer, total-held)
		s, err := l.Launch(ctx, 1)
		if err != nil {
			return err
		}
		servers = append(servers, s)
		spec := loadtest.Spec{Addr: s.Addr, Connections: n, Channels: 1}
		s.Subscribe(&spec)
		pool, opened, err := loadtest.OpenPool(ctx, spec, 2+4*i) // perServer may need several workers
		if err != nil {
			return err
		}
		pools = append(pools, pool)
		if err := opened.Err(); err != nil {
			return err
		}
		held += opened.Connections
		fmt.Fprintf(w, "%d connections on %d servers after %.1f s\n", held, len(servers), time.Since(began).Seconds())
	}
	var delivered, resident uint64
	latency := loadtest.NewLatency()
	for i, s := range servers {
		r, err := serveHeld(ctx, s, pools[i])
		if err != nil {
			return fmt.Errorf("server %d: %w", i, err)
		}
		m, err := loadtest.ReadMemory(s.PID)
		if err != nil {
			return err
		}
		delivered += r.Delivered
		resident += m.Resident
		if err := latency.Merge(r.Latency); err != nil {
			return err
		}
	}
	// A connection that was lost meanwhile would have shown as a lost message.
	_, err = fmt.Fprintf(w, "held %d connections on %d servers, delivered %d messages without loss, p99 %v, %d bytes resident per connection, %.1f s in all\n",
		held, len(servers), delivered, latency.Quantile(0.99), resident/uint64(held), time.Since(began).Seconds())
	return err
}

// serveHeld sends a few messages to one server's connections.
func serveHeld(ctx context.Context, s *Server, pool *loadtest.Pool) (r loadtest.Result, err error) {
	publisher, err := loadtest.DialWS(ctx, s.Addr, 1, s.PublishWS)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, publisher.Close()) }()
	return clean(loadtest.Run(ctx, pool, publisher, loadtest.Load{
		Size: messageBytes, Length: 2 * time.Second, Pacer: loadtest.Rate(3), Settle: 30 * time.Second}))
}
