package scenario

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"peal/loadtest"
	"peal/loadtest/report"
)

// returning makes subscribers that come back, with their cursor where there is
// one. A raw WebSocket carries none, so those of a Peal ask for objects.
func (e *experiment) returning(specs []loadtest.Spec) []loadtest.Spec {
	for i := range specs {
		specs[i].Resume = true
		if specs[i].Transport == loadtest.WebSocket && e.targets[i].Peal() {
			specs[i].Format = loadtest.JSON
		}
	}
	return specs
}

// cursorless reports whether clients come back that have no cursor.
func (e *experiment) cursorless() bool {
	return slices.ContainsFunc(e.targets, func(t Target) bool { return !t.Resumes() })
}

// storm publishes all the time; after a third of it all clients drop.
func (e *experiment) storm() (r *report.Report, err error) {
	s, err := e.open(e.returning, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if s.over() {
		return s.report, nil
	}
	s.dropAndReturn()
	return s.report, nil
}

// dropAndReturn publishes, and drops everybody after a third of the time.
func (s *session) dropAndReturn() {
	var dropped bool
	at := s.s.Duration / 3
	s.publish(s.s.Rate, s.s.Duration, at, func(ctx context.Context) error {
		s.say("dropping all connections")
		dropped = true
		return s.pool.Drop(ctx, s.s.Away)
	})
	if !dropped || s.report.Messages == nil {
		return
	}
	if err := s.recovered(at); err != nil {
		_ = s.invalid(err) // always nil
	}
}

// recovered asks how coming back went.
func (s *session) recovered(at time.Duration) error {
	back, err := s.pool.Back(s.ctx, s.s.Timeout)
	if err != nil {
		return err
	}
	s.report.Storm = &report.Storm{At: round(at.Seconds()), Away: s.s.Away.Seconds(), Back: back.Connections, Failed: back.Failed,
		BackTook: back.Took.Seconds(), Recovery: s.recovery, Unrecovered: s.unhealed, Lost: s.report.Messages.Lost, Cursorless: s.cursorless()}
	s.report.Connections.Failed += back.Failed
	if s.report.Connections.FirstError == "" {
		s.report.Connections.FirstError = back.FirstError
	}
	if back.Connections == 0 {
		_ = s.abort(fmt.Errorf("no client could come back: %s", back.FirstError)) // always nil
	}
	s.report.Validate(s.s.Limits)
	return nil
}
