package loop

import (
	"errors"

	"peal/loop/fanout"
)

// sender sends with one call a connection, or several with one if the kernel is a Gatherer. It
// implements fanout.Sender.
type sender struct {
	loop  *Loop // whose connections they are
	queue []outgoing
	calls uint64 // of Kernel.Send

	// How often the bytes of a send were at another place than those of the send
	// before: once for a message that all members share, once for each of them if it
	// is copied on the path to here. last keeps those bytes in memory, so that no
	// others can be at the same place.
	buffers uint64
	last    *byte

	together Gatherer  // nil: each send is a system call
	sends    []Sending // that are made together
}

type outgoing struct {
	ticket uint32
	to     fanout.Conn
	b      []byte
}

var _ fanout.Sender = (*sender)(nil)

func (s *sender) Queue(ticket uint32, to fanout.Conn, b []byte) {
	s.queue = append(s.queue, outgoing{ticket, to, b})
}

// Flush reports each send at once: none is out when it returns.
func (s *sender) Flush(report fanout.Report) {
	if s.together != nil && len(s.queue) > 1 {
		s.flushTogether(report)
		s.queue = s.queue[:0]
		return
	}
	for i := range s.queue {
		q := &s.queue[i]
		s.note(q.b)
		n, full, err := s.Now(q.to, q.b)
		q.b = nil
		report(q.ticket, n, full, err)
	}
	s.queue = s.queue[:0]
}

func (s *sender) Now(to fanout.Conn, b []byte) (n int, full bool, err error) {
	c := s.loop.conn(to.Slot)
	if c.serial() != to.Generation {
		return 0, false, errGone
	}
	s.calls++
	return s.loop.kernel.Send(c.fd, b)
}

// errGone: the connection was closed, and its slot and descriptor may be another's.
var errGone = errors.New("loop: the connection is gone")
