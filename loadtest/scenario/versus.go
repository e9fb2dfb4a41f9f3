package scenario

import (
	"errors"
	"fmt"
	"slices"

	"peal/loadtest/report"
)

// versus runs the same against two servers in turns, the order reversed each
// time: ABBA. A slow minute of the machine then falls on both. Each side's turns
// are put together; a storm follows on each, and the restarts of those that the
// experiment has started.
func (e *experiment) versus() (*report.Report, error) {
	sides, aborted := [2]*report.Report{}, false
	for turn := range e.s.Turns {
		order := []int{0, 1}
		if turn%2 == 1 {
			slices.Reverse(order)
		}
		for _, i := range order {
			e.say("turn %d of %d: %s", turn+1, e.s.Turns, e.targets[i].Text)
			r, err := e.side(i).fanout()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", e.targets[i].Text, err)
			}
			if sides[i] == nil {
				sides[i] = r
			} else if err := sides[i].Join(r); err != nil {
				return nil, err
			}
			if e.interrupted() || sides[i].Aborted != "" {
				aborted = aborted || sides[i].Aborted != ""
				break
			}
		}
		if aborted {
			break
		}
	}
	if aborted {
		for i := range sides {
			if sides[i] == nil {
				sides[i] = e.side(i).newReport()
				sides[i].Aborted = "it had no turn"
			}
		}
	}
	if sides[0] == nil || sides[1] == nil {
		return nil, errors.New("versus: interrupted before both had a turn")
	}
	whole := e.newReport()
	whole.Interrupted = e.interrupted()
	whole.Validity = report.Validity{Valid: true, Reasons: []string{}, Limits: e.s.Limits}
	for i, side := range sides {
		side.Name = e.targets[i].Text
		if !aborted {
			e.addStorm(i, side)
			e.addRestart(i, side)
		}
		side.Validate(e.s.Limits)
		for _, reason := range side.Validity.Reasons {
			whole.Validity.Valid = false
			whole.Validity.Reasons = append(whole.Validity.Reasons, side.Name+": "+reason)
		}
		whole.Sides = append(whole.Sides, side)
	}
	return whole, nil
}

// side is the experiment with one target only.
func (e *experiment) side(i int) *experiment {
	one := *e
	one.targets = e.targets[i : i+1]
	one.s.Targets = e.s.Targets[i : i+1]
	cut := func(n int) (from, to int) { return min(i, n), min(i+1, n) }
	from, to := cut(len(e.s.Publish))
	one.s.Publish = e.s.Publish[from:to]
	from, to = cut(len(e.s.PID))
	one.s.PID = e.s.PID[from:to]
	from, to = cut(len(e.s.Admin))
	one.s.Admin = e.s.Admin[from:to]
	from, to = cut(len(e.s.Start))
	one.s.Start, one.servers = e.s.Start[from:to], e.servers[from:to]
	return &one
}

// addStorm lets side's clients drop.
func (e *experiment) addStorm(i int, side *report.Report) {
	if e.interrupted() {
		return
	}
	e.say("storm: %s", e.targets[i].Text)
	r, err := e.side(i).storm()
	if also(side, "storm", r, err) {
		side.Storm = r.Storm
	}
}

// also reports whether r is a report of something done beside side's turns, and
// aborts side if it is none, or was aborted itself.
func also(side *report.Report, what string, r *report.Report, err error) bool {
	if err == nil && r.Aborted != "" {
		err = errors.New(r.Aborted)
	}
	if err != nil && side.Aborted == "" {
		side.Aborted = what + ": " + err.Error()
	}
	return r != nil
}

// addRestart ends side's server twice, if it is the experiment's.
func (e *experiment) addRestart(i int, side *report.Report) {
	if len(e.servers) == 0 || e.interrupted() {
		return
	}
	e.say("restart: %s", e.targets[i].Text)
	r, err := e.side(i).restart()
	if also(side, "restart", r, err) {
		side.Restart = r.Restart
	}
}
