package loadtest

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/klauspost/compress/flate"
	"github.com/lxzan/gws"
	"golang.org/x/sys/unix"
)

// gwsKind plays the subscribers with lxzan/gws: a WebSocket client written by
// others, which judges the server's frames and handshake independently.
//
// Dialers connect and let gws shake hands. Then each connection's read loop, gws'
// own, is a coroutine of the kind's one loop: see gwsSocket.
type gwsKind struct {
	spec    *Spec
	sink    *sink
	sockets []gwsSocket // by number of the connection; fields of the open ones under sink.mu

	config *tls.Config // nil: none

	ep, wake int
	beat     *heartbeat
	ended    chan struct{} // closed by loop

	// Of connections that come back: each waits and dials on a goroutine of its own.
	ctx     context.Context
	cancel  context.CancelFunc
	closing bool // under sink.mu: none comes back any more
	back    sync.WaitGroup
	dialing chan struct{} // capacity: how many dial at once

	// The newest ping of the connection that was resumed: see answer. Under sink.mu.
	pinged *gws.Conn
	ping   []byte
}

func newGWSKind(spec *Spec, sink *sink) (*gwsKind, error) {
	if spec.Transport != WebSocket || spec.Stalled > 0 || len(spec.Requests) > 0 || spec.Resume && spec.Backoff == nil || spec.Dialect != nil || spec.Data.Given() || spec.OpenRate > 0 || spec.Protocol != "" || spec.Header != "" {
		return nil, errors.New("gws subscribers speak plain WebSocket only; they cannot stall, resume, open at a rate, or send requests or header lines: use the epoll kind")
	}
	dialers := min(spec.Window, 64)
	k := &gwsKind{spec: spec, sink: sink, sockets: make([]gwsSocket, spec.Connections), ended: make(chan struct{}), dialing: make(chan struct{}, dialers)}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	var err error
	if spec.TLS != nil {
		if k.config, err = spec.TLS.config(&spec.Endpoint); err != nil {
			return nil, err
		}
		k.config.ClientSessionCache = nil // always a full handshake
	}
	if k.ep, k.wake, err = newPoller(); err != nil {
		return nil, err
	}
	if k.beat, err = newHeartbeat(k.ep); err != nil {
		return nil, errors.Join(err, unix.Close(k.wake), unix.Close(k.ep))
	}
	go k.loop()
	return k, nil
}

func (k *gwsKind) open(ctx context.Context) (o Opened) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, k.spec.Timeout)
	defer cancel()
	type result struct {
		took     time.Duration
		deflated bool
		err      error
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
	for range cap(k.dialing) {
		dialers.Go(func() {
			for i := range numbers {
				began := time.Now()
				deflated, err := k.dialOften(ctx, i)
				results <- result{time.Since(began), deflated, err}
			}
		})
	}
	go func() { dialers.Wait(); close(results) }()
	o.Handshake = NewLatency()
	for r := range results {
		if r.err == nil {
			o.Connections++
			o.Handshake.Record(int64(r.took))
			if r.deflated {
				o.Deflated++
			}
			continue
		}
		o.Failed++
		o.FirstError = cmp.Or(o.FirstError, r.err.Error())
		k.sink.ended(endOf(r.err))
	}
	if late := k.spec.Connections - o.Connections - o.Failed; late > 0 {
		reason := "opening took longer than " + k.spec.Timeout.String()
		o.FirstError, o.Failed = cmp.Or(o.FirstError, reason), o.Failed+late
		k.sink.ended(End{SideUs, reason, late})
	}
	o.Took = time.Since(began)
	return o
}

// dialOften dials until connection i is open. With a Backoff it tries until ctx ends, or
// the server tells it to stay away. deflated says that messages may be compressed.
func (k *gwsKind) dialOften(ctx context.Context, i int) (deflated bool, err error) {
	for attempt := uint8(0); ; attempt = min(attempt, 200) + 1 {
		if deflated, err = k.dial(ctx, i); err == nil || k.spec.Backoff == nil || final(err) {
			return deflated, err
		}
		select {
		case <-time.After(k.spec.Backoff.delay(attempt, 0)):
			k.sink.ended(endOf(err))
		case <-ctx.Done():
			return false, err
		}
	}
}

// comeBack opens connection i again, after the delay that the server wants; 0: the
// Backoff's. The sink's lock is held.
func (k *gwsKind) comeBack(i int, wanted time.Duration) {
	if k.closing {
		return
	}
	delay := k.spec.Backoff.delay(0, wanted)
	k.back.Go(func() {
		select {
		case <-time.After(delay):
		case <-k.ctx.Done():
			return
		}
		if _, err := k.dialOften(k.ctx, i); err != nil && k.ctx.Err() == nil {
			k.sink.ended(endOf(err))
		}
	})
}

