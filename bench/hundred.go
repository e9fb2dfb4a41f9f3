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
// what it saw to w. It returns the same as rows of one sample. Any connection
// that failed or message that did not arrive once and in order is an error.
func HundredThousand(ctx context.Context, l Launcher, total, perServer int, w io.Writer) (rows []Outcome, err error) {
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
	held, connecting := 0, time.Duration(0)
	for i := 0; held < total; i++ {
		n := min(perServer, total-held)
		s, err := l.Launch(ctx, 1)
		if err != nil {
			return nil, err
		}
		servers = append(servers, s)
		spec := loadtest.Spec{Addr: s.Addr, Connections: n, Channels: 1}
		s.Subscribe(&spec)
		pool, opened, err := loadtest.OpenPool(ctx, spec, 2+4*i) // perServer may need several workers
		if err != nil {
			return nil, err
		}
		pools = append(pools, pool)
		if err := opened.Err(); err != nil {
			return nil, err
		}
		held += opened.Connections
		connecting = time.Since(began)
		fmt.Fprintf(w, "%d connections on %d servers after %.1f s\n", held, len(servers), connecting.Seconds())
	}
	var delivered, resident uint64
	latency := loadtest.NewLatency()
	for i, s := range servers {
		r, err := serveHeld(ctx, s, pools[i])
		if err != nil {
			return nil, fmt.Errorf("server %d: %w", i, err)
		}
		m, err := loadtest.ReadMemory(s.PID)
		if err != nil {
			return nil, err
		}
		delivered += r.Delivered
		resident += m.Resident
		if err := latency.Merge(r.Latency); err != nil {
			return nil, err
		}
	}
	// A connection that was lost meanwhile would have shown as a lost message.
	whole := time.Since(began).Seconds()
	_, err = fmt.Fprintf(w, "held %d connections on %d servers, delivered %d messages without loss, p99 %v, %d bytes resident per connection, %.1f s in all\n",
		held, len(servers), delivered, latency.Quantile(0.99), resident/uint64(held), whole)
	one := func(what, unit string, v float64, target Target) {
		rows = append(rows, Outcome{Key: "hundred-thousand", Row: Row{What: what, Unit: unit, Target: target}, A: []float64{v}})
	}
	one("connections held", "", float64(held), Target{Of: Value, Limit: 100_000})
	one("server processes", "", float64(len(servers)), Target{})
	one("messages delivered, none lost", "", float64(delivered), Target{})
	one("until all were connected", "s", connecting.Seconds(), Target{})
	one("in all", "s", whole, Target{Of: Value, AtMost: true, Limit: 180})
	one("p99", "ms", ms(latency), Target{})
	one("resident bytes per connection", "bytes", float64(resident)/float64(held), Target{})
	return rows, err
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
