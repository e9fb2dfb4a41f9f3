package simulation_test

import (
	"errors"
	"math/rand/v2"

	"peal/loop/fanout"
)

// socket takes room bytes; then it is full until the world makes room.
type socket struct {
	conn    *conn
	room    int
	arrived []byte // not read by the client yet
	full    bool   // said so, and owes a Writable
	dead    bool
}

var errReset = errors.New("connection reset")

func (s *socket) take(b []byte) (n int, full bool, err error) {
	if s.dead {
		return 0, false, errReset
	}
	n = min(len(b), s.room)
	s.room -= n
	s.arrived = append(s.arrived, b[:n]...)
	s.full = n < len(b)
	s.conn.stalled = s.conn.stalled || s.full
	if n > 0 && !s.conn.touched {
		s.conn.touched = true
		w := s.conn.client.w
		w.touched = append(w.touched, s.conn)
	}
	return n, s.full, nil
}

type queued struct {
	ticket uint32
	to     fanout.Conn
	b      []byte
	was    string // what b held when it was queued: it must not change
}

// sender implements fanout.Sender for the sockets of one loop.
type sender struct {
	fail    func(format string, args ...any)
	rnd     *rand.Rand
	late    bool // reports some of it in a later Flush
	sockets map[fanout.Conn]*socket
	queue   []queued
}

func (s *sender) Queue(ticket uint32, to fanout.Conn, b []byte) {
	if len(b) == 0 {
		s.fail("an empty send")
	}
	s.queue = append(s.queue, queued{ticket, to, b, string(b)})
}

func (s *sender) Flush(report fanout.Report) {
	n := len(s.queue)
	if s.late && n > 0 {
		n = s.rnd.IntN(n + 1)
	}
	now := s.queue[:n]
	s.queue = append([]queued(nil), s.queue[n:]...)
	for _, q := range now {
		if string(q.b) != q.was {
			s.fail("bytes changed between Queue and Flush: %.80q is now %.80q", q.was, q.b)
		}
		n, full, err := s.sockets[q.to].take(q.b)
		report(q.ticket, n, full, err)
	}
}

func (s *sender) Now(to fanout.Conn, b []byte) (n int, full bool, err error) {
	return s.sockets[to].take(b)
}
