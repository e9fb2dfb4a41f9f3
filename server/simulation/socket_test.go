package simulation_test

import (
	"errors"
	"io"
	"net/netip"
	"time"

	"peal/loop"
)

// socket is one connection as the operating system has it: a stream of bytes each
// way, and what is known of their ends.
type socket struct {
	flow   flow
	m      *machine
	fd     int32
	peer   netip.AddrPort
	conn   *conn   // the far end
	kernel *kernel // the one that tells of it, nil before Kernel.Add
	edge   bool    // something has become possible, and the kernel has not told yet

	// From the client.
	wire    []byte // on the way
	wireEnd bool   // and the end behind it
	in      []byte // has come, and was not read
	end     bool   // behind in nothing comes
	gone    bool   // the client reads no more: what it is sent comes back as a reset
	reset   bool

	// To the client.
	room             int           // bytes that it takes before it is full
	full             bool          // said so: an event is due when there is room
	behind           bool          // not all that was sent last was taken
	behindAt, freeAt time.Duration // since, and when that ended
	out              []byte        // has come, and was not read by the client
	shut             bool          // the server has ended its side, behind out
	shared           bool          // when another process had a copy: it was closed then, perhaps
	closed           bool          // the server has closed it
	shutAt           time.Duration
}

var (
	errReset   = errors.New("connection reset by peer")
	errAborted = errors.New("software caused connection abort")
)

// hear makes an edge.
func (s *socket) hear() {
	if s.kernel != nil && !s.edge && !s.closed {
		s.edge = true
		s.kernel.edges = append(s.kernel.edges, s)
	}
}

// events is what is possible now.
func (s *socket) events() (e loop.Events) {
	if s == s.m.listener {
		if len(s.m.backlog) > 0 {
			e = loop.Readable
		}
		return e
	}
	if len(s.in) > 0 || s.end {
		e |= loop.Readable
	}
	if !s.full {
		e |= loop.Writable
	}
	if s.end {
		e |= loop.NearEnd
	}
	if s.end && s.shut || s.reset {
		e |= loop.Readable | loop.NearEnd | loop.Broken
	}
	return e
}

// write is the client's: b is on its way.
func (s *socket) write(b []byte) {
	if !s.reset && !s.wireEnd {
		s.wire = append(s.wire, b...)
	}
}

// deliver lets n bytes of what is on the way arrive, and the end behind the last.
func (s *socket) deliver(n int) {
	if s.reset {
		return
	}
	n = min(n, len(s.wire))
	news := n > 0
	s.in = append(s.in, s.wire[:n]...)
	s.wire = s.wire[n:]
	if len(s.wire) == 0 && s.wireEnd && !s.end {
		s.end, news = true, true
	}
	if s.closed {
		s.in = nil
		return
	}
	if news {
		s.hear()
	}
}

// finish is the client's: it sends nothing more.
func (s *socket) finish() { s.wireEnd = true }

// abort is the client's reset. What had come before it may still be read.
func (s *socket) abort() {
	if !s.reset {
		s.wire, s.end, s.reset, s.gone, s.full = nil, true, true, true, false
		s.out = nil
		s.hear()
	}
}

// widen makes room.
func (s *socket) widen(n int) {
	s.room += n
	if s.full && s.room > 0 {
		s.full = false
		s.hear()
	}
}

// flow is what was read of a socket lately, less what may come (loop.Inflow.Bytes).
type flow struct {
	bytes int
	tick  int // machine.tick
}

// tick is the second of the loops' clock.
func (m *machine) tick() int { return int((m.now() - m.booted) / tick) }

func (f *flow) add(m *machine, n int) {
	now := m.tick()
	f.bytes = max(0, f.bytes-(now-f.tick)*m.w.plan.loop.Inflow.Bytes) + n
	f.tick = now
}

// pass has f go on by the clock of another machine.
func (f *flow) pass(from, to *machine) {
	f.add(from, 0)
	f.tick = to.tick()
}

// isSlowed tells whether the loop may have paused reading: its tick may be a second late.
func (s *socket) isSlowed() bool {
	f, rate := s.flow, s.m.w.plan.loop.Inflow.Bytes
	return rate > 0 && f.bytes-max(0, s.m.tick()-1-f.tick)*rate > rate
}

func (s *socket) read(b []byte) (int, error) {
	switch n := copy(b, s.in); {
	case n > 0:
		s.in = s.in[n:]
		s.flow.add(s.m, n)
		return n, nil
	case s.reset:
		return 0, errReset
	case s.end:
		return 0, io.EOF
	}
	return 0, loop.ErrAgain
}

func (s *socket) send(b []byte) (int, error) {
	switch {
	case s.shut:
		s.m.w.fail("%s: the server sends behind its own end", s.conn)
		return 0, errReset
	case s.reset:
		return 0, errReset
	case s.gone:
		s.reset, s.end = true, true
		s.hear()
		return len(b), nil
	}
	n := min(len(b), s.room)
	switch {
	case s.kernel == nil: // it is new: every kernel has room for a refusal
		n = len(b)
	case n > 1 && s.m.w.rnd.IntN(16) == 0:
		n = 1 + s.m.w.rnd.IntN(n-1) // room is there, and it says that it is full
	}
	s.room -= n
	s.out = append(s.out, b[:n]...)
	switch s.full = n < len(b); {
	case s.full:
		s.fill()
	case s.behind:
		s.behind, s.freeAt = false, s.m.now()
	}
	s.m.w.touch(s.conn)
	return n, nil
}

// fill notes that not all that was sent was taken.
func (s *socket) fill() {
	if now := s.m.now(); !s.behind && now > s.freeAt {
		s.behindAt = now
	}
	s.behind = true
	if s.conn != nil {
		s.conn.stalled = true
	}
}

func (s *socket) endOf() loop.End {
	switch {
	case s.reset || s.end && s.shut:
		return loop.EndBoth
	case s.end:
		return loop.EndRead
	}
	return loop.EndNone
}

// shutdown is the server's end of its side.
func (s *socket) shutdown() {
	if s.shut {
		return
	}
	s.shut, s.shutAt = true, s.m.now()
	s.shared = s.m.shared
	if s.end {
		s.hear()
	}
	s.m.w.touch(s.conn)
}

// close is the server's. What the client has sent and nobody has read makes a reset,
// which overtakes what the client has not read.
func (s *socket) close() {
	s.closed = true
	if len(s.in) > 0 || len(s.wire) > 0 && !s.gone {
		s.out = nil
	}
	s.m.w.touch(s.conn)
}
