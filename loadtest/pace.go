package loadtest

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"time"
)

// Stage is a rate of messages per second for some time: From, or from From to To in a
// straight line.
type Stage struct {
	Length   time.Duration
	From, To float64
}

var stageForm = regexp.MustCompile(`^([^:]+):([\d.]+)/s(?:\.\.([\d.]+)/s)?$`)

// ParseStage reads "30s:100/s" or "30s:100/s..1000/s".
func ParseStage(text string) (s Stage, err error) {
	parts := stageForm.FindStringSubmatch(text)
	if parts == nil {
		return s, fmt.Errorf("stage %q: must be like 30s:100/s or 30s:100/s..1000/s", text)
	}
	var faults [3]error
	s.Length, faults[0] = time.ParseDuration(parts[1])
	s.From, faults[1] = strconv.ParseFloat(parts[2], 64)
	s.To, faults[2] = strconv.ParseFloat(cmp.Or(parts[3], parts[2]), 64)
	if err = errors.Join(faults[:]...); err == nil && s.Length <= 0 {
		err = errors.New("the time must be more than 0")
	}
	if err != nil {
		err = fmt.Errorf("stage %q: %w", text, err)
	}
	return s, err
}

func (s Stage) String() string {
	rate := func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) + "/s" }
	if s.From == s.To {
		return s.Length.String() + ":" + rate(s.From)
	}
	return s.Length.String() + ":" + rate(s.From) + ".." + rate(s.To)
}

// due is when message k, counted from 1, is due, in ns from the begin of the stage:
// when the area below the line of the rate is k. It is infinite if it never is.
func (s *Stage) due(k uint64) float64 {
	if s.From == s.To {
		return 1e9 * float64(k) / s.From
	}
	bend := (s.To - s.From) / s.Length.Seconds()
	root := s.From*s.From + 2*bend*float64(k)
	if root < 0 {
		return math.Inf(1)
	}
	return 2e9 * float64(k) / (s.From + math.Sqrt(root))
}

// Pacer is the stages of an open loop. A single one without a Length is as long as
// the load.
type Pacer []Stage

// Rate returns a constant pacer of perSecond messages, which may be a fraction.
func Rate(perSecond float64) Pacer { return Pacer{{From: perSecond, To: perSecond}} }

// lasting is p with lengths.
func (p Pacer) lasting(length time.Duration) Pacer {
	if len(p) == 1 && p[0].Length == 0 {
		return Pacer{{length, p[0].From, p[0].To}}
	}
	return p
}

// Length is how long all stages take.
func (p Pacer) Length() (sum time.Duration) {
	for _, s := range p {
		sum += s.Length
	}
	return sum
}

// A Schedule says when each message is to be sent. It is fixed before the
// first one is, so no stall of the server or of this process can slow it down.
type Schedule struct {
	stages Pacer
	begin  time.Duration // of the first
	hits   uint64        // in it
}

// NewSchedule returns the schedule of pacer for length. The first message of a stage
// is due one interval after its begin.
func NewSchedule(pacer Pacer, length time.Duration) *Schedule {
	return &Schedule{stages: pacer.lasting(length)}
}

// Next returns when the next message is due, counted from the start; ok is
// false when the schedule is over.
func (s *Schedule) Next() (at time.Duration, ok bool) {
	for ; len(s.stages) > 0; s.stages = s.stages[1:] {
		stage := &s.stages[0]
		if at := stage.due(s.hits + 1); at <= float64(stage.Length) {
			s.hits++
			return s.begin + time.Duration(at), true
		}
		s.begin, s.hits = s.begin+stage.Length, 0
	}
	return 0, false
}
