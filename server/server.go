package server

import (
	"context"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"peal/loop"
	"peal/loop/fanout"
	"peal/loop/proxied"
	"peal/server/apikey"
	"peal/server/app"
	"peal/server/ask"
	"peal/server/ban"
	"peal/server/cluster"
	"peal/server/control"
	"peal/server/counts"
	"peal/server/credential"
	"peal/server/dialect"
	"peal/server/forwarded"
	"peal/server/httpapi"
	"peal/server/hub"
	"peal/server/idempotency"
	"peal/server/inbox"
	"peal/server/log"
	"peal/server/logging"
	"peal/server/memory"
	"peal/server/mercure/subscription"
	"peal/server/otel"
	"peal/server/permit"
	"peal/server/presence"
	"peal/server/rate"
	"peal/server/revoke"
	"peal/server/rules"
	"peal/server/session"
	"peal/server/token"
	"peal/server/webhook"
	"peal/server/workers"
)

// Server is one Peal server.
type Server struct {
	// Fixed by New.
	config        Config
	started       time.Time
	addrs         []net.Addr
	adminAddrs    []net.Addr
	endpoints     []Endpoint // of addrs
	encryption    encryption
	redirectAddrs []net.Addr

	adminListeners, redirectListeners []*gate
	https                             []*http.Server // which serve them
	handed                            handed         // listeners of the process that this one goes on for

	log       log.Engine
	cluster   *cluster.Cluster // nil if the log is this server's own
	partings  *partings        // likewise
	loops     *loop.Group
	hub       *hub.Hub
	presence  *presence.Table
	counts    *counts.Table // nil if the log is this server's own
	bans      *ban.Table
	orders    *control.Control
	sessions  *session.IDs
	revoked   *revoke.Table
	dismisser *dismisser
	dialects  *dialect.Table
	tops      tops
	freshness *freshness // nil without other nodes
	keys      *idempotency.Table
	access    *logging.Access // nil without Config.AccessLog
	workers   *workers.Pool
	verifiers *workers.Pool // of tokens
	tokens    *token.Verifier

	publisherTokens, subscriberTokens *token.Verifier // of the Mercure protocol
	subscriptions                     *subscription.Table
	listed                            *subscription.Peers // those of other nodes, nil if the log is not shared, or none are listed

	fronts   []*httpapi.Front // by loop; used on its goroutine only
	tracing  *tracing         // nil without Config.TraceLives
	exporter *otel.Exporter   // nil without Config.OTLP
	origins  *httpapi.Origins
	mover    *inbox.Mover // nil for a log without an inbox
	hooks    *webhook.Hooks
	asking   *ask.Client
	buckets  *rate.Table // of what clients may do how often
	users    *permit.Users
	proxies  *forwarded.Proxies
	proxied  *proxied.Layer // nil if no proxy was trusted at the start

	operators atomic.Pointer[credential.Table] // of the admin listener; nil: no keys

	// Used by New, then by Run or Close.
	closers closers

	// Of an upgrade.
	upgrades   upgrades
	doors      []door        // its listeners
	changing   sync.Mutex    // held by what excludes one another: an upgrade, a reload, and the drain
	signalled  chan struct{} // closed when the drain is to begin
	left       chan struct{} // closed when another process has taken over
	ended      chan struct{} // closed when Run returns
	failed     <-chan error  // of loops that run before Run; else nil
	holds      chan hold     // of Run
	background background    // hooks, and the inbox
	beats      background    // heartbeats of the node

	starting starting // New writes it, and the admin listener reads it

	// Shared. Stored at the end; the admin listener reads it.
	draining atomic.Bool
	stale    atomic.Bool // the node may not know of revocations: see watchProgress

	memory   atomic.Int32 // memory.Level
	noMemory atomic.Bool  // publications are refused: permit.Gate

	// What Reload changes. channels is used by its caller; standard is fixed.
	channels   []rules.Rule
	standard   rules.Rule
	table      atomic.Pointer[rules.Table]  // loops read it for slow consumers
	drainNs    atomic.Int64                 // Config.Drain
	delayNs    atomic.Int64                 // Config.DrainDelay
	backends   atomic.Pointer[apikey.Table] // Config.Keys; the admin listener reads it
	apps       atomic.Pointer[app.Table]    // Config.Apps
	protection protection                   // of the channels of apps that have been
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

// policy is what becomes of slow consumers of a channel. On the server's own they
// get gaps for what they missed, whatever the rules.
func policy(table *rules.Table, channel string) fanout.Policy {
	if strings.HasPrefix(channel, log.PresencePrefix) {
		return fanout.Resume
	}
	return table.Slow(channel)
}

// sweepEvery is how often old history is looked for.
const sweepEvery = time.Second

// Run serves until ctx ends, then drains and returns nil. It returns an error
// when a loop fails, after which the process should end.
func (s *Server) Run(ctx context.Context) (err error) {
	defer func() { err = s.closers.closeAfter(err) }()
	defer close(s.ended)
	failed := s.failed
	if failed == nil {
		failed = s.loops.Start()
	}
	serving, end := context.WithCancel(context.WithoutCancel(ctx))
	var parts sync.WaitGroup
	defer parts.Wait()
	defer end()
	for _, tokens := range []*token.Verifier{s.tokens, s.publisherTokens, s.subscriberTokens} {
		parts.Go(func() { tokens.Run(serving) })
	}
	parts.Go(func() { s.watchProgress(serving) })
	parts.Go(func() { s.watchMemory(serving, memory.Resident) })
	parts.Go(func() { s.encryption.run(serving) })
	if s.cluster != nil {
		parts.Go(func() { s.partings.run(serving) })
	}
	if s.exporter != nil {
		parts.Go(func() { s.exporter.Run(serving) })
	}
	parts.Go(func() { s.recount(serving) })
	s.background.begin(serving)
	defer s.background.stop(done)
	s.beats.begin(serving)
	defer s.beats.stop(done)
	signalled, drained := ctx.Done(), make(chan struct{})
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	held := false                      // nothing may be appended: see hold
	var changes <-chan time.Time       // while there is something to tell about presence
	var subscriptions <-chan time.Time // and about subscriptions of the Mercure protocol
	for {
		sweeps, presenceWork, subscriptionWork := sweep.C, s.presence.Work(), s.subscriptions.Work()
		presenceChanges, subscriptionChanges := changes, subscriptions
		if held {
			sweeps, presenceWork, subscriptionWork, presenceChanges, subscriptionChanges = nil, nil, nil, nil, nil
		}
		select {
		case h := <-s.holds:
			if held = h.on; !held {
				s.background.begin(serving)
				s.beats.begin(serving)
			}
			close(h.done)
		case now := <-sweeps:
			s.hub.Sweep(now)
			s.presence.Sweep()
			if s.counts != nil {
				s.counts.Step(s.log.Append)
			}
			s.bans.Sweep()
			s.backends.Load().Sweep(now)
			s.revoked.Sweep()
		case <-presenceWork:
			if changes == nil {
				changes = time.After(presence.TickEvery)
			}
		case <-presenceChanges:
			changes = s.tickPresence()
		case <-subscriptionWork:
			if subscriptions == nil {
				subscriptions = time.After(subscription.ReportEvery)
			}
		case <-subscriptionChanges:
			subscriptions = s.reportSubscriptions()
		case err := <-failed:
			s.config.Log.Error("an event loop stopped unexpectedly", "error", err)
			return err
		case <-signalled: // clients are served until the drain comes to them
			signalled = nil
			close(s.signalled)
			parts.Go(func() {
				if s.drain(serving) {
					close(drained)
				}
			})
		case <-s.left:
			for _, h := range s.https {
				h.SetKeepAlivesEnabled(false) // the next request of its client goes to the new process
			}
			s.part()
			return nil
		case <-drained:
			s.subscriptions.Finish(s.log.Append)
			return nil
		}
	}
}

// done is a context that has ended.
var done = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// Close ends a server that Run is not called for.
func (s *Server) Close() error { return s.closers.closeAfter(nil) }

// drain ends the loops. It is quick when ctx ends. false: there is nothing to do, because another process has taken over.
func (s *Server) drain(ctx context.Context) bool {
	s.draining.Store(true)
	s.changing.Lock()
	defer s.changing.Unlock()
	select {
	case <-s.left:
		return false
	default:
	}
	if delay := time.Duration(s.delayNs.Load()); delay > 0 {
		s.config.Log.Info("not ready: the drain begins later", "delay", delay)
		select {
		case <-time.After(delay):
		case <-ctx.Done():
		}
	}
	limit := time.Duration(s.drainNs.Load())
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	s.config.Log.Info("draining", "limit", limit)
	s.loops.Drain(ctx)
	if ctx.Err() != nil {
		s.config.Log.Warn("drain limit reached: remaining connections were closed; raise drain to give clients more time")
	}
	return true
}
