package loop_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"peal/loop"
	"peal/loop/admit"
	"peal/loop/fanout"
	"peal/loop/secure"
)

// patience is how long anything may take on a busy machine with the race
// detector on; a test that fails takes that long, one that passes does not.
const patience = time.Minute

// server is a Group on a loopback port, with the tests' own world around it.
type server struct {
	*world
	t       testing.TB
	group   *loop.Group
	addr    net.Addr
	failed  <-chan error
	listens int           // its listener
	layer   *secure.Layer // nil: without TLS
	roots   *tls.Config   // of its clients

	ahead   [][]loop.ConnState // of freeze
	changed int                // connections of which a change said all
}

// options of a test server; zero values are fine.
type options struct {
	config     loop.Config
	keep       int // messages of history, 0 for all
	slots      int // of the ring, default 4096
	sendBuffer int // SO_SNDBUF of the server's sockets
	encoder    fanout.Encoder
	unlimited  bool // no limits of addresses, not even counted
	listen     func(t testing.TB) (fd int, addr net.Addr)
	open       loop.OpenKernel
	trusted    func(peer netip.Addr) bool
	patterns   fanout.Patterns // of matchers, which have no past
	secure     bool            // over TLS
	inherited  int             // Parts.Inherited
	journal    *journal        // nil: an empty one
	traffic    func(fd int32) (loop.Traffic, bool)

	certificate *tls.Certificate // nil: the authority's
}

func start(t testing.TB, o options) *server {
	t.Helper()
	s := prepare(t, o)
	s.run()
	return s
}

// run starts what prepare has made, until the end of the test.
func (s *server) run() {
	s.failed = s.group.Start()
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		s.group.Drain(ctx)
	})
}

func prepare(t testing.TB, o options) *server {
	t.Helper()
	if o.config.Loops == 0 {
		o.config.Loops = 2
	}
	if o.config.Log == nil {
		o.config.Log = slog.New(slog.DiscardHandler)
	}
	if o.slots == 0 {
		o.slots = 4096
	}
	if o.listen == nil {
		o.listen = func(t testing.TB) (int, net.Addr) { return listenTCP(t, o.sendBuffer) }
	}
	if o.encoder == nil {
		o.encoder = encoder{}
	}
	if !o.config.Admission.RefusalRate.IsOn() {
		o.config.Admission.RefusalRate = admit.Rate{Interval: time.Millisecond, Burst: 1000}
	}
	if o.traffic == nil {
		o.traffic = loop.TCPTraffic
	}
	s := &server{t: t}
	if o.journal == nil {
		o.journal = newJournal(o.slots, o.keep)
	}
	s.world = &world{journal: o.journal, later: make(chan parked, 1024), ended: make(chan uint64, 1024), waiting: make(chan parked, 1024), refs: make(chan loop.Ref, 1024)}
	fd, addr := o.listen(t)
	s.addr, s.listens = addr, fd
	if o.open == nil && everythingByRing {
		o.open = loop.OpenGathering(slog.Default())
	}
	if o.secure || everythingOverTLS {
		s.encrypt(&o, fd)
	}
	g, err := loop.New(o.config, s.journal.ring, o.open)
	if err != nil {
		t.Fatal(err)
	}
	err = g.Serve(loop.Parts{
		Listeners: []int{fd},
		Inherited: o.inherited,
		Front:     func(i int) loop.Front { return front{s.world, i} },
		Encoder:   o.encoder,
		Source:    s.journal,
		Trusted:   o.trusted,
		Share: func(addr netip.Addr, _ uint64) uint64 { // all loopback addresses are clients of their own
			b := addr.As16()
			return binary.BigEndian.Uint64(b[8:])
		},
		Patterns: o.patterns,
		Past:     forgetful{},
		Traffic:  o.traffic,
		Limited:  func(addr netip.Addr) bool { return !o.unlimited && addr != netip.AddrFrom4([4]byte{127, 0, 0, 1}) },
	})
	if err != nil {
		t.Fatal(err)
	}
	s.group, s.journal.wake = g, g.Wake
	return s
}

