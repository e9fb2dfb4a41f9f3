package loadtest

import (
	"fmt"
	"net/url"
	"strings"

	"golang.org/x/sys/unix"
)

// leanConn is one connection of the epoll kind.
//
//	leanConnect ──▶ leanRequest (once per Spec.Requests) ──▶ leanSubscribe ──▶ leanStream
//	                                                            (a dialect: leanConfirm before it)
//	     └──────────────────┴─────────────── any error ────────────┴──────▶ leanClosed
//
// A poll goes to leanStream as soon as its request is sent: a held poll says
// nothing.
type leanConn struct {
	fd      int   // 0: closed, or being dialed
	wire    *wire // of one with TLS or compression; nil: plain
	sub     *subscriber
	partial []byte // unread bytes of an incomplete answer, frame or line
	state   leanState
	step    uint8 // preliminary requests answered; then, steps of a dialect taken
	tried   uint8 // addresses that refused
	dials   uint8 // of a secured one; counts round

	attempts uint8 // to come back, in vain
	stalled  bool
	known    bool // to the server: it was subscribed before

	served     bool // of one that is kept for further requests: a response has come, it may end without a word
	continuing bool // it takes the place of one that was subscribed
	fragmented bool // a WebSocket message is
	begun      bool // an event stream has: a byte order mark may stand before
	chunked    bool // the response of an event stream is
	sized      bool // it has a length
	deflated   bool // WebSocket messages may be compressed
	squeezed   bool // the current one is
	opcode     byte // of its first frame

	began     int64  // Now() of the connect, or when OpenRate meant it
	asked     int64  // with a dialect: Now() when its steps began
	cursor    []byte // with Resume: where to come back to
	fragments []byte // of a WebSocket message

	// Of an event stream.
	left int    // bytes of the response or chunk that did not come yet: see nextChunk
	text []byte // an incomplete event of a chunked one
}

type leanState uint8

const (
	leanConnect leanState = iota
	leanRequest
	leanSubscribe
	leanConfirm // steps of a dialect are left
	leanStream
	leanClosed
)

// leanKey is every connection's Sec-WebSocket-Key, and leanAccept its answer:
// the example of RFC 6455 §1.3. No proxy stands between that could be confused.
const (
	leanKey    = "dGhlIHNhbXBsZSBub25jZQ=="
	leanAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// event handles an event of connection i. The sink's lock is held.
func (k *epollKind) event(c *leanConn, i int) {
	var err error
	switch {
	case c.state == leanClosed || c.fd == 0:
		return
	case c.state == leanConnect:
		err = k.connected(c, i)
	default:
		err = k.readable(c, i)
	}
	if err != nil {
		k.fail(c, i, err)
	}
}

func (k *epollKind) connected(c *leanConn, i int) error {
	code, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if code != 0 && k.another(c) {
		return k.connect(i)
	}
	if code != 0 {
		return fmt.Errorf("connect: %w", unix.Errno(code))
	}
	err = unix.EpollCtl(k.ep, unix.EPOLL_CTL_MOD, c.fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)})
	if err != nil {
		return err
	}
	if k.spec.flood != nil {
		return k.spec.flood.opened(k, c, i)
	}
	return k.request(c, i)
}

// request sends the next preliminary request, or the one that subscribes.
func (k *epollKind) request(c *leanConn, i int) error {
	if int(c.step) < len(k.requests) {
		c.state = leanRequest
		return c.send(k.requests[c.step])
	}
	path := k.spec.requestPath(i, len(c.cursor) == 0)
	if len(c.cursor) > 0 && k.spec.Transport != SSE {
		path = withParameter(path, "cursor="+url.QueryEscape(string(c.cursor)))
	}
	header := k.spec.expand(i, k.spec.Header)
	if k.peer != nil {
		v := k.values(c, i)
		path, header = k.peer.Path.Text(v), k.peer.Header.Text(v)
	}
	c.state = leanSubscribe
	switch k.spec.Transport {
	case WebSocket:
		if k.spec.Protocol != "" {
			header += "Sec-WebSocket-Protocol: " + k.spec.Protocol + "\r\n"
		}
		return c.send(appendUpgrade(nil, path, k.spec.Host, header+k.offer()))
	case SSE:
		if len(c.cursor) > 0 {
			header += "Last-Event-ID: " + string(c.cursor) + "\r\n"
		}
		return c.send(appendGet(nil, path, k.spec.Host, "Accept: text/event-stream\r\n"+header))
	case Poll:
		if err := c.send(appendGet(nil, path, k.spec.Host, header)); err != nil {
			return err
		}
		c.state = leanStream
		k.subscribed(c)
		return nil
	}
	return fmt.Errorf("unknown transport %q", k.spec.Transport)
}

// readable reads once (epoll is level-triggered: the rest reports again) and
// handles every whole thing that is there.
func (k *epollKind) readable(c *leanConn, i int) error {
	kept := copy(k.buffer, c.partial)
	n, ended := k.recv(c, k.buffer[kept:kept+readBytes])
	if n == 0 && ended == nil {
		return nil
	}
	now := Now()
	b := k.buffer[:kept+n]
	for len(b) > 0 && n > 0 {
		used, err := k.input(c, i, b, now)
		if err != nil {
			return err
		}
		if c.state == leanConnect { // it goes on over another connection
			return nil
		}
		if used == 0 || c.stalled && c.state == leanStream {
			break
		}
		b = b[used:]
	}
	if ended != nil {
		return k.hungUp(c, i, b, ended)
	}
	if len(b) > partialLimit {
		return unreadable("a response or message of more than %d bytes", partialLimit)
	}
	if len(b) == 0 {
		c.partial = nil
	} else {
		c.partial = append(c.partial[:0], b...)
	}
	return nil
}

