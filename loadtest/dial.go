package loadtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Endpoint is where a server listens, and how it is reached. It goes as JSON to the
// worker processes.
type Endpoint struct {
	Addr string   `json:"addr"`           // "127.0.0.1:8080", "[::1]:8080": an IP address and a port
	More []string `json:"more,omitempty"` // further ones: each is tried if the one before refuses
	Host string   `json:"host,omitempty"` // of the requests; default: Addr

	// Spread has connection i begin with the (i modulo their number)-th of the further ones.
	Spread bool `json:"spread,omitempty"`

	TLS *TLS `json:"tls,omitempty"` // nil: none

	// Segment is the greatest TCP segment of connections of Dial, in bytes; 0: that of the network. Over the loopback
	// interface it is 64 KiB, and a server's kernel then takes megabytes for a client that does not read.
	Segment int `json:"segment,omitempty"`
}

// turn is the index of the address of which connection i makes its tried-th attempt.
func (e *Endpoint) turn(i, tried, addresses int) int {
	if tried == 0 || !e.Spread {
		return tried
	}
	return 1 + (i+tried-1)%(addresses-1)
}

// Dial connects from the local address source, "" for any, and shakes hands.
func (e *Endpoint) Dial(ctx context.Context, source string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	d := Dialer(source, 0)
	if e.Segment > 0 {
		before := d.Control
		d.Control = func(network, address string, c syscall.RawConn) (err error) {
			if e := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_TCP, unix.TCP_MAXSEG, e.Segment) }); e != nil {
				return e
			}
			return errors.Join(err, before(network, address, c))
		}
	}
	conn, err := e.connect(ctx, d)
	if err != nil || e.TLS == nil {
		return conn, err
	}
	config, err := e.TLS.config(e)
	if err != nil {
		_ = conn.Close() // the error says more
		return nil, err
	}
	return secure(ctx, conn, config)
}

func (e *Endpoint) connect(ctx context.Context, d *net.Dialer) (conn net.Conn, err error) {
	for _, addr := range append([]string{e.Addr}, e.More...) {
		if conn, err = d.DialContext(ctx, "tcp", addr); err == nil || ctx.Err() != nil {
			break
		}
	}
	return conn, err
}

// Dialer connects from the local address source ("" for any) without reserving a
// port before the remote end is known, so that one address has all its ports for
// each server (IP_BIND_ADDRESS_NO_PORT). receiveBuffer is in bytes; 0 leaves it to
// the kernel.
func Dialer(source string, receiveBuffer int) *net.Dialer {
	d := &net.Dialer{Timeout: dialTimeout}
	if source != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(source)}
	}
	d.Control = func(_, _ string, c syscall.RawConn) (err error) {
		if e := c.Control(func(fd uintptr) {
			if source != "" {
				err = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
			}
			if err == nil && receiveBuffer > 0 {
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
			}
		}); e != nil {
			return e
		}
		return err
	}
	return d
}

// dialTimeout bounds the opening of one connection.
const dialTimeout = 20 * time.Second

// socketAddress reads "127.0.0.1:8080", "[::1]:8080" or "unix:/path" for a socket of domain.
func socketAddress(text string) (domain int, a unix.Sockaddr, err error) {
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		return unix.AF_UNIX, &unix.SockaddrUnix{Name: path}, nil
	}
	addr, err := netip.ParseAddrPort(text)
	switch {
	case err != nil:
		return 0, nil, fmt.Errorf("address %q: must be an IP address and a port", text)
	case addr.Addr().Is4():
		return unix.AF_INET, &unix.SockaddrInet4{Addr: addr.Addr().As4(), Port: int(addr.Port())}, nil
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Addr: addr.Addr().As16(), Port: int(addr.Port())}, nil
}
