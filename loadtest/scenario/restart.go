package scenario

import (
	"errors"
	"syscall"
	"time"

	"peal/loadtest/child"
	"peal/loadtest/report"
)

// restart publishes all the time. After a third of it the server is asked to end,
// after two thirds it is killed, and each time started again. Lost is what it had
// acknowledged and somebody never got.
func (e *experiment) restart() (r *report.Report, err error) {
	s, err := e.open(e.returning, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if s.over() {
		return s.report, nil
	}
	s.excuse = true
	ended := make(chan error, 1)
	var ends []report.End
	go func() { // ends with the second restart, or the user's patience
		var err error
		ends, err = e.endTwice(e.servers[0])
		ended <- err
	}()
	s.publish(e.s.Rate, e.s.Duration, 0, nil)
	if err := <-ended; err != nil {
		_ = s.invalid(err) // always nil
	}
	m := s.report.Messages
	if m == nil {
		return s.report, nil
	}
	s.report.Restart = &report.Restart{Ends: ends, Recovery: s.recovery, Unrecovered: s.unhealed,
		Refused: m.Refused - m.Unanswered, Unanswered: m.Unanswered, Lost: m.Lost, Gaps: m.Gaps, Cursorless: e.cursorless()}
	return s.report, nil
}

// endTwice ends a server, and starts it again, at each third of the time.
func (e *experiment) endTwice(v *child.Program) (ends []report.End, err error) {
	began := time.Now()
	for i, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		e.pause(time.Until(began.Add(e.s.Duration * time.Duration(i+1) / 3)))
		if e.interrupted() {
			return ends, nil
		}
		at := time.Now()
		killed, err := v.Stop(signal)
		if err != nil {
			return ends, err
		}
		if err := v.Start(e.ctx); err != nil {
			return ends, err
		}
		ends = append(ends, report.End{At: round(at.Sub(began).Seconds()), Asked: signal == syscall.SIGTERM, Killed: killed, Down: round(time.Since(at).Seconds())})
	}
	return ends, nil
}
