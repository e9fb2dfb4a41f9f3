package loadtest

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/lxzan/gws"
	"golang.org/x/sys/unix"
)

// gwsKind plays the subscribers with lxzan/gws: a WebSocket client written by
// others, which judges the server's frames and handshake independently.
type gwsKind struct {
	spec *Spec
	sink *sink
	wait sync.WaitGroup // the read loops; each ends when its connection does

	mu    sync.Mutex
	conns []*gws.Conn
}

func newGWSKind(spec *Spec, sink *sink) (*gwsKind, error) {
	if spec.Transport != WebSocket || spec.Stalled > 0 || len(spec.Requests) > 0 || spec.Resume || spec.Peer != "" || spec.OpenRate > 0 || spec.Protocol != "" || spec.Header != "" {
		return nil, errors.New("gws subscribers speak plain WebSocket, of no other server's dialect, and cannot stall, resume, open at a rate or send requests or header lines first: use the epoll kind")
	}
	return &gwsKind{spec: spec, sink: sink}, nil
}

func (k *gwsKind) open(ctx context.Context) (o Opened) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, k.spec.Timeout)
	defer cancel()
	type result struct {
		took time.Duration
		err  error
	}
	numbers, results := make(chan int), make(chan result)
	go func() {
		defer close(numbers)
		for i := range k.spec.Connections {
			select {
			case numbers <- i:
			case <-ctx.Done():
				return
			}
		}
	}()
	var dialers sync.WaitGroup
	for range min(k.spec.Window, 64) {
		dialers.Go(func() {
			for i := range numbers {
				began := time.Now()
				err := k.dial(ctx, i)
				results <- result{time.Since(began), err}
			}
		})
	}
	go func() { dialers.Wait(); close(results) }()
	o.Handshake = NewLatency()
	for r := range results {
		if r.err == nil {
			o.Connections++
			o.Handshake.Record(int64(r.took))
		} else if o.FirstError == "" {
			o.FirstError = r.err.Error()
		}
	}
	o.Failed = k.spec.Connections - o.Connections
	if o.Failed > 0 && o.FirstError == "" {
		o.FirstError = "opening took longer than " + k.spec.Timeout.String()
	}
	o.Took = time.Since(began)
	return o
}

func (k *gwsKind) dial(ctx context.Context, i int) error {
	conn, _, err := gws.NewClient(gwsHandler{}, &gws.ClientOption{
		Addr:             "ws://" + k.spec.Addr + k.spec.requestPath(i, true),
		ReadBufferSize:   512,
		HandshakeTimeout: k.spec.Timeout,
		NewDialer: func() (gws.Dialer, error) {
			return dialFunc(func(network, addr string) (net.Conn, error) {
				return dialFrom(ctx, k.spec.Source, addr)
			}), nil
		},
		NewSession: func() gws.SessionStorage {
			return &gwsSession{sink: k.sink, sub: &k.sink.subscribers[i]}
		},
	})
	if err != nil {
		return err
	}
	k.mu.Lock()
	k.conns = append(k.conns, conn)
	k.mu.Unlock()
	k.sink.mu.Lock()
	k.sink.open++
	k.sink.mu.Unlock()
	k.wait.Go(conn.ReadLoop)
	return nil
}

func (*gwsKind) drop(time.Duration) error {
	return errors.New("gws subscribers keep no cursor: use the epoll kind")
}

func (k *gwsKind) close() {
	k.mu.Lock()
	for _, c := range k.conns {
		_ = c.NetConn().Close() // the read loop ends with the error
	}
	k.mu.Unlock()
	k.wait.Wait()
}

// gwsSession leads from a connection to its subscriber. As a gws.SessionStorage
// it stores nothing.
type gwsSession struct {
	sink *sink
	sub  *subscriber
}

func (*gwsSession) Len() int                     { return 0 }
func (*gwsSession) Load(string) (any, bool)      { return nil, false }
func (*gwsSession) Delete(string)                {}
func (*gwsSession) Store(string, any)            {}
func (*gwsSession) Range(func(string, any) bool) {}

// gwsHandler is shared by all connections.
type gwsHandler struct{}

func (gwsHandler) OnOpen(*gws.Conn) {}
func (gwsHandler) OnClose(c *gws.Conn, _ error) {
	s := c.Session().(*gwsSession)
	s.sink.mu.Lock()
	s.sink.closed++
	s.sink.open--
	s.sink.mu.Unlock()
}
func (gwsHandler) OnPing(c *gws.Conn, payload []byte) {
	_ = c.WritePong(payload) // a failed write ends the read loop, which counts it
}
func (gwsHandler) OnPong(*gws.Conn, []byte) {}
func (gwsHandler) OnMessage(c *gws.Conn, m *gws.Message) {
	s := c.Session().(*gwsSession)
	now := Now()
	s.sink.mu.Lock()
	s.sink.takeLocked(s.sub, m.Bytes(), now)
	s.sink.mu.Unlock()
	_ = m.Close() // returns the buffer to gws' pool
}

type dialFunc func(network, addr string) (net.Conn, error)

func (f dialFunc) Dial(network, addr string) (net.Conn, error) { return f(network, addr) }

// dialFrom connects from the local address source ("" for any) without
// reserving a port before the remote end is known, so that one address has all
// its ports for each server (IP_BIND_ADDRESS_NO_PORT).
func dialFrom(ctx context.Context, source, addr string) (net.Conn, error) {
	d := net.Dialer{}
	if source != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(source)}
		d.Control = func(_, _ string, c syscall.RawConn) (err error) {
			if e := c.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
			}); e != nil {
				return e
			}
			return err
		}
	}
	return d.DialContext(ctx, "tcp4", addr)
}
