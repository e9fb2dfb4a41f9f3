package scenario

import (
	"context"
	"runtime"
	"time"

	"peal/loadtest"
	"peal/loadtest/report"
)

// run is one load under way, seen by its samples.
type run struct {
	*session
	intervals []report.Interval
	previous  loadtest.Sample
	load      loadtest.Load
	rate      float64
	err       error // of a sample
}

// publish sends at rate for length and fills the session's report in. during, if
// set, happens beside it, at after.
func (s *session) publish(rate float64, length time.Duration, after time.Duration, during func(context.Context) error) error {
	s.say("publishing %v messages a second for %v", rate, length)
	r := &run{session: s, rate: rate, previous: loadtest.Sample{Received: loadtest.Received{Latency: loadtest.NewLatency()}}}
	r.load = loadtest.Load{Streams: s.s.Channels, Size: s.s.Size, Length: length, Pacer: loadtest.Rate(rate), Settle: s.s.Settle, Excuse: s.excuse,
		Stop: s.soft.Done(), Sampled: r.sampled, Every: s.s.Every, During: during, After: after}
	if s.s.InFlight > 0 {
		r.load.InFlight, r.load.Pacer = s.s.InFlight, nil
	}
	own, err := s.generatorCPU()
	if err != nil {
		return err
	}
	server, err := s.read()
	if err != nil {
		return err
	}
	s.last, s.own = server, sum(own)
	began := time.Now()
	result, err := loadtest.Run(s.ctx, s.pool, s.slowed(), r.load)
	if err != nil {
		return err
	}
	took := time.Since(began)
	ownAfter, err := s.generatorCPU()
	if err != nil {
		return err
	}
	serverAfter, err := s.read()
	if err != nil {
		return err
	}
	if r.err != nil {
		return r.err
	}
	s.fill(result, r.intervals)
	s.cost(result, own, ownAfter, serverAfter.cpu-server.cpu, took)
	s.fillServer(server, serverAfter, result)
	s.report.Validate(s.s.Limits)
	return nil
}

// slowed is the publishers, and with Settings.Slow late ones.
func (s *session) slowed() loadtest.Publisher {
	if s.s.Slow > 0 {
		return slowPublisher{s.publishers, s.s.Slow}
	}
	return s.publishers
}

// slowPublisher holds up the pacer.
type slowPublisher struct {
	loadtest.Publishers
	by time.Duration
}

func (p slowPublisher) Queue(stream int, payload []byte) error {
	time.Sleep(p.by)
	return p.Publishers.Queue(stream, payload)
}

// sampled makes an interval of a sample.
func (r *run) sampled(now loadtest.Sample) {
	own, err := r.generatorCPU()
	if err != nil {
		r.err = err
		return
	}
	seconds := (now.At - r.previous.At).Seconds()
	recent := now.Latency.Since(r.previous.Latency)
	i := report.Interval{
		At: round(now.At.Seconds()), Sent: now.Sent - r.previous.Sent, Delivered: now.Delivered - r.previous.Delivered, Connections: now.Open,
		GeneratorCPU: round((sum(own) - r.own).Seconds() / seconds),
	}
	if recent.Count() > 0 {
		i.P50, i.P99, i.Max = report.Ms(recent.Quantile(0.5)), report.Ms(recent.Quantile(0.99)), report.Ms(recent.Max())
	}
	r.own = sum(own)
	// A server that is away, for a restart, leaves a hole.
	if u, err := r.read(); err == nil && len(r.probes) > 0 {
		cores := round((u.cpu - r.last.cpu).Seconds() / seconds)
		i.ServerCPU, i.Resident, i.Descriptors = &cores, &u.resident, u.descriptors
		r.last = u
	}
	r.previous = now
	r.intervals = append(r.intervals, i)
	if r.s.Progress != nil {
		r.s.Progress(Progress{Now: &i, Rate: r.rate, Total: r.load.Length})
	}
}