func (k *gwsKind) dial(ctx context.Context, i int) (deflated bool, err error) {
	select {
	case k.dialing <- struct{}{}:
		defer func() { <-k.dialing }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, k.spec.Timeout)
	defer cancel()
	tcp, err := k.spec.connect(ctx, Dialer(k.spec.Source, 0))
	if err != nil {
		return false, err
	}
	s := &k.sockets[i]
	s.Conn, s.kind, s.sub, s.number = tcp, k, &k.sink.subscribers[i], i
	conn, final := net.Conn(s), &finalConn{Conn: tcp}
	if k.config == nil {
		s.Conn = final
	} else {
		secured, err := secure(ctx, s, k.config)
		if err != nil {
			return false, err
		}
		final.Conn = secured
		conn = final
	}
	ws, response, err := gws.NewClientFromConn(gwsHandler{}, &gws.ClientOption{
		Addr:              "ws://" + k.spec.Host + k.spec.requestPath(i, true),
		ReadBufferSize:    512,
		HandshakeTimeout:  k.spec.Timeout,
		NewSession:        func() gws.SessionStorage { return noSession{} },
		PermessageDeflate: gws.PermessageDeflate{Enabled: k.spec.Deflate, ServerContextTakeover: true, Level: flate.HuffmanOnly},
	}, conn)
	if err != nil { // gws has closed it
		err = final.refused(err)
		status, _ := strconv.Atoi(final.status) // "": none came
		return false, k.spec.Backoff.judge(status, err)
	}
	k.sink.mu.Lock()
	defer k.sink.mu.Unlock()
	if err := s.adopt(tcp, k.ep, i); err != nil {
		return false, err
	}
	k.sink.open++
	k.sink.backLocked(s.sub, Now(), k.spec.Backoff != nil)
	s.start(ws)
	return k.spec.Deflate && response.Header.Get("Sec-WebSocket-Extensions") != "", nil
}

// loop resumes the read loop of each connection that has something to read. It
// ends when close wakes it up.
func (k *gwsKind) loop() {
	defer close(k.ended)
	events := make([]unix.EpollEvent, 256)
	for stopping := false; !stopping; {
		n, err := unix.EpollWait(k.ep, events, -1)
		if err != nil && err != unix.EINTR {
			panic("loadtest: epoll_wait: " + err.Error()) // our own broken descriptor
		}
		k.sink.mu.Lock()
		for _, e := range events[:max(n, 0)] {
			switch e.Fd {
			case wakeIndex:
				stopping = true
				continue
			case beatIndex:
				k.beat.beat(k.sink)
				continue
			}
			k.sockets[e.Fd].resume()
		}
		k.sink.mu.Unlock()
	}
	k.sink.mu.Lock()
	for i := range k.sockets {
		k.sockets[i].end()
	}
	k.sink.mu.Unlock()
	k.beat.close()
	unix.Close(k.wake)
	unix.Close(k.ep)
}

func (*gwsKind) drop(time.Duration) error {
	return errors.New("gws subscribers keep no cursor: use the epoll kind")
}

func (k *gwsKind) close() {
	k.sink.mu.Lock()
	k.closing = true
	k.sink.mu.Unlock()
	k.cancel()
	k.back.Wait()
	wakeUp(k.wake)
	<-k.ended
}

// answer sends the pong that the connection just resumed owes, for the newest of
// its pings (RFC 6455 §5.5.3). Not in OnPing: gws' writing goes deeper than the
// read loop's 2 KiB of stack, and a stack that has grown stays.
func (k *gwsKind) answer() {
	if k.pinged == nil {
		return
	}
	_ = k.pinged.WritePong(k.ping) // a failed write ends the connection; the read loop counts it
	k.pinged, k.ping = nil, nil
}

// noSession is the session of all connections: gws wants one.
type noSession struct{}

func (noSession) Len() int                     { return 0 }
func (noSession) Load(string) (any, bool)      { return nil, false }
func (noSession) Delete(string)                {}
func (noSession) Store(string, any)            {}
func (noSession) Range(func(string, any) bool) {}

// gwsHandler is shared by all connections. gws calls it in their read loops,
// so under sink.mu.
type gwsHandler struct{}

func (gwsHandler) OnOpen(*gws.Conn) {}
func (gwsHandler) OnClose(c *gws.Conn, err error) {
	s := socketOf(c)
	sink, backoff := s.kind.sink, s.kind.spec.Backoff
	var closed *gws.CloseError
	switch {
	case errors.As(err, &closed):
		var payload []byte
		if closed.Code != 0 {
			payload = append(binary.BigEndian.AppendUint16(nil, closed.Code), closed.Reason...)
		}
		err = backoff.judge(int(closed.Code), sink.closeFrameLocked(payload, false))
		s.wanted = closeRetry(closed.Reason)
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("%w in the middle of a message", errEnded)
	case err == nil || err.Error() == "" || errors.Is(err, io.EOF):
		err = errEnded
	default:
		var network net.Error
		if !errors.As(err, &network) && !errors.Is(err, net.ErrClosed) { // it is about what was read
			err = unreadable("%w", err)
			sink.unreadLocked(s.sub, err)
		}
	}
	sink.ends = AddEnd(sink.ends, endOf(err))
	sink.closed++
	sink.open--
	if s.returns = backoff != nil && !final(err); s.returns {
		sink.droppedLocked(s.sub, Now())
	}
}
func (gwsHandler) OnPing(c *gws.Conn, payload []byte) {
	k := socketOf(c).kind
	k.pinged, k.ping = c, payload // gws made it for this call
}
func (gwsHandler) OnPong(*gws.Conn, []byte) {}
func (gwsHandler) OnMessage(c *gws.Conn, m *gws.Message) {
	s := socketOf(c)
	if sink := s.kind.sink; sink.typedLocked(byte(m.Opcode)) {
		sink.takeLocked(s.sub, m.Bytes(), Now(), frameForm(byte(m.Opcode)))
	}
	_ = m.Close() // returns the buffer to gws' pool
}
