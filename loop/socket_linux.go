package loop

import (
	"unsafe"

	"peal/loop/fanout"
)

// sender sends with one call a connection. It implements fanout.Sender.
type sender struct {
	kernel Kernel
	queue  []outgoing
	calls  uint64 // of Kernel.Send

	// How often the bytes of a send lay elsewhere than those of the send before:
	// once for a message that all members share, once for each of them if
	// somebody copies it on the way here. last keeps those bytes alive, so that
	// no others can come to lie there.
	buffers uint64
	last    *byte
}

type outgoing struct {
	ticket uint32
	socket int32
	b      []byte
}

var _ fanout.Sender = (*sender)(nil)

func (s *sender) Queue(ticket uint32, socket int32, b []byte) {
	s.queue = append(s.queue, outgoing{ticket, socket, b})
}

func (s *sender) Flush(report func(ticket uint32, n int, err error)) {
	for i := range s.queue {
		q := &s.queue[i]
		if p := unsafe.SliceData(q.b); p != s.last {
			s.buffers, s.last = s.buffers+1, p
		}
		n, err := s.Now(q.socket, q.b)
		q.b = nil
		report(q.ticket, n, err)
	}
	s.queue = s.queue[:0]
}

func (s *sender) Now(socket int32, b []byte) (int, error) {
	s.calls++
	return s.kernel.Send(socket, b)
}
