package endtoend_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"syscall"

	"github.com/lxzan/gws"
	"golang.org/x/sys/unix"
)

// kind is how a listener subscribes.
type kind int

const (
	socketRaw kind = iota
	socketJSON
	stream
	polling
	kinds
)

func (k kind) String() string {
	return [...]string{"raw WebSocket", "JSON WebSocket", "SSE", "poll"}[k]
}

// listener is one of many subscribers. It keeps the first bytes of all that it
// receives, in order, until it has received last on each of its channels, or
// limit messages, or the server ends it.
type listener struct {
	// Fixed.
	kind     kind
	channels []string
	from     string          // "cursor=earliest", "last=3"; "" for now
	limit    int             // 0: none
	gate     <-chan struct{} // reads nothing before it is closed; nil: reads at once

	// Written by its goroutine, read after ended.
	got   []string
	lasts int
	code  uint16 // of the server's close frame
	done  bool   // it has what it wanted, and hung up
	err   error  // how it ended if not by hanging up; io.EOF where the server ended a stream well

	ended chan struct{}
}

const (
	last    = "the last"
	idBytes = 8 // of a message are kept
)

func (l *listener) String() string {
	return fmt.Sprintf("%s on %v from %q", l.kind, l.channels, l.from)
}

// take keeps a message and reports whether it was the last one wanted.
func (l *listener) take(data string) bool {
	l.got = append(l.got, strings.Clone(data[:min(idBytes, len(data))]))
	if data == last {
		l.lasts++
	}
	l.done = l.lasts == len(l.channels) || len(l.got) == l.limit
	return l.done
}

// takeObject is take for the JSON formats.
func (l *listener) takeObject(b []byte) bool {
	var o struct {
		Data *string
		Gap  []gap
	}
	if err := json.Unmarshal(b, &o); err != nil || o.Data == nil {
		l.err = fmt.Errorf("%s: got %.200q", l, b)
		return true
	}
	return l.take(*o.Data)
}

func (l *listener) query() string {
	q := url.Values{"channel": l.channels}.Encode() + "&" + l.from
	if l.kind == socketJSON {
		q += "&format=json"
	}
	return q
}

// crowd opens listeners and waits for them at the end.
type crowd struct {
	p         *peal
	ctx       context.Context
	transport *http.Transport // shared by streams and polls
	slow      *http.Transport // of those with a gate
	wait      sync.WaitGroup
}

func newCrowd(ctx context.Context, p *peal) *crowd {
	c := &crowd{p: p, ctx: ctx}
	c.transport = &http.Transport{DialContext: (&net.Dialer{Timeout: patience}).DialContext, MaxIdleConnsPerHost: 4096, TLSClientConfig: p.trust}
	c.slow = &http.Transport{DialContext: stallable.DialContext, TLSClientConfig: p.trust}
	p.t.Cleanup(func() {
		c.wait.Wait()
		c.transport.CloseIdleConnections()
		c.slow.CloseIdleConnections()
	})
	return c
}

// stallable connects with buffers so small that who does not read is soon
// noticed: otherwise the kernel takes megabytes on loopback.
var stallable = &net.Dialer{
	Timeout: patience,
	Control: func(_, _ string, c syscall.RawConn) (err error) {
		if e := c.Control(func(fd uintptr) {
			err = errors.Join(
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4096),
				unix.SetsockoptInt(int(fd), unix.SOL_TCP, unix.TCP_MAXSEG, 536))
		}); e != nil {
			return e
		}
		return err
	},
}

// open subscribes l; when it returns nil, l is subscribed (a poll: soon will
// be) and its goroutine runs until l.ended is closed.
func (c *crowd) open(l *listener) error {
	l.ended = make(chan struct{})
	switch l.kind {
	case socketRaw, socketJSON:
		return c.openSocket(l)
	case stream:
		return c.openStream(l)
	default:
		c.wait.Go(func() {
			defer close(l.ended)
			c.poll(l)
		})
		return nil
	}
}

// crowdHandler hands what gws receives to a listener.
type crowdHandler struct {
	gws.BuiltinEventHandler
	l *listener
}

