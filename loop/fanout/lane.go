package fanout

import "peal/loop/evict"

// lane is what one member is sent before anything else: the rest of a
// half-sent message or of an answer, then what was written for it alone.
type lane struct {
	half      []byte // shared and immutable, or this lane's own; never appended to
	buf       []byte // this lane's own
	slot      uint32
	used      bool
	uncounted bool  // its member was given up: nothing of it counts any more
	answers   int   // bytes of buf that are not under LaneBytes
	block     *byte // which block half is the end of, in Fan.blocks; nil for none
}

// block is bytes that the lanes of some members are the end of: one message or
// answer, however many wait in the middle of it. It is known by its last byte.
type block struct {
	bytes int // of the longest rest
	lanes int
}

// Write sends b to the member alone, before any further publication, and
// whole: never inside a half-sent message. b is not kept. done says that the
// socket took all of it; if not, Idle follows when it has. An error means that
// the socket is gone. Beyond Limits.LaneBytes the member is given up (Slow).
func (f *Fan) Write(slot uint32, b []byte) (done bool, err error) {
	if m := f.member(slot); m.flags&flagSummed != 0 && !f.stripOut(m) {
		f.AddSum(slot, b)
	}
	return f.write(slot, b, false)
}

// WriteAnswer is Write for an HTTP answer: it is not under LaneBytes, because
// the loop takes no further request before Idle, but under HeldBytes.
func (f *Fan) WriteAnswer(slot uint32, b []byte) (done bool, err error) {
	return f.write(slot, b, true)
}

func (f *Fan) write(slot uint32, b []byte, answer bool) (done bool, err error) {
	m := f.member(slot)
	if m.flags&flagDead != 0 || len(b) == 0 {
		return m.lane == 0, nil // what came of a client that has gone is still handled
	}
	if m.prompt() {
		n, full, err := f.sender.Now(Conn{slot, m.generation}, b)
		return f.wrote(slot, m, b, n, full, err, answer)
	}
	f.keepRest(slot, m, b, answer)
	return false, nil
}

// prompt reports whether nothing must be sent before what is written now, and the
// socket may have room.
func (m *member) prompt() bool { return m.lane == 0 && m.flight == 0 && m.flags&flagFull == 0 }

// Prompt reports whether WriteAnswer would send at once. If so, the caller may send the answer by other
// means than the Sender, and call WroteAnswer with what the Sender would have returned.
func (f *Fan) Prompt(slot uint32) bool {
	m := f.member(slot)
	return m.flags&flagDead == 0 && m.prompt()
}

// WroteAnswer is WriteAnswer for an answer that was sent: see Prompt.
func (f *Fan) WroteAnswer(slot uint32, b []byte, n int, full bool, err error) (done bool, _ error) {
	return f.wrote(slot, f.member(slot), b, n, full, err, true)
}

// wrote notes what became of a send.
func (f *Fan) wrote(slot uint32, m *member, b []byte, n int, full bool, err error, answer bool) (done bool, _ error) {
	switch {
	case err != nil:
		m.flags |= flagDead
		return false, err
	case full:
		f.full(slot, m)
	case n == len(b):
		return true, nil
	}
	f.keepRest(slot, m, b[n:], answer)
	return false, nil
}

// keepRest has the rest of what is written, which may be empty, sent when there is room.
func (f *Fan) keepRest(slot uint32, m *member, b []byte, answer bool) {
	l := f.laneOf(slot, m)
	if answer && len(l.half) == 0 && len(l.buf) == 0 && m.flight == 0 {
		l.half = append([]byte(nil), b...)
		f.pin(l)
	} else {
		l.buf = append(l.buf, b...)
		f.held += len(b)
		if answer {
			l.answers += len(b)
		} else if len(l.buf)-l.answers > f.limits.LaneBytes {
			f.stats.LaneFull++
			f.kill(slot, m, eventSlow, nil)
		}
	}
	f.limitHeld()
	if m.flags&flagFull == 0 {
		f.queueBehind(slot, m)
	}
}

func (f *Fan) laneOf(slot uint32, m *member) *lane {
	if m.lane == 0 {
		if n := len(f.freeLanes); n > 0 {
			m.lane = f.freeLanes[n-1]
			f.freeLanes = f.freeLanes[:n-1]
		} else {
			m.lane = uint32(len(f.lanes))
			f.lanes = append(f.lanes, lane{})
		}
		f.lanes[m.lane] = lane{slot: slot, used: true}
	}
	return &f.lanes[m.lane]
}

