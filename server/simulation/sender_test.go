package simulation_test

import "peal/loop/fanout"

// lateSender stands before a loop's sender. Some of what is queued it sends in a
// later turn, and some it sends and reports in a later turn, as one does that
// gathers what it sends, or that the kernel tells of it later.
type lateSender struct {
	w      *world
	kernel *kernel
	next   fanout.Sender
	queue  []queued
	sent   []queued // of which the report is due
}

// queued is one send. was is what b held when it was queued: it must not change.
type queued struct {
	ticket uint32
	to     fanout.Conn
	b      []byte
	was    string
}

// sender is that of a loop: its own, or a late one before it.
func (w *world) sender(k *kernel, next fanout.Sender) fanout.Sender {
	if !w.plan.late {
		return next
	}
	return &lateSender{w: w, kernel: k, next: next}
}

func (s *lateSender) Queue(ticket uint32, to fanout.Conn, b []byte) {
	if len(b) == 0 {
		s.w.fail("an empty send")
	}
	s.queue = append(s.queue, queued{ticket, to, b, string(b)})
}

func (s *lateSender) Flush(report fanout.Report) {
	sent, queue := s.sent, s.queue
	s.sent, s.queue = nil, nil
	for _, q := range sent {
		s.check(q)
		report(q.ticket, len(q.b), false, nil)
	}
	for i, q := range queue {
		s.check(q)
		if s.w.rnd.IntN(3) == 0 {
			s.queue = append(s.queue, queue[i])
			continue
		}
		n, full, err := s.next.Now(q.to, q.b)
		if n == len(q.b) && !full && err == nil && s.w.rnd.IntN(2) == 0 {
			s.sent = append(s.sent, q)
			continue
		}
		report(q.ticket, n, full, err)
	}
	if len(s.queue)+len(s.sent) > 0 {
		s.w.counts[late]++
		s.kernel.Yield()
	}
}

// check tells of bytes that have changed while they were the sender's.
func (s *lateSender) check(q queued) {
	if string(q.b) != q.was {
		s.w.fail("bytes changed between Queue and the report: %.80q is now %.80q", q.was, q.b)
	}
}

func (s *lateSender) Now(to fanout.Conn, b []byte) (n int, full bool, err error) {
	if s.w.rnd.IntN(4) == 0 {
		return 0, false, nil
	}
	return s.next.Now(to, b)
}
