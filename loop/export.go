package loop

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"peal/loop/fanout"
	"peal/loop/frame"
)

// ErrNotStill: the loops still send: Settle must come before.
var ErrNotStill = errors.New("loop: connections can be handed over behind Settle only")

// Export returns the connections of all loops that can be handed over, as plain data. It changes
// nothing: behind Thaw, the connections go on here. ahead is what Ahead has returned, or nil.
func (g *Group) Export(ctx context.Context, names fanout.Names, ahead [][]ConnState) (GroupState, error) {
	s := GroupState{Loops: make([]LoopState, len(g.loops))}
	errs := make([]error, len(g.loops))
	counters := make([]uint64, len(g.loops))
	err := g.each(ctx, func(l *Loop) {
		counters[l.number] = l.sessions
		var before []ConnState
		if int(l.number) < len(ahead) {
			before = ahead[l.number]
		}
		s.Loops[l.number], errs[l.number] = g.ExportOf(int(l.number), names, before)
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
func (g *Group) ExportOf(loop int, names fanout.Names, ahead []ConnState) (LoopState, error) {
	l := g.loops[loop]
	if !l.isStill() {
		return LoopState{}, ErrNotStill
	}
	s := LoopState{Stay: map[string]int{}, Life: l.exportLife(names), Conns: make([]ConnState, 0, max(0, l.open-len(ahead)))}
	x := l.fan.NewExporter(names)
	s.Rests = x.Rests
	l.freeze.handed = l.freeze.handed[:0]
	var h ConnState
	next := 0 // of ahead, which is in the order of slots, too
	for slot := range l.used {
		c := l.conn(slot)
		if c.state == stateFree {
			continue
		}
		for next < len(ahead) && ahead[next].slot < slot {
			next++
		}
		var since *ConnState
		if next < len(ahead) && ahead[next].slot == slot && ahead[next].Session == c.session {
			since = &ahead[next]
		}
		if why := l.export(slot, c, x, names, &h, since); why != "" {
			s.Stay[why]++
			continue
		}
		l.freeze.handed = append(l.freeze.handed, slot)
		if since != nil && s.change(&h, since, next) {
			continue
		}
		place := 0
		if since != nil {
			place = 1 + next
		}
		s.Conns, s.Ahead = append(s.Conns, h), append(s.Ahead, place)
		h = ConnState{} // its slices are that one's now
	}
	return s, nil
}

// change adds h as a change of what it was, if that says all.
func (s *LoopState) change(h, since *ConnState, place int) (ok bool) {
	if n := len(s.Changed); n == 0 || len(s.Changed[n-1].Sessions) == mostChanges {
		s.Changed = append(s.Changed, Changes{make([]uint64, 0, mostChanges), make([]byte, 0, 32*mostChanges)})
	}
	some := &s.Changed[len(s.Changed)-1]
	data, ok := h.AppendChange(binary.AppendUvarint(some.Data, uint64(place)), since)
	if ok {
		some.Data, some.Sessions = data, append(some.Sessions, h.Session)
	}
	return ok
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

// export makes a connection plain data, in h, whose slices it uses again. why is not empty if it stays. since is what it
// was, or nil.
func (l *Loop) export(slot uint32, c *conn, x *fanout.Exporter, names fanout.Names, h, since *ConnState) (why string) {
	why, keeps := l.stays(slot, c)
	if why != "" {
		return why
	}
	has := func(flag uint16) bool { return c.flags&flag != 0 }
	reader, channels := h.Reader, h.Receives.Channels
	*h = ConnState{
		Socket: c.fd, Loop: l.number, Session: c.session, Kind: kindOf[c.state], slot: slot,
		Peer: l.transport(slot).addrPort(), Proxy: l.via(slot)&viaNamed != 0, Fresh: keeps == KeepsBeginning,
		Used: has(flagUsed), Named: has(flagNamed), CloseNext: has(flagCloseNext), Answering: has(flagAnswering), Continued: has(flagContinued),
		HalfClosed: has(flagHalfClosed), Publishes: has(flagPublishes), Commands: has(flagCommands), Head: has(flagHead),
		Timer: l.remaining(l.wheel, slot), Deadline: l.remaining(l.deadlines, slot), Silent: time.Duration(l.tick-c.seen) * tick, Missed: c.missed,
	}
	h.Receives.Channels = channels
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
	l.exportInput(c, h, reader)
	if err := x.Member(slot, &h.Receives); err != nil {
		return StayEnding
	}
	if m, ok := l.front.(Mover); ok {
		if since != nil && since.mark != nil && m.Same(c.session, since.mark) {
			h.Front = since.Front
		} else if h.Front, ok = m.Export(c.session, nil); !ok {
			return StayFront
		}
	} else if h.Named || h.Commands || h.Deadline > 0 {
		return StayFront
	}
	return ""
}

// exportInput adds what was read of the connection and not used; reader is memory for the state of
// its reader, or nil.
func (l *Loop) exportInput(c *conn, h *ConnState, reader *frame.State) {
	if c.state == stateWS || c.state == stateWSClosing {
		if h.Reader = reader; reader == nil {
			h.Reader = new(frame.State)
		}
		*h.Reader = c.reader.State()
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