func listenTCP(t testing.TB, sendBuffer int) (int, net.Addr) {
	t.Helper()
	fd, addr, err := loop.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if sendBuffer > 0 { // accepted sockets have it from their listener
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer); err != nil {
			t.Fatal(err)
		}
	}
	return fd, addr
}

// stats returns the counters of each loop.
func (s *server) stats() []loop.Stats {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	all, err := s.group.Stats(ctx)
	if err != nil {
		s.t.Fatalf("stats: %v", err)
	}
	return all
}

// sum adds one number of all loops.
func (s *server) sum(number func(loop.Stats) int) (n int) {
	s.t.Helper()
	for _, one := range s.stats() {
		n += number(one)
	}
	return n
}

func connections(s loop.Stats) int { return s.Connections }
func held(s loop.Stats) int        { return s.Fanout.Held }

func (s *server) awaitConnections(n int) {
	s.t.Helper()
	s.await(fmt.Sprintf("%d connections", n), func() bool { return s.sum(connections) == n })
}

// awaitEmpty waits until nothing of any connection is left.
func (s *server) awaitEmpty() {
	s.t.Helper()
	s.awaitConnections(0)
	if n := s.journal.subscribers(); n != 0 {
		s.t.Errorf("%d subscribers joined and never left", n)
	}
	for _, one := range s.stats() {
		if a := one.Admission; a.Addresses != 0 || a.Open != 0 {
			s.t.Errorf("without connections %d addresses are counted, and %d refusals are under way", a.Addresses, a.Open)
		}
		if one.InputBytes != 0 || one.Fanout.Held != 0 || one.Fanout.Members != 0 || one.Fanout.Channels != 0 {
			s.t.Errorf("loop %d without connections holds %+v", one.Loop, one)
		}
	}
}

func (s *server) await(what string, done func() bool) {
	s.t.Helper()
	if !eventually(patience, done) {
		s.t.Fatalf("not in %v: %s; stats %+v", patience, what, s.stats())
	}
}

// eventually polls until done, or for at most d.
func eventually(d time.Duration, done func() bool) bool {
	for deadline := time.Now().Add(d); ; {
		if done() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(500 * time.Microsecond)
	}
}

func (s *server) publish(channel, data string) uint64 {
	s.t.Helper()
	var sequence uint64
	s.await("room in the ring", func() bool {
		n, ok := s.journal.publish(channel, data)
		sequence = n
		return ok
	})
	return sequence
}

// client is a connection seen from the far end. Its methods end the test when
// the server does not do as expected.
type client struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

func (s *server) dial() *client {
	s.t.Helper()
	return s.dialWith(0)
}

// dialWith connects with a receive buffer of so many bytes; 0 leaves it alone.
func (s *server) dialWith(receiveBuffer int) *client {
	s.t.Helper()
	c, err := s.connect(receiveBuffer)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return &client{c, s.t, bufio.NewReaderSize(c, 16<<10)}
}

// dialFrom connects from another loopback address: another client for the limits.
func (s *server) dialFrom(address string, receiveBuffer int) *client {
	s.t.Helper()
	d := s.dialer(receiveBuffer)
	d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(address)}
	c, err := s.wrap(d.Dial(s.addr.Network(), s.addr.String()))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return &client{c, s.t, bufio.NewReaderSize(c, 16<<10)}
}

// connect may be called from any goroutine.
func (s *server) connect(receiveBuffer int) (net.Conn, error) {
	return s.wrap(s.dialer(receiveBuffer).Dial(s.addr.Network(), s.addr.String()))
}

func (s *server) dialer(receiveBuffer int) *net.Dialer {
	d := &net.Dialer{Timeout: patience}
	if receiveBuffer > 0 {
		d.Control = func(_, _ string, raw syscall.RawConn) (err error) {
			if e := raw.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
			}); e != nil {
				return e
			}
			return err
		}
	}
	return d
}

func (c *client) send(parts ...string) {
	c.t.Helper()
	c.SetWriteDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, strings.Join(parts, "")); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

