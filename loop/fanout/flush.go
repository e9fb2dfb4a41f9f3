package fanout

import (
	"slices"

	"peal/loop/ring"
)

// flight is one send that was queued and not yet reported.
type flight struct {
	bytes    []byte
	strip    *strip // pieces from..to of it; nil with lane and for answers
	from, to uint32
	slot     uint32
	encoding ring.Encoding // of strip
	void     bool          // the member went away meanwhile
	stale    bool          // its subscription ended meanwhile: the position is another's
	lane     bool          // bytes are the member's lane's
	answer   bool
}

// event is something to tell the loop at the end of the turn.
type event struct {
	kind    eventKind
	member  Conn
	session uint64
	err     error
	answer  []byte // eventAnswered
}

type eventKind uint8

const (
	eventLost eventKind = iota
	eventIdle
	eventAnswered
	eventGapped
	eventFell
	eventSlow
)

// Flush sends up to about budget times, first to whom it is due, and reports
// whether there is more to do in another turn. Views, bundles and members that
// catch up take turns, so that one busy channel costs the others little, however
// many views contain it.
func (f *Fan) Flush(budget int) (more bool) {
	for _, slot := range f.waiting { // Apply has been called since
		f.queueBehind(slot, f.member(slot))
	}
	f.waiting = f.waiting[:0]
	visits := 16 * budget
	turns := f.behind.len() // who made progress and is queued again has had its turn
	for budget > 0 && visits > 0 && (turns > 0 || !f.dirty.empty() || !f.due.empty()) {
		before, sent, seen := f.work, 0, 0
		switch f.kind {
		case 0:
			sent, seen = f.advanceSome(min(f.quantum, turns))
			turns -= seen
		case 1:
			if !f.dirty.empty() {
				sent, seen = f.visitSome(f.dirty.pop())
			}
		case 2:
			if !f.due.empty() {
				sent, seen = f.visitBundle(f.due.pop())
			}
		}
		// The next call goes on with the next kind: what is dear may use up the
		// budget of one call, never that of the others for good.
		f.kind = (f.kind + 1) % 3
		budget -= sent + f.sendsOf(before)
		visits -= seen
		if f.outstanding >= batchSends || f.gathered.bytes >= gatheredBytes || turns == 0 && f.dirty.empty() && f.due.empty() {
			f.sender.Flush(f.report)
			f.endPasses()
		}
	}
	if f.outstanding > 0 {
		f.sender.Flush(f.report)
	}
	f.endPasses()
	if f.behind.empty() {
		f.dropBacks()
		f.endPasses()
	}
	f.deliver()
	return f.Pending()
}

// advanceSome gives up to n members that are behind their turn, until that has
// cost as much as as many sends.
func (f *Fan) advanceSome(n int) (sent, seen int) {
	before := f.work
	for seen < n && sent+f.sendsOf(before) < f.quantum {
		slot := f.behind.pop()
		seen++
		if f.advance(slot, f.member(slot)) {
			sent++
		}
	}
	return sent, seen
}

// visitSome visits the next members of a view in its pass.
func (f *Fan) visitSome(number uint32) (sent, seen int) {
	v := f.views[number]
	if v == nil || v.pass == nil || !v.pass.queued {
		return 0, 1
	}
	p := v.pass
	before := f.work
	for p.left > 0 && seen < f.quantum && f.sendsOf(before) < f.quantum {
		if p.next >= len(v.members) {
			p.next = 0
		}
		slot := v.members[p.next]
		p.left--
		seen++
		m := f.member(slot)
		p.next++
		if m.position >= v.head || m.flags&(flagFull|flagFlying|flagBehind|flagDead) != 0 || m.lane != 0 {
			f.keepFor(m, v)
			continue
		}
		if f.send(slot, m, v) {
			sent++
		}
		if m.view != number { // an answered poll leaves, and another takes its place
			if f.views[number] != v {
				return sent, seen // it was the last
			}
			p.next--
		}
	}
	f.through(p, sent, seen)
	if p.left > 0 {
		f.dirty.push(number)
		return sent, seen
	}
	p.queued = false
	f.ending = append(f.ending, number)
	return sent, seen
}

