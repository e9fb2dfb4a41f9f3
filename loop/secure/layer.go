package secure

import (
	"crypto/tls"
	"log/slog"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"peal/loop"
)

// Config of a Layer. A zero value means the default.
type Config struct {
	// TLS is the configuration of all connections. New sets
	// DynamicRecordSizingDisabled in it, so that a message is one record. Its callbacks
	// run in the goroutine of a handshake, must not wait for anything, and must
	// return configurations that are shared by all connections.
	TLS *tls.Config

	// Handshakes is how many unfinished handshakes may have a goroutine, each with
	// about 40 KiB. Default 512. The address that has most gets at most as many as are free.
	Handshakes int

	// Waiting is how many clients may wait for one of these, each with its
	// ClientHello. Default 8192. Beyond it, a client of the address with the most is refused.
	Waiting int

	// Computing is how many handshakes compute at the same time. Default: one less than
	// there are processors, so that a loop that wakes finds one; at least 1.
	Computing int

	// HandshakeTimeout is for the handshake as a whole. Default 10 s.
	HandshakeTimeout time.Duration

	// RecordTimeout is for one record, from its first byte to its last. Default 30 s. A
	// connection that has always a part of some record has up to twice that.
	RecordTimeout time.Duration

	// InputBytes is how much all connections of one loop together may have sent that cannot
	// be decrypted yet: handshake messages, parts of records. Default 32 MiB. Beyond
	// it, those with the most are closed, with regard to their addresses.
	InputBytes int

	// KeptBytes is how much of sealed records the sockets of one loop together may not have
	// taken, at most one record each. Default 64 MiB. Beyond it, as of InputBytes.
	KeptBytes int

	// Lockstep runs the goroutine of a handshake only while the loop waits for it, for
	// simulations, in which everything happens in one order.
	Lockstep bool

	Log *slog.Logger
}

func (c Config) withDefaults() Config {
	or := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	or(&c.Handshakes, 512)
	or(&c.Waiting, 8192)
	or(&c.Computing, max(1, runtime.GOMAXPROCS(0)-1))
	or(&c.InputBytes, 32<<20)
	or(&c.KeptBytes, 64<<20)
	if c.HandshakeTimeout <= 0 {
		c.HandshakeTimeout = 10 * time.Second
	}
	if c.RecordTimeout <= 0 {
		c.RecordTimeout = 30 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Layer is TLS for the loops of one server.
type Layer struct {
	// Fixed at start.
	config    Config
	listeners []int32 // whose connections speak TLS

	// Shared.
	counts    counts
	queue     queue
	computing chan struct{} // has a token for each handshake that computes
	unclaimed atomic.Int32  // len(accepted)
	mu        sync.Mutex
	accepted  map[int32]netip.AddrPort // sockets between Accept, on one loop, and Add, on another; guarded by mu
}

// New makes a layer. Open puts it between loops and their kernels, Serve
// tells it which connections are its own.
func New(c Config) *Layer {
	c = c.withDefaults()
	c.TLS.DynamicRecordSizingDisabled = true
	l := &Layer{config: c, accepted: map[int32]netip.AddrPort{}, computing: make(chan struct{}, c.Computing)}
	l.queue.init(c.Handshakes, c.Waiting)
	return l
}

// Serve names the listeners whose connections speak TLS. Call it before the
// loops start. It is added to what earlier calls have named.
func (l *Layer) Serve(listeners ...int) {
	for _, fd := range listeners {
		l.listeners = append(l.listeners, int32(fd))
	}
}

// Open returns what opens the kernel below and puts the layer on it.
func (l *Layer) Open(below loop.OpenKernel) loop.OpenKernel {
	return func(number int, above loop.Handler) (loop.Kernel, error) {
		k := newKernel(l, above)
		var err error
		if k.below, err = below(number, handler{k}); err != nil {
			return nil, err
		}
		return k, nil
	}
}

func (l *Layer) serves(listener int32) bool { return slices.Contains(l.listeners, listener) }

// leave notes an accepted socket, for the loop that will add it.
func (l *Layer) leave(socket int32, peer netip.AddrPort) {
	l.mu.Lock()
	l.accepted[socket] = peer
	l.unclaimed.Store(int32(len(l.accepted)))
	l.mu.Unlock()
}

// claim reports whether the socket came from a listener of the layer, and forgets it.
func (l *Layer) claim(socket int32) (peer netip.AddrPort, ok bool) {
	if l.unclaimed.Load() == 0 {
		return netip.AddrPort{}, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if peer, ok = l.accepted[socket]; ok {
		delete(l.accepted, socket)
		l.unclaimed.Store(int32(len(l.accepted)))
	}
	return peer, ok
}
