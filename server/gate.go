package server

import (
	"context"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"peal/server/admin"
)

// gate is a listener of package net that can be shut for a while, during which clients wait in the
// backlog of the kernel. It counts its connections.
type gate struct {
	net.Listener

	mu        sync.Mutex
	changed   sync.Cond // all below
	shut      bool
	closed    bool
	accepting bool
	open      int // connections
}

func newGate(ln net.Listener) *gate {
	g := &gate{Listener: ln}
	g.changed.L = &g.mu
	return g
}

// expired is a deadline that is over.
var expired = time.Unix(1, 0)

func (g *gate) deadline(t time.Time) {
	if ln, ok := g.Listener.(interface{ SetDeadline(time.Time) error }); ok { // of TCP and Unix sockets
		_ = ln.SetDeadline(t) // closed: there is nothing to wake up
	}
}

// Shut returns when nothing is accepted any more.
func (g *gate) Shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = true
	g.deadline(expired)
	for g.accepting && !g.closed {
		g.changed.Wait()
	}
}

// Reopen undoes Shut.
func (g *gate) Reopen() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = false
	g.deadline(time.Time{})
	g.changed.Broadcast()
}

// Accept implements net.Listener.
func (g *gate) Accept() (net.Conn, error) {
	for {
		g.begin()
		c, err := g.Listener.Accept()
		again := g.end(c, err)
		if again {
			continue
		}
		if err != nil {
			return nil, err
		}
		return &gateConn{Conn: c, gate: g}, nil
	}
}

func (g *gate) begin() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.shut && !g.closed {
		g.changed.Wait()
	}
	g.accepting = true
}

// end reports whether Accept was ended by Shut.
func (g *gate) end(c net.Conn, err error) (again bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.accepting = false
	if c != nil {
		g.open++
	}
	g.changed.Broadcast()
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout() && !g.closed
}

// Close implements net.Listener.
func (g *gate) Close() error {
	g.mu.Lock()
	g.closed = true
	g.changed.Broadcast()
	g.mu.Unlock()
	return g.Listener.Close()
}

// Open is how many connections there are.
func (g *gate) Open() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open
}

// gateConn is a connection that a gate counts.
type gateConn struct {
	net.Conn
	gate *gate
	once sync.Once
}

func (c *gateConn) Close() error {
	c.once.Do(func() {
		c.gate.mu.Lock()
		defer c.gate.mu.Unlock()
		c.gate.open--
	})
	return c.Conn.Close()
}

// CloseWrite has the client read the response to a request whose body was not read.
func (c *gateConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// shutGates has the listeners of package net accept nothing until reopenGates, or in the next process.
func (s *Server) shutGates() {
	for _, g := range slices.Concat(s.adminListeners, s.redirectListeners) {
		g.Shut()
	}
}

func (s *Server) reopenGates() {
	for _, g := range slices.Concat(s.adminListeners, s.redirectListeners) {
		g.Reopen()
	}
}

// HandedOver reports whether another process serves.
func (s *Server) HandedOver() bool {
	select {
	case <-s.left:
		return true
	default:
		return false
	}
}

// untilLeft is ctx, but ends when another process has taken over: loops respond no more.
func (s *Server) untilLeft(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() { // ends with ctx
		select {
		case <-s.left:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// nobody is the user that the kernel shows for one that is unknown here.
const nobody = 65534

// asOwner marks the requests of a connection through a Unix socket that the user of this process has opened, or root.
func asOwner(ctx context.Context, c net.Conn) context.Context {
	counted, ok := c.(*gateConn)
	if !ok {
		return ctx // TLS
	}
	u, ok := counted.Conn.(*net.UnixConn)
	if !ok {
		return ctx
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return ctx
	}
	var peer *unix.Ucred
	if e := raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); e != nil || err != nil {
		return ctx
	}
	if own := os.Geteuid(); peer.Uid != 0 && (int(peer.Uid) != own || own == nobody) {
		return ctx
	}
	return context.WithValue(ctx, admin.Owner{}, true)
}
