package loop

import "time"

// complaints are the lines of the log that clients can cause at will.
type complaints struct {
	input     limited
	slow      limited
	channels  limited
	refused   limited
	exhausted limited
}

// limited lets one line of a kind be logged in a second, and counts the others.
// It belongs to one loop.
type limited struct {
	next    time.Duration // not before, by the loop's clock
	leftOut int
}

// lineEvery is the least time between two lines of a kind, in each loop.
const lineEvery = time.Second

// due reports whether a line may be logged now, and how many were left out since
// the last. The caller logs it with that number as left_out.
func (k *limited) due(now time.Duration) (leftOut int, ok bool) {
	if now < k.next {
		k.leftOut++
		return 0, false
	}
	leftOut = k.leftOut
	k.next, k.leftOut = now+lineEvery, 0
	return leftOut, true
}

// warn logs a line of kind k, if it is due. What it needs besides is asked for
// only then, so that a line left out allocates nothing.
func (l *Loop) warn(k *limited, message string, more func() []any) {
	if leftOut, ok := k.due(l.kernel.Now()); ok {
		l.config.Log.Warn(message, append(more(), "loop", l.number, "left_out", leftOut)...)
	}
}
