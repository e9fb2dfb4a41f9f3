package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"peal/loop"
	"peal/loop/fanout"
	"peal/loop/ring"
	"peal/server/auth"
	"peal/server/ban"
	"peal/server/control"
	"peal/server/engine"
	"peal/server/httpapi"
	"peal/server/hub"
	"peal/server/idempotency"
	"peal/server/log"
	"peal/server/logging"
	"peal/server/presence"
	"peal/server/rules"
	"peal/server/share"
	"peal/server/tally"
	"peal/server/workers"
)

// Server is one Peal server.
type Server struct {
	config     Config
	addrs      []net.Addr
	adminAddrs []net.Addr
	hub        *hub.Hub
	log        log.Engine
	loops      *loop.Group
	workers    *workers.Pool
	access     *logging.Access  // nil without Config.AccessLog
	fronts     []*httpapi.Front // by loop; used on its goroutine only

	presence *presence.Table
	bans     *ban.Table
	keys     *idempotency.Table

	admin    *http.Server // nil without Config.Admin
	draining atomic.Bool  // stored at the end; the admin listener reads it

	// What Reload changes. channels is used by whoever calls it; standard is fixed.
	origins  *httpapi.Origins
	channels []rules.Rule
	standard rules.Rule
	table    atomic.Pointer[rules.Table] // loops read it for slow consumers
	drainNs  atomic.Int64                // Config.Drain
}

// door is where answers of workers, wake-ups and dismissals go: the loops, which
// are made after those who need them.
type door struct {
	loops  *loop.Group
	fronts []*httpapi.Front

	mu         sync.Mutex
	dismissing share.Ledger[struct{}] // dismissals under way
}

func (d *door) Answer(ref loop.Ref, out []byte) { d.loops.Answer(ref, out) }
func (d *door) wake()                           { d.loops.Wake() }

// dismissalsOfShare is how many dismissals of one share may be under way: half of
// what the loops take.
const dismissalsOfShare = 32

func (d *door) Dismiss(by share.Key, clients httpapi.Clients, done func(ended int)) bool {
	if !d.beginDismissal(by) {
		return false
	}
	pick := func(loop int, session uint64) bool { return d.fronts[loop].Dismiss(session, clients) }
	ok := d.loops.Dismiss(pick, func(n int) {
		d.endDismissal(by)
		done(n)
	})
	if !ok {
		d.endDismissal(by)
	}
	return ok
}

func (d *door) beginDismissal(by share.Key) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	a := d.dismissing.Open(by)
	if a.Held() >= dismissalsOfShare {
		return false
	}
	d.dismissing.Add(a, 1)
	return true
}

func (d *door) endDismissal(by share.Key) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dismissing.Add(d.dismissing.Open(by), -1)
}