// holdRest puts the rest of a half-sent message into the member's lane, which
// has nothing before it: a member with a lane is sent nothing else.
func (f *Fan) holdRest(slot uint32, m *member, rest []byte) {
	l := f.laneOf(slot, m)
	if len(l.half) != 0 {
		panic("fanout: two half-sent messages on one connection")
	}
	l.half = rest
	f.pin(l)
	f.limitHeld()
}

// pin counts the block that the half of l ends.
func (f *Fan) pin(l *lane) {
	if len(l.half) == 0 {
		return
	}
	l.block = &l.half[len(l.half)-1]
	b := f.blocks[l.block]
	f.held += max(0, len(l.half)-b.bytes)
	f.blocks[l.block] = block{max(b.bytes, len(l.half)), b.lanes + 1}
}

func (f *Fan) unpin(l *lane) {
	if l.block == nil {
		return
	}
	b := f.blocks[l.block]
	if b.lanes--; b.lanes > 0 {
		f.blocks[l.block] = b
	} else {
		f.held -= b.bytes
		delete(f.blocks, l.block)
	}
	l.block = nil
}

// uncount takes what the lane holds out of the count: its member was given up, and
// is detached at the end of the turn.
func (f *Fan) uncount(l *lane) {
	if !l.uncounted {
		l.uncounted = true
		f.held -= len(l.buf)
		f.unpin(l)
	}
}

// recount takes uncount back.
func (f *Fan) recount(l *lane) {
	if l.uncounted {
		l.uncounted = false
		f.held += len(l.buf)
		f.pin(l)
	}
}

func (f *Fan) dropLane(m *member) {
	if m.lane == 0 {
		return
	}
	l := &f.lanes[m.lane]
	f.uncount(l)
	*l = lane{}
	f.freeLanes = append(f.freeLanes, m.lane)
	m.lane = 0
}

// sendLane queues the next part of the lane, and reports whether there was any: the
// last of it may have filled the socket.
func (f *Fan) sendLane(slot uint32, m *member) bool {
	l := &f.lanes[m.lane]
	b := l.half
	if len(b) == 0 {
		b = l.buf
	}
	if len(b) == 0 {
		f.laneEmpty(slot, m)
		return false
	}
	f.fly(slot, m, b).lane = true
	if m.view != 0 {
		f.keepFor(m, f.views[m.view]) // its turn was for the lane
	}
	return true
}

func (f *Fan) laneSent(slot uint32, m *member, n int, full bool) {
	l := &f.lanes[m.lane]
	if len(l.half) > 0 {
		if l.half = l.half[n:]; len(l.half) == 0 {
			f.unpin(l)
		}
	} else {
		l.buf = l.buf[n:]
		l.answers = min(l.answers, len(l.buf))
		if !l.uncounted {
			f.held -= n
		}
	}
	if full {
		f.full(slot, m)
		return
	}
	if len(l.half) == 0 && len(l.buf) == 0 {
		f.laneEmpty(slot, m)
		return
	}
	f.queueBehind(slot, m)
}

func (f *Fan) laneEmpty(slot uint32, m *member) {
	f.dropLane(m)
	f.tell(eventIdle, slot, m, nil)
	f.again(slot, m)
}

// limitHeld gives up those who hold most when all lanes are above the limit: see
// package evict. What several hold together is divided among them.
func (f *Fan) limitHeld() {
	for f.held > f.limits.HeldBytes {
		var alive []evict.Holder // rare: see evict.Choose
		for i := range f.lanes {
			if l := &f.lanes[i]; l.used && !l.uncounted {
				bytes := len(l.buf)
				if b := f.blocks[l.block]; b.lanes > 0 {
					bytes += (b.bytes + b.lanes - 1) / b.lanes
				}
				alive = append(alive, evict.Holder{Slot: l.slot, Bytes: bytes, Share: f.share(l.slot)})
			}
		}
		gone := evict.Choose(alive, f.limits.HeldBytes)
		if len(gone) == 0 {
			panic("fanout: more is held than lanes hold") // their sum is at least held
		}
		for _, h := range gone {
			m := f.member(h.Slot)
			f.stats.HeldFull++
			f.kill(h.Slot, m, eventSlow, nil)
			f.uncount(&f.lanes[m.lane]) // also of one that had ended before
		}
	}
}
