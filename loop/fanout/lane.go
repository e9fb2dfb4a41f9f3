package fanout

import "peal/loop/evict"

// lane is what one member is sent before anything else: the rest of a
// half-sent message or of an answer, then what was written for it alone.
type lane struct {
	half   []byte // shared and immutable, or this lane's own; never appended to
	buf    []byte // this lane's own
	slot   uint32
	used   bool
	doomed int // bytes of it that Fan.doomed counts
}

// Write sends b to the member alone, before any further publication, and
// whole: never inside a half-sent message. b is not kept. done says that the
// socket took all of it; if not, Idle follows when it has. An error means that
// the socket is gone. Beyond Limits.LaneBytes the member is given up (Slow).
func (f *Fan) Write(slot uint32, b []byte) (done bool, err error) {
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
		return m.lane == 0, nil
	}
	if m.lane == 0 && m.flags&(flagFull|flagFlying) == 0 {
		n, err := f.sender.Now(m.socket, b)
		if err != nil {
			m.flags |= flagDead
			return false, err
		}
		if n == len(b) {
			return true, nil
		}
		f.full(slot, m)
		b = b[n:]
	}
	l := f.laneOf(slot, m)
	if answer && len(l.half) == 0 && len(l.buf) == 0 && m.flags&flagFlying == 0 {
		l.half = append([]byte(nil), b...)
	} else {
		l.buf = append(l.buf, b...)
		if !answer && len(l.buf) > f.limits.LaneBytes {
			f.stats.LaneFull++
			f.kill(slot, m, eventSlow, nil)
		}
	}
	f.hold(len(b))
	if m.flags&(flagFull|flagFlying) == 0 {
		f.queueBehind(slot, m)
	}
	return false, nil
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
	f.hold(len(rest))
}

func (f *Fan) dropLane(m *member) {
	if m.lane == 0 {
		return
	}
	l := &f.lanes[m.lane]
	f.held -= len(l.half) + len(l.buf)
	f.doomed -= l.doomed
	*l = lane{}
	f.freeLanes = append(f.freeLanes, m.lane)
	m.lane = 0
}

// sendLane queues the next part of the lane.
func (f *Fan) sendLane(slot uint32, m *member) {
	l := &f.lanes[m.lane]
	b := l.half
	if len(b) == 0 {
		b = l.buf
	}
	f.fly(m, flight{slot: slot, lane: true, bytes: b})
}

func (f *Fan) laneSent(slot uint32, m *member, n int, full bool) {
	l := &f.lanes[m.lane]
	f.held -= n
	if len(l.half) > 0 {
		l.half = l.half[n:]
	} else {
		l.buf = l.buf[n:]
	}
	if full {
		f.full(slot, m)
		return
	}
	if len(l.half) == 0 && len(l.buf) == 0 {
		f.dropLane(m)
		f.tell(eventIdle, slot, m, nil)
		f.again(slot, m)
		return
	}
	f.queueBehind(slot, m)
}

// hold counts n more bytes in lanes; above the limit those who hold most are
// given up: see package evict.
func (f *Fan) hold(n int) {
	f.held += n
	if f.held-f.doomed <= f.limits.HeldBytes {
		return
	}
	var alive []evict.Holder // rare: see evict.Choose
	for i := range f.lanes {
		if l := &f.lanes[i]; l.used && f.member(l.slot).flags&flagDead == 0 {
			alive = append(alive, evict.Holder{Slot: l.slot, Bytes: len(l.half) + len(l.buf), Share: f.share(l.slot)})
		}
	}
	for _, h := range evict.Choose(alive, f.limits.HeldBytes) {
		f.stats.HeldFull++
		f.kill(h.Slot, f.member(h.Slot), eventSlow, nil)
	}
}