func (f *Fan) endPasses() {
	if f.outstanding > 0 {
		return
	}
	f.observe()
	for i, s := range f.retired {
		f.freeStrip(s)
		f.retired[i] = nil
	}
	f.retired = f.retired[:0]
	if f.gathered.view != nil {
		f.gathered = gathered{}
	}
	later := f.ending[:0]
	for _, n := range f.ending {
		if v := f.views[n]; v != nil && f.endPass(v) {
			later = append(later, n)
		}
	}
	f.ending = later
	if len(f.trims) > 0 {
		f.trimAll()
	}
}

// queueBehind gives the member a turn of its own.
func (f *Fan) queueBehind(slot uint32, m *member) {
	if m.flags&flagAttached == 0 || m.flags&(flagBehind|flagDead) != 0 {
		return
	}
	m.flags |= flagBehind
	f.behind.push(slot)
	if m.view != 0 {
		f.keep(f.views[m.view], m.position)
	}
}

// advance gives one member that is behind its turn and reports whether
// something was queued for it.
func (f *Fan) advance(slot uint32, m *member) bool {
	m.flags &^= flagBehind
	if m.flags&flagAttached == 0 || m.flags&(flagFull|flagFlying|flagDead) != 0 {
		return false
	}
	if m.lane != 0 {
		return f.sendLane(slot, m)
	}
	if m.view == 0 {
		return false
	}
	v := f.views[m.view]
	if m.position >= v.head && m.flags&(flagForeign|flagExpired) == 0 {
		return false
	}
	return f.send(slot, m, v)
}

// send queues what the member needs next: from a strip, or from history.
func (f *Fan) send(slot uint32, m *member, v *view) bool {
	if v.oneShot {
		return f.answer(slot, m, v)
	}
	s := v.holding(m.position)
	if s == nil {
		s = f.waitingFor(v, m.position)
	}
	if s == nil || s.told != nil && m.flags&flagMarks != 0 || m.flags&flagSlow != 0 && f.conflates(v) {
		if s = f.readBack(slot, m, v); s == nil {
			return false
		}
	}
	return f.launch(slot, m, v, s)
}

// holding returns the strip that has what follows position, or nil.
func (v *view) holding(position uint64) *strip {
	p := v.pass
	if p == nil {
		return nil
	}
	if s := p.live; !s.empty() && position >= s.base {
		return s
	}
	if s := p.before; s != nil && position >= s.base {
		return s
	}
	if s := p.back; s != nil && position < s.last && (position == s.base || position >= max(s.base, s.gapped)) {
		return s
	}
	return nil
}

// launch queues the member's part of strip s.
func (f *Fan) launch(slot uint32, m *member, v *view, s *strip) bool {
	from, to := s.after(m.position), len(s.index)
	if s.excludes || m.flags&flagMarks != 0 {
		from, to = f.wanted(slot, m, v, s, from)
	}
	if from == to { // nothing for this member in the rest of it
		m.position = max(m.position, s.last)
		f.again(slot, m)
		return false
	}
	if from > 0 {
		m.position = max(m.position, s.index[from-1].sequence)
	}
	b := s.bytes[s.start(from):s.index[to-1].end]
	f.fly(m, flight{slot: slot, encoding: v.encoding, strip: s, from: uint32(from), to: uint32(to), bytes: b})
	return true
}

// wanted returns the first run of pieces from i on that are for the member.
func (f *Fan) wanted(slot uint32, m *member, v *view, s *strip, i int) (from, to int) {
	k := f.marks[slot]
	barred := func(i int) bool {
		msg := s.index[i].message
		return msg != nil && (msg.Barred(m.session) || k.bar(v, msg))
	}
	for i < len(s.index) && barred(i) {
		i++
	}
	for to = i; to < len(s.index) && !barred(to); to++ {
	}
	return i, to
}

func (f *Fan) fly(m *member, l flight) {
	m.flags |= flagFlying
	ticket := uint32(len(f.flights))
	f.flights = append(f.flights, l)
	f.outstanding++
	f.charge(len(l.bytes) / bytesSent)
	f.sender.Queue(ticket, Conn{l.slot, m.generation}, l.bytes)
}

