package loop

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"peal/loop/admit"
	"peal/loop/deflate"
	"peal/loop/fanout"
	"peal/loop/ring"
)

// readBytes is the size of a loop's read buffer: what one read takes.
const readBytes = 64 << 10

// Loop is one event loop and the connections on it.
type Loop struct {
	// Fixed at creation.
	config    Config
	number    uint16
	kernel    Kernel
	front     Front
	observer  Observer // the front, if it is one
	forsaken  Forsaken // likewise
	namer     Namer    // likewise
	traffic   func(socket int32) (Traffic, bool)
	tracer    Tracer // nil: nobody
	shareBy   func(addr netip.Addr, session uint64) uint64
	trusted   func(peer netip.Addr) bool
	limited   func(peer netip.Addr) bool
	admission *admit.Admission // of the group
	loops     []*Loop          // of the group
	encoder   fanout.Encoder
	ring      *ring.Reader
	fan       *fanout.Fan
	sender    sender
	headTicks uint32
	idleTicks uint32
	wakeTask  func()
	doorTask  func()

	// Loop-owned.
	slots       []uint32 // descriptor → slot + 1
	slabs       []*connSlab
	peers       []*peerSlab     // beside slabs
	addresses6  [][16]byte      // of connections over IPv6, by index in peerSlab
	free6       []uint32        // indices of addresses6 that nobody has
	proxies     map[uint32]peer // trusted ones, of connections whose peer is the client of a request: viaClient
	used        uint32
	free        []uint32
	open        int
	sessions    uint64
	inputs      []kept // 0 is not used
	freeInputs  []uint32
	spareInputs [][]byte // buffers to use again: newInput
	large       spareInput
	inputBytes  int
	wheel       *fanout.Wheel
	deadlines   *fanout.Wheel // of streams: setDeadline
	tick        uint32
	ticking     bool
	every       time.Duration // at which the kernel ticks: tickEvery
	inflows     []*inflowSlab // beside slabs, where something was counted
	slowed      []uint32      // connections that are not read from for their limit of bytes
	resumedAt   uint32        // the last tick of resumeSlowed
	first       bool          // the read under way is the connection's first in its tick
	heads       int           // connections with flagHead
	sheds       sheds
	refusals    map[uint32]Refusal // by slot, of connections that are here to be refused
	now         time.Duration      // at the beginning of the callback under way
	again       []uint32           // connections whose reading was interrupted for the others, the first first
	dismissals  []*dismissal       // the oldest is under way
	turnDue     bool
	fanned      uint64 // work of apply and flush
	flushed     uint64 // input when the fan last sent
	turned      uint64 // work at the end of the last turn
	dear        uint64 // work on dear input since mark was set
	mark        uint64 // place in the ring: see held
	flushing    bool
	events      int               // of this batch so far; 0: none is under way
	began       time.Duration     // that batch
	prompted    bool              // a wake-up was served since the last event
	drainAt     uint32            // the slot that the next pass of a drain visits first
	crowded     bool              // there are more channels than may be: a turn looks for who has most
	abandoned   bool              // another process has its connections: end
	freeze      *freezing         // while its connections are being handed over
	shared      bool              // another process may have copies of its sockets: Group.Ahead
	leaving     bool              // another process has what it has handed over
	pairs       map[uint32]uint32 // slot → serial: sockets that this process has made itself
	scratch     []byte            // one private item for one connection
	inflater    deflate.Inflater
	rbuf        []byte
	out         []byte // answers of the requests handled in one read
	cork        []byte // answers and replies that are ready: see cork.go
	corked      []corked
	uncorking   bool // they are being sent
	call        Call
	partial     Partial // of requests
	begun       bool    // likewise
	client      client  // passed to Front.Open and Message
	batch       []*ring.Message
	counts      counts
	closes      CloseCounts
	complaints  complaints
	life        life
	acceptor    *acceptor // loop 0 only

	_ [64]byte

	// Shared.
	armed    atomic.Uint32 // 1: a wake-up is under way or the loop is awake and will look at the ring. The loop clears it before it looks.
	load     atomic.Int32  // connections open or handed over
	stopping atomic.Bool   // the group has requested the end
	holding  atomic.Bool   // input waits until loops have taken something: see await
	door     sync.Mutex    // guards the fields below; held for a copy
	inbox    []newcomer    // accepted connections
	posts    []func()      // what other goroutines want done here
	rung     bool          // the door task is under way
	answers  []answer
	waiters  []Ref // whose requests the front is to look at again
	visits   []visit

	answerBytes atomic.Int64 // of answers that were brought and not handed on yet
}

// answer is a worker's answer on its way to its connection.
type answer struct {
	ref Ref
	out []byte
}

