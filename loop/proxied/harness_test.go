package proxied_test

import (
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"peal/loop"
	"peal/loop/proxied"
)

// machine is the kernel below the layer: one connection, whose bytes come in the pieces
// of the test.
type machine struct {
	loop.Kernel // nil: what is not here is not called
	handler     loop.Handler
	peer        netip.AddrPort
	pieces      [][]byte // an empty one: nothing for now
	ended       bool     // behind the pieces
	now         time.Duration
	closed      bool
	reads       int
}

func (m *machine) Now() time.Duration { return m.now }
func (m *machine) Add(int32) error    { return nil }
func (m *machine) CloseSocket(int32)  { m.closed = true }
func (m *machine) Accept(int32) (loop.Arrival, error) {
	return loop.Arrival{Socket: socket, Peer: m.peer}, nil
}

func (m *machine) Read(_ int32, b []byte) (int, error) {
	m.reads++
	switch {
	case len(m.pieces) == 0 && m.ended:
		return 0, io.EOF
	case len(m.pieces) == 0:
		return 0, loop.ErrAgain
	case len(m.pieces[0]) == 0:
		m.pieces = m.pieces[1:]
		return 0, loop.ErrAgain
	}
	n := copy(b, m.pieces[0])
	if m.pieces[0] = m.pieces[0][n:]; len(m.pieces[0]) == 0 {
		m.pieces = m.pieces[1:]
	}
	return n, nil
}

const socket = 4099 // in the second chunk of marks

var proxy, stranger = netip.MustParseAddrPort("10.0.0.1:999"), netip.MustParseAddrPort("192.0.2.99:999")

// conn is one connection through the layer, as the loop sees it.
type conn struct {
	*machine
	t      testing.TB
	layer  *proxied.Layer
	above  loop.Kernel
	lines  strings.Builder
	named  []netip.AddrPort
	got    []byte
	err    error // that ended it
	events int
}

// dial opens a connection of peer, whose bytes come in these pieces.
func dial(t testing.TB, peer netip.AddrPort, pieces ...string) *conn {
	c := &conn{t: t, machine: &machine{peer: peer}}
	c.layer = proxied.New(proxied.Config{
		Trusted: func(a netip.Addr) bool { return a == proxy.Addr() || !a.IsValid() },
		Log:     slog.New(slog.NewTextHandler(&c.lines, nil)),
	})
	var err error
	c.above, err = c.layer.Open(func(_ int, h loop.Handler) (loop.Kernel, error) {
		c.handler = h
		return c.machine, nil
	})(0, c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.above.Accept(3); err != nil {
		t.Fatal(err)
	}
	c.send(pieces...)
	return c
}

func (c *conn) send(pieces ...string) {
	for _, p := range pieces {
		c.pieces = append(c.pieces, []byte(p))
	}
}

// The loop: a read until there is no more.
func (c *conn) Peer(s int32, client netip.AddrPort) (welcome bool) {
	if s != socket || len(c.got) > 0 {
		c.t.Errorf("Peer of %d after %d bytes", s, len(c.got))
	}
	c.named = append(c.named, client)
	return client.Addr() != unwelcome
}
func (c *conn) Polled()                  {}
func (c *conn) Turn()                    {}
func (c *conn) Tick()                    {}
func (c *conn) Ready(int32, loop.Events) { c.events++; c.read(64 << 10) }

// read does what a loop does after an event: it reads until a read is short and the end
// was not announced, which it is here.
func (c *conn) read(size int) {
	for c.err == nil {
		b := make([]byte, size)
		n, err := c.above.Read(socket, b)
		c.got = append(c.got, b[:n]...)
		switch {
		case err == loop.ErrAgain:
			return
		case err != nil:
			c.err = err
			c.above.CloseSocket(socket)
		case n == 0:
			c.t.Fatal("a read of nothing without an error")
		}
	}
}

// pass reads all that is there, in reads of that size.
func (c *conn) pass(size int) *conn {
	for len(c.pieces) > 0 && c.err == nil {
		c.read(size)
	}
	c.read(size)
	return c
}

func (c *conn) tick(d time.Duration) {
	c.now += d
	c.handler.Tick()
}

// unwelcome is a client of which the loop above takes no connection.
var unwelcome = netip.MustParseAddr("192.0.2.66")
