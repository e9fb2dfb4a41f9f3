package loop

import "peal/loop/frame"

// Inflow limits what may come on each connection. Zero values are no limits. It is counted in whole
// seconds of the loop's clock, so that no frame costs a look at the clock.
type Inflow struct {
	Bytes       int // in a second; beyond it the loop stops reading from the connection until a later second
	Frames      int // of a WebSocket, in a second: messages, their fragments and control frames; beyond it close 4429
	FramesBurst int // and as many at once
}

// inflow is what a connection has sent lately, less what it may send in the time since.
type inflow struct {
	tick   uint32 // in which that was so
	bytes  uint32
	frames uint32
}

type inflowSlab [1 << slabBits]inflow

// inflowOf returns the counters of a connection as they are now. Slabs of connections of which
// nothing was counted do not exist.
func (l *Loop) inflowOf(slot uint32) *inflow {
	for int(slot>>slabBits) >= len(l.inflows) {
		l.inflows = append(l.inflows, nil)
	}
	s := &l.inflows[slot>>slabBits]
	if *s == nil {
		*s = new(inflowSlab)
	}
	f := &(*s)[slot&(1<<slabBits-1)]
	if passed := uint64(l.tick - f.tick); passed > 0 {
		less := func(v *uint32, rate int) { *v -= uint32(min(uint64(*v), passed*uint64(rate))) }
		less(&f.bytes, l.config.Inflow.Bytes)
		less(&f.frames, l.config.Inflow.Frames)
		f.tick = l.tick
	}
	return f
}

// forgetInflow is for the next connection that has the slot.
func (l *Loop) forgetInflow(slot uint32) {
	if i := int(slot >> slabBits); i < len(l.inflows) && l.inflows[i] != nil {
		l.inflows[i][slot&(1<<slabBits-1)] = inflow{}
	}
}

// countBytes counts what was read. Beyond the limit the connection is not read from until
// resumeSlowed; a second's worth may always come.
func (l *Loop) countBytes(slot uint32, n int) {
	f := l.inflowOf(slot)
	f.bytes += uint32(n)
	if int(f.bytes) > l.config.Inflow.Bytes && !l.isSlowed(slot) {
		l.counts.slowed++
		l.peers[slot>>slabBits].via[slot&(1<<slabBits-1)] |= viaSlowed
		l.slowed = append(l.slowed, slot)
	}
}

// isSlowed reports whether reading from the connection pauses for its limit of bytes.
func (l *Loop) isSlowed(slot uint32) bool { return l.via(slot)&viaSlowed != 0 }

// resumeSlowed is called with each tick: connections that may send again are read from, in a turn.
func (l *Loop) resumeSlowed() {
	rest := l.slowed[:0]
	for _, slot := range l.slowed {
		switch {
		case !l.isSlowed(slot): // it was closed, and the slot may be another's
		case int(l.inflowOf(slot).bytes) > l.config.Inflow.Bytes:
			rest = append(rest, slot)
		default:
			l.peers[slot>>slabBits].via[slot&(1<<slabBits-1)] &^= viaSlowed
			l.readAgain(slot, l.conn(slot))
		}
	}
	l.slowed = rest
}

// fewFrames are not counted if they come with the first read in a second: an idle client's
// pongs need no counter.
const fewFrames = 2

// tooManyFrames counts frames, and reports whether there were more than the connection may send.
func (l *Loop) tooManyFrames(slot uint32, n int) bool {
	if l.config.Inflow.Frames == 0 || n == 0 || n <= fewFrames && l.first {
		return false
	}
	f := l.inflowOf(slot)
	f.frames += uint32(n)
	return int(f.frames) > l.config.Inflow.FramesBurst
}

const framesReason = "too many frames (rate-input-frames): send fewer, larger messages"

// flooded closes a WebSocket that has sent too many frames.
func (l *Loop) flooded(slot uint32, c *conn) {
	l.counts.flooded++
	l.warn(&l.complaints.input, "client closed: its WebSocket sent more frames than rate-input-frames allows", func() []any {
		return []any{"client", l.clientText(slot), "limit", l.config.Inflow.Frames}
	})
	l.throwOut(slot, c, frame.CloseRateLimited, framesReason)
}
