package scenario

import (
	"context"
	"errors"
	"time"

	"peal/loadtest"
	"peal/loadtest/report"
)

// resuming makes subscribers that keep their cursor. A raw WebSocket carries
// none, so those ask for objects.
func resuming(specs []loadtest.Spec) []loadtest.Spec {
	for i := range specs {
		specs[i].Resume = true
		if specs[i].Transport == loadtest.WebSocket {
			specs[i].Format = loadtest.JSON
		}
	}
	return specs
}

// storm publishes all the time; after a third of it all clients drop.
func (e *experiment) storm() (r *report.Report, err error) {
	s, err := e.open(resuming, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if s.report.Connections.Opened == 0 {
		s.report.Validate(e.s.Limits)
		return s.report, nil
	}
	return s.report, s.dropAndReturn()
}

// dropAndReturn publishes, and drops everybody after a third of the time.
func (s *session) dropAndReturn() error {
	var dropped bool
	at := s.s.Duration / 3
	err := s.publish(s.s.Rate, s.s.Duration, at, func(ctx context.Context) error {
		s.say("dropping all connections")
		dropped = true
		return s.pool.Drop(ctx, s.s.Away)
	})
	if err != nil || !dropped {
		return err
	}
	return s.recovered(at)
}

// recovered asks how coming back went.
func (s *session) recovered(at time.Duration) error {
	back, err := s.pool.Back(s.ctx, s.s.Timeout)
	if err != nil {
		return err
	}
	s.report.Storm = &report.Storm{At: round(at.Seconds()), Away: s.s.Away.Seconds(), Back: back.Connections, Failed: back.Failed,
		BackTook: back.Took.Seconds(), Recovery: s.recovery, Unrecovered: s.unhealed, Lost: s.report.Messages.Lost}
	s.report.Connections.Failed += back.Failed
	if s.report.Connections.FirstError == "" {
		s.report.Connections.FirstError = back.FirstError
	}
	s.report.Validate(s.s.Limits)
	return nil
}
