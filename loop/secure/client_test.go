package secure_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"peal/loop"
	"peal/loop/secure"
)

// identity is a certificate that its peers trust. Its signatures have one length, so
// that seeds have one course.
var identity = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		DNSNames: []string{"localhost"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private, Leaf: leaf}, pool
})

// room is a layer on a machine, with the loop above it.
type room struct {
	t     testing.TB
	m     *machine
	layer *secure.Layer
	above *above
	roots *tls.Config // of clients
}

func newRoom(t testing.TB, seed uint64, change func(*secure.Config)) *room {
	t.Helper()
	certificate, roots := identity()
	c := secure.Config{TLS: &tls.Config{Certificates: []tls.Certificate{certificate}}, Lockstep: true}
	if change != nil {
		change(&c)
	}
	r := &room{t: t, m: newMachine(seed), layer: secure.New(c), roots: &tls.Config{RootCAs: roots, ServerName: "localhost"}}
	r.above = &above{m: r.m, conns: map[int32]*upper{}}
	r.above.kernel = r.m.open(r.layer, r.above)
	t.Cleanup(func() {
		for _, u := range r.above.conns {
			if !u.closed {
				r.above.close(u)
			}
		}
		r.above.kernel.Close()
		if s := r.layer.Stats(); s.Open != 0 || s.Running != 0 || s.Waiting != 0 || s.Kept != 0 || s.Input != 0 {
			t.Errorf("at the end: %+v", s)
		}
	})
	return r
}

// client speaks TLS with the room, in memory. Its handshake has a goroutine, which runs
// while the test waits for it.
type client struct {
	r       *room
	s       *socket
	tls     *tls.Conn
	wire    []byte // written, not delivered
	come    []byte // taken from the socket, not read
	gone    bool   // the server has ended its side, and that was taken
	shaking bool
	done    bool
	err     error // of the handshake
	got     []byte
	end     error // of reading: io.EOF for close_notify
	idle    chan struct{}
	goOn    chan struct{}
}

func (r *room) dial(change func(*tls.Config)) *client { return r.dialFrom("192.0.2.1:1000", change) }

func (r *room) dialFrom(peer string, change func(*tls.Config)) *client {
	c := &client{r: r, s: r.m.connect(peer), idle: make(chan struct{}), goOn: make(chan struct{})}
	config := r.roots.Clone()
	if change != nil {
		change(config)
	}
	c.tls = tls.Client(memory{c}, config)
	c.shaking = true
	go func() { // ends with the handshake: abandon ends that
		c.err = c.tls.Handshake()
		c.done = true
		c.idle <- struct{}{}
	}()
	<-c.idle
	r.t.Cleanup(c.abandon)
	return c
}

// abandon ends a handshake that is under way.
func (c *client) abandon() {
	c.gone = true
	c.pump()
}

// memory is the net.Conn of the client.
type memory struct{ c *client }

func (m memory) Read(p []byte) (int, error) {
	c := m.c
	for len(c.come) == 0 {
		if c.gone {
			return 0, errCut // io.EOF is for close_notify
		}
		if !c.shaking {
			return 0, errEmpty{}
		}
		c.idle <- struct{}{}
		<-c.goOn
	}
	n := copy(p, c.come)
	c.come = c.come[n:]
	return n, nil
}

func (m memory) Write(p []byte) (int, error) {
	m.c.wire = append(m.c.wire, p...)
	return len(p), nil
}

func (memory) Close() error                     { return nil }
func (memory) LocalAddr() net.Addr              { return nil }
func (memory) RemoteAddr() net.Addr             { return nil }
func (memory) SetDeadline(time.Time) error      { return nil }
func (memory) SetReadDeadline(time.Time) error  { return nil }
func (memory) SetWriteDeadline(time.Time) error { return nil }

var errCut = errors.New("the end without close_notify")

type errEmpty struct{}

func (errEmpty) Error() string   { return "nothing" }
func (errEmpty) Timeout() bool   { return true }
func (errEmpty) Temporary() bool { return true }

// give delivers at most n bytes of what was written.
func (c *client) give(n int) {
	n = min(n, len(c.wire))
	if n > 0 {
		c.s.deliver(c.wire[:n])
		c.wire = c.wire[n:]
	}
}

// take takes at most n bytes from the server, and reads them.
func (c *client) take(n int) {
	b := c.s.take(n)
	c.come = append(c.come, b...)
	if len(c.s.out) == 0 && (c.s.shut || c.s.closed) {
		c.gone = true
	}
	c.pump()
}

// pump has the client do what it can.
func (c *client) pump() {
	if c.shaking {
		if len(c.come) > 0 || c.gone {
			c.goOn <- struct{}{}
			<-c.idle
		}
		if !c.done {
			return
		}
		c.shaking = false
	}
	if c.err != nil {
		return
	}
	var b [40000]byte
	for c.end == nil {
		n, err := c.tls.Read(b[:])
		c.got = append(c.got, b[:n]...)
		if errors.Is(err, errEmpty{}) {
			return
		}
		c.end = err
	}
}

// flow moves everything in both directions until nothing moves.
func (c *client) flow() *client {
	for range 1000 {
		before := len(c.wire) + len(c.s.out)
		c.give(1 << 20)
		c.r.m.settle()
		c.take(1 << 20)
		if before == 0 && len(c.wire) == 0 && len(c.s.out) == 0 {
			return c
		}
	}
	c.r.t.Fatal("it never ends")
	return c
}

// upper is the connection as the loop above has it; nil: none yet.
func (c *client) upper() *upper { return c.r.above.conns[c.s.fd] }

func (c *client) write(b []byte) {
	c.r.t.Helper()
	if _, err := c.tls.Write(b); err != nil {
		c.r.t.Fatal(err)
	}
}

// shook wants a handshake that was successful.
func (c *client) shook() *client {
	c.r.t.Helper()
	c.flow()
	if !c.done || c.err != nil {
		c.r.t.Fatalf("the handshake: done %v, %v; %+v", c.done, c.err, c.r.layer.Stats())
	}
	return c
}

// send has the server send b.
func (c *client) send(b []byte) {
	u := c.upper()
	u.owed = append(u.owed, b...)
	c.r.above.send(u)
}

var _ = loop.Readable