// landed takes the sender's report of one flight.
func (f *Fan) landed(ticket uint32, n int, full bool, err error) {
	l := &f.flights[ticket]
	if !l.void {
		m := f.member(l.slot)
		m.flags &^= flagFlying
		full = full || n < len(l.bytes)
		switch {
		case err != nil:
			f.kill(l.slot, m, eventLost, err)
		case l.lane:
			f.laneSent(l.slot, m, n, full)
		case l.answer:
			f.answerSent(l, m, n, full)
		default:
			f.stripSent(l, m, n, full)
		}
	}
	*l = flight{}
	if f.outstanding--; f.outstanding == 0 {
		f.flights = f.flights[:0]
	}
}

// stripSent moves the member's position by what its socket took.
func (f *Fan) stripSent(l *flight, m *member, n int, full bool) {
	f.stats.Sends++
	f.stats.Bytes += uint64(n)
	s := l.strip
	if s.told != nil && l.from == 0 && n > 0 && !l.stale {
		f.noteTold(l.slot, m, s.told) // not to be told twice
	}
	if n == len(l.bytes) {
		f.stats.Deliveries += uint64(l.to - l.from)
		position := s.index[l.to-1].sequence
		if int(l.to) == len(s.index) {
			position = max(position, s.last)
		}
		l.moveTo(m, position)
		if full {
			f.full(l.slot, m)
		} else {
			f.again(l.slot, m)
		}
		return
	}
	offset := s.start(int(l.from)) + uint32(n)
	i := s.holding(offset)
	f.stats.Deliveries += uint64(i - int(l.from))
	if i > int(l.from) {
		l.moveTo(m, s.index[i-1].sequence)
	}
	if begin := s.start(i); offset > begin { // half-sent: it is finished before anything else
		rest := s.bytes[offset:s.index[i].end]
		if msg := s.index[i].message; msg != nil {
			rest = msg.Encoded(l.encoding, f.encode)[offset-begin:]
		} else {
			rest = slices.Clone(rest)
		}
		l.moveTo(m, s.index[i].sequence)
		f.stats.Deliveries++
		f.holdRest(l.slot, m, rest)
	}
	f.full(l.slot, m)
}

// moveTo moves the member's position, unless it has subscribed anew since.
func (l *flight) moveTo(m *member, position uint64) {
	if !l.stale {
		m.position = position
	}
}

// again queues the member if there is more for it. What it was told of, or
// asked not to be told of, is forgotten when it is past all of that.
func (f *Fan) again(slot uint32, m *member) {
	if m.lane != 0 || m.view != 0 && m.position < f.views[m.view].head {
		f.queueBehind(slot, m)
		return
	}
	m.flags = m.flags&^flagSlow | flagLive
	if m.flags&flagMarks != 0 && m.position >= f.marks[slot].highest() {
		f.forget(slot, m)
	}
}

func (f *Fan) forget(slot uint32, m *member) {
	if m.flags&flagMarks != 0 {
		m.flags &^= flagMarks
		delete(f.marks, slot)
	}
}

func (f *Fan) full(slot uint32, m *member) {
	m.flags |= flagFull
	if m.flags&flagLive != 0 {
		m.flags |= flagSlow
	}
	f.stats.Full++
}

// kill stops sending to the member and tells the loop why.
func (f *Fan) kill(slot uint32, m *member, why eventKind, err error) {
	if m.flags&flagDead != 0 {
		return
	}
	m.flags |= flagDead
	if m.lane != 0 {
		f.uncount(&f.lanes[m.lane])
	}
	f.tell(why, slot, m, err)
}

func (f *Fan) tell(kind eventKind, slot uint32, m *member, err error) {
	f.happened = append(f.happened, event{kind, Conn{slot, m.generation}, m.session, err, nil})
}

// deliver tells the loop what happened. The loop may call the fan again, also
// to detach members.
func (f *Fan) deliver() {
	f.delivering = true
	for i := 0; i < len(f.happened); i++ {
		e := f.happened[i]
		slot := e.member.Slot
		m := f.member(slot)
		if m.generation != e.member.Generation || m.flags&flagAttached == 0 {
			continue
		}
		switch e.kind {
		case eventLost:
			f.events.Lost(slot, e.err)
		case eventIdle:
			f.events.Idle(slot)
		case eventAnswered:
			f.response = e.answer
			f.events.Answered(slot, e.session)
			f.response = nil
		case eventGapped:
			f.events.Gapped(slot)
		case eventFell:
			f.events.Fell(slot)
		case eventSlow:
			f.events.Slow(slot)
		}
	}
	f.delivering = false
	clear(f.happened)
	f.happened = f.happened[:0]
}
