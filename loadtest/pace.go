package loadtest

import (
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// A Schedule says when each message is to be sent. It is fixed before the
// first one is: it asks a vegeta pacer on a clock of its own, which no stall of
// the server or of this process can slow down.
type Schedule struct {
	pacer   vegeta.Pacer
	hits    uint64
	elapsed time.Duration
	length  time.Duration
}

// NewSchedule returns the schedule of pacer for length. vegeta's pacers give
// the first message one interval after the start.
func NewSchedule(pacer vegeta.Pacer, length time.Duration) *Schedule {
	return &Schedule{pacer: pacer, length: length}
}

// Rate returns a constant pacer of perSecond messages, which may be a fraction.
func Rate(perSecond float64) vegeta.Pacer {
	// In thousandths: vegeta's frequency is an integer, and its interval is cut
	// to whole nanoseconds.
	return vegeta.ConstantPacer{Freq: max(int(perSecond*1000), 1), Per: 1000 * time.Second}
}

// Next returns when the next message is due, counted from the start; ok is
// false when the schedule is over.
func (s *Schedule) Next() (at time.Duration, ok bool) {
	wait, stop := s.pacer.Pace(s.elapsed, s.hits)
	if stop || s.elapsed+wait > s.length {
		return 0, false
	}
	s.elapsed += wait
	s.hits++
	return s.elapsed, true
}
