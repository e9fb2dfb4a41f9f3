package loop

import (
	"math"
	"time"
)

// maxMissed is after how many silent heartbeats a WebSocket is dead.
const maxMissed = 2

// The timers of one tick are spread over it, in the order in which they were set. A heartbeat for each of
// many connections at once would keep the loop, and the pongs would come back at once. While timers of
// the present tick wait, the kernel ticks for each portion, and otherwise at the beginning of each tick.
const (
	spread      = tick * 7 / 8         // over how much of a tick
	portion     = 16                   // timers: fewer are not worth waking up for
	portionTime = 5 * time.Millisecond // at least
)

// turnTimers is how many timers, and as many deadlines, a callback serves: with a heartbeat for each that
// is half a millisecond. Those that are late are spread over so many turns, and
// events are read between them.
const turnTimers = 64

// startTicking arms the timer; a loop without connections does not tick.
func (l *Loop) startTicking() {
	if l.ticking {
		return
	}
	l.ticking = true
	now := l.kernel.Now()
	l.tick = uint32(now / tick)
	l.wheel.Advance(l.tick, math.MaxInt, func(uint32) {})
	l.deadlines.Advance(l.tick, math.MaxInt, func(uint32) {})
	l.tickEvery(tick - now%tick)
}

// tickEvery has the kernel tick.
func (l *Loop) tickEvery(d time.Duration) {
	if l.every != d {
		l.every = d
		l.kernel.Tick(d)
	}
}

// tickOver turns the wheel.
func (l *Loop) tickOver() {
	l.now = l.kernel.Now()
	l.tick = uint32(l.now / tick)
	l.large.release(l.tick, l.wheel.Armed() == 0)
	if l.freeze == nil {
		if l.expireDue() {
			l.scheduleTurn()
		}
		if l.resumedAt != l.tick {
			l.resumedAt = l.tick
			l.resumeSlowed()
		}
	}
	switch late := l.now % tick; {
	case l.wheel.Armed() == 0:
		l.ticking = false
		l.tickEvery(0)
	case l.freeze == nil && l.portioned(): // expireDue has seen to it
	case late < 2*portionTime:
		l.tickEvery(tick)
	default:
		l.tickEvery(tick - late)
	}
}

// expireDue serves timers that are due. more says that there are others that may not wait: they
// have further turns. Those that may wait have their portions.
func (l *Loop) expireDue() (more bool) {
	if most := l.mayExpire(); most > 0 {
		more = l.wheel.Advance(l.tick, min(most, turnTimers), l.expire) && most > turnTimers
	}
	if l.portioned() {
		found, _ := l.wheel.Due()
		l.tickEvery(max(portionTime, portion*spread/time.Duration(found)))
	}
	return l.deadlines.Advance(l.tick, turnTimers, l.due) || more
}

// mayExpire is how many timers may be served now: of the present tick the part that has passed of it and
// one portion, of earlier ones all.
func (l *Loop) mayExpire() int {
	if !l.wheel.Advance(l.tick, 0, l.expire) {
		return 0
	}
	found, done := l.wheel.Due()
	if passed := l.now % tick; l.portioned() && passed < spread {
		return max(0, portion+found*int(passed/time.Millisecond)/int(spread/time.Millisecond)-done)
	}
	return math.MaxInt
}

// portioned reports whether timers of the present tick wait for their portion.
func (l *Loop) portioned() bool {
	found, done := l.wheel.Due()
	return done < found && l.wheel.Now() == l.tick
}

// beat is the time to the next heartbeat in ticks, spread so that a thousand
// connections of one moment do not stay together. A timer fires somewhere in its tick, so the time
// is up to a tick more or less than that.
func (l *Loop) beat() uint32 {
	h := l.config.Heartbeat
	least, most := ticks(h*8/10)+1, uint32(h*12/10/tick)-1
	if h < 5*tick || least > most {
		return uint32((h + tick/2) / tick)
	}
	return least + uint32(l.kernel.Random(int64(most-least+1)))
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
	l.write(slot, c, l.scratch)
}
