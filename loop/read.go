package loop

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// read takes what the kernel has for one connection: one buffer full, then the
// others have their turn. Registered edge-triggered, the connection stays
// flagReadable until a read came back short, or empty after an event that
// announced the end.
func (l *Loop) read(slot uint32, c *conn) {
	for c.flags&flagReadable != 0 {
		if !l.mayRead(c) {
			l.endsUnread(slot, c)
			return
		}
		b := l.rbuf
		if l.waits(c) {
			b = b[:min(len(b), l.config.ParkedBytes-len(l.inputOf(c)))]
		}
		n, e := sysRead(c.fd, b)
		l.counts.reads++
		if e == unix.EAGAIN {
			c.flags &^= flagReadable | flagEnding
			return
		}
		if e != 0 {
			l.close(slot, c)
			return
		}
		if n == 0 {
			l.halfClosed(slot, c)
			return
		}
		full := n == len(b)
		if !full && c.flags&flagEnding == 0 {
			c.flags &^= flagReadable // more, or the end, makes a new event
		}
		c.seen, c.missed = l.tick, 0
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
	if !l.waits(c) {
		return true
	}
	return len(l.inputOf(c)) < l.config.ParkedBytes
}

// waits reports whether the connection's further requests must wait for an answer.
func (l *Loop) waits(c *conn) bool {
	return c.state == stateParked || c.state == stateLater || c.state == stateHTTP && c.flags&flagAnswering != 0
}

// take hands new input to what the connection is now, and keeps what is not
// used. b is the loop's memory.
func (l *Loop) take(slot uint32, c *conn, b []byte) {
	if c.state == stateSSE || c.state == stateLinger {
		return
	}
	if c.input != 0 {
		in := l.inputs[c.input]
		before := cap(in)
		in = append(in, b...)
		l.inputBytes += cap(in) - before
		l.inputs[c.input] = in
		b = in
	}
	rest, need := b, 0
	if !l.waits(c) && c.state == stateHTTP && (len(b) >= int(c.need) || c.flags&flagHalfClosed != 0) {
		rest, need = l.requests(slot, c, b)
	}
	if (c.state == stateWS || c.state == stateWSClosing) && len(rest) > 0 {
		rest = l.frames(slot, c, rest)
		if c.state == stateWS && c.flags&flagBacklog == 0 {
			need = c.reader.Need(rest)
		}
	}
	switch c.state {
	case stateFree:
		return
	case stateSSE, stateLinger:
		l.dropInput(c)
		return
	}
	if c.input != 0 && len(rest) > 0 && unsafe.SliceData(rest) == unsafe.SliceData(l.inputs[c.input]) {
		l.inputs[c.input] = rest // where it was
		if l.inputBytes > l.config.InputBytes {
			l.inputFull(slot, c)
		}
		return
	}
	if !l.keepInput(c, rest, need) {
		l.inputFull(slot, c)
	}
}

// inputFull closes a connection whose input goes beyond what the loop may keep.
func (l *Loop) inputFull(slot uint32, c *conn) {
	l.warn(&l.complaints.input, "input limit reached: connection closed", func() []any {
		return []any{"limit", l.config.InputBytes}
	})
	l.close(slot, c)
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
