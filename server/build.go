package server

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"peal/loop"
	"peal/loop/fanout"
	"peal/loop/ring"
	"peal/server/apikey"
	"peal/server/app"
	"peal/server/auth"
	"peal/server/ban"
	"peal/server/control"
	"peal/server/dialect"
	"peal/server/httpapi"
	"peal/server/hub"
	"peal/server/idempotency"
	"peal/server/logging"
	"peal/server/permit"
	"peal/server/presence"
	"peal/server/pusher/xhr"
	"peal/server/rate"
	"peal/server/revoke"
	"peal/server/rules"
	"peal/server/session"
	"peal/server/share"
	"peal/server/token"
	"peal/server/workers"
)

// New builds the server and opens its listeners; from then on clients can
// connect, and wait until Run. The admin listener is open while New reads the log, and says
// how far it has come. Run must follow, or Close.
func New(c Config) (*Server, error) { return build(c, func(string) error { return nil }) }

// builder builds a Server, in steps, each of which finds what the steps before it have left.
type builder struct {
	*Server
	c           Config
	permissions loop.Permissions
	rules       *rules.Table
	operator    *operator
	ring        *ring.Ring
	policy      *auth.Policy
	encoder     *dialect.Encoder
	streams     *xhr.Sessions
	listeners   []int // for clients, open and not yet the loops'
}

// step is a part of the work. After one with a name, something is left to close if a later
// one fails.
type step struct {
	name string
	do   func() error
}

// build is New. begun is called behind each step that leaves something to close, so
// that a test can have each of them fail.
func build(c Config, begun func(step string) error) (*Server, error) {
	b, err := newBuilder(c)
	if err != nil {
		return nil, err
	}
	steps := []step{
		// The operator's door, first: it says how far the start is.
		{"", b.openSecurity},
		{"admin listener", b.openOperator},
		// The log as the life before has left it, and the loops, which read on from there.
		{"log", b.openLog},
		{"loops", b.openLoops},
		{"", b.openTables},
		{"restore", b.restore},
		// What responds to requests.
		{"access log", b.openAccessLog},
		{"workers", b.openWorkers},
		{"verifiers", b.openVerifiers},
		{"", b.openFronts},
		// The doors, last: clients find all of it.
		{"listeners", b.openListeners},
		{"redirect listener", b.openRedirect},
	}
	for _, s := range steps {
		err := s.do()
		if err == nil && s.name != "" {
			err = begun(s.name)
		}
		if err != nil {
			return nil, b.closers.closeAfter(err)
		}
	}
	b.operator.serve()
	return b.Server, nil
}

// newBuilder checks the configuration.
func newBuilder(c Config) (*builder, error) {
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
	s := &Server{config: c, started: time.Now(), channels: c.Channels, standard: c.standard(), sessions: session.Random(), left: make(chan struct{}), signalled: make(chan struct{}), ended: make(chan struct{}), holds: make(chan hold)}
	s.upgrades.Began = s.started
	s.table.Store(table)
	s.drainNs.Store(int64(c.Drain))
	s.delayNs.Store(int64(c.DrainDelay))
	s.backends.Store(apikey.New(c.Keys, nil))
	apps, err := c.newApps(nil)
	if err != nil {
		return nil, err
	}
	s.apps.Store(apps)
	return &builder{Server: s, c: c, permissions: permissions, rules: table}, nil
}

func (b *builder) openSecurity() (err error) {
	b.encryption, err = openEncryption(b.c)
	return err
}

func (b *builder) openOperator() error {
	if err := b.bindAdmin(b.permissions); err != nil {
		return err
	}
	b.operator = b.newOperator()
	b.operator.accept()
	return nil
}

func (b *builder) openLog() (err error) {
	b.starting.does("opening the log")
	if b.log, err = b.c.openLog(); err != nil {
		return err
	}
	b.closers.add("close the log", b.log.Close)
	return nil
}

func (b *builder) openLoops() (err error) {
	if b.ring, err = ring.New(b.c.RingSlots, b.c.RingBytes, b.log.Head()); err != nil {
		return err
	}
	trusted, err := b.c.trustProxies()
	if err != nil {
		return err
	}
	if b.loops, err = loop.New(b.c.Loop, b.ring, b.encryption.open(b.openKernel(b.c, trusted))); err != nil {
		return err
	}
	b.closers.add("close the loops", func() error { b.loops.Close(); return nil })
	return nil
}

// openTables makes what the log feeds.
func (b *builder) openTables() error {
	c := b.c
	b.hub = hub.New(c.Hub, b.ring, b.loops.Wake, time.Now)
	if c.matchers() {
		b.hub.RecordOrder()
	}
	b.hub.UseSessions(func(id [16]byte) uint64 { n, _ := b.sessions.Session(id); return n })
	b.presence = presence.New(c.Presence, b.isWatched, time.Now)
	b.presence.UseComplete(b.isComplete)
	b.bans = ban.New(c.DisconnectClients, c.ofShare(c.DisconnectClients), time.Now)
	b.keys = idempotency.New(c.IdempotencyWindow, c.IdempotencyKeys, c.ofShare(c.IdempotencyKeys), time.Now)
	b.revoked = revoke.New(c.Revocations, c.Token.Longest(), time.Now)
	b.orders = control.New(b.log, b.bans, b.revoked, time.Now, c.Log)
	b.subscriptions = c.newSubscriptions()
	b.shareLog(b.orders)
	err := b.openWebhooks()
	b.openBackground()
	return err
}

