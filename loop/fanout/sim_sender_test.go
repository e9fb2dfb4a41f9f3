package fanout_test

import (
	"errors"
	"math/rand/v2"
	"regexp"
	"strconv"

	"peal/loop/fanout"
)

// timing is when a simulated sender sends what it was given, and when it reports.
type timing uint8

const (
	atOnce   timing = iota // in the Flush that comes next, as package loop's
	turnLate               // sends then, reports a turn later, and sends nothing in Now
	anyTime                // whenever it likes, in any order, also between two turns
	timings
)

func (t timing) String() string {
	return [...]string{"at once", "a turn late", "at any time"}[t]
}

// simSocket takes room bytes; then it is full until the test makes room.
type simSocket struct {
	room    int
	arrived []byte
	full    bool // that was reported, and owes a Writable
	dead    bool
	slow    bool // was full at least once
	sealed  bool // full, and the sender has the end of what it said was taken
	old     int  // what began before here belongs to an earlier subscription
}

var errReset, errGone = errors.New("connection reset"), errors.New("the connection is gone")

func (s *simSocket) take(b []byte) (n int, full bool, err error) {
	if s.dead {
		return 0, false, errReset
	}
	n = min(len(b), s.room)
	s.room -= n
	s.arrived = append(s.arrived, b[:n]...)
	s.slow = s.slow || n < len(b)
	return n, n < len(b), nil
}

// send is what the sender was given and has not reported.
type send struct {
	ticket uint32
	to     fanout.Conn
	b      []byte
	was    string // what b held when it was queued: it must not change
	old    bool   // its member has subscribed to something else since
	end    uint64 // the position to which it leads
	taken  bool   // in that turn, and this is what the socket said
	turn   int
	n      int
	full   bool
	err    error
}

// simSender sends to simulated sockets. The connections of sockets are the only
// ones that there are.
type simSender struct {
	fail    func(format string, args ...any)
	end     func(ticket uint32) uint64 // nil for nobody
	landed  func(q *send)              // after its report; nil for nobody
	sockets map[fanout.Conn]*simSocket
	timing  timing
	rnd     *rand.Rand
	turn    int
	out     []*send // in the order of their coming
	report  fanout.Report
}

func (s *simSender) Queue(ticket uint32, to fanout.Conn, b []byte) {
	switch {
	case len(b) == 0:
		s.fail("an empty send")
	case s.sockets[to] == nil:
		s.fail("a send to %v, which there is not", to)
	}
	s.may(to)
	s.out = append(s.out, &send{ticket: ticket, to: to, b: b, was: string(b)})
}

// may checks that nothing is on its way to the connection, which it could overtake,
// and that its socket is not known to be full.
func (s *simSender) may(to fanout.Conn) {
	if s.flying(to) != nil {
		s.fail("a send to %v while another has not been reported", to)
	}
	if socket := s.sockets[to]; socket != nil && socket.full {
		s.fail("a send to %v, whose socket is full", to)
	}
}

func (s *simSender) flying(to fanout.Conn) *send {
	for _, q := range s.out {
		if q.to == to {
			return q
		}
	}
	return nil
}

func (s *simSender) Flush(report fanout.Report) {
	s.report = report
	switch s.timing {
	case atOnce:
		for len(s.out) > 0 {
			s.take(s.out[0])
			s.land(0)
		}
	case turnLate:
		for len(s.out) > 0 && s.out[0].taken && s.out[0].turn < s.turn {
			s.land(0)
		}
		for _, q := range s.out {
			s.take(q)
		}
	case anyTime:
		for _, q := range s.out {
			if s.rnd.IntN(2) == 0 {
				s.take(q)
			}
		}
		s.some()
	}
}

// some reports what it likes of that which was sent.
func (s *simSender) some() {
	for n := len(s.out); n > 0; n-- {
		if i := s.rnd.IntN(len(s.out)); s.out[i].taken && s.rnd.IntN(2) == 0 {
			s.land(i)
		}
	}
}

// take has the socket take it, once.
func (s *simSender) take(q *send) {
	if q.taken {
		return
	}
	q.taken, q.turn = true, s.turn
	s.same(q)
	if s.end != nil {
		q.end = s.end(q.ticket)
	}
	socket := s.sockets[q.to]
	if socket == nil {
		q.err = errGone
		return
	}
	q.n, q.full, q.err = socket.take(q.b)
	if s.timing == anyTime && q.err == nil && s.rnd.IntN(24) == 0 {
		q.full, socket.slow = true, true // the rest of a sealed record is with the sender
		socket.sealed = q.n == len(q.b)
	}
	if q.old {
		socket.old = len(socket.arrived)
	}
}

// land reports out[i].
func (s *simSender) land(i int) {
	q := s.out[i]
	s.out = append(s.out[:i:i], s.out[i+1:]...)
	s.same(q)
	if socket := s.sockets[q.to]; socket != nil && q.full {
		socket.full = true
	}
	s.report(q.ticket, q.n, q.full, q.err)
	if s.landed != nil {
		s.landed(q)
	}
}

func (s *simSender) same(q *send) {
	if string(q.b) != q.was {
		s.fail("bytes changed before they were reported: %.80q is now %.80q", q.was, q.b)
	}
}

func (s *simSender) Now(to fanout.Conn, b []byte) (n int, full bool, err error) {
	s.may(to)
	socket := s.sockets[to]
	switch {
	case socket == nil:
		s.fail("a send at once to %v, which there is not", to)
		return 0, false, errGone
	case s.timing == turnLate || s.timing == anyTime && s.rnd.IntN(3) == 0:
		return 0, false, nil
	case s.timing == anyTime && s.rnd.IntN(3) == 0:
		n, _, err = socket.take(b[:min(len(b), socket.room, s.rnd.IntN(len(b)+1))])
		return n, false, err
	}
	n, full, err = socket.take(b)
	if s.timing == anyTime && err == nil && s.rnd.IntN(24) == 0 {
		full, socket.slow = true, true
		socket.sealed = n == len(b)
	}
	socket.full = socket.full || full
	return n, full, err
}

var messageStart = regexp.MustCompile(`<M (\d+) `)

// reached is the last message of which its socket has taken a part, or where it
// leads if that has taken all of it; 0 for nothing of the subscription.
func (q *send) reached() (sequence uint64) {
	switch {
	case q.old:
		return 0
	case q.n == len(q.was):
		return q.end
	}
	for _, at := range messageStart.FindAllStringSubmatchIndex(q.was, -1) {
		if at[0] < q.n {
			sequence, _ = strconv.ParseUint(q.was[at[2]:at[3]], 10, 64)
		}
	}
	return sequence
}