func (h crowdHandler) OnOpen(*gws.Conn) {
	if h.l.gate != nil {
		<-h.l.gate
	}
}
func (h crowdHandler) OnPing(c *gws.Conn, payload []byte) { _ = c.WritePong(payload) } // ReadLoop sees what is wrong
func (h crowdHandler) OnClose(_ *gws.Conn, err error) {
	var closed *gws.CloseError
	if errors.As(err, &closed) {
		h.l.code = closed.Code
	}
	if !h.l.done && h.l.err == nil {
		h.l.err = err
	}
}
func (h crowdHandler) OnMessage(c *gws.Conn, m *gws.Message) {
	defer m.Close()
	if h.l.done {
		return
	}
	take := func(b []byte) bool { return h.l.take(string(b)) }
	if h.l.kind == socketJSON {
		take = h.l.takeObject
	}
	if take(m.Bytes()) {
		_ = c.NetConn().Close() // ends ReadLoop
	}
}

func (c *crowd) openSocket(l *listener) error {
	dialer := &net.Dialer{Timeout: patience}
	if l.gate != nil {
		dialer = stallable
	}
	conn, _, err := gws.NewClient(crowdHandler{l: l}, &gws.ClientOption{
		Addr: c.p.ws() + "/ws?" + l.query(), TlsConfig: c.p.trust.Clone(), HandshakeTimeout: patience, Logger: quiet{}, ReadBufferSize: 512,
		NewDialer: func() (gws.Dialer, error) { return dialer, nil },
	})
	if err != nil {
		return fmt.Errorf("%s: %w", l, err)
	}
	stop := context.AfterFunc(c.ctx, func() { _ = conn.NetConn().Close() })
	c.wait.Go(func() {
		defer close(l.ended)
		defer stop()
		conn.ReadLoop()
	})
	return nil
}

func (c *crowd) openStream(l *listener) error {
	r, err := http.NewRequestWithContext(c.ctx, "GET", c.p.url+"/sse?"+l.query(), nil)
	if err != nil {
		return err
	}
	transport := c.transport
	if l.gate != nil {
		transport = c.slow
	}
	response, err := transport.RoundTrip(r)
	if err != nil {
		return fmt.Errorf("%s: %w", l, err)
	}
	if response.StatusCode != 200 {
		response.Body.Close()
		return fmt.Errorf("%s: %s", l, response.Status)
	}
	c.wait.Go(func() {
		defer close(l.ended)
		defer response.Body.Close()
		if l.gate != nil {
			<-l.gate
		}
		s := newEventStream(c.p.t, response.Body)
		for {
			e, err := s.tryNext()
			switch {
			case err != nil:
				l.err = err
				return
			case e.name != "message":
				l.err = fmt.Errorf("%s: event %+v", l, e)
				return
			case l.take(e.data):
				return
			}
		}
	})
	return nil
}

func (c *crowd) poll(l *listener) {
	from := l.from
	for {
		a, status, err := c.pollOnce("/poll?" + url.Values{"channel": l.channels}.Encode() + "&" + from)
		switch {
		case err != nil:
			l.err = err
			return
		case status == 503:
			l.err = io.EOF // draining
			return
		case status != 200 || len(a.Gap) > 0:
			l.err = fmt.Errorf("%s: status %d, gap %v", l, status, a.Gap)
			return
		}
		for _, m := range a.Messages {
			if l.take(m.text()) {
				return
			}
		}
		from = "cursor=" + a.Cursor
	}
}

func (c *crowd) pollOnce(path string) (a polled, status int, err error) {
	r, err := http.NewRequestWithContext(c.ctx, "GET", c.p.url+path, nil)
	if err != nil {
		return a, 0, err
	}
	response, err := c.transport.RoundTrip(r)
	if err != nil {
		return a, 0, err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		return a, 0, fmt.Errorf("an answer was cut off: %w", err)
	}
	if response.StatusCode != 200 {
		return a, response.StatusCode, nil
	}
	return a, 200, json.Unmarshal(b, &a)
}

// openAll opens many at a time.
func (c *crowd) openAll(list []*listener) {
	c.p.t.Helper()
	var next int
	var mu sync.Mutex
	var first error
	var workers sync.WaitGroup
	for range 32 {
		workers.Go(func() {
			for {
				mu.Lock()
				if next == len(list) || first != nil {
					mu.Unlock()
					return
				}
				l := list[next]
				next++
				mu.Unlock()
				if err := c.open(l); err != nil {
					mu.Lock()
					first = err
					mu.Unlock()
				}
			}
		})
	}
	workers.Wait()
	if first != nil {
		c.p.t.Fatal(first)
	}
}
