package simulation_test

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"peal/loop"
)

// machine is the operating system under one life of the server: descriptors, one
// listener, and a kernel for each loop, which tell of events when the seed says so.
type machine struct {
	w        *world
	started  time.Time
	booted   time.Duration // since: where the clock of the loops begins
	listener *socket
	backlog  []*socket // connections that were not accepted yet
	sockets  []*socket // by descriptor; 0 to 2 are nobody's
	used     int       // descriptors in use
	most     int       // that there may be
	kernels  []*kernel
	timers   []timer
	ended    []*socket // closed by the server in the callback under way
	shared   bool      // another process has, or had, copies of the sockets: one is shut down before it is closed
}

type timer struct {
	at time.Duration
	f  func()
}

func newMachine(w *world) *machine {
	m := &machine{w: w, started: time.Now(), most: everything, sockets: make([]*socket, 3)}
	m.listener = &socket{m: m}
	m.take(m.listener)
	return m
}

func (m *machine) now() time.Duration { return time.Since(m.started) }

// take gives s the lowest descriptor that is free.
func (m *machine) take(s *socket) {
	fd := 3
	for fd < len(m.sockets) && m.sockets[fd] != nil {
		fd++
	}
	if fd == len(m.sockets) {
		m.sockets = append(m.sockets, nil)
	}
	s.fd, m.sockets[fd] = int32(fd), s
	m.used++
}

func (m *machine) socket(fd int32) *socket {
	if int(fd) >= len(m.sockets) || fd < 0 || m.sockets[fd] == nil {
		panic(fmt.Sprintf("descriptor %d is not open", fd))
	}
	return m.sockets[fd]
}

// connect is a client's: the connection waits to be accepted.
func (m *machine) connect(c *conn) *socket {
	m.w.peers++
	s := &socket{m: m, conn: c, room: m.w.room(), peer: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, byte(m.w.peers >> 8), byte(m.w.peers)}), uint16(1024+m.w.peers%60000))}
	m.backlog = append(m.backlog, s)
	m.listener.hear()
	return s
}

// elapse calls what After was asked for and is due.
func (m *machine) elapse() {
	for {
		i := slices.IndexFunc(m.timers, func(t timer) bool { return t.at <= m.now() })
		if i < 0 {
			return
		}
		f := m.timers[i].f
		m.timers = slices.Delete(m.timers, i, i+1)
		f()
	}
}

// resting tells whether no kernel has anything to tell.
func (m *machine) resting() bool {
	for _, k := range m.kernels {
		if !k.resting() {
			return false
		}
	}
	return true
}

// kernel is a loop.Kernel that a seed moves.
type kernel struct {
	m       *machine
	number  int
	handler loop.Handler
	spare   bool
	closed  bool

	edges   []*socket
	yielded bool
	every   time.Duration // of ticks, 0 for none
	next    time.Duration
	batch   []event // what a poll has found and the loop was not told yet
	chores  bool    // and behind it tasks are run

	mu    sync.Mutex // the goroutine of an engine triggers tasks, while the world waits for it
	tasks []func()

	seen  loop.Stats    // after the last callback
	ran   time.Duration // when that was
	slept time.Duration // and how long there was none before
}

// event is one of a poll. fd is 0 for a turn, -1 for a tick.
type event struct {
	fd int32
	e  loop.Events
}

const (
	turnEvent int32 = 0
	tickEvent int32 = -1
)

var _ loop.Kernel = (*kernel)(nil)

func (m *machine) open(number int, h loop.Handler) (loop.Kernel, error) {
	k := &kernel{m: m, number: number, handler: h}
	m.kernels = append(m.kernels, k)
	return k, nil
}

// step hands the loop the next event, or runs its tasks. lazy: a poll may miss some
// of what there is, as one that came a little earlier would have. It reports whether
// there was something.
func (k *kernel) step(lazy bool) bool {
	if k.closed {
		return false
	}
	if len(k.batch) == 0 && !k.chores {
		k.poll(lazy)
	}
	if now := k.m.now(); now > k.ran {
		k.slept, k.ran = now-k.ran, now
	}
	switch {
	case len(k.batch) > 0:
		e := k.batch[0]
		k.batch = k.batch[1:]
		k.tell(e)
		if len(k.batch) == 0 && !k.closed {
			k.handler.Polled()
		}
	case k.chores:
		k.chores = false
		k.work()
	default:
		return false
	}
	k.m.w.afterCallback(k)
	return true
}

func (k *kernel) tell(e event) {
	switch e.fd {
	case turnEvent:
		k.handler.Turn()
	case tickEvent:
		k.handler.Tick()
	default:
		k.handler.Ready(e.fd, e.e)
	}
}

// work runs tasks until there are none.
func (k *kernel) work() {
	for {
		k.mu.Lock()
		if len(k.tasks) == 0 {
			k.mu.Unlock()
			return
		}
		task := k.tasks[0]
		k.tasks = k.tasks[1:]
		k.mu.Unlock()
		task()
		if k.closed {
			return
		}
	}
}

