package scenario

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"peal/loadtest"
	"peal/loadtest/report"
)

// maxStages bounds what a worker keeps for a run: a histogram, about 300 KB, for each.
const maxStages = 64

// follow sets what follows from the stages.
func (s *Settings) follow() {
	if len(s.Stages) == 0 {
		return
	}
	messages := 0.0
	for _, one := range s.Stages {
		messages += (one.From + one.To) / 2 * one.Length.Seconds()
	}
	s.Duration = loadtest.Pacer(s.Stages).Length()
	s.Rate = messages / s.Duration.Seconds()
}

func texts[T fmt.Stringer](all []T) []string { return list[T]{to: &all}.GetSlice() }

// load is what the settings say of every load.
func (s *session) load(rate float64, length time.Duration, stop context.Context) loadtest.Load {
	load := loadtest.Load{Streams: s.s.Channels, Size: s.s.Size, Length: length, Settle: s.s.Settle, Excuse: s.excuse, Slow: s.s.Slow, Stop: stop.Done()}
	if load.InFlight, load.Think = s.s.InFlight, s.s.Think; load.InFlight == 0 {
		load.Pacer = loadtest.Rate(rate)
	}
	return load
}

// warmUp publishes before the run. What comes of it is in no other figure.
func (s *session) warmUp() {
	if s.s.Warmup == 0 {
		return
	}
	rate := s.s.Rate
	if len(s.s.Stages) > 0 {
		rate = cmp.Or(s.s.Stages[0].From, s.s.Stages[0].To, rate)
	}
	s.say("warming up for %v at %v messages a second", s.s.Warmup, rate)
	r, err := loadtest.Run(s.ctx, s.pool, s.publisher, s.load(rate, s.s.Warmup, s.soft))
	if err != nil {
		s.abort(fmt.Errorf("warm-up: %w", err))
		return
	}
	s.report.WarmUp = stage(loadtest.Stage{Length: s.s.Warmup, From: rate, To: rate}, loadtest.Part{Scheduled: r.Scheduled, Sent: r.Published, Counts: r.Counts, Latency: r.Latency})
}

// stages are those of a run, as its report has them.
func (s *session) stages(parts []loadtest.Part) (all []report.Stage) {
	for k, p := range parts {
		all = append(all, *stage(s.s.Stages[k], p))
	}
	return all
}

func stage(s loadtest.Stage, p loadtest.Part) *report.Stage {
	return &report.Stage{From: s.From, To: s.To, Duration: s.Length.Seconds(), Scheduled: p.Scheduled, Sent: p.Sent, Counts: p.Counts, Latency: report.NewTimes(p.Latency)}
}

// endIfMissed ends the run if an objective is missed by what is known now, and
// anything more can only add to that.
func (r *run) endIfMissed(now loadtest.Sample) {
	if !r.s.Abort || r.report.Ended != "" {
		return
	}
	known := report.Report{Connections: r.report.Connections, Server: r.report.Server, Latency: report.NewTimes(now.Latency), Messages: &report.Messages{Counts: now.Counts}}
	known.Connections.Closed, known.Messages.Lost, known.Messages.Expected = now.Closed, now.Late, now.Delivered+now.Late
	var upper []report.Objective
	for _, o := range r.s.Objectives {
		if o.Upper() && o.Stage == 0 {
			upper = append(upper, o)
		}
	}
	if missed, _ := known.Judge(upper); len(missed) > 0 { // what is not measured yet is judged at the end
		r.report.Ended = fmt.Sprintf("%s after %.1f s", missed[0], now.At.Seconds())
		r.stop()
	}
}
