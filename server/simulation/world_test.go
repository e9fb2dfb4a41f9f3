package simulation_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"peal/loop"
	"peal/loop/admit"
	"peal/loop/fanout"
	"peal/loop/ring"
	"peal/server/httpapi"
	"peal/server/hub"
	"peal/server/log"
	"peal/server/rules"
	"peal/server/session"
	"peal/server/workers"
)

// world is one server and everybody around it.
type world struct {
	seed uint64
	rnd  *rand.Rand
	own  *rand.Rand // of what a front does unasked: schedules of other things stay as they are
	plan plan
	bug  bug
	node *node // whose machine's this is, and nothing more; nil: there is one server

	// Of one life of the server. With bug.upgrades, several processes share one.
	*process
	moving    *moving                  // a hand-over to another process is under way; nil: none is
	numbers   map[uint64]*conn         // of sessions
	tunnel    []*tunnel                // with bug.tls, by loop
	secured   []loop.Kernel            // likewise
	conns     map[netip.AddrPort]*conn // by the client's address
	draining  bool
	drainHead uint64 // what the log had when the drain began
	passing   bool   // a pass of the drain is under way
	passes    int
	left      int        // connections after the last pass
	paused    bool       // accepting is
	frost     frost      // the loops are frozen
	scarce    bool       // connections were refused or shed lately, or could have been
	stale     []loop.Ref // of requests that have waited
	streams   []*conn    // that there were

	// Of all lives.
	storage   storage
	copies    []backup
	put       backup // the one that the next life finds; zero: none
	oracle    *oracle
	bans      *bans
	clients   []*client
	peers     int
	finishing bool // everything is to come to rest
	number    int  // of the newest publication
	published []known
	touched   []*conn
	promised  map[int]promise // of publications in other protocols, by number
	refusable bool            // the publication under way needs a grant that it has not

	steps   []string
	failure string
	counts  counts
}

// process is one process of the server.
type process struct {
	engine   engine
	feed     *feed
	source   httpapi.Directory
	hub      *hub.Hub
	ring     *ring.Ring
	encoder  fanout.Encoder
	names    fanout.Names
	sessions *session.IDs
	front    *httpapi.Front // of publishers that are no part of the world
	machine  *machine
	group    *loop.Group
	ended    bool // what its goroutines do moves nothing any more
}

// counts tell whether schedules met enough to prove something.
type counts [kinds]int

const (
	messages     = iota // judged
	gaps                // told
	collisions          // gaps that only a colliding watermark explains
	coarse              // gaps for what the log has deleted, of whatever channel
	resumes             // clients that came back with their cursor
	ahead               // cursors ahead of what their loop had applied
	restarts            // of the server
	restores            // of a copy of its disk
	lost                // entries that were shown and not recovered
	refused             // publications that the ring or the disk had no room for
	slow                // connections given up for taking too little
	passed              // gaps of slow consumers that are sent the newest alone
	fell                // connections closed because of a gap, for being slow
	changes             // subscriptions made and ended while connected
	acknowledged        // publications that a connection was told of
	halves              // connections whose client ended its side first
	drains              // of the server
	goodbyes            // streams that a drain ended
	outlasted           // clients that are kept away after the log has removed the order
	dismissals          // connections that were to be ended by name
	turnedAway          // connections that were told that there are too many
	exhausted           // times that the machine was out of descriptors
	deferred            // times that input waited because its connection had used up its part
	gaveUp              // connections closed for silence, slowness, or too much input
	late                // times that a sender kept something for a later turn
	waited              // requests that the front let wait, and that were looked at again
	deadlines           // of streams
	visited             // streams, from elsewhere
	closings            // of streams, by the front
	leftOut             // messages that a session was not to receive, and has passed
	stills              // times that the loops sent nothing, for a hand-over
	kindsOfAll
)

