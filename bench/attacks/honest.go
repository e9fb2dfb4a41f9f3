package attacks

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"peal/loadtest"
)

// transports of the honest subscribers, in the order of the table.
var transports = [...]loadtest.Transport{loadtest.WebSocket, loadtest.SSE, loadtest.Poll}

// Visits are connections whose request arrives in two pieces.
type Visits struct {
	Made, Refused int // refused: closed, or an error response
	Latency       *loadtest.Latency
}

// Phase is what the honest side measured.
type Phase struct {
	Heard  [len(transports)]loadtest.Result // of the subscribers; Closed counts this phase only
	Visits Visits
	Lag    time.Duration // p99 of how late the measuring process woke up
	Peak   uint64        // highest resident memory of the server, in bytes
}

// honest is the honest side of one server.
type honest struct {
	addr   string
	size   Size
	fleets [len(transports)]fleet
}

type fleet struct {
	pool      *loadtest.Pool
	publisher *loadtest.Publisher
	closed    int // in all phases so far
}

// welcome connects the honest side.
func welcome(ctx context.Context, addr string, size Size) (h *honest, err error) {
	h = &honest{addr: addr, size: size}
	for i, t := range transports {
		f := &h.fleets[i]
		prefix := "honest-" + string(t) + "-"
		spec := loadtest.Spec{Endpoint: loadtest.Endpoint{Addr: addr}, Kind: loadtest.Epoll, Transport: t, Prefix: prefix, Channels: 1, Resume: true, Format: loadtest.JSON,
			Connections: size.Honest*(i+1)/len(transports) - size.Honest*i/len(transports)}
		var opened loadtest.Opened
		if f.pool, opened, err = loadtest.OpenPool(ctx, spec); err == nil {
			err = opened.Err()
		}
		if err == nil {
			f.publisher, err = loadtest.DialPublisher(ctx, loadtest.PublishTarget{Endpoint: loadtest.Endpoint{Addr: addr}, Path: loadtest.PublishPath(prefix), Pipeline: 1000})
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("honest subscribers: %w", err), h.leave())
		}
	}
	return h, nil
}

// leave closes the honest side.
func (h *honest) leave() (err error) {
	for i := range h.fleets {
		f := &h.fleets[i]
		if f.publisher != nil {
			err = errors.Join(err, f.publisher.Close())
		}
		if f.pool != nil {
			err = errors.Join(err, f.pool.Close())
		}
	}
	return err
}

// phase runs the honest side for length.
func (h *honest) phase(ctx context.Context, length time.Duration) (p Phase, err error) {
	over, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	var beside, all sync.WaitGroup
	beside.Go(func() { p.Visits = visit(over, h.addr) })
	beside.Go(func() { p.Lag = lag(over) })
	errs := make([]error, len(h.fleets))
	for i := range h.fleets {
		all.Go(func() { p.Heard[i], errs[i] = h.fleets[i].hear(ctx, h.size, length) })
	}
	all.Wait()
	cancel()
	beside.Wait()
	return p, errors.Join(errs...)
}

func (f *fleet) hear(ctx context.Context, size Size, length time.Duration) (loadtest.Result, error) {
	r, err := loadtest.Run(ctx, f.pool, f.publisher, loadtest.Load{Pacer: loadtest.Rate(size.Rate), Length: length, Settle: size.Settle, Excuse: true})
	before := f.closed
	f.closed = r.Closed
	r.Closed -= before
	return r, err
}

// visitEvery is the time between two visits, betweenPieces the time between the two
// pieces of a request.
const (
	visitEvery    = 25 * time.Millisecond
	betweenPieces = 5 * time.Millisecond
	visitTimeout  = 5 * time.Second
)

// visit makes visits until ctx ends. Latency is measured from the second piece.
func visit(ctx context.Context, addr string) (v Visits) {
	v.Latency = loadtest.NewLatency()
	tick := time.NewTicker(visitEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return v
		case <-tick.C:
		}
		took, err := visitOnce(addr)
		if v.Made++; err != nil {
			v.Refused++
			continue
		}
		v.Latency.Record(int64(took))
	}
}

func visitOnce(addr string) (took time.Duration, err error) {
	conn, err := net.DialTimeout("tcp4", addr, visitTimeout)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(visitTimeout)); err != nil {
		return 0, err
	}
	if _, err := fmt.Fprintf(conn, "POST /publish?channel=visits HTTP/1.1\r\nHost: %s\r\nContent-Le", addr); err != nil {
		return 0, err
	}
	time.Sleep(betweenPieces)
	began := time.Now()
	if _, err := fmt.Fprint(conn, "ngth: 2\r\n\r\nhi"); err != nil {
		return 0, err
	}
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return 0, errors.New(r.Status)
	}
	return time.Since(began), nil
}

// lag wakes up every few milliseconds until ctx ends, and returns the p99 of the
// delay.
func lag(ctx context.Context) time.Duration {
	late := loadtest.NewLatency()
	const every = 5 * time.Millisecond
	for ctx.Err() == nil {
		began := time.Now()
		time.Sleep(every)
		late.Record(int64(time.Since(began) - every))
	}
	return late.Quantile(0.99)
}
