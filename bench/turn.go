package bench

import (
	"context"
	"time"

	"peal/loadtest"
)

// Turn is the part of one sample in a pair. Both servers of a pair run at the same time
// and are measured in turns of about a twentieth of a second, so that what the machine does
// meanwhile affects both: the principle of duet benchmarking (Bulej et al., ICPE 2020,
// doi:10.1145/3358960.3379132), without their contention, because only one of them has
// work at any moment.
//
// A nil Turn is that of a sample by itself, which never waits.
type Turn struct {
	mine, theirs chan struct{} // a value is the turn
	ended, gone  chan struct{} // closed when this sample has ended, when the other has
}

// Duet runs m on two servers in turns, and returns what Sample returns of each. The first
// begins. Loads that have no parts, and what comes before and after a load, are one turn.
func (m Macro) Duet(ctx context.Context, first, second *Command) (outcomes [2]Outcome) {
	a, b := make(chan struct{}), make(chan struct{})
	endA, endB := make(chan struct{}), make(chan struct{})
	part := func(i int, of *Command, t *Turn) {
		defer close(t.ended)
		if i > 0 {
			t.await()
		}
		c := *of
		c.turn = t
		outcomes[i].Measures, outcomes[i].Err = m.Sample(ctx, &c)
	}
	go part(1, second, &Turn{mine: b, theirs: a, ended: endB, gone: endA})
	part(0, first, &Turn{mine: a, theirs: b, ended: endA, gone: endB})
	<-endB
	return outcomes
}

// Outcome is what one sample gave.
type Outcome struct {
	Measures []Measure
	Err      error
}

// pass lets the other sample go on, and returns when it passes the turn back or ends.
func (t *Turn) pass() {
	if t == nil {
		return
	}
	select {
	case t.theirs <- struct{}{}:
		t.await()
	case <-t.gone:
	}
}

func (t *Turn) await() {
	select {
	case <-t.mine:
	case <-t.gone:
	}
}

// inParts runs load, in a pair in that many parts, each of which is that fraction of it,
// after one part that is not measured: the first server of a pair has waited for the
// connections of the second, and would need more CPU time in its first part. It returns
// the sums of the messages, all latencies, and the CPU time from the first part
// to the end of the last: what a server puts off until the other's turn counts, too.
// begin is called before what is measured; it may be nil.
func (s *Server) inParts(parts int, begin func() error, load func(parts int) (loadtest.Result, error)) (sum loadtest.Result, err error) {
	if begin == nil {
		begin = func() error { return nil }
	}
	if s.turn == nil {
		if err := begin(); err != nil {
			return sum, err
		}
		return load(1)
	}
	s.turn.pass()
	if unmeasured, err := load(parts); err != nil {
		return unmeasured, err
	}
	var before time.Duration
	for i := range parts {
		s.turn.pass()
		if i == 0 {
			if err := begin(); err != nil {
				return sum, err
			}
			if before, err = loadtest.CPUTime(s.PID); err != nil {
				return sum, err
			}
		}
		r, err := load(parts)
		if err != nil {
			return r, err
		}
		sum.Published += r.Published
		sum.Delivered += r.Delivered
		sum.Took += r.Took
		if r.Latency == nil {
			continue
		}
		if sum.Latency == nil {
			sum.Latency = loadtest.NewLatency()
		}
		if err := sum.Latency.Merge(r.Latency); err != nil {
			return r, err
		}
	}
	after, err := loadtest.CPUTime(s.PID)
	sum.ServerCPU = after - before
	return sum, err
}