// counts are a loop's own counters; read on the loop only.
type counts struct {
	accepted     uint64
	refused      uint64
	reads        uint64
	requests     uint64
	received     uint64 // WebSocket messages
	heartbeats   uint64
	dead         uint64 // closed for silence
	slow         uint64 // given up: lane or held limit
	inputFull    uint64 // closed: held most of the input when it was beyond InputBytes
	channelsFull uint64 // closed: had most channels when there were more than Config.Channels
	messageLate  uint64 // closed: a WebSocket message did not become whole in time
	gapped       uint64 // raw streams closed for a gap
	fell         uint64 // slow streams closed by the rule of a channel
	dismissed    uint64 // ended by Group.Dismiss
	shed         uint64 // closed by Group.ShedStalled
	slowed       uint64 // times that reading paused for Inflow.Bytes
	flooded      uint64 // closed: more frames than Inflow.Frames
	headsFull    uint64 // closed: an unfinished request when there were more than Config.Heads
	turns        uint64
	work         uint64 // units: see work.go
	longest      uint64 // most work of one callback
	deferred     uint64 // times that input waited for a turn: backlog, putOff
	foreign      uint64 // streams with a gap because their cursor is unknown here
	gaps         [gapReasons]uint64
	busy         time.Duration // in callbacks of the kernel, not waiting in it
}

func newLoop(number int, c Config, r *ring.Reader, a *admit.Admission, open OpenKernel) (*Loop, error) {
	l := &Loop{config: c, number: uint16(number), ring: r, admission: a, refusals: map[uint32]Refusal{}}
	var err error
	if l.kernel, err = open(number, l); err != nil {
		return nil, err
	}
	l.sender.loop = l
	l.headTicks, l.idleTicks = ticks(c.HeadTimeout), ticks(c.IdleTimeout)
	l.wheel, l.deadlines = fanout.NewWheel(0), fanout.NewWheel(0)
	l.inputs = make([]kept, 1)
	l.cork = make([]byte, 0, corkBytes)
	l.rbuf = make([]byte, readBytes)
	l.sessions = uint64(l.kernel.Random(1<<32)) << 16 // not to be mistaken for a session of the life before
	l.client.loop = l
	l.wakeTask, l.doorTask = l.woken, l.answerDoor
	return l, nil
}

// serve gives the loop what it serves.
func (l *Loop) serve(p Parts) {
	c := l.config
	if l.limited = p.Limited; l.limited == nil {
		l.limited = l.isLimited
	}
	l.front, l.encoder, l.shareBy, l.trusted = p.Front(int(l.number)), p.Encoder, p.Share, p.Trusted
	var out fanout.Sender = &l.sender
	if p.Sender != nil {
		out = p.Sender(int(l.number), out)
	}
	if out == &l.sender {
		l.sender.together = GathererOf(l.kernel)
	}
	l.fan = fanout.New(l.ring.Applied(), c.Fanout, p.Encoder, p.Source, out, l)
	l.fan.UseShares(l.shareOf)
	if p.Policy != nil {
		l.fan.UsePolicy(p.Policy)
	}
	if p.Encodings != nil {
		l.fan.LimitEncodings(func() int { return p.Encodings() / c.Loops })
	}
	if p.Patterns != nil {
		l.fan.UsePatterns(p.Patterns, p.Past)
	}
	if p.Clock != nil {
		l.fan.Measure(p.Clock)
	}
	if p.Tracer != nil {
		l.tracer = p.Tracer(int(l.number))
		l.fan.UseTracer(l.tracer)
	}
	l.observer, _ = l.front.(Observer)
	l.forsaken, _ = l.front.(Forsaken)
	l.namer, _ = l.front.(Namer)
	l.traffic = p.Traffic
}

// run serves until the end of the loop is requested.
func (l *Loop) run() error {
	err := l.kernel.Run()
	l.end()
	return err
}

// end closes the connections and gives the kernel back. Workers and the log may
// live longer than the loop: from now on they ring at no door, whose number may be
// another file's.
func (l *Loop) end() {
	if l.abandoned {
		l.abandon()
	}
	for i := range l.used {
		l.close(i, l.conn(i))
	}
	l.armed.Store(1)
	l.door.Lock()
	l.rung = true
	inbox := l.inbox
	l.inbox = nil
	l.door.Unlock()
	for _, s := range inbox { // handed over, and never adopted
		l.leave(s)
		l.kernel.CloseSocket(s.Socket)
	}
	l.kernel.Close()
}

var _ Handler = (*Loop)(nil)

