package loop

// Work of a loop is counted in units of about a microsecond: of a request, of a
// WebSocket frame, of what the front says about it (Call.Work, Client.Spend),
// and of the fan-out (fanout.Fan.Work). Counted, and not timed, so that a test can
// say what one callback may do.
//
// What one connection sent is handled until its part is used up; the rest waits
// in its input like input that was not read, behind the others that wait
// (Loop.again), and nothing more is read of the connection meanwhile. One request
// or frame is never taken apart, so a callback may do one more than its budget.
const (
	workRequest = 4 // parsed and answered, beside its bytes
	workFrame   = 1
	workSend    = 8    // a system call that sends: 8 µs over loopback
	workBytes   = 64   // bytes of input to a unit: JSON is read at 10 ns a byte
	workOut     = 1024 // bytes of output to a unit

	workDiscarded = 4096 // bytes of input to a unit that are read and dropped
)

// connShare is which part of Config.TurnWork one connection has at a time.
const connShare = 4

// A poll of the kernel may report hundreds of connections. If all of them were served
// at once, what becomes ready meanwhile, a publisher's request for example, would wait
// for all of it. So when a turn's work was done since the last turn, only connections
// whose input costs little are served at their event. The others wait for a turn, in
// the order of their events (Loop.again).
//
// conn.dear is half of what it was before the last input, and the work on that.
const (
	dearUnit = 8 // units of work in one of conn.dear
	dearFrom = 8 // conn.dear of those that wait, and of new connections, of which nothing is known
)

// What dear input publishes is in most cases dear to take from the ring, too, and what is
// published behind it waits for that on every loop. So when a loop has done a turn's work
// on dear input, it handles no more of it before all loops have taken what the ring had
// then (mark). The ring therefore has no more of it at a time than a turn's work and one
// item of each loop, and what costs little passes by.
//
// Many cheap requests in one read count less, because their messages are sent together:
// the more of them there are in the ring, the less each costs.
const (
	dearPart  = 8 // which part of Config.TurnWork a dear item is at least
	manyCheap = 8
)

// held reports whether dear input waits for loops that have not taken enough.
func (l *Loop) held() bool {
	for _, o := range l.loops {
		if o.ring.Place() < l.mark {
			return true
		}
	}
	return false
}

// await is held for a loop that may sleep until others have taken something.
func (l *Loop) await() bool {
	if !l.held() {
		return false
	}
	l.holding.Store(true)
	l.ring.Notify()
	return l.held() // again: what was taken before Notify is not announced
}

// release wakes the loops that await.
func (l *Loop) release() {
	for _, o := range l.loops {
		if o.holding.Load() && o.holding.CompareAndSwap(true, false) {
			o.Wake()
		}
	}
}

// note counts work on so many items of the connection's input.
func (l *Loop) note(c *conn, work, items uint64) {
	c.dear = uint8(min(uint64(c.dear)/2+work/dearUnit, 255))
	dear := uint64(l.config.TurnWork / dearPart)
	if work < dear {
		return
	}
	if work < items*dear {
		work /= manyCheap
	}
	if l.dear += work; l.dear >= uint64(l.config.TurnWork) {
		l.dear, l.mark = 0, l.ring.Newest()
	}
}

// putOff reports whether the connection's event waits for a turn.
func (l *Loop) putOff(c *conn) bool {
	return c.dear >= dearFrom && (l.work()-l.turned >= uint64(l.config.TurnWork) || l.held())
}

// spend counts work done on the loop.
func (l *Loop) spend(units int) { l.counts.work += uint64(units) }

// work is all that was done on the loop since it was made, but for its budgeted sends.
func (l *Loop) work() uint64 { return l.counts.work + l.fan.Work() }

// share is what the work of the loop may come to before a connection that begins
// now has used up its part.
func (l *Loop) share() uint64 { return l.work() + uint64(l.config.TurnWork/connShare) }

// backlog has the connection go on with its input in a turn.
func (l *Loop) backlog(slot uint32, c *conn) {
	l.counts.deferred++
	c.flags |= flagBacklog
	l.queue(slot, c)
}

// queue gives the connection a place among those whose input waits for a turn.
func (l *Loop) queue(slot uint32, c *conn) {
	if c.flags&flagAgain == 0 {
		c.flags |= flagAgain
		l.again = append(l.again, slot)
		l.scheduleTurn()
	}
}

// readWaiting continues the connections whose input waits, in their order, while the
// turn's budget of work lasts. A connection with more input is then at the end.
func (l *Loop) readWaiting() {
	until := l.work() + uint64(l.config.TurnWork)
	n := 0
	for waiting := len(l.again); n < waiting && l.work() < until; n++ {
		slot := l.again[n]
		c := l.conn(slot)
		c.flags &^= flagAgain
		if c.flags&flagBacklog != 0 {
			c.flags &^= flagBacklog
			l.first = false
			l.take(slot, c, nil)
			l.endHalfClosed(slot, c)
		}
		if c.state != stateFree {
			l.read(slot, c)
		}
	}
	l.again = append(l.again[:0], l.again[n:]...)
}
