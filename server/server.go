package server

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"peal/loop"
	"peal/loop/fanout"
	"peal/loop/proxied"
	"peal/loop/ring"
	"peal/server/apikey"
	"peal/server/app"
	"peal/server/ask"
	"peal/server/ban"
	"peal/server/cluster"
	"peal/server/control"
	"peal/server/counts"
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
	"peal/server/pusher/xhr"
	"peal/server/rate"
	"peal/server/revoke"
	"peal/server/rules"
	"peal/server/session"
	"peal/server/share"
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
	log           log.Engine
	cluster       *cluster.Cluster // nil if the log is this server's own
	partings      *partings        // likewise
	loops         *loop.Group
	hub           *hub.Hub
	presence      *presence.Table
	counts        *counts.Table // nil if the log is this server's own
	bans          *ban.Table
	revoked       *revoke.Table
	dismisser     *dismisser
	orders        *control.Control
	sessions      *session.IDs
	dialects      *dialect.Table
	tops          tops
	freshness     *freshness // nil without other nodes
	keys          *idempotency.Table
	access        *logging.Access // nil without Config.AccessLog
	workers       *workers.Pool
	verifiers     *workers.Pool // of tokens
	tokens        *token.Verifier

	publisherTokens, subscriberTokens *token.Verifier // of the Mercure protocol
	subscriptions                     *subscription.Table

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

	// Used by New, then by Run or Close.
	closers closers

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

// New builds the server and opens its listeners; from then on clients can
// connect, and wait until Run. The admin listener is open while New reads the log, and says
// how far it has come. Run must follow, or Close.
func New(c Config) (*Server, error) { return build(c, func(string) error { return nil }) }

