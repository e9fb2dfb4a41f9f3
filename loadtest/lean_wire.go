package loadtest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// This file is between the sockets of the epoll kind and their bytes. Secured
// connections are dialed, hands shaken, on goroutines that end with that; then the
// loop has the descriptor, and crypto/tls reads what the loop gives it.

// wire is what a connection with TLS or compression has more than a plain one. With TLS
// it is the net.Conn below the tls.Conn; while hands are shaken, the TCP connection.
type wire struct {
	retry    time.Duration // which an event stream, or the reason of a close, wants before the next; 0: they do not say
	takeover bool          // compressed messages refer to those before
	window   []byte        // the end of those

	net.Conn           // nil: the loop has it
	tls      *tls.Conn // nil: none
	fd       int
	in       []byte // read from the socket, and not by tls
	ended    bool   // nothing follows in
}

// kept is what the next connection of the same client has of w.
func (w *wire) kept() *wire {
	if w == nil || w.retry == 0 {
		return nil
	}
	return &wire{retry: w.retry}
}

// Read returns what is in memory. That there is nothing now is an error which
// crypto/tls does not keep: it is temporary.
func (w *wire) Read(p []byte) (int, error) {
	switch {
	case w.Conn != nil:
		return w.Conn.Read(p)
	case len(w.in) > 0:
		n := copy(p, w.in)
		w.in = w.in[n:]
		return n, nil
	case w.ended:
		return 0, io.EOF
	}
	return 0, os.ErrDeadlineExceeded
}

func (w *wire) Write(p []byte) (int, error) {
	if w.Conn != nil {
		return w.Conn.Write(p)
	}
	return writeOnce(w.fd, p)
}

// decrypt returns what in gives, and is longer than that: into must be longer by two
// records of TLS.
func (w *wire) decrypt(into, in []byte, ended bool) (n int, err error) {
	w.in, w.ended = in, ended
	for err == nil {
		var m int
		m, err = w.tls.Read(into[n:])
		n += m
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, nil
	case errors.Is(err, io.EOF):
		return n, errEnded
	}
	return n, fmt.Errorf("read: %w", err)
}

// recv reads once. It returns nothing if there is nothing, and may return the last
// bytes with errEnded, or another error.
func (k *epollKind) recv(c *leanConn, into []byte) (n int, err error) {
	from := into
	secured := c.wire != nil && c.wire.tls != nil
	if secured {
		from = k.cipher
	}
	n, err = unix.Read(c.fd, from)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("read: %w", err)
	}
	k.sink.traffic.Read += uint64(n)
	switch {
	case secured:
		return c.wire.decrypt(into, from[:n], n == 0)
	case n == 0:
		return 0, errEnded
	}
	return n, nil
}

// send writes b in one call. It is small, and the socket's buffer empty: a
// short write is an error, not a state.
func (c *leanConn) send(b []byte) (err error) {
	if c.wire != nil && c.wire.tls != nil {
		_, err = c.wire.tls.Write(b)
	} else {
		_, err = writeOnce(c.fd, b)
	}
	if err != nil {
		return fmt.Errorf("send request: %w", err)
	}
	return nil
}

func writeOnce(fd int, b []byte) (int, error) {
	n, err := unix.Write(fd, b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return max(n, 0), err
}

// dial is a secured connection on its way: the dials-th of conn.
type dial struct {
	conn  int
	dials uint8
	wire  *wire
	err   error
}

// secured starts to connect i, when fewer than Window are being connected.
func (k *epollKind) secured(i int) {
	c := &k.conns[i]
	c.dials++
	k.undialed = append(k.undialed, dial{conn: i, dials: c.dials})
	k.dialMore()
}

func (k *epollKind) dialMore() {
	for ; len(k.undialed) > 0 && k.dialing < k.spec.Window; k.undialed = k.undialed[1:] {
		d := k.undialed[0]
		c := &k.conns[d.conn]
		if k.stale(&d) {
			continue
		}
		config, buffer := k.config, 0
		if !c.known {
			config = k.unknown
		}
		if c.stalled {
			buffer = stalledBuffer
		}
		k.dialing++
		go func() { // ends with the dial, or k.ctx
			d.wire, d.err = dialWire(k.ctx, k.spec, config, buffer)
			k.dialed <- d
			wakeUp(k.wake)
		}()
	}
}

// stale reports whether c was given up or dropped since.
func (k *epollKind) stale(d *dial) bool {
	c := &k.conns[d.conn]
	return c.state != leanConnect || c.dials != d.dials || c.fd != 0
}

// takeDialed goes on with the connections that were dialed. The sink's lock is held.
func (k *epollKind) takeDialed() {
	for range len(k.dialed) {
		d := <-k.dialed
		k.dialing--
		c := &k.conns[d.conn]
		if k.stale(&d) {
			d.close()
			continue
		}
		if d.err == nil {
			if c.wire != nil {
				d.wire.retry = c.wire.retry
			}
			c.fd, c.wire = d.wire.fd, d.wire
			d.err = unix.EpollCtl(k.ep, unix.EPOLL_CTL_ADD, c.fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(d.conn)})
		}
		if d.err == nil {
			d.err = k.request(c, d.conn)
		}
		if d.err != nil {
			k.fail(c, d.conn, d.err)
		}
	}
	k.dialMore()
}

func (d *dial) close() {
	if d.wire != nil {
		unix.Close(d.wire.fd)
	}
}

// dialWire connects, shakes hands and takes the descriptor over.
func dialWire(ctx context.Context, spec *Spec, config *tls.Config, receiveBuffer int) (*wire, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := spec.connect(ctx, Dialer(spec.Source, receiveBuffer))
	if err != nil {
		return nil, err
	}
	defer conn.Close() // its descriptor is not the last
	w := &wire{Conn: conn}
	if w.tls, err = secure(ctx, w, config); err != nil {
		return nil, err
	}
	if w.fd, err = duplicateSocket(conn.(syscall.Conn)); err != nil {
		return nil, fmt.Errorf("take over the connection: %w", err)
	}
	w.Conn = nil
	return w, nil
}

// unknownClients keep the sessions of a cache and resume none: they connect for the
// first time.
type unknownClients struct{ tls.ClientSessionCache }

func (unknownClients) Get(string) (*tls.ClientSessionState, bool) { return nil, false }
