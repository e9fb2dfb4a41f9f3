package hostile

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"peal/loadtest"
)

// sourceOf is the local address of client i.
func (s *Spec) sourceOf(i int) (string, error) {
	if s.Source == "" {
		return "", nil
	}
	a, err := netip.ParseAddr(s.Source)
	if err != nil || !a.Is4() {
		return "", fmt.Errorf("source %q: must be an IPv4 address", s.Source)
	}
	for range i % max(s.Sources, 1) {
		a = a.Next()
	}
	return a.String(), nil
}

// wire is one connection. It is closed when the context of its dial ends.
type wire struct {
	net.Conn
	c    *client
	r    *bufio.Reader
	free func() bool

	draining sync.WaitGroup // of drain, which counts until the end
}

// dial connects. received > 0 is the receive buffer of a client that will not read.
func (c *client) dial(ctx context.Context, received int) (*wire, error) {
	conn, err := loadtest.Dialer(c.source, received).DialContext(ctx, "tcp4", c.Addr)
	if err != nil {
		return nil, err
	}
	count(&c.met.Connections, 1)
	w := &wire{Conn: conn, c: c}
	w.r = bufio.NewReader(counted{w})
	w.free = context.AfterFunc(ctx, func() { _ = conn.Close() }) // unblocks readers and writers
	return w, nil
}

// on dials, calls start, and then do again and again, with a rest after each,
// until ctx or the connection ends. start may be nil.
func (c *client) on(ctx context.Context, received int, rest time.Duration, start, do func(*wire) error) error {
	w, err := c.dial(ctx, received)
	if err != nil {
		return err
	}
	defer w.hangUp()
	if start != nil {
		err = start(w)
	}
	for err == nil && ctx.Err() == nil {
		err = do(w)
		pause(ctx, rest)
	}
	return err
}

// hangUp closes the connection, and waits until nothing counts for it any more.
func (w *wire) hangUp() {
	w.free()
	_ = w.Close() // the server may have been first
	w.draining.Wait()
}

// counted reads from a wire and counts.
type counted struct{ w *wire }

func (c counted) Read(p []byte) (int, error) {
	n, err := c.w.Conn.Read(p)
	count(&c.w.c.met.Received, n)
	return n, err
}

// send writes all of b.
func (w *wire) send(b []byte) error {
	n, err := w.Conn.Write(b)
	count(&w.c.met.Sent, n)
	return err
}

// drain reads and drops what comes, on a goroutine of its own, until the
// connection ends.
func (w *wire) drain() {
	w.draining.Go(func() { _, _ = io.Copy(io.Discard, w.r) })
}

// frames is a start for on: it opens a WebSocket that drops what comes.
func frames(path, protocol string) func(*wire) error {
	return func(w *wire) error {
		if err := w.upgrade(path, protocol); err != nil {
			return err
		}
		w.drain()
		return nil
	}
}

// sends is a do for on: it writes b, which is n requests or frames.
func sends(b []byte, n int) func(*wire) error {
	return func(w *wire) error {
		if err := w.send(b); err != nil {
			return err
		}
		count(&w.c.met.Requests, n)
		return nil
	}
}

// asks is a do for on: it sends a request, whose body is made anew each time, and
// reads the response.
func asks(method, path, header string, body func() []byte) func(*wire) error {
	return func(w *wire) error {
		var b []byte
		if body != nil {
			b = body()
		}
		return w.ask(method, path, header, b)
	}
}

// appendRequest appends a request; a body makes it a POST's.
func (c *client) appendRequest(dst []byte, method, path, header string, body []byte) []byte {
	dst = fmt.Appendf(dst, "%s %s HTTP/1.1\r\nHost: %s\r\n%s", method, path, c.Addr, header)
	if method != "GET" {
		dst = fmt.Appendf(dst, "Content-Length: %d\r\n", len(body))
	}
	dst = append(dst, "\r\n"...)
	return append(dst, body...)
}

// response reads a whole response and counts it.
func (w *wire) response() (status int, err error) {
	r, err := http.ReadResponse(w.r, nil)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, r.Body)
	_ = r.Body.Close() // it was read
	count(&w.c.met.Requests, 1)
	if r.StatusCode >= 400 {
		count(&w.c.met.Refused, 1)
	}
	return r.StatusCode, err
}

// ask sends a request and reads its response.
func (w *wire) ask(method, path, header string, body []byte) error {
	err := w.send(w.c.appendRequest(nil, method, path, header, body))
	if err == nil {
		_, err = w.response()
	}
	return err
}

// asJSON is the header of a JSON body.
const asJSON = "Content-Type: application/json\r\n"

// upgrade opens a WebSocket.
func (w *wire) upgrade(path, protocol string) error {
	header := ""
	if protocol != "" {
		header = "Sec-WebSocket-Protocol: " + protocol + "\r\n"
	}
	return w.upgradeWith(path, header)
}

// upgradeWith is upgrade with further header lines.
func (w *wire) upgradeWith(path, header string) error {
	header += "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	if err := w.send(w.c.appendRequest(nil, "GET", path, header, nil)); err != nil {
		return err
	}
	r, err := http.ReadResponse(w.r, nil)
	if err != nil {
		return err
	}
	if r.StatusCode != http.StatusSwitchingProtocols {
		count(&w.c.met.Refused, 1)
		return fmt.Errorf("upgrade: %s", r.Status)
	}
	return nil
}

// Opcodes of RFC 6455 §5.2.
const (
	opText   = 1
	opBinary = 2
	opClose  = 8
	opPing   = 9
)

// appendHead appends the head of a final client frame of n bytes. Its masking key
// is 0, so that the payload stays as it is and costs the sender nothing.
func appendHead(dst []byte, opcode byte, n int) []byte {
	dst = append(dst, 0x80|opcode)
	switch {
	case n < 126:
		dst = append(dst, 0x80|byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, 0x80|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 0x80|127), uint64(n))
	}
	return append(dst, 0, 0, 0, 0)
}

func appendFrame(dst []byte, opcode byte, payload string) []byte {
	return append(appendHead(dst, opcode, len(payload)), payload...)
}

// readBytes is about what a loop reads at once: a flood is written in such pieces.
const readBytes = 64 << 10

// filled repeats frames until there are readBytes of them, and says how many
// frames that is. per is how many there are in frames.
func filled(frames []byte, per int) (all []byte, n int) {
	for len(all)+len(frames) <= max(readBytes, len(frames)) {
		all, n = append(all, frames...), n+per
	}
	return all, n
}

// names are n channels: prefix0, prefix1 …
func names(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s%d", prefix, i)
	}
	return all
}
