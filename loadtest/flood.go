package loadtest

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// FloodLoad publishes over HTTP keep-alive as fast as the server answers: each
// connection sends its next message when its last one was answered, and goes
// round its own share of the streams.
type FloodLoad struct {
	Addr        string                  // "127.0.0.1:8080", or "unix:/path"
	Host        string                  // of the requests; default: Addr
	Path        func(stream int) string // see PublishPath
	Header      string                  // further lines of each request, each with its CRLF
	Connections int                     // default 64
	Streams     int
	Size        int
	Length      time.Duration
	Messages    int           // ends it before Length, after so many, at least one of each connection; 0: Length alone decides
	Server      int           // pid whose CPU time is taken; 0: none
	Settle      time.Duration // as in Load
}

// flood is one FloodLoad under way. Its connections are those of lean subscribers, and
// for the same reason: a client that takes more CPU than the server would leave it idle
// between two requests, and then measures its wake-ups.
//
// Its fields belong to the fleet's loop until all connections are done.
type flood struct {
	load      FloodLoad
	sender    sender
	heads     [][]byte // of each stream's requests
	streams   []int    // of each connection's request under way
	connected int
	before    time.Duration // the server's CPU time, when all were connected
	began     time.Time
	out       []byte
}

// Flood runs one FloodLoad. Latency counts from each message's send.
func Flood(ctx context.Context, pool *Pool, load FloodLoad) (r Result, err error) {
	load.Connections = min(cmp.Or(load.Connections, 64), load.Streams)
	load.Size = max(load.Size, StampBytes)
	f := &flood{load: load, sender: sender{load: Load{Server: load.Server}, published: make([]uint64, load.Streams)}}
	for stream := range load.Streams {
		whole := AppendRequest(nil, "POST", load.Path(stream), cmp.Or(load.Host, load.Addr), textHeader+load.Header, make([]byte, load.Size))
		f.heads = append(f.heads, whole[:len(whole)-load.Size])
	}
	for i := range load.Connections {
		f.streams = append(f.streams, i)
	}
	if f.sender.run, err = pool.Begin(ctx, load.Size, false); err != nil {
		return r, err
	}
	fleet, err := newFleet(Spec{Endpoint: Endpoint{Addr: load.Addr}, Transport: Poll, Connections: load.Connections, Window: load.Connections,
		Timeout: load.Length + publishTimeout, flood: f})
	if err != nil {
		return r, err
	}
	defer fleet.kind.close()
	if o := fleet.kind.open(ctx); o.Failed > 0 {
		return r, fmt.Errorf("%d of %d publishers failed: %s", o.Failed, load.Connections, o.FirstError)
	}
	published := f.sender.published
	if r.Complete, err = pool.Await(ctx, published, max(load.Settle, 10*time.Second)); err != nil {
		return r, err
	}
	r.Published, r.Took = f.sender.sent, time.Since(f.began)
	after, err := f.sender.cpu()
	if err != nil {
		return r, err
	}
	r.ServerCPU = after - f.before
	r.Received, err = pool.Report(ctx, published)
	return r, err
}

// opened is called for each connection that is open. The first requests leave when all are.
func (f *flood) opened(k *epollKind, c *leanConn, i int) (err error) {
	c.state = leanRequest
	if f.connected == len(k.conns) { // it is another in its place
		return f.send(c, i)
	}
	if f.connected++; f.connected < len(k.conns) {
		return nil
	}
	if f.before, err = f.sender.cpu(); err != nil {
		return err
	}
	f.began = time.Now()
	for i := range k.conns {
		if err := f.send(&k.conns[i], i); err != nil {
			k.fail(&k.conns[i], i, err)
		}
	}
	return nil
}

func (f *flood) send(c *leanConn, i int) error {
	s := &f.sender
	stream := f.streams[i]
	s.published[stream]++
	s.sent++
	f.out = AppendMessage(append(f.out[:0], f.heads[stream]...), Stamp{s.run, uint32(stream), s.published[stream], Now()}, f.load.Size)
	return c.send(f.out)
}

// answered handles the response, which must be a 200, and sends the next request.
func (f *flood) answered(k *epollKind, c *leanConn, i int, b []byte) (n int, err error) {
	a, n, err := parseAnswer(b, k.last)
	switch {
	case n == 0 || err != nil:
		return 0, err
	case a.status != 200:
		return 0, fmt.Errorf("publication in stream %d: status %d: %.200s", f.streams[i], a.status, a.body)
	case f.load.Messages > 0 && f.sender.sent >= uint64(f.load.Messages) || time.Since(f.began) > f.load.Length:
		c.state = leanStream
		k.subscribed(c) // it is done
		return n, nil
	}
	if f.streams[i] += len(k.conns); f.streams[i] >= f.load.Streams {
		f.streams[i] = i
	}
	if a.close {
		return n, k.again(c, i)
	}
	return n, f.send(c, i)
}
