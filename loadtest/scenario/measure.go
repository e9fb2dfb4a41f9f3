package scenario

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
	gone      chan struct{} // closed when the server is
	stop      func()        // ends the load early
}

// publish sends at rate for length and fills the session's report in. during, if
// set, happens beside it, at after.
func (s *session) publish(rate float64, length time.Duration, after time.Duration, during func(context.Context) error) {
	s.say("publishing %.6g messages a second for %v", rate, length)
	soft, stop := context.WithCancel(s.soft)
	defer stop()
	r := &run{session: s, rate: rate, gone: make(chan struct{}), stop: stop, previous: loadtest.Sample{Received: loadtest.Received{Latency: loadtest.NewLatency()}}}
	r.load = s.load(rate, length, soft)
	r.load.Gone, r.load.Sampled, r.load.Every, r.load.During, r.load.After = r.gone, r.sampled, s.s.Every, during, after
	r.load.Late = s.s.Abort && !s.excuse
	if len(s.s.Stages) > 0 {
		r.load.Pacer = s.s.Stages
	}
	if err := r.measure(); err != nil {
		s.abort(err)
	}
}

// measure runs the load. After an error the report has what came until then.
func (r *run) measure() error {
	s := r.session
	before, err := s.usage()
	if err != nil {
		return err
	}
	server, err := s.read()
	if err != nil {
		return err
	}
	s.last, s.lastOwn = server, before
	began := time.Now()
	result, err := loadtest.Run(s.ctx, s.pool, s.publisher, r.load)
	took := time.Since(began)
	if err != nil {
		s.fill(r.untilNow(took), r.intervals)
		return err
	}
	s.fill(result, r.intervals)
	if !s.returns && result.Open == 0 {
		s.abort(s.allEnded())
	}
	after, lost := s.read()
	if lost != nil {
		after = s.last // the newest sample's
	}
	if lost != nil && (s.s.Cluster || s.lineage != nil && s.lineage.passed.Load()) { // nodes were restarted, and what they used is not known
		lost, after = nil, server
	} else {
		s.fillServer(server, after, result)
	}
	used, err := s.usage()
	if err == nil {
		s.cost(result, used.since(before), after.cpu-server.cpu, took)
	}
	return errors.Join(lost, err)
}

// untilNow is what the newest sample has.
func (r *run) untilNow(took time.Duration) loadtest.Result {
	return loadtest.Result{Received: r.previous.Received, Published: r.previous.Sent, Scheduled: r.previous.Sent, Took: took, Sending: took, Lag: loadtest.NewLatency()}
}

// ended returns an error if a server's process has ended, or has closed all connections.
func (s *session) ended(now loadtest.Received) (err error) {
	for _, p := range s.probes {
		err = errors.Join(err, p.gone())
	}
	if err == nil && !s.returns && now.Open == 0 {
		err = s.allEnded()
	}
	return err
}

