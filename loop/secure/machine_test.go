package secure_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"peal/loop"
	"peal/loop/secure"
)

// machine is the kernel below the layer: sockets in memory, whose events come in an
// order that a seed decides.
type machine struct {
	rnd     *rand.Rand
	handler loop.Handler // the layer
	sockets map[int32]*socket
	backlog []*socket
	now     time.Duration
	yielded bool
	timers  []timer
	closed  bool
	calm    bool // reads take all that is there

	mu    sync.Mutex // goroutines trigger
	tasks []func()
}

type timer struct {
	at time.Duration
	f  func()
}

// socket is one connection, as the server has it.
type socket struct {
	m      *machine
	fd     int32
	from   int32 // listener
	peer   netip.AddrPort
	in     []byte // has come from the client
	ended  bool   // and then its end
	reset  bool
	out    []byte // was sent, and the client has not taken it
	room   int    // bytes that out may have
	shut   bool   // the server has ended its side
	full   bool   // an event is to tell of room
	added  bool
	edge   loop.Events
	closed bool
}

const (
	listener      = 3
	plainListener = 4
)

var (
	_        loop.Kernel = (*machine)(nil)
	errReset             = errors.New("connection reset")
)

func newMachine(seed uint64) *machine {
	return &machine{rnd: rand.New(rand.NewPCG(seed, 1)), sockets: map[int32]*socket{}}
}

// open puts the layer on the machine.
func (m *machine) open(l *secure.Layer, above loop.Handler) loop.Kernel {
	l.Serve(listener)
	k, err := l.Open(func(_ int, h loop.Handler) (loop.Kernel, error) {
		m.handler = h
		return m, nil
	})(0, above)
	if err != nil {
		panic(err)
	}
	return k
}

// step does one thing of those that are due, and reports whether there was one.
func (m *machine) step() bool {
	var due []func()
	for _, fd := range slices.Sorted(maps.Keys(m.sockets)) {
		if s := m.sockets[fd]; s.added && s.edge != 0 {
			due = append(due, func() { e := s.edge; s.edge = 0; m.handler.Ready(s.fd, e) })
		}
	}
	if len(m.backlog) > 0 {
		due = append(due, func() { m.handler.Ready(m.backlog[0].from, loop.Readable) })
	}
	if m.yielded {
		due = append(due, func() { m.yielded = false; m.handler.Turn() })
	}
	m.mu.Lock()
	if len(m.tasks) > 0 {
		due = append(due, func() {
			m.mu.Lock()
			task := m.tasks[0]
			m.tasks = m.tasks[1:]
			m.mu.Unlock()
			task()
		})
	}
	m.mu.Unlock()
	for i, t := range m.timers {
		if t.at <= m.now {
			due = append(due, func() { m.timers = slices.Delete(m.timers, i, i+1); t.f() })
			break
		}
	}
	if len(due) == 0 {
		return false
	}
	due[m.rnd.IntN(len(due))]()
	return true
}

// settle goes on until nothing is due.
func (m *machine) settle() {
	for n := 0; m.step(); n++ {
		if n > 1_000_000 {
			panic("it never ends")
		}
	}
}

// elapse lets time pass.
func (m *machine) elapse(d time.Duration) {
	m.now += d
	m.settle()
}

// connect is a client's.
func (m *machine) connect(peer string) *socket {
	fd := int32(10)
	for m.sockets[fd] != nil {
		fd++
	}
	s := &socket{m: m, fd: fd, from: listener, peer: netip.MustParseAddrPort(peer), room: 1 << 20}
	m.sockets[fd] = s
	m.backlog = append(m.backlog, s)
	return s
}

// deliver brings bytes of the client; none are its end.
func (s *socket) deliver(b []byte) {
	if s.closed {
		return
	}
	s.edge |= loop.Readable
	if len(b) == 0 {
		s.ended = true
		s.edge |= loop.NearEnd
	}
	s.in = append(s.in, b...)
}

