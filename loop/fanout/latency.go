package fanout

import (
	"time"

	"peal/loop/ring"
)

// LatencyBounds are the upper ends of the buckets of Latency.
var LatencyBounds = [...]time.Duration{
	25 * time.Microsecond, 50 * time.Microsecond, 100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
}

// Latency is a histogram of how long messages took from when the log accepted
// them (ring.Message.Accepted) to when the sender had reported for the last
// member that was due: one observation for each message and view, and one for
// all views together that share its channel in one encoding (bundle). Members
// whose sockets are full, or who catch up, are not due, and a message that was
// sent to nobody is not observed.
type Latency struct {
	Counts [len(LatencyBounds) + 1]uint64 // of each bucket alone; the last is beyond all bounds
	Sum    time.Duration
}

func (l *Latency) observe(d time.Duration, n uint64) {
	i := 0
	for i < len(LatencyBounds) && d > LatencyBounds[i] {
		i++
	}
	l.Counts[i] += n
	l.Sum += d * time.Duration(n)
}

// Add adds the observations of other to l.
func (l *Latency) Add(other *Latency) {
	for i, n := range other.Counts {
		l.Counts[i] += n
	}
	l.Sum += other.Sum
}

// latency is what the fan knows of them. It is apart from the Fan, whose layout
// each delivery feels.
type latency struct {
	clock    func() int64
	handed   []handed // through, and to be observed when the sender has reported
	observed Latency
}

// handed is a mark for which all members have been visited, and before which wave
// all its flights were queued.
type handed struct {
	mark
	wave uint64
}

// Measure has the fan observe latencies by clock, which tells nanoseconds on the
// scale of ring.Message.Accepted. It is asked once each time the sender has
// reported and a message is through, so never for a single member's sake. Call it
// before the first Apply; without it nothing is observed.
func (f *Fan) Measure(clock func() int64) { f.latency = &latency{clock: clock} }

// mark is one message, or several, on their way through the members of a pass.
type mark struct {
	accepted int64
	until    uint32 // visits of the pass by which all have been seen: of members, or of a bundle's views
	sends    uint32 // sends of the pass before
	n        uint32 // messages
}

// maxMarks bounds the marks of one pass. Beyond it messages are counted with the
// one before them, as if accepted as early: too long, never too short.
const maxMarks = 256

const markBytes = 24

// mark notes that m is due to all members of the pass.
func (f *Fan) mark(p *pass, m *ring.Message) {
	if f.latency == nil || m.Accepted == 0 {
		return
	}
	until := p.visits + uint32(p.left)
	if n := len(p.marks); n > 0 {
		last := &p.marks[n-1]
		if n == maxMarks || last.accepted == m.Accepted && last.until == until && last.sends == p.sends {
			last.until = until
			last.n++
			return
		}
	}
	p.marks = append(p.marks, mark{m.Accepted, until, p.sends, 1})
}

// through counts sends and visits of a pass, and takes the marks of messages for
// which all members have been visited; they are observed when the sender has
// reported.
func (f *Fan) through(p *pass, sent, seen int) {
	p.sends += uint32(sent)
	p.visits += uint32(seen)
	n := 0
	for ; n < len(p.marks); n++ {
		m := &p.marks[n]
		if p.left > 0 && int32(p.visits-m.until) < 0 {
			break
		}
		if m.sends != p.sends {
			f.latency.handed = append(f.latency.handed, handed{*m, f.waves.now + 1})
		}
	}
	if n > 0 {
		p.marks = p.marks[:copy(p.marks, p.marks[n:])]
	}
}

// answered takes the marks of a view of polls whose last member has left: with
// its answer, as a rule.
func (f *Fan) answered(p *pass) {
	if f.latency != nil {
		for _, m := range p.marks {
			f.latency.handed = append(f.latency.handed, handed{m, f.waves.now + 1})
		}
		p.marks = p.marks[:0]
	}
}

// observe counts what is through, as far as the sender has reported.
func (f *Fan) observe() {
	l := f.latency
	if l == nil || len(l.handed) == 0 || !f.reported(l.handed[0].wave) {
		return
	}
	now, n := l.clock(), 0
	for ; n < len(l.handed) && f.reported(l.handed[n].wave); n++ {
		m := &l.handed[n]
		l.observed.observe(time.Duration(max(0, now-m.accepted)), uint64(m.n))
	}
	l.handed = l.handed[:copy(l.handed, l.handed[n:])]
}