func (c *client) line() string {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("after %q: %v", line, err)
	}
	return line[:len(line)-1]
}

func (c *client) expect(lines ...string) {
	c.t.Helper()
	for i, want := range lines {
		if got := c.line(); got != want {
			c.t.Fatalf("line %d: %.100q, want %.100q", i+1, got, want)
		}
	}
}

// expectEnd wants a clean end, not a reset.
func (c *client) expectEnd() {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	if b, err := io.ReadAll(c.r); err != nil || len(b) > 0 {
		c.t.Fatalf("at the end: %.100q, error %v", b, err)
	}
}

// silent wants that nothing comes: the server has answered a later request of
// probe, a connection of the same test, on both loops or the only one.
func (c *client) silent() {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
	if b, err := c.r.Peek(1); err == nil || !errors.Is(err, context.DeadlineExceeded) && !isTimeout(err) {
		c.t.Fatalf("not silent: %q, error %v", b, err)
	}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

func (c *client) reset() {
	c.tcp().SetLinger(0)
	c.tcp().Close()
}

// sse begins an event stream and returns its position.
func (c *client) sse(words string) (position int) {
	c.t.Helper()
	c.send("sse ", words, "\n")
	c.expect("stream")
	return number(strings.TrimPrefix(c.line(), "open "))
}

// A WebSocket's frames as the client sees them, apart from package frame.

const (
	opText   = 1
	opBinary = 2
	opClose  = 8
	opPing   = 9
	opPong   = 10
)

func (c *client) ws(kind, words string) {
	c.t.Helper()
	c.send(kind, " ", words, "\n")
	c.expect("stream")
}

// masked is a client's frame.
func masked(first byte, payload string) []byte {
	key := [4]byte{0x12, 0xf4, 0x56, 0x78}
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	b = append(b, key[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^key[i%4])
	}
	return b
}

func (c *client) sendFrame(op byte, payload string) {
	c.t.Helper()
	c.send(string(masked(0x80|op, payload)))
}

func closePayload(code int, reason string) string {
	return string([]byte{byte(code >> 8), byte(code)}) + reason
}

// readFrame reads one whole, unmasked frame of the server.
func readFrame(r *bufio.Reader) (op byte, payload string, err error) {
	var head [2]byte
	var long [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, "", err
	}
	if head[0]&0xf0 != 0x80 || head[1]&0x80 != 0 {
		return 0, "", fmt.Errorf("frame begins with % x", head)
	}
	n := uint64(head[1])
	switch n {
	case 126:
		_, err = io.ReadFull(r, long[:2])
		n = uint64(binary.BigEndian.Uint16(long[:2]))
	case 127:
		_, err = io.ReadFull(r, long[:])
		n = binary.BigEndian.Uint64(long[:])
	}
	if err != nil {
		return 0, "", err
	}
	if n > 64<<20 {
		return 0, "", fmt.Errorf("frame of %d bytes", n)
	}
	b := make([]byte, n)
	_, err = io.ReadFull(r, b)
	return head[0] & 0x0f, string(b), err
}

func (c *client) frame() (op byte, payload string) {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	op, payload, err := readFrame(c.r)
	if err != nil {
		c.t.Fatalf("frame: %v", err)
	}
	return op, payload
}

func (c *client) expectFrame(op byte, payload string) {
	c.t.Helper()
	if gotOp, got := c.frame(); gotOp != op || got != payload {
		c.t.Fatalf("frame %d %.100q, want %d %.100q", gotOp, got, op, payload)
	}
}

// expectClose wants a close frame with the code, then the end of the
// connection once the client has answered it.
func (c *client) expectClose(code int) {
	c.t.Helper()
	op, payload := c.frame()
	if op != opClose || len(payload) < 2 || int(payload[0])<<8|int(payload[1]) != code {
		c.t.Fatalf("frame %d %q, want a close frame with %d", op, payload, code)
	}
	c.sendFrame(opClose, payload[:2])
	c.expectEnd()
}