// poll gathers what there is to tell, in any order.
func (k *kernel) poll(lazy bool) {
	rnd := k.m.w.rnd
	later := k.edges[:0]
	for _, s := range k.edges {
		switch {
		case s.closed:
		case lazy && rnd.IntN(8) == 0:
			later = append(later, s)
		default:
			s.edge = false
			k.batch = append(k.batch, event{s.fd, s.events()})
		}
	}
	k.edges = later
	if k.tickDue() {
		k.next += k.every * (1 + (k.m.now()-k.next)/k.every)
		k.batch = append(k.batch, event{fd: tickEvent})
	}
	if k.yielded {
		k.yielded = false
		k.batch = append(k.batch, event{fd: turnEvent})
	}
	if lazy && rnd.IntN(8) == 0 { // for no reason
		if s := k.m.sockets[rnd.IntN(len(k.m.sockets))]; s != nil && s.kernel == k {
			k.batch = append(k.batch, event{s.fd, s.events()})
		}
	}
	rnd.Shuffle(len(k.batch), func(i, j int) { k.batch[i], k.batch[j] = k.batch[j], k.batch[i] })
	k.chores = k.waiting() && !(lazy && rnd.IntN(4) == 0)
}

func (k *kernel) tickDue() bool { return k.every > 0 && k.m.now() >= k.next }

func (k *kernel) waiting() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.tasks) > 0
}

// resting tells whether the loop sleeps, and nothing but its clients, the log or time
// will wake it.
func (k *kernel) resting() bool {
	return k.closed || len(k.edges) == 0 && !k.yielded && len(k.batch) == 0 && !k.chores && !k.tickDue() && !k.waiting()
}

func (k *kernel) Run() error { panic("the world steps it") }
func (k *kernel) Stop()      { panic("the world ends it") }

func (k *kernel) Trigger(task func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		panic("a loop that has ended is woken")
	}
	k.tasks = append(k.tasks, task)
}

func (k *kernel) Yield() { k.yielded = true }

func (k *kernel) Tick(every time.Duration) { k.every, k.next = every, k.m.now()+every }

func (k *kernel) Close() error {
	k.Spare(false)
	k.closed = true
	return nil
}

func (k *kernel) Add(fd int32) error {
	s := k.m.socket(fd)
	if s != k.m.listener && !k.m.w.isImporting() && k.m.w.rnd.IntN(300) == 0 {
		s.conn.unlucky()
		return errAborted
	}
	s.kernel = k
	if s.events() != 0 {
		s.hear()
	}
	return nil
}

func (k *kernel) Accept(int32) (loop.Arrival, error) {
	m := k.m
	switch {
	case m.listener.closed:
		return loop.Arrival{}, loop.ErrNotListening
	case len(m.backlog) == 0:
		return loop.Arrival{}, loop.ErrAgain
	case m.used >= m.most:
		m.w.counts[exhausted]++
		return loop.Arrival{}, fmt.Errorf("%w: %w", loop.ErrExhausted, errAborted)
	}
	s := m.backlog[0]
	s.conn.scarce = m.w.isScarce()
	m.backlog = m.backlog[1:]
	if s.reset && m.w.rnd.IntN(2) == 0 {
		return loop.Arrival{}, errAborted
	}
	m.take(s)
	return loop.Arrival{Socket: s.fd, Peer: s.peer}, nil
}

func (k *kernel) Read(fd int32, b []byte) (int, error) {
	if len(b) == 0 {
		panic("a read of nothing")
	}
	k.m.w.checkStill(fd)
	return k.m.socket(fd).read(b)
}

func (k *kernel) Send(fd int32, b []byte) (n int, full bool, err error) {
	if len(b) == 0 {
		panic("an empty send")
	}
	k.m.w.checkStill(fd)
	n, err = k.m.socket(fd).send(b)
	return n, err == nil && n < len(b), err
}

func (k *kernel) Shutdown(fd int32) {
	k.m.w.checkStill(fd)
	k.m.socket(fd).shutdown()
}
func (k *kernel) Copy(fd int32) (int32, error) { return fd, nil }
func (k *kernel) CloseCopy(int32)              {}
func (k *kernel) EndOf(fd int32) loop.End      { return k.m.socket(fd).endOf() }
func (k *kernel) Now() time.Duration           { return k.m.now() - k.m.booted }
func (k *kernel) Random(n int64) int64         { return k.m.w.rnd.Int64N(n) }
func (k *kernel) After(d time.Duration, f func()) {
	k.m.timers = append(k.m.timers, timer{k.m.now() + d, f})
}

func (k *kernel) CloseSocket(fd int32) {
	m := k.m
	m.w.checkStill(fd)
	s := m.socket(fd)
	m.sockets[fd] = nil
	m.used--
	s.close()
	if s != m.listener {
		m.ended = append(m.ended, s)
		return
	}
	for _, waits := range m.backlog {
		waits.close()
		waits.conn.unlucky()
	}
	m.backlog = nil
}

func (k *kernel) Spare(keep bool) bool {
	switch {
	case keep && !k.spare && k.m.used < k.m.most:
		k.spare = true
		k.m.used++
	case !keep && k.spare:
		k.spare = false
		k.m.used--
	}
	return k.spare
}
