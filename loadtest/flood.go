package loadtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// FloodLoad publishes over HTTP keep-alive as fast as the server answers: each
// connection sends its next message when its last one was answered, and goes
// round its own share of the streams.
type FloodLoad struct {
	Addr        string
	Path        func(stream int) string // see PublishPath
	Connections int                     // default 64
	Streams     int
	Size        int
	Length      time.Duration
	Messages    int           // ends it before Length, after so many, at least one of each connection; 0: Length alone decides
	Server      int           // pid whose CPU time is taken; 0: none
	Settle      time.Duration // as in Load
}

// flood is one FloodLoad under way. It runs on raw epoll, like the lean
// subscribers and for the same reason: a client that takes more CPU than the
// server would leave it idle between two requests, and then measures its
// wake-ups.
type flood struct {
	load      FloodLoad
	run       uint16
	ep        int
	domain    int
	remote    unix.Sockaddr
	conns     []floodConn
	heads     [][]byte // of each stream's requests
	published []uint64 // per stream
	sent      int
	buffer    []byte
	out       []byte
}

type floodConn struct {
	fd     int
	stream int // of the request under way
	kept   []byte
}

// Flood runs one FloodLoad. Latency counts from each message's send.
func Flood(ctx context.Context, pool *Pool, load FloodLoad) (r Result, err error) {
	load.Connections = min(cmp.Or(load.Connections, 64), load.Streams)
	load.Size = max(load.Size, StampBytes)
	f := &flood{load: load, published: make([]uint64, load.Streams), buffer: make([]byte, 64<<10)}
	if f.run, err = pool.Begin(ctx, load.Size, false); err != nil {
		return r, err
	}
	defer f.close()
	if err := f.open(); err != nil {
		return r, err
	}
	s := sender{load: Load{Server: load.Server}}
	before, err := s.cpu()
	if err != nil {
		return r, err
	}
	began := time.Now()
	if err := f.publish(ctx); err != nil {
		return r, err
	}
	for _, n := range f.published {
		r.Published += n
	}
	if r.Complete, err = pool.Await(ctx, f.published, max(load.Settle, 10*time.Second)); err != nil {
		return r, err
	}
	r.Took = time.Since(began)
	after, err := s.cpu()
	if err != nil {
		return r, err
	}
	r.ServerCPU = after - before
	r.Received, err = pool.Report(ctx, f.published)
	return r, err
}

// open connects everything (a blocking connect: the server is accepting, or
// refuses at once) and writes the heads down.
func (f *flood) open() (err error) {
	if f.domain, f.remote, err = socketAddress(f.load.Addr); err != nil {
		return err
	}
	for stream := range f.load.Streams {
		whole := AppendRequest(nil, "POST", f.load.Path(stream), f.load.Addr, textHeader, make([]byte, f.load.Size))
		f.heads = append(f.heads, whole[:len(whole)-f.load.Size])
	}
	if f.ep, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	f.conns = make([]floodConn, f.load.Connections)
	for i := range f.conns {
		f.conns[i] = floodConn{fd: -1, stream: i}
	}
	for i := range f.conns {
		if err := f.connect(&f.conns[i], int32(i)); err != nil {
			return err
		}
	}
	return nil
}

// connect opens connection i, or opens it again.
func (f *flood) connect(c *floodConn, i int32) (err error) {
	if c.fd, err = unix.Socket(f.domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		c.fd = -1
		return fmt.Errorf("socket: %w", err)
	}
	if err := unix.Connect(c.fd, f.remote); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	_ = unix.SetsockoptInt(c.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) // best effort: only latency would suffer
	return errors.Join(unix.SetNonblock(c.fd, true),
		unix.EpollCtl(f.ep, unix.EPOLL_CTL_ADD, c.fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: i}))
}

func (f *flood) close() {
	for _, c := range f.conns {
		if c.fd >= 0 {
			unix.Close(c.fd)
		}
	}
	if f.ep > 0 {
		unix.Close(f.ep)
	}
}

// publish sends until the time is up, and then waits for the answers.
func (f *flood) publish(ctx context.Context) error {
	for i := range f.conns {
		if err := f.send(&f.conns[i]); err != nil {
			return err
		}
	}
	var (
		end    = time.Now().Add(f.load.Length)
		last   = time.Now() // answer
		asked  = len(f.conns)
		events = make([]unix.EpollEvent, len(f.conns))
	)
	for asked > 0 {
		n, err := unix.EpollWait(f.ep, events, 100)
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("epoll: %w", err)
		}
		now := time.Now()
		if n > 0 {
			last = now
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if now.Sub(last) > publishTimeout {
			return fmt.Errorf("%d publications without a response after %v", asked, publishTimeout)
		}
		for i := range max(n, 0) {
			c := &f.conns[events[i].Fd]
			answered, err := f.answer(c, int32(events[i].Fd))
			if err != nil {
				return fmt.Errorf("publication in stream %d: %w", c.stream, err)
			}
			if !answered {
				continue
			}
			if now.After(end) || f.load.Messages > 0 && f.sent >= f.load.Messages {
				asked--
				continue
			}
			if c.stream += len(f.conns); c.stream >= f.load.Streams {
				c.stream = int(events[i].Fd)
			}
			if err := f.send(c); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *flood) send(c *floodConn) error {
	f.published[c.stream]++
	f.sent++
	f.out = append(f.out[:0], f.heads[c.stream]...)
	f.out = AppendMessage(f.out, Stamp{f.run, uint32(c.stream), f.published[c.stream], Now()}, f.load.Size)
	if _, err := writeOnce(c.fd, f.out); err != nil {
		return fmt.Errorf("send request: %w", err)
	}
	return nil
}

// answer reads once and reports whether the whole answer, a 200, is there.
func (f *flood) answer(c *floodConn, i int32) (whole bool, err error) {
	kept := copy(f.buffer, c.kept)
	n, err := unix.Read(c.fd, f.buffer[kept:])
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read: %w", err)
	case n == 0 && kept == 0:
		return false, errEnded
	}
	b := f.buffer[:kept+n]
	a, used, err := parseAnswer(b, n == 0)
	switch {
	case err != nil:
		return false, err
	case used == 0 && len(b) == len(f.buffer):
		return false, errors.New("the response does not end")
	case used == 0:
		c.kept = append(c.kept[:0], b...)
		return false, nil
	case a.status != 200:
		return false, fmt.Errorf("status %d: %.200s", a.status, a.body)
	case used < len(b):
		return false, errors.New("more than one response to one request")
	}
	c.kept = c.kept[:0]
	if a.close {
		unix.Close(c.fd)
		c.fd = -1
		return true, f.connect(c, i)
	}
	return true, nil
}
