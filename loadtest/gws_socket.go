package loadtest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"syscall"
	"time"

	"github.com/lxzan/gws"
	"golang.org/x/sys/unix"
)

// gwsSocket is the net.Conn below one gws connection, and has two lives.
//
// While gws shakes hands it is the TCP connection, in the dialer's goroutine.
// Then adopt makes it a bare descriptor, and gws' read loop a coroutine: Read
// switches to the caller of resume, and resume, when epoll has seen something
// to read, back into Read. A connection so has a goroutine's stack, which gws'
// blocking read loop needs, of 2 KiB and not of 4: what Go's own net.Conn calls
// down to the parked goroutine does not fit into the smaller one. It has no
// poll descriptor and no timers, and costs no turn of the scheduler for each
// message.
//
// After adopt all of it is under sink.mu. gws then calls Read, Write, Close and
// NetConn, no other method, or crypto/tls between the two.
type gwsSocket struct {
	net.Conn // of the handshake; nil after adopt

	kind *gwsKind
	sub  *subscriber

	number  int           // of the connection
	returns bool          // it has ended, and comes back
	wanted  time.Duration // before that, by the server's wish; 0: it has none

	fd    int // 0: none
	yield func(struct{}) bool
	next  func() (struct{}, bool)
	stop  func()
}

// socketOf is what c reads from and writes to, perhaps through TLS.
func socketOf(c *gws.Conn) *gwsSocket {
	if s, plain := c.NetConn().(*gwsSocket); plain {
		return s
	}
	return c.NetConn().(*finalConn).Conn.(*tls.Conn).NetConn().(*gwsSocket)
}

// adopt takes the descriptor out of the TCP connection, which it closes, and adds
// it to ep's as number i. On an error nothing is left open.
func (s *gwsSocket) adopt(tcp net.Conn, ep, i int) error {
	fd, err := duplicateSocket(tcp.(syscall.Conn))
	if err != nil {
		return errors.Join(fmt.Errorf("take over the connection: %w", err), tcp.Close())
	}
	_ = tcp.Close() // its descriptor is not the last
	if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}); err != nil {
		return errors.Join(fmt.Errorf("epoll add: %w", err), unix.Close(fd))
	}
	s.Conn, s.fd = nil, fd
	return nil
}

// start runs ws' read loop up to its first Read.
func (s *gwsSocket) start(ws *gws.Conn) {
	s.next, s.stop = iter.Pull(func(yield func(struct{}) bool) {
		s.yield = yield
		ws.ReadLoop()
	})
	s.resume()
}

// resume runs the read loop until it has nothing more to read, or has ended. It
// may have before: epoll reports a connection to the loop while start, with what
// came behind the handshake, still holds the lock.
func (s *gwsSocket) resume() {
	if s.fd == 0 {
		return
	}
	_, more := s.next()
	s.kind.answer()
	if !more {
		s.end()
		if s.returns {
			s.kind.comeBack(s.number, s.wanted)
			s.returns, s.wanted = false, 0
		}
	}
}

// end ends the read loop and closes the descriptor. It may be called again.
func (s *gwsSocket) end() {
	if s.fd == 0 {
		return
	}
	s.stop()
	_ = unix.Close(s.fd) // the descriptor is closed even on an error
	s.fd, s.yield, s.next, s.stop = 0, nil, nil, nil
}

// Read waits until there is something, and reads once.
func (s *gwsSocket) Read(p []byte) (int, error) {
	if s.Conn != nil {
		return s.Conn.Read(p)
	}
	for s.yield(struct{}{}) {
		switch n, err := unix.Read(s.fd, p); {
		case n > 0:
			return n, nil
		case err == nil:
			return 0, io.EOF
		case err != unix.EAGAIN && err != unix.EINTR:
			return 0, err
		}
	}
	return 0, net.ErrClosed
}

// Write sends a pong or a close frame. That the socket has no room for one is an
// error: nothing else is sent, so the server must have stopped reading.
func (s *gwsSocket) Write(p []byte) (int, error) {
	if s.Conn != nil {
		return s.Conn.Write(p)
	}
	n, err := unix.Write(s.fd, p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return max(n, 0), err
}

// SetWriteDeadline is called by crypto/tls before it says goodbye, which never waits.
func (s *gwsSocket) SetWriteDeadline(t time.Time) error {
	if s.Conn != nil {
		return s.Conn.SetWriteDeadline(t)
	}
	return nil
}

// Close ends the connection, but keeps the descriptor for end: a read loop that
// is under way must not meet another's.
func (s *gwsSocket) Close() error {
	if s.Conn != nil {
		return s.Conn.Close()
	}
	return unix.Shutdown(s.fd, unix.SHUT_RDWR)
}

// duplicateSocket returns a further descriptor of the socket, non-blocking as the
// first is.
func duplicateSocket(c syscall.Conn) (fd int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	if e := raw.Control(func(old uintptr) {
		fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
	}); e != nil {
		return 0, e
	}
	return fd, err
}

// finalConn is a connection whose interim responses (RFC 9110 §15.2) are left out: gws
// takes the first response for the last.
type finalConn struct {
	net.Conn
	final  bool // the response that is not interim has begun
	status string
}

// refused says whose doing it was that gws took the response for no handshake.
func (c *finalConn) refused(err error) error {
	switch {
	case !c.final || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return err
	case c.status == "101":
		return unreadable("%w (RFC 6455 §4.1)", err)
	}
	return byServer("upgrade refused: %w", err)
}

// interimAt is how many bytes tell: "HTTP/1.1 103".
const interimAt = 12

// Read returns nothing of an interim response. It reads no further than it returns,
// for the descriptor is taken over afterwards.
func (c *finalConn) Read(p []byte) (int, error) {
	if c.final || len(p) < interimAt {
		return c.Conn.Read(p)
	}
	for {
		n, err := io.ReadFull(c.Conn, p[:interimAt])
		if err != nil {
			return n, err
		}
		if status := string(p[9:interimAt]); status[0] != '1' || status == "101" {
			c.final, c.status = true, status
			return n, nil
		}
		for tail := [4]byte(p[interimAt-4 : interimAt]); string(tail[:]) != "\r\n\r\n"; {
			if _, err := io.ReadFull(c.Conn, p[:1]); err != nil {
				return 0, err
			}
			tail = [4]byte{tail[1], tail[2], tail[3], p[0]}
		}
	}
}