// Of worlds with other protocols, or with upgrades.
const (
	pushes    = kindsOfAll + iota // subscriptions of the Pusher protocol
	pushed                        // messages of them
	updates                       // messages of the Mercure protocol
	private                       // private ones among them
	forbidden                     // requests that were refused for want of a grant
	foreign                       // publications in other protocols, in the log

	// Of worlds with upgrades.
	upgrades // hand-overs to another process
	refusals // hand-overs that the other process has refused, the loops being still
	moved    // connections that were handed over
	amended  // and of which what has changed since they were described said all
	stayed   // and that were not
	kinds
)

func (c counts) String() string {
	return fmt.Sprintf("%d messages judged, %d gaps (%d only by colliding watermarks, %d for what the log had deleted), %d resumes, %d cursors ahead of their loop, %d restarts, %d of an older copy, %d shown entries lost, %d publications refused, %d slow connections given up, %d passed over, %d closed, %d changes while connected",
		c[messages], c[gaps], c[collisions], c[coarse], c[resumes], c[ahead], c[restarts], c[restores], c[lost], c[refused], c[slow], c[passed], c[fell], c[changes]) +
		fmt.Sprintf("; of the loops: %d publications acknowledged, %d half-closed, %d drains, %d good-byes, %d dismissals, %d orders that outlast their entries, %d turned away, %d times without descriptors, %d times input deferred, %d given up, %d turns with late sends, %d hand-overs given up; %d messages kept from one session; of the front: %d requests waited, %d deadlines, %d visits, %d streams ended",
			c[acknowledged], c[halves], c[drains], c[goodbyes], c[dismissals], c[outlasted], c[turnedAway], c[exhausted], c[deferred], c[gaveUp], c[late], c[stills], c[leftOut], c[waited], c[deadlines], c[visited], c[closings])
}

// plan is what a seed decides once.
type plan struct {
	names     []string
	open      []string  // those of names that are for everyone
	dialects  *dialects // other protocols; nil: none
	loop      loop.Config
	most      int  // clients
	late      bool // senders report late
	waits     bool // the front lets requests wait
	deflates  bool // messages of some channels are compressed for clients that offer it
	deadlines bool // streams have deadlines, and the front visits them
	also      bool // entries have several channels; a client of peal.v1 cannot tell by which of them it has one
	expires   bool // what is retained expires; else it is evicted when all together is too much
	equalData bool // one request publishes the same data to several channels, which clients without cursors cannot tell apart
	buckets   int  // of forgotten channels; two, for what they have in common, and many
	records   bool // each forgotten channel is remembered by itself, so that no bucket matters
	salt      uint64
	hub       hub.Config
	rules     *rules.Table // limits and policy of each channel
	ringSlots int
	ringBytes int
}

// bug is a fault planted between parts of the world; the zero value is none.
type bug struct {
	tail     func(w *world, next log.Tail) log.Tail
	source   func(w *world, next httpapi.Directory) httpapi.Directory
	encoder  func(next fanout.Encoder) fanout.Encoder
	storage  func(rnd *rand.Rand) storage
	tls      bool // none: TLS is below the loops
	proxied  bool // none: the PROXY protocol is
	dialects bool // none: clients and backends speak other protocols, too
	upgrades bool // none: other processes go on with the server
}

func newWorld(seed uint64, b bug) *world {
	w := &world{seed: seed, rnd: rand.New(rand.NewPCG(seed, 4)), own: rand.New(rand.NewPCG(seed, 6)), bug: b}
	w.plan = w.newPlan()
	switch kind := w.rnd.IntN(5); {
	case b.storage != nil:
		w.storage = b.storage(w.rnd)
	case b.upgrades && kind < 2, kind == 0:
		w.storage = &noStorage{}
	case kind < 3 && !b.upgrades:
		w.storage = &disk{rnd: w.rnd, syncs: w.rnd.IntN(2) == 0}
	default:
		w.storage = newFiles(w.rnd)
	}
	w.oracle = &oracle{w: w}
	w.bans = newBans(w)
	w.begin()
	return w
}

