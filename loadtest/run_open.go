package loadtest

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// watched runs the loop on a goroutine of its own and, meanwhile, takes
// samples and runs During on the caller's, to whom the pool belongs.
func (s *sender) watched(ctx context.Context, began time.Time, loop func(context.Context) error) error {
	ended := make(chan error, 1)
	go func() { ended <- loop(ctx) }() // ends with the load, Stop or ctx
	tick := time.NewTicker(s.load.Every)
	defer tick.Stop()
	var during <-chan time.Time
	if s.load.During != nil {
		t := time.NewTimer(s.load.After)
		defer t.Stop()
		during = t.C
	}
	for {
		var err error
		select {
		case err := <-ended:
			return err
		case <-during:
			err = s.load.During(ctx)
		case <-tick.C:
			err = s.sample(ctx, began)
		}
		if err != nil {
			<-ended
			return err
		}
	}
}

func (s *sender) sample(ctx context.Context, began time.Time) error {
	if s.load.Sampled == nil {
		return nil
	}
	now := Sample{At: time.Since(began), Sent: s.shown.Load()}
	r, err := s.pool.Sample(ctx, s.due(now))
	if now.Received = r; err == nil {
		s.load.Sampled(now)
	}
	return err
}

// due is how many messages of each stream were sent Settle before a sample; nil: that is
// not to be known.
func (s *sender) due(now Sample) (published []uint64) {
	if !s.load.Late {
		return nil
	}
	s.samples = append(s.samples, now)
	old := func(i int) bool { return i < len(s.samples) && s.samples[i].At <= now.At-s.load.Settle }
	for old(1) {
		s.samples = s.samples[1:]
	}
	for stream := range uint64(s.load.Streams) {
		if old(0) {
			n := uint64(s.load.Streams)
			published = append(published, (s.samples[0].Sent+n-1-stream)/n)
		}
	}
	return published
}

// await waits for the last messages, and samples meanwhile.
func (s *sender) await(ctx context.Context, began time.Time) (complete bool, err error) {
	if s.load.Sampled == nil {
		return s.pool.Await(ctx, s.published, s.load.Settle)
	}
	for end := time.Now().Add(s.load.Settle); ; {
		left := time.Until(end)
		if complete, err = s.pool.Await(ctx, s.published, min(max(left, 0), s.load.Every)); err != nil {
			return false, err
		}
		if err := s.sample(ctx, began); err != nil || complete || left <= 0 {
			return complete, err
		}
	}
}

// flushAfter is how long, in ns, a sender that is behind its schedule keeps what
// is due before it sends it.
const flushAfter = int64(time.Millisecond)

// openLoop follows the schedule, independently of the server. Messages that are due when
// the sender wakes up leave together, each with its own scheduled time.
func (s *sender) openLoop(ctx context.Context) error {
	schedule := NewSchedule(s.load.Pacer, s.load.Length)
	start := Now()
	end := start + int64(s.load.Length+s.load.Overrun)
	timer := time.NewTimer(0)
	defer timer.Stop()
	flushed := start
	at, ok := schedule.Next()
	for ; ok; at, ok = schedule.Next() {
		now := Now()
		if due := start + int64(at); now < due || now > flushed+flushAfter {
			s.publisher.Flush()
			flushed = now
			if err := s.sleep(ctx, due, timer); err != nil {
				return err
			}
			now = Now()
		}
		if s.stopped() {
			break
		}
		s.scheduled++
		if now > end {
			continue // only counted
		}
		s.lag.Record(now - start - int64(at))
		s.queue(start + int64(at))
		s.shown.Store(s.sent)
	}
	s.publisher.Flush()
	return nil
}

// The last part of a wait is slept by the kernel: Go's timers may be a whole
// millisecond late where no goroutine runs, for epoll_wait counts in them.
const fineWait = 3 * time.Millisecond

// stopped reports whether the user has interrupted, or the server is gone.
func (s *sender) stopped() bool { return isClosed(s.load.Stop) || isClosed(s.load.Gone) }

func isClosed(signal <-chan struct{}) bool {
	select {
	case <-signal:
		return true
	default:
		return false
	}
}

// sleep waits until due, or for Stop.
func (s *sender) sleep(ctx context.Context, due int64, timer *time.Timer) error {
	if coarse := time.Duration(due-Now()) - fineWait; coarse > 0 {
		timer.Reset(coarse)
		select {
		case <-timer.C:
		case <-s.load.Stop:
			return nil
		case <-s.load.Gone:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for rest := due - Now(); rest > 0; rest = due - Now() {
		ts := unix.NsecToTimespec(rest)
		_ = unix.Nanosleep(&ts, nil) // a signal may interrupt it: then again
	}
	return ctx.Err()
}
