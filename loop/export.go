package loop

import (
	"context"
	"errors"
	"time"

	"peal/loop/fanout"
)

// ErrNotStill: the loops still send: Settle must come before.
var ErrNotStill = errors.New("loop: connections can be handed over behind Settle only")

// Export returns the connections of all loops that can be handed over, as plain data. It changes
// nothing: behind Thaw, the connections go on here.
func (g *Group) Export(ctx context.Context, names fanout.Names) (GroupState, error) {
	s := GroupState{Loops: make([]LoopState, len(g.loops))}
	errs := make([]error, len(g.loops))
	counters := make([]uint64, len(g.loops))
	err := g.each(ctx, func(l *Loop) {
		counters[l.number] = l.sessions
		s.Loops[l.number], errs[l.number] = g.ExportOf(int(l.number), names)
	})
	if err != nil {
		return GroupState{}, err // a loop may write its own later
	}
	for _, n := range counters {
		s.Sessions = max(s.Sessions, n)
	}
	return s, errors.Join(errs...)
}

// ExportOf is Export for one loop. It is called on that loop, by Each.
func (g *Group) ExportOf(loop int, names fanout.Names) (LoopState, error) {
	l := g.loops[loop]
	if !l.isStill() {
		return LoopState{}, ErrNotStill
	}
	s := LoopState{Stay: map[string]int{}, Life: l.exportLife(names)}
	x := l.fan.NewExporter(names)
	s.Rests = x.Rests
	l.freeze.handed = l.freeze.handed[:0]
	for slot := range l.used {
		c := l.conn(slot)
		if c.state == stateFree {
			continue
		}
		h, why := l.export(slot, c, x, names)
		if why != "" {
			s.Stay[why]++
			continue
		}
		s.Conns = append(s.Conns, h)
		l.freeze.handed = append(l.freeze.handed, slot)
	}
	return s, nil
}

// kindOf is what a connection is. A request that waits for the front is looked at anew.
var kindOf = map[state]Kind{
	stateHTTP: KindHTTP, stateWaiting: KindHTTP, stateParked: KindPoll, stateSSE: KindEvents,
	stateWS: KindWebSocket, stateWSClosing: KindClosing, stateLinger: KindLingering,
}

// stays is why a connection cannot be handed over whatever the front says, "" if it can.
func (l *Loop) stays(slot uint32, c *conn) (why string, keeps Keeping) {
	if serial, ok := l.pairs[slot]; ok && serial == c.serial() {
		return StayPair, 0
	}
	switch v := l.via(slot); {
	case v&viaTLS != 0:
		return StayTLS, 0
	case v&viaRefused != 0:
		return StayRefused, 0
	case c.isOwed() || c.flags&flagFarewell != 0:
		return StayResponse, 0
	}
	if keeps = KeepsOf(l.kernel, c.fd); keeps == KeepsInput {
		return StayLayer, 0
	}
	return "", keeps
}

// export makes a connection plain data. why is not empty if it stays.
func (l *Loop) export(slot uint32, c *conn, x *fanout.Exporter, names fanout.Names) (h ConnState, why string) {
	why, keeps := l.stays(slot, c)
	if why != "" {
		return h, why
	}
	has := func(flag uint16) bool { return c.flags&flag != 0 }
	h = ConnState{
		Socket: c.fd, Loop: l.number, Session: c.session, Kind: kindOf[c.state],
		Peer: l.transport(slot).addrPort(), Proxy: l.via(slot)&viaNamed != 0, Fresh: keeps == KeepsBeginning,
		Used: has(flagUsed), Named: has(flagNamed), CloseNext: has(flagCloseNext), Answering: has(flagAnswering), Continued: has(flagContinued),
		HalfClosed: has(flagHalfClosed), Publishes: has(flagPublishes), Commands: has(flagCommands), Head: has(flagHead),
		Timer: l.remaining(l.wheel, slot), Deadline: l.remaining(l.deadlines, slot), Silent: time.Duration(l.tick-c.seen) * tick, Missed: c.missed,
	}
	if l.via(slot)&viaClient != 0 {
		h.Client = l.peer(slot).addrPort()
	}
	if h.Kind != KindHTTP && h.Kind != KindLingering {
		h.Dialect = names.EncodingName(c.dialect)
	}
	if i := int(slot >> slabBits); i < len(l.inflows) && l.inflows[i] != nil {
		f := l.inflowOf(slot)
		h.InflowBytes, h.InflowFrames = f.bytes, f.frames
	}
	l.exportInput(c, &h)
	var err error
	if h.Receives, err = x.Member(slot); err != nil {
		return h, StayEnding
	}
	if m, ok := l.front.(Mover); ok {
		if h.Front, ok = m.Export(c.session, nil); !ok {
			return h, StayFront
		}
	} else if h.Named || h.Commands || h.Deadline > 0 {
		return h, StayFront
	}
	return h, ""
}

// exportInput adds what was read of the connection and not used.
func (l *Loop) exportInput(c *conn, h *ConnState) {
	if c.state == stateWS || c.state == stateWSClosing {
		state := c.reader.State()
		h.Reader = &state
	}
	if c.state == stateLinger {
		h.Discarded = c.need
	}
	if c.input == 0 {
		return
	}
	k := &l.inputs[c.input]
	h.Input = k.bytes
	passed := l.tick - k.since
	if c.state == stateWaiting {
		passed -= l.tick - k.waits
	}
	h.Began = time.Duration(passed) * tick
}

// remaining is the time until the timer of slot fires: 0 if there is none, a nanosecond if it is due.
func (l *Loop) remaining(w *fanout.Wheel, slot uint32) time.Duration {
	at, ok := w.At(slot)
	if !ok {
		return 0
	}
	return max(1, time.Duration(int32(at-l.tick))*tick-l.now%tick)
}