// Ready, Polled, Turn and Tick are called by the kernel, and by nobody else.
func (l *Loop) Ready(socket int32, e Events) {
	if l.events%clockEvents == 0 {
		l.begin()
	}
	before := l.work()
	if l.events++; l.events == 1 {
		l.prompted, l.began = false, l.now
		l.armed.Store(1) // for what its requests publish, and for other loops: Polled looks at the ring
	}
	if slot, c := l.bySocket(socket); c != nil {
		l.ready(slot, c, e)
	} else if l.acceptor != nil && l.acceptor.owns(socket) {
		l.acceptor.accept(socket)
	}
	l.between()
	l.counts.longest = max(l.counts.longest, l.work()-before)
}

// Polled sends what the events of a batch have caused.
func (l *Loop) Polled() {
	if l.events == 0 {
		return
	}
	_, before := l.begin()
	events := l.events
	l.events = 0
	l.armed.Store(0) // before after looks at the ring: see Wake
	l.after(events)
	l.callback(l.began, before)
}

func (l *Loop) Turn() {
	began, before := l.begin()
	l.prompted, l.turnDue = false, false
	l.turn()
	l.callback(began, before)
}

func (l *Loop) Tick() {
	began, before := l.begin()
	l.prompted = false
	l.tickOver()
	l.after(1)
	l.callback(began, before)
}

// clockEvents is for how many events of a batch one look at the clock serves: a look costs as much as
// finding the connection, and so many events take less than a millisecond.
const clockEvents = 16

// begin is the beginning of each callback. Ticks are not waited for to know the
// time: behind a pause of the process, events may come before the tick, and a timer
// that they set must not be short by the pause.
func (l *Loop) begin() (began time.Duration, before uint64) {
	began = l.kernel.Now()
	l.tick = uint32(began / tick)
	l.now = began
	return began, l.work()
}

// callback counts what one callback of the kernel did since work was before, and
// the time since began as the loop's own. It costs two looks at the clock, however
// many sends it causes, and one for each clockEvents further events of a batch: BenchmarkPublishToOne.
func (l *Loop) callback(began time.Duration, before uint64) {
	l.counts.longest = max(l.counts.longest, l.work()-before)
	l.counts.busy += l.kernel.Now() - began
}

// ready is an event of a connection.
func (l *Loop) ready(slot uint32, c *conn, e Events) {
	if l.freeze != nil {
		l.hold(slot, c, e)
		return
	}
	if e&Writable != 0 && l.fan.Stalled(slot) {
		l.fan.Writable(slot)
	}
	switch {
	case c.state == stateFree || e&Readable == 0:
	case c.flags&flagHalfClosed != 0:
		// Its end is in every event from now on, and says nothing new; an error does.
		if e&Broken != 0 && c.flags&flagBacklog == 0 && l.kernel.EndOf(c.fd) == EndBoth {
			l.close(slot, c)
		}
	default:
		c.flags |= flagReadable
		if e&NearEnd != 0 {
			c.flags |= flagEnding
		}
		if l.putOff(c) {
			l.counts.deferred++
			l.queue(slot, c)
			return
		}
		l.read(slot, c)
	}
}

// after sends what so many events, or tasks, have caused: a little for each at once, so that a lone
// publication or answer leaves without delay, the rest in a turn.
func (l *Loop) after(events int) {
	l.uncork()
	if l.flushing || l.isStill() || l.turnDue {
		return // a turn comes behind this batch
	}
	l.flushed = l.input()
	more := l.ring.Waiting() && l.apply()
	if l.fan.Pending() && l.flush(min(events*promptSends, l.config.TurnSends)) || more || l.inputWaits() || l.freeze != nil {
		l.scheduleTurn()
	}
}

// between is called after each event of a batch. If these are dear, what is to be sent must not wait
// for all of them. It has its share of the time, and no more: what becomes ready meanwhile waits for both.
func (l *Loop) between() {
	if l.flushing || l.isStill() || l.input()-l.flushed < uint64(l.config.TurnWork) {
		return
	}
	l.uncork()
	l.apply()
	l.flush(max(1, l.config.TurnSends/betweenEvents))
}

// input is the work on what has come: all but what apply and flush have done.
func (l *Loop) input() uint64 { return l.work() - l.fanned }

// betweenEvents is the part of Config.TurnSends that is sent for each Config.TurnWork on the
// events of a poll: by default, about as long as that work.
const betweenEvents = 4

// promptSends is how many sends an event may cause before what became ready behind its
// batch is read. 16: see BenchmarkPublishToOne.
const promptSends = 16

// turn takes from the ring, fans out, and lets interrupted connections read on.
func (l *Loop) turn() {
	if l.isStill() {
		return // there is another one behind the thaw
	}
	l.counts.turns++
	l.uncork()
	l.armed.Store(0) // before the ring is looked at: see Wake
	l.apply()
	more := l.flush(l.config.TurnSends)
	if l.freeze != nil {
		l.frozenTurn(more)
		return
	}
	if len(l.again) > 0 && !l.held() {
		l.readWaiting()
	}
	l.turned = l.work()
	if l.acceptor != nil && l.acceptor.again {
		l.acceptor.acceptAll()
	}
	if l.dismiss() {
		more = true
	}
	if l.crowded {
		l.limitChannels()
	}
	if l.expireDue() {
		more = true
	}
	l.uncork()
	if more || l.fan.Pending() || l.ring.Waiting() || l.inputWaits() {
		l.scheduleTurn()
	}
}

