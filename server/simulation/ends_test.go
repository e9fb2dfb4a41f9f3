package simulation_test

import (
	"time"

	"peal/loop"
	"peal/loop/fanout"
	"peal/server/log"
)

// What is owed to a connection when it ends, and while its loop has nothing to do.

// judgeEnd says whether the server might end c here.
func (w *world) judgeEnd(c *conn) {
	s, x := c.socket, c.current()
	switch {
	case c.excused, c.pressed, w.isStuck(s):
	case c.halfClosed && x != nil && x.isStream() && x.begun: // a stream is for a client that is there
		if !c.ended {
			w.judgeReplied(c)
		}
	case len(s.out) > 0:
		w.fail("%s: its stream ends inside something: %.60q", c, s.out)
	case s.kernel == nil:
		// A drain that is cut short closes what it has accepted and no loop has taken.
		if !c.ended && !c.scarce && !w.isScarce() && !w.draining {
			w.fail("%s: refused, though there is room", c)
		}
	case x != nil && x.isStream() && x.begun && x.verdict == loop.Stream:
		w.judgeStreamEnd(c, x)
	default:
		w.judgeHTTPEnd(c)
	}
}

func (w *world) judgeStreamEnd(c *conn, x *exchange) {
	switch {
	case c.saidClose != 0:
		if !c.ended {
			w.fail("%s: its close frame is not answered", c)
		}
	case x.ask.transport.isSocket():
		if !c.ended {
			w.fail("%s: a WebSocket ends without a close frame", c)
		}
	case c.dismissed, c.expected != 0:
	case w.draining && w.owedAtDrain(c) == nil:
		w.counts[goodbyes]++
	default:
		w.judgeFall(c)
	}
}

func (w *world) judgeHTTPEnd(c *conn) {
	for _, x := range c.exchanges {
		if x.begun && !(x.isStream() && x.opened && (w.draining || x.ask.forbidden && c.ended)) { // a stream that the front refuses has no other end
			w.fail("%s: it ends without the response to %.40q", c, x.wire)
		}
	}
	switch {
	case c.waits():
		w.fail("%s: it ends while its request waits", c)
	case c.ended, w.draining, w.isIdle(c):
	case len(c.exchanges) > 0:
		w.fail("%s: it ends, and %.40q was not looked at", c, c.exchanges[0].wire)
	case !c.halfClosed:
		w.fail("%s: it ends, though it was neither idle nor told", c)
	}
}

// isIdle tells whether nothing came of it for so long that the server may end it.
func (w *world) isIdle(c *conn) bool {
	limit := w.plan.loop.IdleTimeout
	if c.scarce && !c.served { // it may be here to be refused, and has the time for a request
		limit = w.plan.loop.HeadTimeout
	}
	return w.machine.now()-c.active >= limit-tick
}

// isStuck tells whether the client took nothing for so long, or the loop was paused for
// so long, that a connection which is to end may be closed without what it was owed. A
// poll whose time is up while an earlier response waits for room is to end.
func (w *world) isStuck(s *socket) bool {
	now, limit := w.machine.now(), w.plan.loop.LingerTimeout-tick
	if !s.closed || s.shut && !s.shared || s.kernel == nil {
		return false
	}
	for _, x := range s.conn.exchanges {
		if x.begun && x.verdict == loop.Park && now-x.sent >= time.Duration(x.ask.timeout)*time.Second-tick {
			limit = 0
		}
	}
	if at := s.conn.toEnd; at >= 0 && s.conn.stalled && now-at >= limit {
		return true
	}
	behind := s.behind || s.freeAt == now
	return s.kernel.slept >= w.plan.loop.LingerTimeout-tick || behind && now-s.behindAt >= limit
}

// tick is the unit of the loops' timers.
const tick = time.Second

// isScarce tells whether connections may be refused.
func (w *world) isScarce() bool {
	return w.scarce || w.machine.used+len(w.machine.backlog) >= w.plan.loop.MaxConnections
}

// judgeGoodBye: messages published before the drain began are sent before the end of
// a stream.
func (w *world) judgeGoodBye(c *conn) {
	w.counts[goodbyes]++
	if x := w.owedAtDrain(c); x != nil && !c.halfClosed && c.saidClose == 0 {
		w.fail("%s: the drain ends it, but %d on %s did not come, which was published before", c, x.Sequence, x.Channel)
	}
	w.judgeReplied(c)
}

// owedAtDrain is the first entry from before the drain that did not come, nil for none.
func (w *world) owedAtDrain(c *conn) *log.Entry {
	for _, h := range c.hears() {
		if x := w.oracle.missing(h, w.drainHead); x != nil {
			return x
		}
	}
	return nil
}