func (w *world) newPlan() plan {
	r := w.rnd
	p := plan{
		names:     []string{"A", "B", "C", "news", "news/ä", "private-User.1", "https://example.org/x?y=z&a"}[:1+r.IntN(7)],
		most:      3 + r.IntN(12),
		late:      w.seed%4 == 0,
		waits:     w.seed%3 == 0,
		deflates:  w.seed%3 == 1 && w.bug.encoder == nil, // one that is planted does not compress
		deadlines: w.seed%5 < 2,
		equalData: r.IntN(2) == 0, also: r.IntN(4) == 0,
		buckets:   1 << 12,
		ringSlots: 8 << r.IntN(5),
		ringBytes: 8000 + r.IntN(80_000),
	}
	if p.open = p.names; w.bug.dialects {
		p.speakOthers(w.own)
	}
	p.loop = newLoopConfig(r)
	if w.seed%2 == 0 {
		p.loop.Admission = newAdmission(w.own)
		p.loop.Inflow = loop.Inflow{Bytes: 1100 + w.own.IntN(2000), Frames: 500, FramesBurst: 2000}
	}
	p.expires = r.IntN(2) == 0
	p.hub.TotalBytes = everything
	if !p.expires {
		p.hub.TotalBytes = 2500 + r.IntN(30_000)
	}
	var single []rules.Rule
	if r.IntN(2) == 0 {
		for _, name := range p.names {
			if name[0] == '$' {
				continue
			}
			single = append(single, p.newRule(r, name))
		}
	}
	p.rules = rules.New(single, p.newRule(r, "*"))
	p.hub.Rules = p.rules
	if w.seed%16 == 7 {
		p.buckets = 2
	}
	p.records = w.seed%32 < 16
	if !p.records {
		p.hub.ForgottenBytes = -1
	}
	for p.buckets > 2 && p.collide() {
		p.salt++
	}
	return p
}

// newLoopConfig has limits that are met, each in some worlds.
// newAdmission returns limits that honest clients do not meet: each connection has an
// address of its own. Only the rate of all makes them wait.
func newAdmission(r *rand.Rand) admit.Limits {
	return admit.Limits{
		PerAddress:  1,
		AddressRate: admit.Rate{Interval: time.Hour, Burst: 1},
		Rate:        admit.Rate{Interval: time.Duration(1+r.IntN(50)) * time.Millisecond, Burst: 1 + r.IntN(8)},
		RefusalRate: admit.Rate{Interval: time.Duration(1+r.IntN(500)) * time.Millisecond, Burst: 1 + r.IntN(20)},
	}
}

func newLoopConfig(r *rand.Rand) loop.Config {
	c := loop.Config{
		Loops:          1 + r.IntN(3),
		MaxConnections: everything,
		HeadTimeout:    6 * time.Second,
		IdleTimeout:    time.Duration(10+r.IntN(15)) * time.Second,
		Heartbeat:      time.Duration(3+r.IntN(8)) * time.Second,
		LingerTimeout:  time.Duration(2+r.IntN(3)) * time.Second,
		InputBytes:     everything,
		TurnSends:      1 + r.IntN(20),
		Fanout: fanout.Limits{
			StripBytes: 100 + r.IntN(3000), LaneBytes: 400 + r.IntN(1500), HeldBytes: 3000 + r.IntN(12_000),
			AnswerMessages: 1 + r.IntN(8), AnswerBytes: 600 + r.IntN(4000),
		},
		Log: slog.New(slog.DiscardHandler),
	}
	if r.IntN(2) == 0 {
		c.TurnWork = 8 + r.IntN(100)
	}
	if r.IntN(2) == 0 {
		c.ParkedBytes = 100 + r.IntN(500)
	}
	if r.IntN(4) == 0 {
		c.MaxConnections = 3 + r.IntN(6)
	}
	if r.IntN(6) == 0 {
		c.InputBytes = 1000 + r.IntN(3000)
	}
	return c.WithDefaults()
}