// inputWaits reports whether a turn can go on with input that waits.
func (l *Loop) inputWaits() bool { return len(l.again) > 0 && l.freeze == nil && !l.await() }

// flush fans out; what it causes in turn waits for the next, also what a request
// behind an answer that has left now has published.
func (l *Loop) flush(budget int) (more bool) {
	before := l.work()
	l.flushing = true
	more = l.fan.Flush(budget)
	l.flushing = false
	l.fanned += l.work() - before
	l.flushed = l.input()
	return more || l.ring.Waiting()
}

// apply takes from the ring, and reports whether there is more.
func (l *Loop) apply() (more bool) {
	before := l.work()
	l.batch, more = take(l.batch, l.ring, l.fan)
	l.fanned += l.work() - before
	l.countChannels() // a message may have found more matchers than it may
	return more
}

// scheduleTurn makes a turn due after the events that are ready now.
func (l *Loop) scheduleTurn() {
	if l.turnDue {
		return
	}
	l.turnDue = true
	l.kernel.Yield()
}

// busy marks the loop as awake, so that what it publishes itself wakes it by no
// system call; it must be followed by idle.
func (l *Loop) busy() {
	if l.events == 0 {
		l.armed.Store(1)
	}
}

// idle takes busy back. Callers look at the ring afterwards: after. In a batch the loop stays awake until Polled.
func (l *Loop) idle() {
	if l.events == 0 {
		l.armed.Store(0)
	}
}

// Wake tells the loop that the ring has something for it. Any goroutine may
// call it; a call costs one load while the loop is awake.
func (l *Loop) Wake() {
	if l.armed.Load() == 0 && l.armed.CompareAndSwap(0, 1) {
		l.kernel.Trigger(l.wakeTask)
	}
}

func (l *Loop) woken() {
	if l.prompted {
		// Woken again before an event was read: such tasks could go on for ever.
		l.scheduleTurn() // which clears armed
		return
	}
	l.prompted = true
	l.armed.Store(0)
	began, before := l.begin()
	l.after(1)
	l.callback(began, before)
}

// ring the door: what lies behind it is fetched by one task however much there is.
func (l *Loop) ringDoor() {
	if l.rung {
		return
	}
	l.rung = true
	l.kernel.Trigger(l.doorTask)
}

// Answer brings a worker's answer: a response, or frames to a WebSocket. Any
// goroutine may call it. out becomes the loop's.
func (l *Loop) Answer(ref Ref, out []byte) {
	l.door.Lock()
	l.answerBytes.Add(int64(len(out)))
	l.answers = append(l.answers, answer{ref, out})
	l.ringDoor()
	l.door.Unlock()
}

// Post has f run on the loop. Any goroutine may call it; it is for what happens
// rarely.
func (l *Loop) Post(f func()) {
	l.door.Lock()
	l.posts = append(l.posts, f)
	l.ringDoor()
	l.door.Unlock()
}

// give hands over accepted sockets.
func (l *Loop) give(sockets []newcomer) {
	l.door.Lock()
	l.inbox = append(l.inbox, sockets...)
	l.ringDoor()
	l.door.Unlock()
}

func (l *Loop) answerDoor() {
	if l.isStill() {
		l.stillDoor()
		return
	}
	began, before := l.begin()
	l.door.Lock()
	l.rung = false
	inbox, answers, waiters, visits, posts := l.inbox, l.answers, l.waiters, l.visits, l.posts
	l.inbox, l.answers, l.waiters, l.visits, l.posts = nil, nil, nil, nil, nil
	l.door.Unlock()
	for i := range inbox {
		l.adopt(&inbox[i])
	}
	for _, a := range answers {
		l.answerBytes.Add(-int64(len(a.out)))
		c := l.conn(a.ref.Slot)
		if c.generation != a.ref.Generation {
			continue
		}
		switch c.state {
		case stateLater:
			l.answered(a.ref.Slot, c, a.out)
		case stateWS, stateSSE:
			if c.isOpen() {
				l.replied(a.ref, c, a.out)
			}
		}
	}
	l.uncork() // posts may look at connections
	for _, ref := range waiters {
		l.askAgain(ref)
	}
	for _, v := range visits {
		l.visit(v)
	}
	for _, f := range posts {
		f()
	}
	if l.freeze != nil {
		l.awaitOwed()
	}
	l.after(1)
	l.callback(began, before)
}
