package scenario

import (
	"time"

	"peal/loadtest"
	"peal/loadtest/report"
)

// fanout is subscribers and a rate.
func (e *experiment) fanout() (*report.Report, error) { return e.fanoutOf(nil) }

func (e *experiment) fanoutOf(shape shape) (*report.Report, error) {
	return e.with(shape, true, func(s *session) error {
		s.publish(e.s.Rate, e.s.Duration, 0, nil)
		return nil
	})
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
				spec := t.Spec(e.s.Channels, n)
				spec.Agents, spec.AgentToken = plain.Agents, plain.AgentToken
				spec.Timeout, spec.OpenRate, spec.Header = plain.Timeout, plain.OpenRate*float64(n)/float64(plain.Connections), plain.Header
				spec.Deflate = plain.Deflate
				if plain.Backoff != nil {
					t.Reconnect(&spec, e.backoff)
				}
				all = append(all, spec)
			}
		}
		return all
	})
}

// connect opens, holds and closes.
func (e *experiment) connect() (*report.Report, error) {
	return e.with(nil, false, func(s *session) error {
		if err := s.hold(); err != nil {
			s.abort(err)
		}
		return nil
	})
}

// hold keeps the connections open for the duration, and counts those that the
// server closes.
func (s *session) hold() error {
	own, err := s.usage()
	if err != nil {
		return err
	}
	s.report.Generator = s.generator(own)
	if took := s.report.Connections.Took; took > 0 && s.s.OpenRate > 0 { // without a rate it takes what it gets
		share := 0.0
		for _, p := range own.processes[1:] { // the workers have done nothing else
			share = max(share, min(p.CPU/took, 1))
		}
		s.report.Generator.CPUShare = &share
	}
	s.say("holding %d connections", s.report.Connections.Opened)
	for end := time.Now().Add(s.s.Duration); time.Now().Before(end) && !s.interrupted(); {
		s.pause(min(s.s.Every, time.Until(end)))
		now, err := s.pool.Sample(s.ctx, nil)
		if err != nil {
			return err
		}
		s.report.Connections.Closed = now.Closed
		s.readable(now)
		if err := s.ended(now); err != nil {
			return err
		}
	}
	s.report.Interrupted = s.interrupted()
	return nil
}
