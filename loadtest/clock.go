package loadtest

import (
	"context"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// clockBase ties this process' monotonic reading to the machine's
// CLOCK_MONOTONIC, which all processes share. time.Since is answered by the
// vDSO; unix.ClockGettime would be a system call per message.
var clockStart, clockBase = func() (start time.Time, base int64) {
	best := int64(math.MaxInt64)
	for range clockRounds { // the process may be interrupted between two readings
		before := readClock()
		now := time.Now()
		if took := readClock() - before; took < best {
			best, start, base = took, now, before+took/2
		}
	}
	return start, base
}()

func readClock() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic("loadtest: CLOCK_MONOTONIC: " + err.Error()) // exists on every Linux
	}
	return ts.Nano()
}

// clockOffset is what a worker at an agent adds to its own clock to read the
// controller's; 0 elsewhere.
var clockOffset atomic.Int64

// ownNow is this machine's clock.
func ownNow() int64 { return clockBase + int64(time.Since(clockStart)) }

// Now returns the monotonic time in nanoseconds of the machine that publishes. Values
// of different processes on one machine can be compared, to within a microsecond or
// so; those of an agent's workers, to within Clock.Uncertainty.
func Now() int64 { return ownNow() + clockOffset.Load() }

// Clock is what is known of the clock of a worker at an agent.
type Clock struct {
	Agent       string        `json:"agent"`
	Uncertainty time.Duration `json:"uncertainty"` // its latencies are right to within this
	Drift       float64       `json:"drift"`       // seconds per second, since the first comparison

	first, firstAt int64 // offset and when it was found
}

// clockRounds is how many times a clock is asked. The quickest answer counts.
const clockRounds = 16

// compare asks r for its clock: the true time of the answer lies between the question
// and its arrival, so half of that time is the greatest error, whichever way took
// longer. It tells r the offset.
func (r *remote) compare(ctx context.Context) error {
	best, offset := int64(math.MaxInt64), int64(0)
	for range clockRounds {
		asked := Now()
		e, err := r.ask(ctx, command{Op: "clock"})
		if err != nil {
			return err
		}
		if took := e.at - asked; took < best {
			best, offset = took, asked+took/2-e.Now
		}
	}
	if _, err := r.ask(ctx, command{Op: "clock", Offset: &offset}); err != nil {
		return err
	}
	c, now := r.clock, Now()
	c.Uncertainty = time.Duration(best+1) / 2
	if c.firstAt == 0 {
		c.first, c.firstAt = offset, now
	} else if passed := now - c.firstAt; passed > int64(time.Second) {
		c.Drift = float64(offset-c.first) / float64(passed)
	}
	return nil
}

// ask sends one command and waits for its answer.
func (r *remote) ask(ctx context.Context, c command) (event, error) {
	if err := r.commands.Encode(c); err != nil {
		return event{}, fmt.Errorf("%s: %w", r.name, err)
	}
	late := time.NewTimer(answerSlack)
	defer late.Stop()
	return r.answer(ctx, late.C, answerSlack)
}