// newRule is the rule of one channel, or of all.
func (p *plan) newRule(r *rand.Rand, match string) rules.Rule {
	rule := rules.Rule{
		Match:           match,
		HistoryMessages: 1 + r.IntN(30),
		HistoryBytes:    1200 + r.IntN(20_000),
		HistoryAge:      time.Hour,
		MessageBytes:    1 << 16,
		Slow:            fanout.Resume,
	}
	switch r.IntN(5) {
	case 0:
		rule.HistoryMessages = -1
	case 1:
		rule.HistoryMessages, rule.HistoryBytes = everything, everything
	}
	if p.expires {
		rule.HistoryAge = time.Duration(1+r.IntN(20)) * time.Second
	}
	if p.deflates && len(match)%2 == 1 { // of all but some names
		rule.Deflate = rules.Yes
	}
	if r.IntN(3) == 0 {
		rule.Slow = fanout.Policy(1 + r.IntN(3))
	}
	return rule
}

// policy is what becomes of slow consumers of the channel.
func (p *plan) policy(channel string) fanout.Policy {
	return p.rules.Slow(channel)
}

// hash places the channels, the same in each run of a seed.
func (p *plan) hash(name string) uint64 {
	h := p.salt ^ 14695981039346656037 // FNV-1a
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return h
}

func (p *plan) bucket(name string) uint64 { return p.hash(name) & uint64(p.buckets-1) }

// collide tells whether two channels share a watermark.
func (p *plan) collide() bool {
	seen := map[uint64]bool{}
	for _, n := range p.names {
		if seen[p.bucket(n)] {
			return true
		}
		seen[p.bucket(n)] = true
	}
	return false
}

// begin starts a life of the server on what the storage has.
func (w *world) begin() {
	w.process, w.frost, w.moving, w.numbers = w.newProcess(), thawed, nil, map[uint64]*conn{}
	w.sessions = w.newSessions()
	var tail log.Tail = w.hub
	if w.bug.tail != nil {
		tail = w.bug.tail(w, tail)
	}
	if w.bug.source != nil {
		w.source = w.bug.source(w, w.source)
	}
	w.bans.beginLife()
	e, oldest, recovered := w.storage.open(&witness{w, log.Tails{tail, w.bans.control}}, w.bans.control)
	w.engine = e
	w.oracle.beginLife(oldest, recovered, w.put.truth)
	w.bans.restored()
	w.put = backup{}
	w.hub.Begin(oldest, w.oracle.head())
	w.hub.Restore(recovered)
	w.ring = newRing(w.plan, w.oracle.head())
	w.encode(w.process)
	w.front = w.newFront(w.process)
	w.boot()
}

func newRing(p plan, head uint64) *ring.Ring {
	r, err := ring.New(p.ringSlots, p.ringBytes, head)
	if err != nil {
		panic(err)
	}
	return r
}

// newProcess begins one: what its log feeds.
func (w *world) newProcess() *process {
	p := &process{}
	p.feed = &feed{process: p}
	p.hub = hub.NewWithHash(w.plan.hub, p.feed, p.wake, time.Now, w.plan.hash, w.plan.buckets)
	p.hub.UseSessions(func(id [16]byte) uint64 { return p.numberOf(id) })
	p.source = p.hub
	return p
}

// encode makes the encoder of p.
func (w *world) encode(p *process) {
	encoder := httpapi.NewEncoder(nil, p.engine.Lineage(), w.rnd.Int64N, nil)
	encoder.Sessions = p.sessions
	encoder.MinBytes = 60
	encoder.Deflates = w.plan.rules.Deflates
	p.encoder, p.names = encoder, names{encoder.Table(), httpapi.NewOrigins(nil)}
	if w.bug.encoder != nil {
		p.encoder = w.bug.encoder(p.encoder)
	}
}

