package loop

import "time"

// DefaultDrainRate is Config.DrainRate without one.
const DefaultDrainRate = 500

// pace spreads the good-byes of a drain, so that clients do not all come back at once:
// a number of them a second, and at least as many as leave a quarter of the drain for
// those that take their end slowly.
type pace struct {
	began  time.Duration // by the clock of a kernel
	rate   float64       // a second
	raised bool          // above what was asked for, because the drain is short
	given  int
}

// burst is for how much time good-byes may be said at once: a few clients do not wait.
const burst = 100 * time.Millisecond

func newPace(perSecond, open int, limit time.Duration) pace {
	p := pace{rate: float64(perSecond)}
	if limit <= 0 {
		return p
	}
	if least := float64(open) / (limit.Seconds() * 3 / 4); least > p.rate {
		p.rate, p.raised = least, true
	}
	return p
}

// due is how many good-byes may be said now beside those of earlier calls.
func (p *pace) due(now time.Duration) int {
	all := int((now-p.began+burst).Seconds()*p.rate) + 1
	more := all - p.given
	p.given = all
	return more
}
