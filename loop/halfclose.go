package loop

import "peal/loop/frame"

// A client that has sent all its requests may end its side of the connection and
// still want the responses: nc -N, socat, HTTP/1.0 clients (RFC 9112 §9.6). On the
// wire that looks the same as a browser tab that was closed, so what is owed is
// sent, in order, and nothing is held open for it.

// halfClosed is called once, when all that the client sent was read. What it asks
// for is still answered; what goes on until somebody ends it, ends.
func (l *Loop) halfClosed(slot uint32, c *conn) {
	c.flags = c.flags&^(flagReadable|flagEnding) | flagHalfClosed
	switch c.state {
	case stateHTTP:
		if c.flags&flagAnswering == 0 {
			l.resume(slot, c) // what is here of a request is all of it
		} // else Idle goes on
	case stateLater, stateWaiting: // answered goes on, or askAgain
		l.endReset(slot, c) // no event tells of a reset that has come with the end
		if c.state == stateLater && l.forsaken != nil {
			l.forsaken.Ended(c.session)
		}
	case stateParked:
		l.fan.Expire(slot) // not while an earlier response is in its lane: Idle asks again
	case stateWS:
		if !l.uncorked(c) {
			return
		}
		if l.mayGo(slot, c) {
			l.noteEnd(slot, c, 0, endClient)
			l.ended(slot)
			l.giveBack(slot, c)
			return
		}
		l.farewell(slot, c, 0)
		if !l.owed(c) {
			l.part(slot, c)
		}
	default: // a stream is for a client that is there; but responses to earlier requests, and replies, may wait in its lane
		if !l.uncorked(c) {
			return
		}
		open := c.isOpen()
		l.noteEnd(slot, c, 0, endClient)
		l.unsubscribe(slot, c)
		if open {
			if _, err := l.fan.WriteEnd(slot, nil); err != nil { // what its encoding ends with
				l.close(slot, c)
				return
			}
		}
		l.linger(slot, c)
	}
}

// mayGo reports whether a WebSocket whose client has ended its side has taken all that it was sent, and
// nothing more is to come: it is closed without the stages of a farewell, which would do nothing else.
func (l *Loop) mayGo(slot uint32, c *conn) bool {
	return c.flags&flagFarewell == 0 && !c.isCorked() && !l.owed(c) && l.fan.CaughtUp(slot)
}

// owed reports whether replies to messages of a WebSocket are still to come.
func (l *Loop) owed(c *conn) bool { return c.late > 0 || c.flags&flagAsking != 0 }

// closeSaid, in conn.need: the client has sent a close frame, whose code lies below.
const closeSaid = 1 << 16

// farewell keeps a WebSocket whose client sends nothing more until it has the
// replies that it is owed. It receives nothing else. said is conn.need.
func (l *Loop) farewell(slot uint32, c *conn, said uint32) {
	if c.flags&flagFarewell == 0 {
		l.noteEnd(slot, c, 0, endClient)
		c.flags |= flagFarewell
		l.unsubscribe(slot, c)
		l.dropInput(c)
	}
	c.need = max(c.need, said)
}

// part ends a WebSocket that has its replies: with the answer to its close frame,
// if it has sent one.
func (l *Loop) part(slot uint32, c *conn) {
	c.flags &^= flagFarewell
	if c.need&closeSaid != 0 {
		l.closeBack(slot, c, uint16(c.need))
		return
	}
	c.state = stateWSClosing
	l.wait(slot, c, ticks(l.config.LingerTimeout))
	l.linger(slot, c)
}

// closeBack answers the client's close frame and ends the connection.
func (l *Loop) closeBack(slot uint32, c *conn, code uint16) {
	if !l.uncorked(c) {
		return
	}
	l.ending(slot, code, "closed by the client with ")
	l.unsubscribe(slot, c)
	l.scratch = frame.AppendClose(l.scratch[:0], code, "")
	c.state = stateWSClosing
	l.wait(slot, c, ticks(l.config.LingerTimeout)) // not what is left of a heartbeat: it may take time to send what is in the lane
	if _, err := l.fan.Write(slot, l.scratch); err != nil {
		l.close(slot, c)
		return
	}
	l.linger(slot, c)
}

// endsUnread is called where reading must wait although an event has said that
// the end is near: behind what was not read yet.
func (l *Loop) endsUnread(slot uint32, c *conn) {
	if c.flags&flagEnding == 0 || c.flags&flagBacklog != 0 { // the backlog goes first, and reading goes on behind it
		return
	}
	switch l.kernel.EndOf(c.fd) {
	case EndBoth:
		l.close(slot, c)
	case EndRead:
		if c.state == stateParked {
			l.fan.Expire(slot) // then the rest is read, up to the end
		}
	}
}

// endHalfClosed ends a half-closed connection that is owed nothing more.
func (l *Loop) endHalfClosed(slot uint32, c *conn) {
	if c.flags&(flagHalfClosed|flagAnswering|flagBacklog) != flagHalfClosed {
		return
	}
	switch c.state {
	case stateLater, stateWaiting:
		l.endReset(slot, c) // its event may have come before the backlog was handled
	case stateHTTP:
		l.linger(slot, c)
	}
}

// endReset closes a half-closed connection that was reset: nobody is there for a response.
func (l *Loop) endReset(slot uint32, c *conn) {
	if l.kernel.EndOf(c.fd) == EndBoth {
		l.close(slot, c)
	}
}

// lost closes a connection to which nothing can be sent any more. Input that waits
// for its turn is handled before: it had come before the client went.
func (l *Loop) lost(slot uint32, c *conn) {
	if c.flags&flagBacklog == 0 || c.state == stateHTTP && !l.fan.LaneEmpty(slot) {
		l.close(slot, c)
		return
	}
	c.flags |= flagReadable | flagEnding // the next read, behind the backlog, finds the end
}