// New builds the server and opens its listeners; from then on clients can
// connect, and wait until Run.
func New(c Config) (_ *Server, err error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = capLoops(c).WithDefaults()
	if err := checkDescriptors(c); err != nil {
		return nil, err
	}
	stored, err := engine.Open(c.Engine, c.Settings, time.Now)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, stored.Close())
		}
	}()
	r, err := ring.New(c.RingSlots, c.RingBytes, stored.Head())
	if err != nil {
		return nil, err
	}
	table := rules.New(c.Channels, c.standard())
	c.Hub.Rules = table
	s := &Server{config: c, log: stored, channels: c.Channels, standard: c.standard()}
	s.table.Store(table)
	s.drainNs.Store(int64(c.Drain))
	d := &door{}
	s.hub = hub.New(c.Hub, r, d.wake, time.Now)
	s.presence = presence.New(c.Presence, s.isWatched, time.Now)
	s.bans = ban.New(c.DisconnectClients, c.ofShare(c.DisconnectClients), time.Now)
	orders := control.New(stored, s.bans, time.Now, c.Log)
	keys := idempotency.New(c.IdempotencyWindow, c.IdempotencyKeys, c.ofShare(c.IdempotencyKeys), time.Now)
	if err := s.startLog(keys, orders); err != nil {
		return nil, err
	}
	s.keys = keys
	s.workers = workers.New(c.Workers, c.WorkerQueue)
	if s.access, err = logging.OpenAccess(c.AccessLog); err != nil {
		s.workers.Close()
		return nil, err
	}
	defer func() {
		if err != nil {
			s.access.Close()
		}
	}()
	deps := httpapi.Deps{Log: s.log, Hub: s.hub, Door: d, Workers: s.workers, Keys: keys, Presence: s.presence, Dismisser: d, Bans: s.bans, Orders: orders, Rules: table, MessageLimit: c.Loop.MessageBytes, WireLimit: c.wireLimit(), Limits: c.HTTP}
	if s.access != nil {
		deps.Access = s.access
	}
	deps.Policy = &auth.Policy{Open: c.Open, Origins: c.Origins}
	deps.Origins = httpapi.NewOrigins(deps.Policy)
	s.origins = deps.Origins
	encoder := httpapi.NewEncoder(nil, s.log.Lineage(), rand.Int64N, deps.Origins)
	permissions, err := c.permissions()
	if err != nil {
		s.workers.Close()
		return nil, err
	}
	listeners, err := s.listen(permissions)
	if err == nil {
		d.loops, err = loop.New(c.Loop, loop.Parts{
			Listeners: listeners,
			Front:     func(int) loop.Front { return s.newFront(deps) },
			Encoder:   encoder,
			Source:    s.hub,
			Ring:      r,
			Share:     func(addr netip.Addr, session uint64) uint64 { return uint64(share.Of(addr, session)) },
			Policy:    func(channel string) fanout.Policy { return policy(s.table.Load(), channel) },
			Encodings: s.hub.Encodings,
			Clock:     s.hub.Clock,
		})
	}
	if err != nil {
		for _, fd := range listeners {
			unix.Close(fd)
		}
		s.workers.Close()
		return nil, err
	}
	s.loops, d.fronts = d.loops, s.fronts
	s.workers.Count(d.loops.AnswerBytes)
	if err := s.listenAdmin(permissions); err != nil {
		s.loops.Close()
		s.workers.Close()
		return nil, err
	}
	return s, nil
}

// capLoops has no more loops than processors can run at a time. A configuration
// may have been written for a larger machine.
func capLoops(c Config) Config {
	if most := runtime.GOMAXPROCS(0); c.Loop.Loops > most {
		c.WithDefaults().Log.Warn("loops is greater than the number of processors: the server runs fewer", "loops", c.Loop.Loops, "processors", most)
		c.Loop.Loops = most
	}
	return c
}

// Limits are what the server uses of settings whose default depends on the machine.
type Limits struct{ Loops, Connections, Descriptors int }

// Limits are the effective limits of this process.
func (s *Server) Limits() Limits {
	return Limits{s.config.Loop.Loops, s.config.Loop.MaxConnections, loop.DescriptorLimit()}
}

// policy is what becomes of slow consumers of a channel. On the server's own they
// are told what they missed, whatever the rules.
func policy(table *rules.Table, channel string) fanout.Policy {
	if strings.HasPrefix(channel, log.PresencePrefix) {
		return fanout.Resume
	}
	return table.Slow(channel)
}

func (s *Server) newFront(deps httpapi.Deps) *httpapi.Front {
	f := httpapi.New(deps)
	s.fronts = append(s.fronts, f)
	return f
}

// LogFailing reports whether the log can write nothing at the moment: its disk is
// full or broken. Subscribers stay; publishing is refused.
func (s *Server) LogFailing() bool {
	return s.log.Failing() != nil
}

// LostAccessLines is how many lines of the access log were left out.
func (s *Server) LostAccessLines() uint64 { return s.access.Lost() }

// LostLines is how many lines of the server's own log were lost.
func (s *Server) LostLines() uint64 {
	if s.config.LostLines == nil {
		return 0
	}
	return s.config.LostLines()
}

