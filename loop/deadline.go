package loop

import "time"

// A deadline is a moment at which the front wants to look at a stream: the end of what
// a token grants, or the time to warn of it. It has a wheel of its own, so that
// heartbeats keep their rhythm: 12 bytes for a slot, on loops where there was a deadline.

// maxDeadline is the furthest deadline. A wheel tells ahead from behind up to twice that.
const maxDeadline = 1 << 30 * tick // 34 years

// deadlineTick is the first tick that does not begin before now + d.
func deadlineTick(now, d time.Duration) uint32 {
	return uint32((now + min(d, maxDeadline) + tick - 1) / tick)
}

// setDeadline has Front.Due called for an open stream when d has passed. 0: never.
func (l *Loop) setDeadline(slot uint32, d time.Duration) {
	if d == 0 {
		l.deadlines.Clear(slot)
		return
	}
	l.deadlines.Set(slot, deadlineTick(l.kernel.Now(), max(d, 0)))
}

// due is called when the deadline of a stream is over.
func (l *Loop) due(slot uint32) {
	c := l.conn(slot)
	if !c.isOpen() {
		return
	}
	waited := l.waits(c)
	l.busy()
	l.front.Due(l.clientOf(slot))
	l.idle()
	l.settled(slot, c, waited)
}
