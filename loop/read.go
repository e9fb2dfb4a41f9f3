package loop

import "io"

// read takes what the kernel has for one connection: one buffer full, then the
// others have their turn. Registered edge-triggered, the connection stays
// flagReadable until a read came back short, or empty after an event that
// announced the end.
func (l *Loop) read(slot uint32, c *conn) {
	for c.flags&flagReadable != 0 {
		if !l.mayRead(c) || l.isSlowed(slot) {
			l.endsUnread(slot, c)
			return
		}
		b := l.rbuf
		if l.waits(c) {
			b = b[:min(len(b), l.config.ParkedBytes-len(l.inputOf(c)))]
		}
		n, err := l.kernel.Read(c.fd, b)
		l.counts.reads++
		switch err {
		case nil:
		case ErrAgain:
			c.flags &^= flagReadable | flagEnding
			return
		case io.EOF:
			l.halfClosed(slot, c)
			return
		default:
			l.close(slot, c)
			return
		}
		full := n == len(b)
		if !full && c.flags&flagEnding == 0 {
			c.flags &^= flagReadable // more, or the end, makes a new event
		}
		l.first = c.seen != l.tick
		c.seen, c.missed = l.tick, 0
		if l.config.Inflow.Bytes > 0 {
			l.countBytes(slot, n)
		}
		l.take(slot, c, b[:n])
		if c.state == stateFree {
			return
		}
		if full {
			l.readAgain(slot, c)
			return
		}
	}
}

// readAgain has the connection read in a turn, after the others' events.
func (l *Loop) readAgain(slot uint32, c *conn) {
	if c.flags&flagReadable != 0 {
		l.queue(slot, c)
	}
}

// mayRead reports whether more input of the connection can be taken now.
func (l *Loop) mayRead(c *conn) bool {
	if c.flags&flagBacklog != 0 {
		return false // what was read waits for its turn
	}
	if c.state == stateLinger && c.need > mostDiscarded {
		return false
	}
	if !l.waits(c) {
		return true
	}
	return len(l.inputOf(c)) < l.config.ParkedBytes
}

// waits reports whether the connection's further requests or messages must wait for an answer.
func (l *Loop) waits(c *conn) bool {
	switch c.state {
	case stateParked, stateLater, stateWaiting:
		return true
	case stateHTTP:
		return c.flags&flagAnswering != 0
	case stateWS:
		return c.late >= maxLate
	}
	return false
}

// take hands new input to what the connection is now, keeps what is not used, and
// notes how dear it was. b is the loop's memory.
func (l *Loop) take(slot uint32, c *conn, b []byte) {
	before, items := l.work(), l.items()
	l.handle(slot, c, b)
	l.note(c, l.work()-before, l.items()-items)
}

// items is how many requests and messages the loop has handled.
func (l *Loop) items() uint64 { return l.counts.requests + l.counts.received }

// handle is take without the note.
func (l *Loop) handle(slot uint32, c *conn, b []byte) {
	if c.state == stateSSE || c.state == stateLinger || c.flags&flagFarewell != 0 {
		l.discard(c, len(b))
		return
	}
	if c.input != 0 {
		b = l.addInput(c, b)
	}
	rest, need, asked := b, 0, false
	received, was := l.counts.received, c.state
	if !l.waits(c) && c.state == stateHTTP && (len(b) >= int(c.need) || c.flags&flagHalfClosed != 0) {
		rest, need = l.requests(slot, c, b, false)
		asked = true
	}
	if (c.state == stateWS || c.state == stateWSClosing) && len(rest) > 0 && !l.waits(c) {
		rest = l.frames(slot, c, rest)
		if c.state == stateWS && c.flags&flagBacklog == 0 {
			need = c.reader.Need(rest)
		}
	}
	if c.flags&(flagHalfClosed|flagBacklog) == flagHalfClosed && (c.state == stateSSE || c.state == stateWS && !l.waits(c)) {
		l.halfClosed(slot, c) // it became a stream with the last that the client had sent
	}
	switch c.state {
	case stateFree:
		return
	case stateSSE, stateLinger:
		l.dropInput(c)
		return
	}
	l.keepRest(slot, c, rest, need, l.counts.received != received || c.state != was)
	if asked {
		l.keepPartial(c)
	}
	l.limitInput()
	l.limitHeads()
}

// resume goes on with what a connection could not do while its answer was on
// the way: requests that were read, then input that was not.
func (l *Loop) resume(slot uint32, c *conn) {
	if c.input != 0 {
		l.backlog(slot, c) // in a turn, not from inside what called
	}
	if c.state == stateFree {
		return
	}
	l.readAgain(slot, c) // in a turn, not from inside what called
	l.endHalfClosed(slot, c)
}

// mostDiscarded is how much of what a client sends behind the end of its connection is
// read: so much of a body that was refused, for example. The rest stays in the kernel, and
// the client waits, until LingerTimeout.
const mostDiscarded = 16 << 20

// discard counts n bytes that are dropped. They are work: a client that sends as fast as
// it can has its turns like others.
func (l *Loop) discard(c *conn, n int) {
	l.spend(1 + n/workDiscarded)
	if c.state == stateLinger {
		c.need += uint32(n)
	}
}
