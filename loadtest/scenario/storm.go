package scenario

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"syscall"
	"time"

	"peal/loadtest"
	"peal/loadtest/child"
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
	return slices.ContainsFunc(e.targets, func(t loadtest.Target) bool { return !t.Resumes() })
}

// storm publishes all the time; after a third of it, all connections are dropped.
func (e *experiment) storm() (*report.Report, error) {
	return e.with(e.returning, true, func(s *session) error {
		dropped, at := false, e.s.Duration/3
		s.publish(e.s.Rate, e.s.Duration, at, func(ctx context.Context) error {
			e.say("dropping all connections")
			dropped = true
			return s.pool.Drop(ctx, e.s.Away)
		})
		if dropped && s.report.Messages != nil {
			if err := s.recovered(at); err != nil {
				s.abort(err)
			}
		}
		return nil
	})
}

// recovered reports how the clients came back.
func (s *session) recovered(at time.Duration) error {
	back, err := s.pool.Back(s.ctx, s.s.Timeout)
	if err != nil {
		return err
	}
	s.report.Storm = &report.Storm{At: round(at.Seconds()), Away: s.s.Away.Seconds(), Back: back.Connections, Failed: back.Failed,
		BackTook: back.Took.Seconds(), Recovery: s.recovery, Unrecovered: s.unhealed, Lost: s.report.Messages.Lost, Cursorless: s.cursorless()}
	c := &s.report.Connections
	c.Failed, c.FirstError = c.Failed+back.Failed, cmp.Or(c.FirstError, back.FirstError)
	if back.Connections == 0 {
		return fmt.Errorf("no client could reconnect: %s", back.FirstError)
	}
	return nil
}

// restart publishes all the time. After a third of the time the server receives
// SIGTERM, after two thirds SIGKILL, and each time started again. Lost are deliveries of
// messages that it had acknowledged.
func (e *experiment) restart() (*report.Report, error) {
	if e.s.Upgrade {
		return e.upgrades()
	}
	return e.with(e.returning, true, func(s *session) error {
		s.excuse = true
		ended := make(chan error, 1)
		var ends []report.End
		go func() { // ends with the second restart, or when the user interrupts
			var err error
			ends, err = e.endTwice(e.servers[0])
			ended <- err
		}()
		s.publish(e.s.Rate, e.s.Duration, 0, nil)
		if err := <-ended; err != nil {
			s.abort(err)
		}
		if m := s.report.Messages; m != nil {
			s.report.Restart = &report.Restart{Ends: ends, Recovery: s.recovery, Unrecovered: s.unhealed,
				Refused: m.Refused - m.Unanswered, Unanswered: m.Unanswered, Lost: m.Lost, Gaps: m.Gaps, Cursorless: e.cursorless()}
		}
		return nil
	})
}

// endTwice ends a server, and starts it again, at each third of the time.
func (e *experiment) endTwice(server *child.Program) (ends []report.End, err error) {
	began := time.Now()
	for i, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		e.pause(time.Until(began.Add(e.s.Duration * time.Duration(i+1) / 3)))
		if e.interrupted() {
			return ends, nil
		}
		at := time.Now()
		killed, err := server.Stop(signal)
		if err != nil {
			return ends, err
		}
		if err := server.Start(e.ctx); err != nil {
			return ends, err
		}
		ends = append(ends, report.End{At: round(at.Sub(began).Seconds()), Asked: signal == syscall.SIGTERM, Killed: killed, Down: round(time.Since(at).Seconds())})
	}
	return ends, nil
}