// restore has the log bring what it has kept.
func (b *builder) restore() error {
	b.starting.does("reading the log")
	if err := b.startLog(b.orders); err != nil {
		return err
	}
	apps, err := b.c.newApps(app.Remembered(b.protection.namespaces()))
	if err != nil {
		return err
	}
	b.apps.Store(apps)
	b.rememberApps(apps)
	return nil
}

func (b *builder) openAccessLog() (err error) {
	b.starting.does("the log is read, and the listeners are opened")
	if b.access, err = logging.OpenAccess(b.c.AccessLog); err != nil {
		return err
	}
	b.closers.add("close the access log", func() error { b.access.Close(); return nil })
	return nil
}

func (b *builder) openWorkers() error {
	b.workers = workers.New(b.c.Workers, b.c.WorkerQueue)
	b.workers.Count(b.loops.AnswerBytes)
	b.closers.add("end the workers", func() error { b.workers.Close(); return nil })
	return nil
}

func (b *builder) openVerifiers() (err error) {
	if b.tokens, err = token.New(b.c.Token); err != nil {
		return err
	}
	if err := b.newMercureTokens(b.c); err != nil {
		return err
	}
	b.verifiers = workers.New(b.c.TokenWorkers, b.c.TokenQueue)
	b.closers.add("end the verifiers", func() error { b.verifiers.Close(); return nil })
	return nil
}

// openFronts makes one for each loop, and what they share.
func (b *builder) openFronts() (err error) {
	c := b.c
	if err := b.openAsking(c); err != nil {
		return err
	}
	if b.mover, err = b.newMover(); err != nil {
		return err
	}
	b.policy = c.policy()
	b.origins = httpapi.NewOrigins(b.policy)
	b.encoder = httpapi.NewEncoder(nil, b.log.Lineage(), rand.Int64N, b.origins)
	b.encoder.Sessions = b.sessions
	b.encoder.MinBytes = c.DeflateMinBytes
	b.encoder.Deflates = func(channel string) bool { return b.table.Load().Deflates(channel) }
	b.dismisser = &dismisser{loops: b.loops}
	b.dialects = dialect.NewTable(dialect.Standard()...)
	b.buckets, b.users = rate.New(rate.Buckets), permit.NewUsers()
	b.streams = xhr.NewSessions(b.fallback(c), b.loops)
	b.closers.add("end the sessions over plain HTTP", func() error { b.streams.Close(); return nil })
	deps := b.deps()
	if err := b.openSpans(c); err != nil {
		return err
	}
	deps.Spans, deps.Dialects = b.spans(c), b.encoder.Table()
	b.tracing = b.newTracing(c, b.sessions, deps.Dialects)
	for i := range c.Loop.Loops {
		deps.Refused = b.tracing.refused(i)
		b.fronts = append(b.fronts, httpapi.New(deps))
	}
	return nil
}

// deps is what all fronts share.
func (b *builder) deps() httpapi.Deps {
	deps := httpapi.Deps{
		Log: b.log, Hub: b.directory(), Door: b.loops, Workers: b.workers, Keys: b.keys, Presence: b.presence,
		Dismisser: b.dismisser, Bans: b.bans, Orders: b.orders, Rules: b.rules, Policy: b.policy, Origins: b.origins, Sessions: b.sessions,
		Identity: b.identity(b.c), Ask: b.asking, Apps: b.apps.Load(), CacheMissed: b.hooks.Missed, Streams: b.streams, Adopter: b.loops,
		Buckets: b.buckets, Users: b.users, Proxies: b.proxies, AddressFull: b.loops.AddressFull,
		ConnectionsElsewhere: b.connectionsElsewhere, NoMemory: &b.noMemory, Stale: &b.stale,
		Subscriptions: b.subscriptions,
		MessageLimit:  b.c.Loop.MessageBytes, WireLimit: b.c.wireLimit(), Limits: b.c.HTTP,
	}
	if b.access != nil {
		deps.Access = b.access
	}
	return deps
}

// bindListeners opens them. They are closed at the end, unless the loops get them.
func (b *builder) bindListeners() (err error) {
	if b.listeners, err = b.listen(b.permissions); err != nil {
		return err
	}
	b.closers.add("close the listeners", func() error { closeAll(b.listeners); return nil })
	return nil
}

// openListeners gives them to the loops, if they are open, or opens them first.
func (b *builder) openListeners() error {
	if b.listeners == nil {
		if err := b.bindListeners(); err != nil {
			return err
		}
	}
	listeners := b.listeners
	b.listeners = nil
	parts := loop.Parts{
		Listeners: listeners,
		Inherited: len(b.c.Inherit) + len(b.c.InheritPlain), // see listen
		Front:     func(i int) loop.Front { return b.fronts[i] },
		Encoder:   b.encoder,
		Source:    b.hub,
		Trusted:   b.proxies.Has,
		Share:     func(addr netip.Addr, session uint64) uint64 { return uint64(share.Of(addr, session)) },
		Policy:    func(channel string) fanout.Policy { return policy(b.table.Load(), channel) },
		Encodings: b.hub.Encodings,
		Clock:     b.hub.Clock,
		Traffic:   loop.TCPTraffic,
		Tracer:    b.tracer(),
	}
	if b.c.matchers() {
		parts.Patterns, parts.Past = openPatterns{rules: &b.table, apps: &b.apps, asking: b.asking}, b.hub
	}
	return b.loops.Serve(parts)
}

func (b *builder) openRedirect() error {
	b.warnIfPublic()
	b.enter()
	if err := b.bindRedirect(); err != nil {
		return err
	}
	b.serveRedirect()
	return nil
}