// judgeFall: only a slow client is closed, and only because of a gap.
func (w *world) judgeFall(c *conn) {
	real := false
	for _, h := range c.hears() {
		real = real || h.explained(w.oracle) || h.position < w.oracle.floor
		for _, a := range h.accounts {
			gone := w.oracle.goneAfter(h, a.name, max(h.position, a.excused), w.oracle.head())
			real = real || gone && w.plan.policy(a.name) == fanout.Disconnect
		}
	}
	if !real || !c.stalled {
		w.fail("%s: its stream is ended (slow: %v, a gap: %v, draining: %v)", c, c.stalled, real, w.draining)
	}
	c.forget()
}

// checkResting: a loop that sleeps has done all it can for everybody on it, when the others
// sleep, too: its input may wait until they have taken something from the ring.
func (w *world) checkResting(k *kernel) {
	if k.closed || !w.machine.resting() || w.frost != thawed {
		return
	}
	if k.number == 0 && len(w.machine.backlog) > 0 && w.machine.used < w.machine.most && len(w.machine.timers) == 0 && !w.paused {
		w.fail("%d connections wait, and nobody accepts them", len(w.machine.backlog))
	}
	for _, s := range w.machine.sockets {
		if s != nil && s.kernel == k && s != w.machine.listener && w.failure == "" {
			w.checkOne(s.conn)
		}
	}
}

func (w *world) checkOne(c *conn) {
	s := c.socket
	w.checkDue(c)
	switch {
	case s.shut:
		if w.machine.now()-s.shutAt > w.plan.loop.LingerTimeout+2*tick {
			w.fail("%s: the server has ended its side %v ago, and does not close it", c, w.machine.now()-s.shutAt)
		}
		return
	case s.reset:
		if !c.awaitsLog() {
			w.fail("%s: the client has reset it, and the loop keeps it", c)
		}
		return
	case s.full, c.ended, c.excused, c.left, s.isSlowed():
		return
	}
	w.checkInput(c)
	for i, x := range c.exchanges {
		switch {
		case c.waits():
			return
		case !x.begun && i == 0 && len(s.wire) == 0:
			w.fail("%s: the loop has nothing to do, but was sent %.40q", c, x.wire)
		case !x.begun:
			return
		case x.verdict == loop.Later, c.halfClosed, c.saidClose != 0: // it receives what it is owed, and nothing new
		case x.verdict != loop.Park && x.verdict != loop.Stream:
			w.fail("%s: the loop has nothing to do, but the response to %.40q did not come", c, x.wire)
		default:
			w.checkHears(c, x)
			w.checkTimeout(c, x)
		}
	}
	if s.end && !c.awaitsLog() && !c.waits() {
		w.fail("%s: the client has ended its side and is owed nothing, and the loop keeps it", c)
	}
}

// checkInput: what has come on a WebSocket was looked at.
func (w *world) checkInput(c *conn) {
	s := c.socket
	if len(s.in) > 0 && !c.awaitsResponse() {
		w.fail("%s: the loop has nothing to do, but %d bytes of it are unread", c, len(s.in))
	}
	if len(s.wire) == 0 && len(c.said) > 0 && c.isWebSocket() {
		w.fail("%s: the loop has nothing to do, but %d messages were not taken, the first %.60q", c, len(c.said), c.said[0].payload)
	}
	if len(s.wire) == 0 && len(c.pings) > 0 && c.isWebSocket() {
		w.fail("%s: its ping %q is not answered", c, c.pings[0])
	}
}

// checkTimeout: a poll waits no longer than it has asked for.
func (w *world) checkTimeout(c *conn, x *exchange) {
	over := x.parked + time.Duration(x.ask.timeout)*time.Second + 2*tick
	if now := w.machine.now(); x.verdict == loop.Park && now > over && c.current() == x {
		w.fail("%s: its poll has waited since %v, %d s were asked for, and it is %v", c, x.parked, x.ask.timeout, now)
	}
}

func (w *world) checkHears(c *conn, x *exchange) {
	for _, h := range x.hears {
		if e := w.oracle.missing(h, w.ring.Head()); e != nil {
			w.fail("%s at %d: the loop has nothing to do, but %d on %s did not come", c, h.position, e.Sequence, e.Channel)
		}
	}
}

// awaitsLog tells whether the log owes it a response or reply.
func (c *conn) awaitsLog() bool {
	for _, x := range c.exchanges {
		if x.begun && x.verdict == loop.Later {
			return true
		}
	}
	return c.talk != nil && len(c.talk.pending) > 0
}

// awaitsResponse tells whether its further input has to wait.
func (c *conn) awaitsResponse() bool {
	x := c.current()
	return c.waits() || x != nil && x.begun && (x.verdict == loop.Later || x.verdict == loop.Park)
}
