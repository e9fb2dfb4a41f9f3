package loadtest

import (
	"cmp"
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// Load says what to publish in one run. Message i goes to stream
// i mod Streams.
type Load struct {
	Streams int           // default 1
	Size    int           // bytes per message; default 128, at least StampBytes
	Length  time.Duration // how long to publish; default 4 s

	// InFlight makes it a closed loop: a message is sent when all subscribers
	// have the one InFlight before it. Every subscriber must have all streams.
	InFlight int
	// Pacer makes it an open loop: see Schedule. Stages with lengths replace Length.
	Pacer Pacer

	// Think is how long a closed loop waits after every subscriber has a message,
	// before it sends the one that this permits.
	Think time.Duration

	Server int           // pid whose CPU time is taken; 0: none
	Settle time.Duration // how long to wait for the last messages; default 10 s

	// Overrun is how long after the end of an open loop's schedule late messages are
	// still sent; default 100 ms. What is left then was not sent, and the result
	// says so.
	Overrun time.Duration

	// Excuse leaves out of Expected and Lost what a Publisher's server refused or did
	// not answer, but where it came all the same.
	Excuse bool

	// Stop, when it is closed, ends the loop early, with a result.
	Stop <-chan struct{}

	// Gone, when it is closed, says that there is no server any more: it ends the loop,
	// with a result in which messages that were not accepted do not count as lost.
	Gone <-chan struct{}

	// Slow makes the sender late on purpose, by so much for each message.
	Slow time.Duration

	// Late has samples count what is missing Settle after it was sent.
	Late bool

	// Sampled, if set, is called about every Every (default 1 s) while the loop
	// runs and while its last messages are waited for, on Run's goroutine.
	Sampled func(Sample)
	Every   time.Duration

	// During, if set, runs once beside the loop: what happens to the clients
	// meanwhile. It is called on Run's goroutine, at After.
	During func(ctx context.Context) error
	After  time.Duration
}

// Sample is the state of a run.
type Sample struct {
	At   time.Duration // since its begin
	Sent uint64
	Received
}

// Result is one run.
type Result struct {
	Received
	Published uint64
	Scheduled uint64 // open loop: what the schedule wanted sent
	Refused   uint64 // by a Publisher's server, or not answered; without Load.Excuse they count as lost too
	// Unanswered is how many of the refused were written and never answered.
	Unanswered uint64
	// Misread is how many of the refused had a response that the load test could not read.
	Misread   uint64
	Reason    error         // of the first refusal
	Refusals  []End         // all of them, by reason
	Took      time.Duration // first message sent until the last received
	Sending   time.Duration // first message sent until the last
	ServerCPU time.Duration // in that time
	Stalled   bool          // a closed loop in which a message did not arrive within Settle
	Complete  bool          // all arrived within Settle
	Lag       *Latency      // open loop: how late messages were sent
}

// PerServerCPUSecond is the deliveries for each second of the server's CPU.
func (r Result) PerServerCPUSecond() float64 {
	if r.ServerCPU <= 0 {
		return 0
	}
	return float64(r.Delivered) / r.ServerCPU.Seconds()
}

// Run publishes one load to the pool's subscribers and reports what arrived.
func Run(ctx context.Context, pool *Pool, publisher *Publisher, load Load) (r Result, err error) {
	load.Streams, load.Size = max(load.Streams, 1), max(load.Size, StampBytes)
	load.Length, load.Settle = cmp.Or(load.Length, 4*time.Second), cmp.Or(load.Settle, 10*time.Second)
	load.Length = cmp.Or(load.Pacer.Length(), load.Length)
	load.Overrun, load.Every = cmp.Or(load.Overrun, 100*time.Millisecond), cmp.Or(load.Every, time.Second)
	if (load.InFlight > 0) == (load.Pacer != nil) || load.InFlight > progressWindow/2 {
		return r, fmt.Errorf("a load is either a closed loop with 1 to %d in flight or an open loop with a pacer", progressWindow/2)
	}
	s := sender{pool: pool, publisher: publisher, load: load, published: make([]uint64, load.Streams), lag: NewLatency()}
	pool.plan = newPlan(load.Pacer, load.Streams)
	if s.run, err = pool.Begin(ctx, load.Size, load.InFlight > 0); err != nil {
		return r, err
	}
	cpu, err := s.cpu()
	if err != nil {
		return r, err
	}
	began := time.Now()
	loop := s.openLoop
	if load.InFlight > 0 {
		loop = func(ctx context.Context) (err error) {
			r.Stalled, err = s.closedLoop(ctx)
			return err
		}
	}
	if err = s.watched(ctx, began, loop); err != nil {
		return r, err
	}
	r.Sending = time.Since(began)
	outcome := publisher.Settle(load.Settle)
	r.Refused, r.Unanswered, r.Misread, r.Reason = outcome.Refused, outcome.Unanswered, outcome.Unreadable, outcome.Reason
	r.Refusals = outcome.Refusals
	if load.Excuse || r.Misread > 0 || isClosed(load.Gone) {
		pool.excused = outcome.Excused
	}
	if r.Complete, err = s.await(ctx, began); err != nil {
		return r, err
	}
	r.Took = time.Since(began)
	after, err := s.cpu()
	if err != nil {
		return r, err
	}
	r.ServerCPU, r.Published, r.Scheduled, r.Lag = after-cpu, s.sent, s.scheduled, s.lag
	r.Received, err = pool.Report(ctx, s.published)
	for k := range r.Stages {
		r.Stages[k].Scheduled, r.Stages[k].Sent = pool.plan.cut(s.scheduled, k), pool.plan.cut(s.sent, k)
	}
	return r, err
}

// sender is the publishing side of one run.
type sender struct {
	pool      *Pool
	publisher *Publisher
	load      Load
	run       uint16
	sent      uint64
	shown     atomic.Uint64 // sent, for samples
	samples   []Sample      // with Load.Late: those of the last Settle, and the one before; without what was received
	scheduled uint64        // due until the end
	published []uint64      // per stream
	message   []byte
	lag       *Latency
}

func (s *sender) cpu() (time.Duration, error) {
	if s.load.Server == 0 {
		return 0, nil
	}
	return CPUTime(s.load.Server)
}

// queue hands the next message, meant to be sent at scheduled, to the publisher.
func (s *sender) queue(scheduled int64) {
	stream := int(s.sent % uint64(s.load.Streams))
	s.published[stream]++
	s.sent++
	s.message = AppendMessage(s.message[:0], Stamp{s.run, uint32(stream), s.published[stream], scheduled}, s.load.Size)
	time.Sleep(s.load.Slow)
	s.publisher.Queue(stream, s.message)
}

// arrival is when all subscribers had so many messages.
type arrival struct {
	have uint64
	at   time.Time
}

// closedLoop keeps InFlight messages under way. What became due together is
// flushed together. A closed loop has no schedule: latency counts from the send.
func (s *sender) closedLoop(ctx context.Context) (stalled bool, err error) {
	end := time.Now().Add(s.load.Length)
	late := time.NewTimer(s.load.Settle)
	defer late.Stop()
	thought := time.NewTimer(0)
	defer thought.Stop()
	var thinking []arrival // until Think is over
	have := uint64(0)      // messages after which it is
	for time.Now().Before(end) && !s.stopped() {
		if now := s.pool.Have(); s.load.Think == 0 {
			have = now
		} else if n := len(thinking); n == 0 && now > have || n > 0 && now > thinking[n-1].have {
			thinking = append(thinking, arrival{now, time.Now()})
		}
		for len(thinking) > 0 && time.Since(thinking[0].at) >= s.load.Think {
			have, thinking = thinking[0].have, thinking[1:]
		}
		if len(thinking) > 0 {
			thought.Reset(time.Until(thinking[0].at.Add(s.load.Think)))
		}
		due := have + uint64(s.load.InFlight)
		if s.sent < due {
			for now := Now(); s.sent < due; {
				s.queue(now)
			}
			s.publisher.Flush()
			late.Reset(s.load.Settle + s.load.Think)
			s.shown.Store(s.sent)
		}
		select {
		case <-s.pool.Moved():
		case <-thought.C:
		case <-late.C:
			return true, nil
		case <-s.load.Stop:
		case <-s.load.Gone:
			return true, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	return false, nil
}