// allEnded is the error of a run whose subscribers are all gone. The kernel closes the
// connections of a program that ends before the program's parent notices: it waits for that.
func (s *session) allEnded() error {
	for end := time.Now().Add(time.Second); len(s.servers) > 0 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		for _, p := range s.probes {
			if err := p.gone(); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("the server closed all %d connections", s.report.Connections.Opened)
}

// lookAfter ends the load if the server is gone: nothing more can be measured, and
// what it is still sent says nothing of it.
func (r *run) lookAfter(now loadtest.Sample) {
	if r.returns && r.excuse { // it is ended on purpose
		return
	}
	err := r.ended(now.Received)
	if err == nil || r.report.Aborted != "" {
		return
	}
	r.abort(fmt.Errorf("%w, %.1f s after the start", err, now.At.Seconds()))
	close(r.gone)
}

// sampled makes an interval of a sample.
func (r *run) sampled(now loadtest.Sample) {
	r.lookAfter(now)
	r.cutAt(now.Received)
	own, err := r.usage()
	if err != nil {
		return // the next command to the worker returns the error
	}
	used := own.since(r.lastOwn)
	cpu, wait := used.sums()
	seconds := (now.At - r.previous.At).Seconds()
	recent := now.Latency.Since(r.previous.Latency)
	i := report.Interval{
		At: round(now.At.Seconds()), Sent: now.Sent - r.previous.Sent, Delivered: now.Delivered - r.previous.Delivered, Connections: now.Open,
		GeneratorCPU: round(cpu / seconds), GeneratorWait: round(wait / seconds), Steal: round(used.machine.Steal / seconds),
	}
	if recent.Count() > 0 {
		i.P50, i.P99, i.Max = report.Ms(recent.Quantile(0.5)), report.Ms(recent.Quantile(0.99)), report.Ms(recent.Max())
	}
	r.lastOwn = own
	// A server that is away, for a restart, leaves a hole.
	if u, err := r.read(); err == nil && len(r.probes) > 0 {
		cores := round((u.cpu - r.last.cpu).Seconds() / seconds)
		i.ServerCPU, i.Resident, i.Descriptors = &cores, &u.resident, u.descriptors
		r.last = u
	}
	r.previous = now
	r.intervals = append(r.intervals, i)
	r.endIfMissed(now)
	if r.s.Progress != nil {
		r.s.Progress(Progress{Now: &i, Rate: r.rate, Total: r.load.Length})
	}
}

// round keeps three digits behind the point.
func round(v float64) float64 { return float64(int64(v*1e3+0.5)) / 1e3 }

// fill says what came.
func (s *session) fill(r loadtest.Result, intervals []report.Interval) {
	// Each message goes to all targets, but to one of a cluster; what only one of them refused is one, too.
	perTarget := func(n uint64) uint64 {
		targets := uint64(len(s.targets))
		if s.s.Cluster {
			targets = 1
		}
		return max(n/targets, min(n, 1))
	}
	p := s.report
	p.Connections.Closed = r.Closed
	p.Messages = &report.Messages{
		Scheduled: r.Scheduled, Sent: r.Published, Refused: perTarget(r.Refused), Unreadable: perTarget(r.Misread),
		Counts: r.Counts, FirstDamage: r.Damage, FirstForeign: r.Stranger, Gaps: r.Gaps,
		SentRate: perSecond(r.Published, r.Sending), DeliveredRate: perSecond(r.Delivered, r.Took), ReadBytes: r.Traffic.Read,
		CompressedBytes: r.Traffic.Compressed, InflatedBytes: r.Traffic.Inflated,
	}
	p.Messages.Unanswered = min(perTarget(r.Unanswered), p.Messages.Refused)
	if s.s.InFlight > 0 {
		p.Messages.Scheduled = r.Published // what comes back is the schedule
	}
	p.Connections.Reconnected = report.NewTimes(r.Returned)
	s.readable(r.Received)
	if p.Messages.Refusals = r.Refusals; r.Reason != nil {
		p.Messages.FirstRefusal = r.Reason.Error()
		if errors.Is(r.Reason, loadtest.ErrUnreadable) {
			p.Unread = cmp.Or(p.Unread, p.Messages.FirstRefusal)
		}
	}
	p.Stages = s.stages(r.Stages)
	p.Latency, p.Lag = report.NewTimes(r.Latency), report.NewTimes(r.Lag)
	p.Intervals = append(p.Intervals, intervals...)
	p.Interrupted = s.interrupted()
	s.recovery, s.unhealed = report.NewTimes(r.Recovery), r.Unrecovered
}

// perSecond is n ÷ d, 0 for none.
func perSecond(n uint64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}

// cost fills in what the generator used. Its share is the greater of two: the
// busiest worker's part of one processor, for one thread does its work, and all
// its processes' part of what the server left them of the machine.
func (s *session) cost(r loadtest.Result, used own, server, took time.Duration) {
	g := s.generator(used)
	g.Machine = report.Machine{Busy: used.machine.Busy, Steal: used.machine.Steal}
	g.Machine.Others, g.Machine.Part = used.others()
	share := 0.0
	for _, p := range used.processes[1:] { // the first is this process, which only publishes
		share = max(share, p.CPU/took.Seconds())
	}
	if left := float64(runtime.NumCPU())*took.Seconds() - server.Seconds(); left > 0 {
		share = max(share, used.here()/left)
	}
	g.CPUShare = &share
	if r.Delivered > 0 {
		per := g.CPU * 1e6 / float64(r.Delivered)
		g.PerDelivery = &per
	}
	g.Waits = report.NewTimes(r.Waits)
	s.report.Generator = g
}

func (s *session) fillServer(before, after usage, r loadtest.Result) {
	v := s.report.Server
	if v == nil {
		return
	}
	v.CPU = max(after.cpu-before.cpu, 0).Seconds() // the metrics of a process that has taken over begin with it
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
