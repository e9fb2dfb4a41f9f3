package loop

import (
	"math"
	"time"
)

// maxMissed is after how many silent heartbeats a WebSocket is dead.
const maxMissed = 2

// startTicking arms the timer; a loop without connections does not tick.
func (l *Loop) startTicking() {
	if l.ticking {
		return
	}
	l.ticking = true
	l.tick = uint32(l.kernel.Now() / tick)
	l.wheel.Advance(l.tick, math.MaxInt, func(uint32) {})
	l.deadlines.Advance(l.tick, math.MaxInt, func(uint32) {})
	l.kernel.Tick(tick)
}

// tickOver turns the wheel.
func (l *Loop) tickOver() {
	l.tick = uint32(l.kernel.Now() / tick)
	if l.freeze == nil {
		if l.expireDue() {
			l.scheduleTurn()
		}
		l.resumeSlowed()
	}
	if l.wheel.Armed() == 0 {
		l.ticking = false
		l.kernel.Tick(0)
	}
}

// turnTimers is how many timers, and as many deadlines, a callback serves: with a heartbeat for each that
// is half a millisecond. Those of one tick are spread over so many turns, and
// events are read between them.
const turnTimers = 64

// expireDue serves timers that are due. more says that there are others: they
// have further turns.
func (l *Loop) expireDue() (more bool) {
	more = l.wheel.Advance(l.tick, turnTimers, l.expire)
	return l.deadlines.Advance(l.tick, turnTimers, l.due) || more
}

// beat is the time to the next heartbeat in ticks, spread so that a thousand
// connections of one moment do not stay together.
func (l *Loop) beat() uint32 {
	h := int64(l.config.Heartbeat)
	return ticks(time.Duration(h*8/10 + l.kernel.Random(h*4/10+1)))
}

// expire is called when a connection's timer fires.
func (l *Loop) expire(slot uint32) {
	c := l.conn(slot)
	switch c.state {
	case stateFree:
	case stateHTTP:
		l.expireHTTP(slot, c)
	case stateParked:
		if !l.fan.Expire(slot) && l.fan.Stalled(slot) {
			l.close(slot, c)
			return
		}
		l.wait(slot, c, l.idleTicks)
	case stateLater, stateWaiting:
		l.wait(slot, c, l.idleTicks)
	case stateSSE:
		if !c.isOpen() { // it does not take its end
			l.close(slot, c)
			return
		}
		l.heartbeat(slot, c)
	case stateWS:
		left := l.messageTime(c)
		if left == 0 {
			l.messageLate(slot, c)
			return
		}
		l.heartbeat(slot, c)
		if c.state == stateWS && left != math.MaxUint32 {
			l.wheel.Sooner(slot, l.tick+left)
		}
	case stateWSClosing:
		if l.fan.LaneEmpty(slot) { // it never answered our close frame
			l.linger(slot, c)
			return
		}
		l.close(slot, c)
	case stateLinger:
		l.close(slot, c)
	}
}

// expireHTTP: the timer is not moved with each request; what was armed for an
// earlier one is asked again here.
func (l *Loop) expireHTTP(slot uint32, c *conn) {
	limit := l.idleTicks
	if l.via(slot)&viaRefused != 0 {
		limit = l.headTicks
	}
	if c.flags&flagHead != 0 {
		if left := l.requestTime(c); left > 0 {
			l.wait(slot, c, left)
		} else {
			l.requestLate(slot, c)
		}
		return
	}
	if silent := l.tick - c.seen; silent < limit {
		l.wait(slot, c, limit-silent)
		return
	}
	l.close(slot, c)
}

// heartbeat tells a silent stream that the server lives and where it stands. A
// stream that is behind needs none: what it is sent says the same.
func (l *Loop) heartbeat(slot uint32, c *conn) {
	if c.missed >= maxMissed {
		l.counts.dead++
		l.noteEnd(slot, c, 0, endSilent)
		l.ending(slot, 0, "no answer to heartbeats")
		l.close(slot, c)
		return
	}
	l.wait(slot, c, l.beat())
	if !l.fan.CaughtUp(slot) || c.flags&flagFarewell != 0 { // in a farewell it is subscribed to nothing, and so stands nowhere
		return
	}
	if c.state == stateWS && !l.waits(c) {
		c.missed++ // it was asked for a sign of life
	}
	l.counts.heartbeats++
	l.spend(workSend)
	if c.state == stateWS {
		l.pinged(slot, l.fan.Position(slot))
	}
	l.scratch = l.encoder.AppendHeartbeat(l.scratch[:0], c.dialect, l.fan.Position(slot))
	if _, err := l.fan.Write(slot, l.scratch); err != nil {
		l.close(slot, c)
	}
}