// LogHead is the sequence of the newest message.
func (s *Server) LogHead() uint64 { return s.log.Head() }

// HubStats tells about channels and history.
func (s *Server) HubStats() hub.Stats { return s.hub.Stats() }

// FrontStats is what was counted about requests, on the loops and beside them.
func (s *Server) FrontStats(ctx context.Context) (tally.Stats, error) {
	each := make([]tally.Stats, len(s.fronts))
	if err := s.loops.Each(ctx, func(i int) { each[i] = s.fronts[i].Stats() }); err != nil {
		return tally.Stats{}, err // a loop may write its own later
	}
	sum := s.workers.Tally().Stats()
	for _, one := range each {
		sum.Add(one)
	}
	return sum, nil
}

// PresenceStats tells about members of channels.
func (s *Server) PresenceStats() presence.Stats { return s.presence.Stats() }

// Bans is how many disconnected clients are kept away, and how many were ever let
// in before their time for the sake of others.
func (s *Server) Bans() (kept int, evicted uint64) { return s.bans.Len(), s.bans.Evicted() }

// IdempotencyKeys is how many keys are remembered, and how many were ever
// forgotten before their window had passed.
func (s *Server) IdempotencyKeys() (remembered int, evicted uint64) {
	return s.keys.Len(), s.keys.Evicted()
}

// LoopStats asks the loops for their counters.
func (s *Server) LoopStats(ctx context.Context) ([]loop.Stats, error) { return s.loops.Stats(ctx) }

// Ready reports whether new clients are welcome.
func (s *Server) Ready() bool { return !s.draining.Load() }

// sweepEvery is how often old history is looked for.
const sweepEvery = time.Second

// Run serves until ctx ends, then drains and returns nil. It returns an error
// when a loop fails, after which the process should end.
func (s *Server) Run(ctx context.Context) error {
	defer s.access.Close() // when nobody writes any more
	defer s.workers.Close()
	if s.admin != nil {
		defer s.admin.Close()
	}
	failed := s.loops.Start()
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	var changes <-chan time.Time // while there is something to tell about presence
	for {
		select {
		case now := <-sweep.C:
			s.hub.Sweep(now)
			s.presence.Sweep()
			s.bans.Sweep()
		case <-s.presence.Work():
			if changes == nil {
				changes = time.After(presence.TickEvery)
			}
		case <-changes:
			changes = nil
			if s.presence.Tick(s.publishPresence) {
				changes = time.After(presence.TickEvery)
			}
		case err := <-failed:
			s.config.Log.Error("an event loop ended", "error", err)
			return errors.Join(err, s.log.Close())
		case <-ctx.Done():
			return s.drain()
		}
	}
}

func (s *Server) drain() error {
	limit := time.Duration(s.drainNs.Load())
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	s.draining.Store(true)
	s.config.Log.Info("draining", "limit", limit)
	s.loops.Drain(ctx)
	if err := s.log.Close(); err != nil {
		return fmt.Errorf("close the log: %w", err)
	}
	if ctx.Err() != nil {
		s.config.Log.Warn("drain limit reached: remaining connections were closed")
	}
	return nil
}

// Stats is the state of the server for an operator.
type Stats struct {
	Epoch    string
	Sequence uint64
	Hub      hub.Stats
	Fronts   tally.Stats
	Loops    []loop.Stats
}

// Stats asks all rooms. It may be called while Run runs.
func (s *Server) Stats(ctx context.Context) (Stats, error) {
	loops, err := s.loops.Stats(ctx)
	if err != nil {
		return Stats{}, err
	}
	fronts, err := s.FrontStats(ctx)
	c := s.log.Lineage().Cursor(s.log.Head())
	return Stats{Epoch: c.String(), Sequence: c.Sequence, Hub: s.hub.Stats(), Fronts: fronts, Loops: loops}, err
}

// JSON is the state on one line.
func (s Stats) JSON() string {
	b, err := json.Marshal(s)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
