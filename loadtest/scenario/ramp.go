package scenario

import (
	"cmp"

	"peal/loadtest/report"
)

// rampObjectives hold where the user named none.
var rampObjectives = []string{"p99>100ms", "lost>0", "errors>0"}

// refinements are how many rates are tried between the last that held and the
// first that broke.
const refinements = 2

// ramp raises the rate, each for one step, until an objective breaks or the
// generator does. The report's figures are those of the highest rate that held.
func (e *experiment) ramp() (*report.Report, error) {
	objectives := e.s.Objectives
	if len(objectives) == 0 {
		for _, text := range rampObjectives {
			o, err := report.ParseObjective(text)
			if err != nil {
				return nil, err
			}
			objectives = append(objectives, o)
		}
	}
	return e.with(nil, true, func(s *session) error {
		c := climb{session: s, objectives: objectives, ramp: &report.Ramp{Steps: []report.Step{}}}
		if err := c.run(); err != nil {
			return err
		}
		aborted := s.report.Aborted
		if c.best != nil {
			s.report = c.best
		}
		c.ramp.FindKnee()
		s.report.Ramp, s.report.Interrupted = c.ramp, e.interrupted()
		s.report.Aborted = cmp.Or(aborted, s.report.Aborted)
		return nil
	})
}

// climb is a ramp under way.
type climb struct {
	*session
	objectives []report.Objective
	ramp       *report.Ramp
	best       *report.Report // of the highest rate that held
	broken     bool           // the last step broke
}

func (c *climb) run() error {
	low, high := 0.0, 0.0
	for rate, tries := c.s.Rate, 0; tries <= refinements; {
		if high == 0 && rate > c.s.MaxRate {
			c.ramp.LimitedBy = "max-rate"
			return nil
		}
		broke, err := c.step(rate)
		switch {
		case err != nil || c.interrupted():
			c.ramp.LimitedBy = cmp.Or(c.ramp.LimitedBy, "interrupted")
			return err
		case broke == "":
			low = rate
		default:
			high, c.ramp.LimitedBy = rate, broke
		}
		switch {
		case broke == "aborted", high > 0 && low == 0:
			return nil
		case high == 0:
			rate *= c.s.Factor
		default:
			tries, rate = tries+1, (low+high)/2
		}
	}
	return nil
}

// step tries one rate and returns what broke.
func (c *climb) step(rate float64) (broke string, err error) {
	fresh := *c.report
	fresh.Intervals = nil
	c.report = &fresh
	if c.broken { // what it lost, or still has queued, is not this step's
		if err := c.reconnect(nil); err != nil && !c.interrupted() {
			c.abort(err)
			return "aborted", nil
		}
		if c.interrupted() {
			return "", nil
		}
	}
	c.publish(rate, c.s.Step, 0, nil)
	if fresh.Aborted != "" && fresh.Messages == nil {
		return "aborted", nil
	}
	fresh.Validate(c.s.Limits)
	missed, err := fresh.Judge(c.objectives)
	if err != nil {
		return "", err
	}
	step := report.Step{Rate: rate, Lost: fresh.Messages.Lost, Delivered: fresh.Messages.DeliveredRate, GeneratorCPU: fresh.Generator.CPUShare}
	if t := fresh.Latency; t != nil {
		step.P50, step.P99, step.Max = t.P50, t.P99, t.Max
	}
	if fresh.Server != nil {
		server := *fresh.Server // the next step has its own
		fresh.Server = &server
		cores := round(server.CPU / c.s.Step.Seconds())
		step.ServerCPU = &cores
	}
	switch {
	case fresh.Aborted != "":
		broke, step.Broke = "aborted", fresh.Aborted
	case len(missed) > 0:
		broke, step.Broke = missed[0], missed[0]
	case !fresh.Validity.Valid:
		broke, step.Broke = "generator", fresh.Validity.Reasons[0]
	default:
		if rate > c.ramp.Carries {
			c.ramp.Carries, c.best = rate, &fresh
		}
	}
	c.broken = broke != ""
	c.ramp.Steps = append(c.ramp.Steps, step)
	return broke, nil
}
