package loop

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"

	"peal/loop/admit"
	"peal/loop/fanout"
	"peal/loop/ring"
)

// Group is the event loops of one server and the listeners they share.
type Group struct {
	config    Config
	admission *admit.Admission
	loops     []*Loop
	ended     chan error // one for each loop
	once      sync.Once
	started   bool // by the goroutine that calls New, Serve, Start and Close

	walks    atomic.Int32  // of Walk, under way
	stepping chan struct{} // has a value while a step of one is under way

	dismissals atomic.Int32 // under way
	drainRate  atomic.Int64 // Config.DrainRate
	goodbyes   atomic.Int64 // that a drain may still say now
	reserved   atomic.Int32 // descriptors that Reserve counts
}

// Parts is what the loops of a Group serve.
type Parts struct {
	Listeners []int                // listening, non-blocking descriptors (Listen, Inherit); the Group closes them
	Inherited int                  // how many of Listeners, the first ones, another process keeps open (Inherit); what waits there at the end is left to it
	Front     func(loop int) Front // called once for each loop
	Encoder   fanout.Encoder       // shared: any goroutine calls it
	Source    fanout.Source
	Limited   func(peer netip.Addr) bool                   // the limits of addresses hold for it (Config.Admission); nil: unless it is a loopback address, Trusted, or not valid, a Unix socket's. Any goroutine calls it.
	Trusted   func(peer netip.Addr) bool                   // whose word about the clients behind it counts, a proxy's; not valid: a Unix socket's. nil: nobody's. Any goroutine calls it.
	Share     func(addr netip.Addr, session uint64) uint64 // who is counted together when a limit is reached; nil: each connection alone. Any goroutine calls it.
	Policy    func(channel string) fanout.Policy           // of slow consumers; nil: all are resumed. Any goroutine calls it.
	Encodings func() int                                   // bytes of encodings that the loops together may keep with messages; nil: no limit. Any goroutine calls it.
	Patterns  fanout.Patterns                              // of matchers in subscriptions; nil: there are none. Any goroutine calls it.
	Past      fanout.Past                                  // the history of matchers, with Patterns
	Clock     func() int64                                 // the one of ring.Message.Accepted, in nanoseconds; nil: no latencies are observed

	// Traffic reads what the kernel has counted for a socket, when somebody looks at its
	// connection: TCPTraffic. nil: that is not known.
	Traffic func(socket int32) (t Traffic, ok bool)
	// Tracer hears of connections that receive, called once for each loop; nil: nobody does.
	Tracer func(loop int) Tracer

	// Sender puts a sender before the loop's own, which sends with a system call for
	// each connection; nil: none. One that has something to report beside
	// Fan.Flush asks its kernel for a turn.
	Sender func(loop int, next fanout.Sender) fanout.Sender
}

// OpenKernel opens the kernel of a loop.
type OpenKernel func(loop int, h Handler) (Kernel, error)

// New makes the loops, which read r; it must not have a message yet. They can be
// woken and answered from now on. What they serve follows by Serve, and nothing runs
// before Start. open is nil for the kernel of the machine.
func New(c Config, r *ring.Ring, open OpenKernel) (*Group, error) {
	if open == nil {
		open = OpenMachine
	}
	g := &Group{config: c.WithDefaults(), stepping: make(chan struct{}, 1)}
	g.SetDrainRate(g.config.DrainRate)
	g.ended = make(chan error, g.config.Loops)
	g.admission = admit.New(g.config.admission(), rand.Uint64())
	for i := range g.config.Loops {
		l, err := newLoop(i, g.config, r.Reader(), g.admission, open)
		if err != nil {
			g.Close()
			return nil, fmt.Errorf("loop %d: %w", i, err)
		}
		g.loops = append(g.loops, l)
	}
	for _, l := range g.loops {
		l.loops = g.loops
	}
	r.OnTaken(g.loops[0].release)
	return g, nil
}

// Serve gives the loops what they serve. Call it once, before Start. After an error
// only Close is left to call, which closes the listeners, too.
func (g *Group) Serve(p Parts) error {
	for _, l := range g.loops {
		l.serve(p)
	}
	a := newAcceptor(g, p.Listeners, p.Inherited)
	g.loops[0].acceptor = a
	for _, fd := range a.listeners {
		if err := g.loops[0].kernel.Add(fd); err != nil {
			return fmt.Errorf("poll listener: %w", err)
		}
	}
	return nil
}

// Close ends a Group that was not started; one that was is ended by Drain, or with
// the process. Connections that are left are closed as they are.
func (g *Group) Close() {
	if g.started {
		return
	}
	for _, l := range g.loops {
		if l.acceptor != nil {
			l.acceptor.close()
		}
		l.end()
	}
}

// ErrLoopEnded: a loop stopped though nobody told it to. The process should end.
var ErrLoopEnded = errors.New("loop: an event loop stopped unexpectedly")

// Start runs the loops. failed receives an error if one ends unasked, which
// must be fatal: its connections are gone and nobody reads its ring.
func (g *Group) Start() (failed <-chan error) {
	g.started = true
	out := make(chan error, 1)
	for i, l := range g.loops {
		go func() { // ends with the loop: Drain waits for it
			err := l.run()
			if !l.stopping.Load() {
				select {
				case out <- fmt.Errorf("%w: loop %d: %w", ErrLoopEnded, i, err):
				default:
				}
			}
			g.ended <- err
		}()
	}
	return out
}

// Wake tells the loops that the ring has something for them.
func (g *Group) Wake() {
	for _, l := range g.loops {
		l.Wake()
	}
}

// Look has the loops look at the ring also if nothing was published: see ring.Ring.Lose.
// Any goroutine may call it.
func (g *Group) Look() {
	for _, l := range g.loops {
		l.Post(l.scheduleTurn)
	}
}

// Answer brings a worker's answer to its connection's loop.
func (g *Group) Answer(ref Ref, out []byte) { g.loops[ref.Loop].Answer(ref, out) }

// AnswerBytes is how much was brought by Answer and has not been handed on to
// connections yet. Any goroutine may call it.
func (g *Group) AnswerBytes() (n int) {
	for _, l := range g.loops {
		n += int(l.answerBytes.Load())
	}
	return n
}

// Each runs f on every loop, with its number, and waits, at most until ctx ends:
// what f writes may be read only if the error is nil. It is for what happens
// rarely.
func (g *Group) Each(ctx context.Context, f func(loop int)) error {
	return g.each(ctx, func(l *Loop) { f(int(l.number)) })
}

// each runs f on all loops and waits, at most until ctx ends.
func (g *Group) each(ctx context.Context, f func(*Loop)) error {
	done := make(chan struct{}, len(g.loops))
	for _, l := range g.loops {
		l.Post(func() {
			f(l)
			done <- struct{}{}
		})
	}
	for range g.loops {
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Pause stops accepting, or goes on with it; connections that wait stay in the
// kernel's backlog.
func (g *Group) Pause(on bool) {
	l := g.loops[0]
	l.Post(func() { l.acceptor.pause(on) })
}
