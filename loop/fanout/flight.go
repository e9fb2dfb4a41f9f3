package fanout

import (
	"slices"

	"peal/loop/ring"
)

// flight is one send that was queued and not reported yet. A member has one at
// most, so that nothing overtakes its bytes; its ticket is its place in Fan.flights.
type flight struct {
	bytes    []byte
	strip    *strip // pieces from..to of it; nil with lane and answer
	wave     uint64 // see waves
	from, to uint32 // from is the next free ticket when this one is free
	slot     uint32
	encoding ring.Encoding // of strip
	lane     bool          // bytes are the member's lane's
	answer   bool          // a poll's
	stale    bool          // its subscription has ended or changed: see Fan.carried
}

// waves count the age of flights. A wave has the sends queued between two calls of
// Sender.Flush; a wave that is reported at once is not recorded here.
//
// A strip that flying members will need after their reports records the number of a
// wave, as it records a place in the queue of those behind: it is kept until all
// flights before that wave were reported.
type waves struct {
	now   uint64
	older queue[int32] // flights that are out of the waves before, the oldest first
	out   int          // sum of older
}

// fly queues b for a member that has no flight. What else is to be known of the
// flight is the caller's to note in it, at once.
func (f *Fan) fly(slot uint32, m *member, b []byte) *flight {
	ticket := f.freeFlight
	if ticket != 0 {
		f.freeFlight = f.flights[ticket-1].from
	} else {
		f.flights = append(f.flights, flight{})
		ticket = uint32(len(f.flights))
	}
	l := &f.flights[ticket-1]
	*l = flight{bytes: b, slot: slot, wave: f.waves.now}
	m.flight = ticket
	f.outstanding++
	f.charge(len(b) / bytesSent)
	f.sender.Queue(ticket-1, Conn{slot, m.generation}, b)
	return l
}

// flush has the sender send what is queued. What it reports later is a wave.
func (f *Fan) flush() {
	f.sender.Flush(f.report)
	if n := f.outstanding - f.waves.out; n > 0 {
		f.waves.older.push(int32(n))
		f.waves.out = f.outstanding
		f.waves.now++
	}
}

// reported reports whether all flights of the waves before that were reported.
func (f *Fan) reported(wave uint64) bool {
	return wave == 0 || f.outstanding == 0 || f.waves.now-uint64(f.waves.older.len()) >= wave
}

// landed takes the sender's report of one flight.
func (f *Fan) landed(ticket uint32, n int, full bool, err error) {
	l := &f.flights[ticket]
	if m := f.member(l.slot); m.flight == ticket+1 { // else it was detached, and the slot may be another's
		m.flight = 0
		full = full || n < len(l.bytes)
		switch {
		case err != nil:
			f.kill(l.slot, m, eventLost, err)
		case l.lane:
			f.laneSent(l.slot, m, n, full)
		case l.answer:
			f.answerSent(l, m, n, full)
		default:
			f.stripSent(ticket, l, m, n, full)
		}
	}
	if l.stale {
		delete(f.carried, ticket)
	}
	s, wave := l.strip, l.wave
	l.bytes, l.strip, l.from = nil, nil, f.freeFlight
	f.freeFlight = ticket + 1
	if s != nil {
		if s.flights--; s.flights == 0 && s.free {
			f.freeStrip(s)
		}
	}
	f.news = true
	if f.outstanding--; f.outstanding == 0 {
		f.flights, f.freeFlight = f.flights[:0], 0
	}
	if wave != f.waves.now {
		f.waves.land(wave)
	}
}

// land counts a flight of an older wave in.
func (w *waves) land(wave uint64) {
	q := &w.older
	w.out--
	q.items[len(q.items)-int(w.now-wave)]--
	for !q.empty() && q.items[q.first] == 0 {
		q.pop()
	}
}

// carry notes the channels whose messages are with the sender, before the
// subscription changes: what the socket takes counts for those that the member
// keeps. without are those that it has no more, or from another start.
func (f *Fan) carry(m *member, v *view, without []string) {
	if m.flight == 0 {
		return
	}
	ticket := m.flight - 1
	l := &f.flights[ticket]
	names := f.carried[ticket]
	switch {
	case l.strip == nil || l.stale && names == nil:
		return // nothing of it is of this subscription
	case names == nil:
		v.channels(func(_ int, c *channel) { names = append(names, c.name()) })
		f.carried[ticket], l.stale = names, true
	}
	for i, name := range names {
		if slices.Contains(without, name) {
			names[i] = ""
		}
	}
}

// abandon has what is with the sender count for nothing: its subscription ends.
func (f *Fan) abandon(m *member) {
	if m.flight != 0 {
		f.flights[m.flight-1].stale = true
		delete(f.carried, m.flight-1)
	}
}

// reach moves the member to where its socket has taken a strip; 0 is nowhere.
// told is what it was told of gaps then, nil for nothing.
func (f *Fan) reach(ticket uint32, l *flight, m *member, position uint64, told []uint64) {
	switch {
	case l.stale:
		if names := f.carried[ticket]; names != nil {
			f.watchStale(l.slot, m, names, told)
			f.settle(names, l.slot, m, position, told)
		}
		return
	case told != nil:
		f.watchTold(l.slot, m, told)
		f.noteTold(l.slot, m, told)
	}
	m.position = max(m.position, position)
}

// settle is reach for a member whose subscription changed meanwhile. Of the
// channels in names, which were those of its view when it was sent to, it has all
// up to reached; "" is one that it has no more, or from another start.
func (f *Fan) settle(names []string, slot uint32, m *member, reached uint64, told []uint64) {
	v := f.views[m.view]
	k := newMarks(v.width())
	if before := f.marks[slot]; before != nil {
		copy(k.told, before.told)
		copy(k.had, before.had)
		copy(k.skip, before.skip)
	}
	position := none
	v.channels(func(i int, c *channel) {
		if at := slices.Index(names, c.name()); at >= 0 {
			k.had[i] = max(k.had[i], reached)
			if told != nil {
				k.told[i] = max(k.told[i], told[at])
			}
		}
		position = min(position, k.start(i, m.position))
	})
	m.position = position
	if position < reached {
		m.flags &^= flagLive | flagSlow // it resumes
	}
	f.forget(slot, m)
	f.setMarks(slot, m, k)
}
