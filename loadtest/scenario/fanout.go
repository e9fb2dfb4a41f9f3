package scenario

import (
	"errors"
	"time"

	"peal/loadtest"
	"peal/loadtest/report"
)

func plain(specs []loadtest.Spec) []loadtest.Spec { return specs }

// fanout is subscribers and a rate.
func (e *experiment) fanout() (*report.Report, error) { return e.fanoutOf(plain) }

func (e *experiment) fanoutOf(shape func([]loadtest.Spec) []loadtest.Spec) (r *report.Report, err error) {
	s, err := e.open(shape, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if !s.over() {
		s.publish(e.s.Rate, e.s.Duration, 0, nil)
	}
	return s.report, nil
}

// mixed is fanout over Peal's three transports.
func (e *experiment) mixed() (*report.Report, error) {
	return e.fanoutOf(func(specs []loadtest.Spec) []loadtest.Spec {
		var all []loadtest.Spec
		whole := e.s.Mix[0] + e.s.Mix[1] + e.s.Mix[2]
		for i, plain := range specs {
			done, part := 0, 0
			for k, transport := range []loadtest.Transport{loadtest.WebSocket, loadtest.SSE, loadtest.Poll} {
				part += e.s.Mix[k]
				n := plain.Connections*part/whole - done
				done += n
				if n == 0 {
					continue
				}
				t := e.targets[i].With(transport)
				spec := t.spec(e.s.Channels, n)
				spec.Timeout, spec.OpenRate, spec.Header = plain.Timeout, plain.OpenRate*float64(n)/float64(plain.Connections), plain.Header
				all = append(all, spec)
			}
		}
		return all
	})
}

// connect opens, holds and closes.
func (e *experiment) connect() (r *report.Report, err error) {
	s, err := e.open(plain, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if s.over() {
		return s.report, nil
	}
	own, err := s.generatorCPU()
	if err != nil {
		return s.report, s.invalid(err)
	}
	g := report.Generator{Processes: len(own), CPU: sum(own).Seconds()}
	if took := s.report.Connections.Took; took > 0 {
		share := 0.0
		for _, t := range own[1:] { // the workers have done nothing else
			share = max(share, min(t.Seconds()/took, 1))
		}
		if e.s.OpenRate > 0 { // without a rate it takes what it gets
			g.CPUShare = &share
		}
	}
	s.weigh(&g)
	s.report.Generator = g
	e.say("holding %d connections", s.report.Connections.Opened)
	if err := e.hold(s); err != nil {
		return s.report, s.invalid(err)
	}
	s.report.Interrupted = e.interrupted()
	s.report.Validate(e.s.Limits)
	return s.report, nil
}

// hold keeps the connections open for the duration, and counts those that the
// server closes.
func (e *experiment) hold(s *session) error {
	for end := time.Now().Add(e.s.Duration); time.Now().Before(end) && !e.interrupted(); {
		e.pause(min(e.s.Every, time.Until(end)))
		now, err := s.pool.Sample(e.ctx)
		if err != nil {
			return err
		}
		s.report.Connections.Closed = now.Closed
		s.readable(now)
		if now.Open == 0 {
			return s.allEnded()
		}
	}
	return nil
}