// round keeps three digits behind the point.
func round(v float64) float64 { return float64(int64(v*1e3+0.5)) / 1e3 }

// fill says what came.
func (s *session) fill(r loadtest.Result, intervals []report.Interval) {
	p := s.report
	p.Connections.Closed = r.Closed
	p.Messages = &report.Messages{
		Scheduled: r.Scheduled, Sent: r.Published, Refused: r.Refused / uint64(max(len(s.publishers), 1)),
		Expected: r.Expected, Delivered: r.Delivered, Lost: r.Lost, Duplicated: r.Duplicated, Reordered: r.Reordered, Foreign: r.Foreign, Gaps: r.Gaps,
		SentRate: float64(r.Published) / r.Sending.Seconds(), DeliveredRate: float64(r.Delivered) / r.Took.Seconds(), ReadBytes: r.Traffic.Read,
	}
	if s.s.InFlight > 0 {
		p.Messages.Scheduled = r.Published // what comes back is the schedule
	}
	if r.Refused > 0 && p.Messages.Refused == 0 {
		p.Messages.Refused = 1 // by one of several servers
	}
	p.Messages.Unanswered = min(r.Unanswered/uint64(max(len(s.publishers), 1)), p.Messages.Refused)
	if r.Reason != nil {
		p.Messages.FirstRefusal = r.Reason.Error()
	}
	p.Latency, p.Lag = report.NewTimes(r.Latency), report.NewTimes(r.Lag)
	p.Intervals = append(p.Intervals, intervals...)
	p.Interrupted = s.interrupted()
	s.recovery, s.unhealed = report.NewTimes(r.Recovery), r.Unrecovered
}

// cost fills in what the generator used. Its share is the greater of two: the
// busiest worker's part of one processor, for one thread does its work, and all
// its processes' part of what the server left them of the machine.
func (s *session) cost(r loadtest.Result, before, after []time.Duration, server, took time.Duration) {
	g := report.Generator{Processes: len(after), CPU: (sum(after) - sum(before)).Seconds()}
	share := 0.0
	for i := 1; i < len(after); i++ { // the first is this process, which only publishes
		share = max(share, (after[i]-before[i]).Seconds()/took.Seconds())
	}
	if left := float64(runtime.NumCPU())*took.Seconds() - server.Seconds(); left > 0 {
		share = max(share, g.CPU/left)
	}
	g.CPUShare = &share
	if r.Delivered > 0 {
		per := g.CPU * 1e6 / float64(r.Delivered)
		g.PerDelivery = &per
	}
	s.weigh(&g)
	s.report.Generator = g
}

// weigh fills in what a connection costs the generator.
func (s *session) weigh(g *report.Generator) {
	resident := uint64(0)
	for _, pid := range s.pool.PIDs() {
		m, err := loadtest.ReadMemory(pid)
		if err != nil {
			return
		}
		resident += m.Resident
	}
	if n := s.report.Connections.Opened; n > 0 {
		per := float64(resident) / float64(n)
		g.PerConnection = &per
	}
}

func (s *session) fillServer(before, after usage, r loadtest.Result) {
	v := s.report.Server
	if v == nil {
		return
	}
	v.CPU = (after.cpu - before.cpu).Seconds()
	v.DeliveriesPerCPUSecond = nil
	if v.CPU > 0 {
		per := float64(r.Delivered) / v.CPU
		v.DeliveriesPerCPUSecond = &per
	}
	v.ResidentPeak = max(v.ResidentPeak, after.resident)
	for _, i := range s.report.Intervals {
		if i.Resident != nil {
			v.ResidentPeak = max(v.ResidentPeak, *i.Resident)
		}
	}
	v.Heap, v.Sockets, v.Descriptors = after.heap, after.sockets, after.descriptors
}

func sum(all []time.Duration) (t time.Duration) {
	for _, v := range all {
		t += v
	}
	return t
}
