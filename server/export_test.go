package server

import (
	"context"
	"io"
	"log/slog"
	"net"
	"time"

	"peal/loop"
	"peal/loop/ring"
	"peal/server/certificate"
	"peal/server/control"
	"peal/server/log"
	"peal/server/memory"
	"peal/server/upgrade"
	"peal/server/webhook"
)

// Policy is what becomes of slow consumers of a channel.
var Policy = policy

// CheckAdmin refuses an admin listener that others could use.
func CheckAdmin(c Config) error { return c.checkAdmin() }

// UsersOf sums talkers up by client.
var UsersOf = usersOf

// Build is New, with a function that is called behind each step.
var Build = build

// NewGate is newGate.
var NewGate = newGate

// WithLog has the server open that engine, whatever c names.
func WithLog(c Config, open func() (log.Engine, error)) Config {
	c.open = open
	return c
}

// WithClock has the server know by now how old it is what it has read of a shared log.
func WithClock(c Config, now func() time.Time) Config {
	c.now = now
	return c
}

// MemoryIs is what the watch of the memory does once a second.
func (s *Server) MemoryIs(level memory.Level) { s.memoryIs(level, 1, 1) }

// WatchMemory is the watch, with another source of what the process has.
func (s *Server) WatchMemory(ctx context.Context, resident func() (int, error)) {
	s.watchMemory(ctx, resident)
}

// IsAmong reports whether an inherited listener has an address of the configuration.
func IsAmong(configured string, inherited net.Addr) bool {
	return isAmong(address{text: configured}, []net.Addr{inherited})
}

// TimesOfTLS are the time limits that the loops have with the configuration.
func TimesOfTLS(c Config) (handshake, record time.Duration) {
	layer := c.WithDefaults().layer(&certificate.Store{})
	return layer.HandshakeTimeout, layer.RecordTimeout
}

// EachLoop runs f on every loop.
func (s *Server) EachLoop(ctx context.Context, f func(loop int)) error { return s.loops.Each(ctx, f) }

// OperatorErrors is where the operator's listener writes its errors.
func OperatorErrors(l *slog.Logger) io.Writer { return operatorErrors{l} }

// Freshness is the tail that ends streams before a node that was paused reads on.
type Freshness struct{ *freshness }

// NewFreshness returns one of a server without loops.
func NewFreshness(now func() time.Time, lease time.Duration) Freshness {
	s := &Server{config: Config{now: now, NodeLease: lease}}
	group, err := loop.New(loop.Config{Loops: 1}, oneRing(), nil)
	if err != nil {
		panic(err)
	}
	s.loops = group
	return Freshness{&freshness{server: s, signal: make(chan struct{}, 1)}}
}

func oneRing() *ring.Ring {
	r, err := ring.New(2, 1, 0)
	if err != nil {
		panic(err)
	}
	return r
}

// Look is what the server does every progressEvery, when it has read everything.
func (f Freshness) Look() {
	at := f.server.now()
	f.latest.Store(&at)
}

// Stale reports whether users are refused.
func (f Freshness) Stale() bool { return f.server.stale.Load() }

// Clear ends the streams.
func (f Freshness) Clear(ctx context.Context) { f.clear(ctx) }

// NewStatesWith is NewStates with namespaces of apps, and Namespaces are those of such a state.
func NewStatesWith(orders *control.Control, hooks *webhook.Hooks, namespaces ...string) log.State {
	p := &protection{}
	p.add(namespaces)
	return states{orders, hooks, p}
}
func Namespaces(s log.State) []string { return s.(states).apps.namespaces() }

// NewStates is what the log keeps beyond its entries.
func NewStates(orders *control.Control, hooks *webhook.Hooks) log.State {
	return states{orders, hooks, &protection{}}
}

// TakeOverAt is TakeOver that calls at before each step, and fails with its error; nil for no steps.
func TakeOverAt(ctx context.Context, c Config, l *upgrade.Link, at func(step string) error) (*Server, error) {
	if at == nil {
		return TakeOver(ctx, c, l)
	}
	return takeOver(ctx, c, l, func(t *taking) upgrade.New { return stepping{t, at} })
}

type stepping struct {
	*taking
	at func(step string) error
}

func (s stepping) Accept(m upgrade.Manifest, listeners []int) error {
	if err := s.at("accept"); err != nil {
		closeAll(listeners)
		return err
	}
	return s.taking.Accept(m, listeners)
}

func (s stepping) Take(p upgrade.Part) error {
	if err := s.at(p.Room); err != nil {
		return err
	}
	return s.taking.Take(p)
}

func (s stepping) Expect(b upgrade.Batch) error {
	if err := s.at("expect"); err != nil {
		closeAll(b.Descriptors)
		return err
	}
	return s.taking.Expect(b)
}

func (s stepping) Adopt(b upgrade.Batch) ([]int, error) {
	if err := s.at("adopt"); err != nil {
		closeAll(b.Descriptors)
		return nil, err
	}
	return s.taking.Adopt(b)
}

func (s stepping) Prepare(t upgrade.Totals) error {
	if err := s.taking.Prepare(t); err != nil {
		return err
	}
	return s.at("prepare")
}
