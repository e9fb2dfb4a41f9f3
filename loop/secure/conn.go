package secure

import (
	"crypto/tls"
	"net"
	"net/netip"
	"time"

	"peal/loop"
)

// state is how far a connection is.
type state uint8

const (
	stateFree    state = iota // it was closed
	stateHello                // its ClientHello is on the way
	stateShaking              // a goroutine makes its handshake, or it waits for one
	stateParting              // the handshake has failed, and the client has time to read why
	stateOpen                 // the handshake is done
	stateEnded                // the loop above finds err when it reads
)

// conn is one TLS connection. It is the net.Conn of its tls.Conn, which reads and
// writes in the goroutine of the handshake first, and on the loop then.
type conn struct {
	// Fixed at creation.
	kernel *kernel
	tls    *tls.Conn // set before the handshake begins

	// Loop-owned. The goroutine of a handshake reads shake, which changes when that has ended.
	shake *handshake // nil: done
	err   error      // of stateEnded, or of a send
	in    []byte     // ciphertext that crypto/tls does not have yet: a part of a record, or what had no time
	plain []byte     // decrypted, and there was no room for it
	kept  []byte     // sealed, and the socket has not taken it
	share uint64     // who it is counted with: shareOf
	fd    int32
	count uint32 // records read
	state state
	full  bool        // the socket takes nothing until it is writable
	ended bool        // the client has ended its side: nothing comes behind in and plain
	shut  bool        // Shutdown was called, and waits for kept
	timed bool        // it is in kernel.records
	dry   bool        // all that has come was read
	news  loop.Events // of kernel.due
	vain  credit      // for records without data
}

func (k *kernel) newConn(fd int32, peer netip.AddrPort) *conn {
	c := &conn{kernel: k, fd: fd, state: stateHello, share: shareOf(peer.Addr())}
	c.shake = newHandshake(c, peer)
	k.layer.counts.open.Add(1)
	k.await(&k.handshakes, c)
	return c
}

// rename is for a client whose address a proxy has told.
func (c *conn) rename(peer netip.AddrPort) {
	c.share = shareOf(peer.Addr())
	if h := c.shake; h != nil && c.state == stateHello {
		h.peer = peer
	}
}

// drop forgets a connection.
func (k *kernel) drop(c *conn) {
	if c.state == stateHello || c.state == stateShaking {
		k.interrupt(c, ReasonGone)
	}
	c.state, c.tls = stateFree, nil // a deadline or a turn may have it still, and a goroutine shake
	c.timed = true                  // no deadline begins
	k.holdIn(c, nil)
	k.holdPlain(c, nil)
	k.keep(c, nil)
	k.conns[c.fd] = nil
	k.layer.counts.open.Add(-1)
}

// abort ends a connection after its handshake: the loop above is to close it.
func (k *kernel) abort(c *conn, err error) {
	if c.state != stateOpen {
		return
	}
	c.state, c.err = stateEnded, err
	k.holdIn(c, nil)
	k.holdPlain(c, nil)
	k.keep(c, nil)
	k.later(c, loop.Readable|loop.NearEnd)
}

// Read is called by crypto/tls.
func (c *conn) Read(p []byte) (int, error) {
	if c.shake != nil {
		return c.shake.read(p)
	}
	k := c.kernel
	if len(k.feed) == 0 {
		return 0, errNothing
	}
	n := copy(p, k.feed)
	k.feed = k.feed[n:]
	return n, nil
}

// Write is called by crypto/tls. An error would spoil the tls.Conn, and there is
// none to tell: the loop finds it in conn.err.
func (c *conn) Write(p []byte) (int, error) {
	if c.shake != nil {
		return c.shake.write(p)
	}
	c.kernel.put(c, p)
	return len(p), nil
}

// Close and the deadlines are not for crypto/tls to decide.
func (c *conn) Close() error                     { return nil }
func (c *conn) SetDeadline(time.Time) error      { return nil }
func (c *conn) SetReadDeadline(time.Time) error  { return nil }
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// RemoteAddr is for callbacks of the handshake.
func (c *conn) RemoteAddr() net.Addr {
	if h := c.shake; h != nil && h.peer.IsValid() {
		return net.TCPAddrFromAddrPort(h.peer)
	}
	return unknown{}
}

func (c *conn) LocalAddr() net.Addr { return unknown{} }

type unknown struct{}

func (unknown) Network() string { return "unix" }
func (unknown) String() string  { return "" }

// errNothing makes crypto/tls return without an end of the connection: it does not
// remember a temporary error.
var errNothing net.Error = nothing{}

type nothing struct{}

func (nothing) Error() string   { return "nothing more has come" }
func (nothing) Timeout() bool   { return true }
func (nothing) Temporary() bool { return true }

// shareOf is who a client is counted with: its IPv4 address, or the /64 of its
// IPv6 address. Clients of Unix sockets are one.
func shareOf(a netip.Addr) uint64 {
	switch a = a.Unmap(); {
	case a.Is4():
		b := a.As4()
		return 0xFFFF<<32 | uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3])
	case a.Is6():
		b := a.As16()
		s := uint64(0)
		for _, x := range b[:8] {
			s = s<<8 | uint64(x)
		}
		return s
	}
	return 0
}