// build is New. begun is called behind each step that leaves something to close, so
// that a test can have each of them fail.
func build(c Config, begun func(step string) error) (_ *Server, err error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = capLoops(c).WithDefaults()
	if err := checkDescriptors(c); err != nil {
		return nil, err
	}
	permissions, err := c.permissions()
	if err != nil {
		return nil, err
	}
	table := rules.New(c.Channels, c.standard())
	c.Hub.Rules = table
	s := &Server{config: c, started: time.Now(), channels: c.Channels, standard: c.standard()}
	s.table.Store(table)
	s.drainNs.Store(int64(c.Drain))
	s.delayNs.Store(int64(c.DrainDelay))
	s.backends.Store(apikey.New(c.Keys, nil))
	apps, err := c.newApps(nil)
	if err != nil {
		return nil, err
	}
	s.apps.Store(apps)
	defer func() {
		if err != nil {
			err = s.closers.closeAfter(err)
		}
	}()

	// The operator's door, first: it says how far the start is.
	if s.encryption, err = openEncryption(c); err != nil {
		return nil, err
	}
	operator, err := s.listenAdmin(permissions)
	if err != nil {
		return nil, err
	}
	if err := begun("admin listener"); err != nil {
		return nil, err
	}

	// The log as the life before has left it, and the loops, which read on from there.
	s.starting.does("opening the log")
	if s.log, err = c.openLog(); err != nil {
		return nil, err
	}
	s.closers.add("close the log", s.log.Close)
	if err := begun("log"); err != nil {
		return nil, err
	}
	r, err := ring.New(c.RingSlots, c.RingBytes, s.log.Head())
	if err != nil {
		return nil, err
	}
	trusted, err := c.trustProxies()
	if err != nil {
		return nil, err
	}
	if s.loops, err = loop.New(c.Loop, r, s.encryption.open(s.openKernel(c, trusted))); err != nil {
		return nil, err
	}
	s.closers.add("close the loops", func() error { s.loops.Close(); return nil })
	if err := begun("loops"); err != nil {
		return nil, err
	}

	// What the log feeds.
	sessions := session.Random()
	s.hub = hub.New(c.Hub, r, s.loops.Wake, time.Now)
	if c.matchers() {
		s.hub.RecordOrder()
	}
	s.hub.UseSessions(func(id [16]byte) uint64 { n, _ := sessions.Session(id); return n })
	s.presence = presence.New(c.Presence, s.isWatched, time.Now)
	s.presence.UseComplete(s.isComplete)
	s.bans = ban.New(c.DisconnectClients, c.ofShare(c.DisconnectClients), time.Now)
	s.keys = idempotency.New(c.IdempotencyWindow, c.IdempotencyKeys, c.ofShare(c.IdempotencyKeys), time.Now)
	s.revoked = revoke.New(c.Revocations, c.Token.Longest(), time.Now)
	orders := control.New(s.log, s.bans, s.revoked, time.Now, c.Log)
	s.orders, s.sessions = orders, sessions
	s.shareLog(orders)
	if err := s.openWebhooks(); err != nil {
		return nil, err
	}
	s.starting.does("reading the log")
	if err := s.startLog(orders); err != nil {
		return nil, err
	}
	if apps, err = c.newApps(app.Remembered(s.protection.namespaces())); err != nil {
		return nil, err
	}
	s.apps.Store(apps)
	s.rememberApps(apps)
	if err := begun("restore"); err != nil {
		return nil, err
	}

	// What responds to requests.
	s.starting.does("the log is read, and the listeners are opened")
	if s.access, err = logging.OpenAccess(c.AccessLog); err != nil {
		return nil, err
	}
	s.closers.add("close the access log", func() error { s.access.Close(); return nil })
	if err := begun("access log"); err != nil {
		return nil, err
	}
	s.workers = workers.New(c.Workers, c.WorkerQueue)
	s.workers.Count(s.loops.AnswerBytes)
	s.closers.add("end the workers", func() error { s.workers.Close(); return nil })
	if err := begun("workers"); err != nil {
		return nil, err
	}
	if s.tokens, err = token.New(c.Token); err != nil {
		return nil, err
	}
	if err := s.newMercureTokens(c); err != nil {
		return nil, err
	}
	s.verifiers = workers.New(c.TokenWorkers, c.TokenQueue)
	s.closers.add("end the verifiers", func() error { s.verifiers.Close(); return nil })
	if err := begun("verifiers"); err != nil {
		return nil, err
	}
	if err := s.openAsking(c); err != nil {
		return nil, err
	}
	if s.mover, err = s.newMover(); err != nil {
		return nil, err
	}
	allowed := c.policy()
	s.origins = httpapi.NewOrigins(allowed)
	encoder := httpapi.NewEncoder(nil, s.log.Lineage(), rand.Int64N, s.origins)
	encoder.Sessions = sessions
	encoder.MinBytes = c.DeflateMinBytes
	encoder.Deflates = func(channel string) bool { return s.table.Load().Deflates(channel) }
	s.dismisser = &dismisser{loops: s.loops}
	s.dialects = dialect.NewTable(dialect.Standard()...)
	s.subscriptions = c.newSubscriptions()
	s.buckets, s.users = rate.New(rate.Buckets), permit.NewUsers()
	streams := xhr.NewSessions(s.fallback(c), s.loops)
	s.closers.add("end the sessions over plain HTTP", func() error { streams.Close(); return nil })
	deps := httpapi.Deps{
		Log: s.log, Hub: s.directory(), Door: s.loops, Workers: s.workers, Keys: s.keys, Presence: s.presence,
		Dismisser: s.dismisser, Bans: s.bans, Orders: orders, Rules: table, Policy: allowed, Origins: s.origins, Sessions: sessions,
		Identity: s.identity(c), Ask: s.asking, Apps: apps, CacheMissed: s.hooks.Missed, Streams: streams, Adopter: s.loops, Buckets: s.buckets, Users: s.users, Proxies: s.proxies, AddressFull: s.loops.AddressFull, ConnectionsElsewhere: s.connectionsElsewhere, NoMemory: &s.noMemory, Stale: &s.stale,
		Subscriptions: s.subscriptions,
		MessageLimit:  c.Loop.MessageBytes, WireLimit: c.wireLimit(), Limits: c.HTTP,
	}
	if s.access != nil {
		deps.Access = s.access
	}
	if err := s.openSpans(c); err != nil {
		return nil, err
	}
	deps.Spans, deps.Dialects = s.spans(c), encoder.Table()
	s.tracing = s.newTracing(c, sessions, deps.Dialects)
	for i := range c.Loop.Loops {
		deps.Refused = s.tracing.refused(i)
		s.fronts = append(s.fronts, httpapi.New(deps))
	}

	// The doors, last: clients find all of it.
	listeners, err := s.listen(permissions)
	if err != nil {
		return nil, err
	}
	parts := loop.Parts{
		Listeners: listeners,
		Inherited: len(c.Inherit) + len(c.InheritPlain), // see listen
		Front:     func(i int) loop.Front { return s.fronts[i] },
		Encoder:   encoder,
		Source:    s.hub,
		Trusted:   s.proxies.Has,
		Share:     func(addr netip.Addr, session uint64) uint64 { return uint64(share.Of(addr, session)) },
		Policy:    func(channel string) fanout.Policy { return policy(s.table.Load(), channel) },
		Encodings: s.hub.Encodings,
		Clock:     s.hub.Clock,
		Traffic:   loop.TCPTraffic,
		Tracer:    s.tracer(),
	}
	if c.matchers() {
		parts.Patterns, parts.Past = openPatterns{rules: &s.table, apps: &s.apps, asking: s.asking}, s.hub
	}
	if err = s.loops.Serve(parts); err != nil {
		return nil, err
	}
	if err := begun("listeners"); err != nil {
		return nil, err
	}
	s.warnIfPublic()
	s.enter()
	redirect, err := s.listenRedirect()
	if err != nil {
		return nil, fmt.Errorf("http-redirect: %w", err)
	}
	if redirect != nil {
		s.closers.add("close the listener that redirects to https", redirect.Close)
	}
	if err := begun("redirect listener"); err != nil {
		return nil, err
	}
	operator.serve()
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
	failed := s.loops.Start()
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
		parts.Go(func() { s.cluster.Run(serving) })
		parts.Go(func() { s.partings.run(serving) })
	}
	parts.Go(func() { s.moveInbox(serving) })
	if s.exporter != nil {
		parts.Go(func() { s.exporter.Run(serving) })
	}
	parts.Go(func() { s.hooks.Run(serving) })
	parts.Go(func() { s.recount(serving) })
	signalled, drained := ctx.Done(), make(chan struct{})
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	var changes <-chan time.Time       // while there is something to tell about presence
	var subscriptions <-chan time.Time // and about subscriptions of the Mercure protocol
	for {
		select {
		case now := <-sweep.C:
			s.hub.Sweep(now)
			s.presence.Sweep()
			if s.counts != nil {
				s.counts.Step(s.log.Append)
			}
			s.bans.Sweep()
			s.backends.Load().Sweep(now)
			s.revoked.Sweep()
		case <-s.presence.Work():
			if changes == nil {
				changes = time.After(presence.TickEvery)
			}
		case <-changes:
			changes = s.tickPresence()
		case <-s.subscriptions.Work():
			if subscriptions == nil {
				subscriptions = time.After(subscription.ReportEvery)
			}
		case <-subscriptions:
			subscriptions = s.reportSubscriptions()
		case err := <-failed:
			s.config.Log.Error("an event loop stopped unexpectedly", "error", err)
			return err
		case <-signalled: // clients are served until the drain comes to them
			signalled = nil
			parts.Go(func() {
				s.drain(serving)
				close(drained)
			})
		case <-drained:
			s.subscriptions.Finish(s.log.Append)
			return nil
		}
	}
}

// Close ends a server that Run is not called for.
func (s *Server) Close() error { return s.closers.closeAfter(nil) }

// drain ends the loops. It is quick when ctx ends.
func (s *Server) drain(ctx context.Context) {
	s.draining.Store(true)
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
}
