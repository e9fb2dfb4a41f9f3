package loop

import (
	"peal/loop/fanout"
	"peal/loop/frame"
)

var _ fanout.Events = (*Loop)(nil)

// Lost: the socket failed while sending.
func (l *Loop) Lost(slot uint32, _ error) { l.lost(slot, l.conn(slot)) }

// Idle: an answer, or what else was private, has left.
func (l *Loop) Idle(slot uint32) {
	c := l.conn(slot)
	c.flags &^= flagAnswering
	switch c.state {
	case stateHTTP:
		l.finished(slot, c)
	case stateParked:
		if c.flags&flagHalfClosed != 0 {
			l.fan.Expire(slot)
		}
	case stateWSClosing, stateSSE:
		if c.flags&flagCloseNext != 0 {
			l.linger(slot, c)
		}
	}
}

// Answered: a poll is an ordinary connection again, once its answer has left.
func (l *Loop) Answered(slot uint32, _ uint64) {
	c := l.conn(slot)
	l.responded(c, l.fan.Response())
	l.left(c)
	c.state = stateHTTP
	c.flags |= flagAnswering
	c.seen = l.tick
}

// Gapped: a raw WebSocket has missed something and cannot be told in its stream.
func (l *Loop) Gapped(slot uint32) {
	l.counts.gapped++
	l.ending(slot, frame.CloseGap, "closed with ")
	l.ended(slot)
	l.fan.Revive(slot)
	l.closeStream(slot, l.conn(slot), frame.CloseGap, gapReason)
}

// Fell: the client is slow, has missed something, and its channel's rule is to end it.
func (l *Loop) Fell(slot uint32) {
	l.counts.fell++
	l.ending(slot, frame.CloseTryAgainLater, "slow consumer, closed with ")
	l.ended(slot)
	l.fan.Revive(slot)
	l.closeStream(slot, l.conn(slot), frame.CloseTryAgainLater, fellReason)
}

// Slow: the client takes too little of what is for it alone.
func (l *Loop) Slow(slot uint32) {
	l.counts.slow++
	l.ending(slot, 0, "slow consumer")
	l.warn(&l.complaints.slow, "slow consumer closed: private queue exceeded lane-bytes, or all clients exceeded held-bytes and this client held the most", func() []any {
		half, private := l.fan.Held(slot)
		return []any{"client", l.clientText(slot), "session", l.conn(slot).session, "held", half + private}
	})
	l.noteEnd(slot, l.conn(slot), 0, endSlow)
	l.close(slot, l.conn(slot))
}