func (w *world) newFront(p *process) *httpapi.Front {
	d := httpapi.Deps{Log: p.engine, Hub: p.source, Door: door{w, p}, Workers: workers.New(0, 0), Rules: w.plan.rules, Sessions: p.sessions}
	if w.plan.dialects != nil {
		w.plan.dialects.serve(&d)
	}
	return httpapi.New(d)
}

// boot starts the machine and the loops on it.
func (w *world) boot() {
	w.machine, w.conns = newMachine(w), map[netip.AddrPort]*conn{}
	w.draining, w.drainHead, w.passing, w.passes, w.left, w.paused, w.scarce = false, 0, false, 0, 0, false, false
	w.stale, w.streams = nil, nil
	w.cut()
	g := w.newLoops(w.process, w.plan.loop)
	w.serve(w.process, g, 0)
	w.group = g
}

// newLoops makes the loops of p on its machine.
func (w *world) newLoops(p *process, c loop.Config) *loop.Group {
	open := loop.OpenKernel(p.machine.open)
	if w.bug.tls {
		open = w.encrypted(open)
	}
	if w.bug.proxied {
		open = w.proxied(open)
	}
	g, err := loop.New(c, p.ring, open)
	if err != nil {
		panic(err)
	}
	return g
}

// serve has the loops of p serve.
func (w *world) serve(p *process, g *loop.Group, inherited int) {
	err := g.Serve(loop.Parts{
		Listeners: []int{int(p.machine.listener.fd)},
		Inherited: inherited,
		Front:     func(i int) loop.Front { return &watch{w, i, w.newFront(p)} },
		Encoder:   p.encoder,
		Source:    p.source,
		Policy:    w.plan.policy,
		Sender:    func(number int, next fanout.Sender) fanout.Sender { return w.sender(p.machine.kernels[number], next) },
		Share:     func(peer netip.Addr, session uint64) uint64 { return w.share(peer, session) },
		Limited:   func(peer netip.Addr) bool { return peer.As4()[0] == 127 }, // and not those of proxies
	})
	if err != nil {
		panic(err)
	}
	for _, k := range p.machine.kernels {
		k.seen = g.StatsOf(k.number)
	}
}

// share is whom a connection is counted with: with nobody, but for its address.
func (w *world) share(peer netip.Addr, session uint64) uint64 {
	if session != 0 {
		return session
	}
	b := peer.As4()
	return uint64(b[2])<<8 | uint64(b[3])
}

// wake is what a log does when it has shown something.
func (p *process) wake() {
	if p.group != nil && !p.ended {
		p.group.Wake()
	}
}

// afterCallback looks at what a callback of the loop has done.
func (w *world) afterCallback(k *kernel) {
	if w.node != nil {
		w.node.afterCallback()
		return
	}
	now := w.group.StatsOf(k.number)
	before := k.seen
	k.seen = now
	gave := 0
	for _, n := range [][2]uint64{{before.Slow, now.Slow}, {before.Dead, now.Dead}, {before.InputFull, now.InputFull}, {before.MessageLate, now.MessageLate}, {before.ChannelsFull, now.ChannelsFull}} {
		gave += int(n[1] - n[0])
	}
	w.counts[slow] += int(now.Slow - before.Slow)
	w.counts[fell] += int(now.Fell - before.Fell)
	w.counts[deferred] += int(now.Deferred - before.Deferred)
	w.counts[gaveUp] += gave
	for _, s := range w.machine.ended {
		delete(w.conns, s.peer)
		if gave > 0 {
			s.conn.excused = true
		}
	}
	w.machine.ended = w.machine.ended[:0]
	pressed := now.InputFull+now.MessageLate > before.InputFull+before.MessageLate
	if pressed || now.Fell+now.Gapped > before.Fell+before.Gapped { // a stream receives its gap or end, which takes time
		for _, s := range w.machine.sockets {
			if s != nil && s.kernel == k && s.conn != nil {
				s.conn.pressed = s.conn.pressed || pressed
				s.conn.shallEnd()
			}
		}
	}
	w.read()
	// One item more than the limit is let in before somebody is given up.
	if limit := w.plan.loop.Fanout.HeldBytes + 8000; now.Fanout.Held > limit {
		w.fail("loop %d holds %d bytes for its connections, limit %d", k.number, now.Fanout.Held, limit)
	}
	if now.Behind > uint64(w.plan.ringSlots) {
		w.fail("loop %d is %d behind in a ring of %d", k.number, now.Behind, w.plan.ringSlots)
	}
	w.checkResting(k)
}

