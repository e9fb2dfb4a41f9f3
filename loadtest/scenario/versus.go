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
	turns, sides, ended := [2][]*report.Report{}, [2]*report.Report{}, false
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
			turns[i] = append(turns[i], r)
			if ended = e.interrupted() || r.Aborted != ""; ended {
				break
			}
		}
		if ended {
			break
		}
	}
	for i := range sides {
		if len(turns[i]) == 0 {
			none := e.side(i).newReport()
			none.Aborted = "it had no turn"
			turns[i] = append(turns[i], none)
		}
		side, err := report.Side(turns[i])
		if err != nil {
			return nil, err
		}
		sides[i] = side
	}
	whole := e.newReport()
	whole.Interrupted = e.interrupted()
	whole.Validity = report.Validity{Valid: true, Reasons: []string{}, Limits: e.s.Limits}
	for i, side := range sides {
		side.Name = e.targets[i].Text
		if !ended {
			if r := e.also(i, side, "storm", (*experiment).storm); r != nil {
				side.Storm = r.Storm
			}
			if len(e.servers) > 0 {
				if r := e.also(i, side, "restart", (*experiment).restart); r != nil {
					side.Restart = r.Restart
				}
			}
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
	one.s.Publish, one.s.PID, one.s.Admin = only(e.s.Publish, i), only(e.s.PID, i), only(e.s.Admin, i)
	one.s.Start, one.servers = only(e.s.Start, i), only(e.servers, i)
	return &one
}

// only is all[i] alone, and nothing behind its end.
func only[T any](all []T, i int) []T { return all[min(i, len(all)):min(i+1, len(all))] }

// also runs another scenario on one side. Its report is nil if it could not run,
// and aborts the side's report if it was aborted itself.
func (e *experiment) also(i int, side *report.Report, what string, run func(*experiment) (*report.Report, error)) *report.Report {
	if e.interrupted() {
		return nil
	}
	e.say("%s: %s", what, e.targets[i].Text)
	r, err := run(e.side(i))
	if err == nil && r.Aborted != "" {
		err = errors.New(r.Aborted)
	}
	if err != nil && side.Aborted == "" {
		side.Aborted = what + ": " + err.Error()
	}
	return r
}