// input handles one whole thing at the start of b and returns its length, 0 if
// it is not whole yet.
func (k *epollKind) input(c *leanConn, i int, b []byte, now int64) (int, error) {
	switch {
	case k.spec.flood != nil:
		return k.spec.flood.answered(k, c, i, b)
	case c.state == leanRequest:
		a, n, err := parseAnswer(b, k.last)
		if n == 0 || err != nil {
			return 0, err
		}
		if c.outOfTime(a) {
			return n, k.again(c, i)
		}
		if a.status >= 500 {
			return 0, byServer("preliminary request: status %d", a.status)
		}
		c.step++
		if a.close {
			return n, k.again(c, i)
		}
		c.served = true
		return n, k.request(c, i)
	case c.state == leanSubscribe:
		return k.subscribeAnswer(c, i, b)
	case k.spec.Transport == WebSocket:
		return k.frame(c, i, b, now)
	case k.spec.Transport == SSE:
		return k.stream(c, i, b, now)
	}
	return k.pollAnswer(c, i, b, now)
}

// subscribeAnswer reads the head of a 101, or of an event stream.
func (k *epollKind) subscribeAnswer(c *leanConn, i int, b []byte) (int, error) {
	head, end, err := finalHead(b)
	if end == 0 || err != nil {
		return 0, err
	}
	if k.spec.Transport == SSE {
		err = c.streams(&head)
	} else if err = head.upgraded(k.spec.Protocol, k.spec.Header+k.offer()); err == nil {
		err = k.extended(c, string(head.extensions))
	}
	if err != nil {
		return 0, k.spec.Backoff.judge(head.status, err)
	}
	if k.peer != nil {
		c.step = 0 // of its own
		return end, k.approach(c, i)
	}
	c.state = leanStream
	k.subscribed(c)
	return end, nil
}

// frame handles one WebSocket frame.
func (k *epollKind) frame(c *leanConn, i int, b []byte, now int64) (int, error) {
	f, n, err := parseFrame(b, c.deflated)
	if n == 0 || err != nil {
		return 0, err
	}
	switch f.opcode {
	case 0, 1, 2:
		message, whole, err := c.message(&f)
		if whole && err == nil && c.squeezed {
			message, err = k.inflate(c, message)
		}
		if !whole || err != nil {
			return n, err
		}
		if k.peer != nil {
			return n, k.takePeer(c, i, message, now, frameForm(c.opcode))
		}
		if k.sink.typedLocked(c.opcode) {
			k.take(c, message, now, frameForm(c.opcode))
		}
	case 8:
		_ = c.send(appendMasked(nil, 8, f.payload[:min(2, len(f.payload))])) // the server may be gone
		err, code := k.sink.closeFrameLocked(f.payload, len(b) > n), 0
		if len(f.payload) >= 2 {
			code = int(f.payload[0])<<8 | int(f.payload[1])
			c.comeBackIn(k.spec.Backoff, closeRetry(f.payload[2:]))
		}
		return 0, k.spec.Backoff.judge(code, err)
	case 9:
		return n, c.send(appendMasked(nil, 10, f.payload))
	case 10:
	default:
		return 0, unreadable("a frame of opcode %d (RFC 6455 §5.2)", f.opcode)
	}
	return n, nil
}

// pollAnswer handles one answer to a poll and polls again from its cursor.
func (k *epollKind) pollAnswer(c *leanConn, i int, b []byte, now int64) (int, error) {
	a, n, err := parseAnswer(b, k.last)
	if n == 0 || err != nil {
		return 0, err
	}
	if c.outOfTime(a) {
		return n, k.again(c, i)
	}
	var cursor []byte
	if k.peer != nil {
		cursor, err = k.pollPeer(c, i, a, b, now)
	} else {
		cursor, err = k.pollMessages(c, a, now)
	}
	if err != nil {
		return 0, err
	}
	c.cursor = append(c.cursor[:0], cursor...) // where another connection goes on, if this one ends
	if a.close {
		return n, k.again(c, i)
	}
	c.served = true
	if k.peer != nil {
		v := k.values(c, i)
		k.scratch = appendGet(k.scratch[:0], k.peer.Path.Text(v), k.spec.Host, k.peer.Header.Text(v))
	} else {
		k.scratch = appendGet(k.scratch[:0], k.pollPath(i)+"cursor="+url.QueryEscape(string(cursor)), k.spec.Host, k.spec.expand(i, k.spec.Header))
	}
	k.sink.traffic.Written += uint64(len(k.scratch))
	if err := c.send(k.scratch); err != nil { // the server may have hung up
		return n, k.again(c, i)
	}
	return n, nil
}

// pollPath is connection i's path, ready for a further parameter. It is kept
// when it is the same for all.
func (k *epollKind) pollPath(i int) string {
	if k.samePath != "" {
		return k.samePath
	}
	path := withParameter(k.spec.requestPath(i, false), "")
	if k.spec.Stride == 0 && !k.spec.Data.Given() {
		k.samePath = path
	}
	return path
}

// withParameter adds a query parameter to a request path.
func withParameter(path, parameter string) string {
	if strings.Contains(path, "?") {
		return path + "&" + parameter
	}
	return path + "?" + parameter
}