func (s *socket) breakOff() {
	s.reset, s.ended = true, true
	s.edge |= loop.Readable | loop.NearEnd | loop.Broken
}

// take is the client's, at most n bytes.
func (s *socket) take(n int) []byte {
	n = min(n, len(s.out))
	b := slices.Clone(s.out[:n])
	s.out = s.out[n:]
	if n > 0 && s.full && !s.closed {
		s.full = false
		s.edge |= loop.Writable
	}
	return b
}

// widen makes room.
func (s *socket) widen(room int) {
	s.room = room
	if s.full && !s.closed {
		s.full = false
		s.edge |= loop.Writable
	}
}

func (m *machine) socket(fd int32) *socket {
	s := m.sockets[fd]
	if s == nil || s.closed {
		panic(fmt.Sprintf("descriptor %d is not open", fd))
	}
	return s
}

func (m *machine) Accept(fd int32) (loop.Arrival, error) {
	if len(m.backlog) == 0 || m.backlog[0].from != fd {
		return loop.Arrival{}, loop.ErrAgain
	}
	s := m.backlog[0]
	m.backlog = m.backlog[1:]
	return loop.Arrival{Socket: s.fd, Peer: s.peer}, nil
}

func (m *machine) Read(fd int32, b []byte) (int, error) {
	s := m.socket(fd)
	switch {
	case len(b) == 0:
		panic("a read of nothing")
	case len(s.in) > 0:
	case s.reset:
		return 0, errReset
	case s.ended:
		return 0, io.EOF
	default:
		return 0, loop.ErrAgain
	}
	n := min(len(b), len(s.in))
	if n > 1 && !m.calm && m.rnd.IntN(4) == 0 { // the others came just after it
		n = 1 + m.rnd.IntN(n-1)
		s.edge |= loop.Readable
		if s.ended {
			s.edge |= loop.NearEnd
		}
	}
	copy(b, s.in[:n])
	s.in = s.in[n:]
	return n, nil
}

func (m *machine) Send(fd int32, b []byte) (int, bool, error) {
	s := m.socket(fd)
	if len(b) == 0 {
		panic("an empty send")
	}
	if s.shut {
		panic("a send behind the end")
	}
	if s.reset {
		return 0, false, errReset
	}
	n := min(len(b), max(0, s.room-len(s.out)))
	s.out = append(s.out, b[:n]...)
	full := n < len(b) || len(s.out) >= s.room // a layer below may say it that early
	s.full = s.full || full
	return n, full, nil
}

func (m *machine) Shutdown(fd int32) { m.socket(fd).shut = true }

func (m *machine) Copy(fd int32) (int32, error) { return fd, nil }
func (m *machine) CloseCopy(int32)              {}
func (m *machine) CloseSocket(fd int32) {
	if fd == listener || fd == plainListener {
		return
	}
	s := m.socket(fd)
	s.closed, s.edge = true, 0
	delete(m.sockets, fd)
}

func (m *machine) EndOf(fd int32) loop.End {
	switch s := m.socket(fd); {
	case s.reset:
		return loop.EndBoth
	case s.ended:
		return loop.EndRead
	}
	return loop.EndNone
}

func (m *machine) Trigger(task func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		panic("a kernel that was closed is woken")
	}
	m.tasks = append(m.tasks, task)
}

func (m *machine) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

func (m *machine) Add(fd int32) error {
	s := m.socket(fd)
	s.added = true
	s.edge |= loop.Writable
	if len(s.in) > 0 || s.ended {
		s.edge |= loop.Readable
	}
	return nil
}

func (m *machine) Run() error                      { panic("steps only") }
func (m *machine) Stop()                           {}
func (m *machine) Yield()                          { m.yielded = true }
func (m *machine) Tick(time.Duration)              {}
func (m *machine) Spare(bool) bool                 { return true }
func (m *machine) Now() time.Duration              { return m.now }
func (m *machine) After(d time.Duration, f func()) { m.timers = append(m.timers, timer{m.now + d, f}) }
func (m *machine) Random(n int64) int64            { return m.rnd.Int64N(n) }
