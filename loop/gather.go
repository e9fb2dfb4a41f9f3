package loop

import "unsafe"

// gathered is how many sends are made with one system call at most: for so long the
// scheduler cannot stop the loop.
const gathered = 64

// A Gatherer is a Kernel that makes several sends with one system call. It is optional: other
// kernels make each by Send.
type Gatherer interface {
	Kernel

	// SendAll does what Send does, for each of sends in their order, and notes in each what Send
	// would return. There are at most 64, of different sockets. Those with an Err are left as
	// they are.
	SendAll(sends []Sending)
}

// Sending is one of several sends: B to Socket, and what Kernel.Send returns for that.
type Sending struct {
	Socket int32
	B      []byte
	N      int
	Full   bool
	Err    error
}

// GathererOf is the Gatherer of k and its layers; nil if there is none, or if a layer changes what is sent.
func GathererOf(k Kernel) Gatherer {
	switch k := k.(type) {
	case Gatherer:
		return k
	case interface{ Gatherer() Gatherer }: // a layer that sends as the kernel below
		return k.Gatherer()
	}
	return nil
}

// flushTogether is the part of Flush that sends.
func (s *sender) flushTogether(report func(ticket uint32, n int, full bool, err error)) {
	for queue := s.queue; len(queue) > 0; {
		part := queue[:min(len(queue), gathered)]
		queue = queue[len(part):]
		for i := range part {
			q := &part[i]
			s.note(q.b)
			s.add(s.loop.conn(q.to.Slot), q.to.Generation, q.b)
			q.b = nil
		}
		s.sendAll()
		for i := range part {
			r := &s.sends[i]
			report(part[i].ticket, r.N, r.Full, r.Err)
		}
		s.forget()
	}
}

// uncorkTogether sends the responses that uncork has, as far as their sockets have room, and marks them. Replies stay: there may be
// several of one connection. Nothing was closed between the sends of one system call and what is done about
// them, so each is of the connection that it is for.
func (l *Loop) uncorkTogether() {
	s := &l.sender
	var part [gathered]int
	for at := 0; at < len(l.corked); {
		n := 0
		for ; at < len(l.corked) && n < gathered; at++ {
			k := &l.corked[at]
			c := l.conn(k.slot)
			if k.reply || c.serial() != k.serial || c.state == stateFree || !l.fan.Prompt(k.slot) {
				continue
			}
			s.add(c, k.serial, l.corkedBytes(at))
			k.sent, part[n] = true, at
			n++
		}
		s.sendAll()
		for i, sent := range part[:n] {
			k, r := l.corked[sent], &s.sends[i]
			if c := l.conn(k.slot); c.serial() == k.serial && c.state != stateFree {
				done, err := l.fan.WroteAnswer(k.slot, r.B, r.N, r.Full, r.Err)
				l.answerLeft(k.slot, c, done, err)
			}
		}
		s.forget()
	}
}

// add adds a send. If the connection is not the one that b is for, it is not made.
func (s *sender) add(c *conn, generation uint32, b []byte) {
	send := Sending{Socket: c.fd, B: b}
	if c.serial() != generation {
		send.Err = errGone
	}
	s.sends = append(s.sends, send)
}

// sendAll makes the sends.
func (s *sender) sendAll() {
	for i := range s.sends {
		if s.sends[i].Err == nil {
			s.calls++
		}
	}
	s.together.SendAll(s.sends)
}

// forget lets the bytes go that were sent.
func (s *sender) forget() {
	clear(s.sends)
	s.sends = s.sends[:0]
}

// note counts whether b is at another place than what was sent before.
func (s *sender) note(b []byte) {
	if p := unsafe.SliceData(b); p != s.last {
		s.buffers, s.last = s.buffers+1, p
	}
}