// backup is a copy of the disk, and what the log was then.
type backup struct {
	restore func()
	truth   []*log.Entry
}

// backUp copies the disk, as cp would, also while the server runs.
func (w *world) backUp() {
	if restore := w.storage.copy(); restore != nil && len(w.oracle.truth) > 0 {
		w.copies = append(w.copies, backup{restore, slices.Clone(w.oracle.truth)})
	}
}

// restart ends the server and begins its next life. All connections are cut.
func (w *world) restart(clean bool) {
	w.counts[restarts]++
	w.read()
	for _, c := range w.clients {
		if c.conn != nil {
			c.conn.gone()
		}
	}
	w.abandonMove()
	w.group, w.ended = nil, true
	w.storage.stop(clean)
	w.oracle.endLife()
	if len(w.copies) > 0 && w.rnd.IntN(3) == 0 {
		w.put = w.copies[w.rnd.IntN(len(w.copies))]
		w.note("a copy of %d entries is put back", len(w.put.truth))
		w.counts[restores]++
		w.put.restore()
	} else if w.rnd.IntN(2) == 0 {
		w.backUp()
	}
	w.published = w.published[max(0, len(w.published)-20):]
	w.begin()
}

// witness stands between log and hub: the oracle sees what passes.
type witness struct {
	w    *world
	next log.Tail
}

func (t *witness) Room(entries, bytes int) bool { return t.next.Room(entries, bytes) }
func (t *witness) Wake()                        { t.next.Wake() }
func (t *witness) Apply(batch []*log.Entry) {
	for _, e := range batch {
		t.w.oracle.append(e)
	}
	t.next.Apply(batch)
}

// EachRetained is that of the hub.
func (t *witness) EachRetained(after, upto uint64, f func(batch []*log.Entry) error) error {
	return t.next.(log.Retainer).EachRetained(after, upto, f)
}

// feed stands between hub and ring.
type feed struct {
	process *process
	swap    func(m *ring.Message) bool // planted: m is published in another way
}

func (f *feed) Room(messages, bytes int) bool { return f.process.ring.Room(messages, bytes) }
func (f *feed) Lose(upto uint64)              { f.process.ring.Lose(upto) }
func (f *feed) OnRoom(do func())              { f.process.ring.OnRoom(do) }
func (f *feed) Publish(m *ring.Message) {
	if f.swap == nil || !f.swap(m) {
		f.process.ring.Publish(m)
	}
}

// door takes the answers that the log was not ready to give at once, for the loops of its process.
type door struct {
	w *world
	p *process
}

func (d door) Answer(ref loop.Ref, out []byte) {
	if ref == (loop.Ref{}) {
		d.w.answered(out)
		return
	}
	if d.p.group != nil && !d.p.ended {
		d.p.group.Answer(ref, out)
	}
}

func (d door) Again(ref loop.Ref) {
	if !d.p.ended {
		d.p.group.Again(ref)
	}
}

func (d door) Do(ref loop.Ref, f func(c loop.Client)) {
	if !d.p.ended {
		d.p.group.Do(ref, f)
	}
}

func (w *world) note(format string, args ...any) {
	w.steps = append(w.steps, fmt.Sprintf(format, args...))
}

// fail notes the first failure.
func (w *world) fail(format string, args ...any) {
	if w.failure != "" {
		return
	}
	from := max(0, len(w.steps)-12)
	w.failure = fmt.Sprintf("seed %d: %s\nlast steps: %s", w.seed, fmt.Sprintf(format, args...), strings.Join(w.steps[from:], "; "))
}
