package fanout

import (
	"slices"

	"peal/loop/ring"
)

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
	for budget > 0 && visits > 0 && !f.choked() && (turns > 0 || !f.dirty.empty() || !f.due.empty()) {
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
		if f.outstanding-f.waves.out >= batchSends || f.gathered.bytes >= gatheredBytes || turns == 0 && f.dirty.empty() && f.due.empty() {
			f.flush()
			f.endPasses()
		}
	}
	if f.outstanding > 0 {
		f.flush()
	}
	f.news = false
	f.dropGathered()
	f.endPasses()
	if len(f.endingLater)+len(f.trimsLater) > 0 {
		f.endWaiting()
	}
	if len(f.backs) > 0 && f.behind.empty() {
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
		if m.position >= v.head || m.flags&(flagFull|flagBehind|flagDead) != 0 || m.flight != 0 || m.lane != 0 {
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
	f.end(v)
	return sent, seen
}

// end has the pass of v looked at when the sender has been flushed.
func (f *Fan) end(v *view) {
	if !v.pass.ending {
		v.pass.ending = true
		f.ending = append(f.ending, v.number)
	}
}

// endPasses lets go what was needed for the sends that the sender was given.
func (f *Fan) endPasses() {
	f.observe()
	if f.gathered.bytes >= gatheredBytes {
		f.dropGathered()
	}
	for _, n := range f.ending {
		if v := f.views[n]; v != nil && f.endPass(v) {
			f.endingLater = append(f.endingLater, n)
		}
	}
	f.ending = f.ending[:0]
	if len(f.trims) > 0 {
		f.trimAll()
	}
}

func (f *Fan) trimAll() {
	for i, b := range f.trims {
		if f.trim(b) {
			f.trimsLater = append(f.trimsLater, b)
		}
		f.trims[i] = nil
	}
	f.trims = f.trims[:0]
}

// endWaiting looks again at what endPasses had to leave: somebody is behind, or
// has bytes with the sender, who will need it.
func (f *Fan) endWaiting() {
	f.ending, f.endingLater = f.endingLater, f.ending
	f.trims, f.trimsLater = f.trimsLater, f.trims
	f.endPasses()
}

// queueBehind gives the member a turn of its own.
func (f *Fan) queueBehind(slot uint32, m *member) {
	if m.flags&flagAttached == 0 || m.flags&(flagBehind|flagDead) != 0 {
		return
	}
	if m.flight == 0 { // else its report queues it
		m.flags |= flagBehind
		f.behind.push(slot)
	}
	if m.view != 0 {
		f.keepFor(m, f.views[m.view])
	}
}

// advance gives one member that is behind its turn and reports whether
// something was queued for it.
func (f *Fan) advance(slot uint32, m *member) bool {
	m.flags &^= flagBehind
	if m.flags&flagAttached == 0 || m.flags&(flagFull|flagDead) != 0 {
		return false
	}
	if m.flight != 0 {
		f.queueBehind(slot, m)
		return false
	}
	if m.lane != 0 {
		return f.sendLane(slot, m)
	}
	if !f.owed(m) {
		return false
	}
	return f.send(slot, m, f.views[m.view])
}

// owed reports whether the subscription of m has something for it.
func (f *Fan) owed(m *member) bool {
	return m.view != 0 && (m.position < f.views[m.view].head || m.flags&(flagForeign|flagExpired) != 0)
}

// send queues what the member needs next: from a strip, or from history.
func (f *Fan) send(slot uint32, m *member, v *view) bool {
	if v.oneShot {
		return f.answer(slot, m, v)
	}
	var s *strip
	if m.position >= f.lost { // else history knows its gap, and what waits is behind that
		if s = v.holding(m.position); s == nil {
			s = f.waitingFor(v, m.position)
		}
	}
	if s != nil && (s.told == nil || m.flags&flagMarks == 0) && (m.flags&flagSlow == 0 || !f.conflates(v)) {
		return f.launch(slot, m, v, s)
	}
	s, shared := f.readBack(slot, m, v)
	if s == nil {
		return false
	}
	sent := f.launch(slot, m, v, s)
	if !shared {
		f.freeStrip(s)
	}
	return sent
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
	s.flights++
	l := f.fly(slot, m, b)
	l.strip, l.from, l.to, l.encoding = s, uint32(from), uint32(to), v.encoding
	if to < len(s.index) || s.last < v.head {
		f.keep(v, s.reaches(to), 0, f.waves.now+1) // for what it gets next
	}
	return true
}

// wanted returns the first run of pieces from i on that are for the member.
func (f *Fan) wanted(slot uint32, m *member, v *view, s *strip, i int) (from, to int) {
	k := f.marks[slot]
	barred := func(i int) bool {
		msg := s.index[i].message
		return msg != nil && (f.leavesOut(msg, slot, m) || k.bar(f, v, msg))
	}
	for i < len(s.index) && barred(i) {
		i++
	}
	for to = i; to < len(s.index) && !barred(to); to++ {
	}
	return i, to
}

// stripSent moves the member's position by what its socket took.
func (f *Fan) stripSent(ticket uint32, l *flight, m *member, n int, full bool) {
	f.stats.Sends++
	f.stats.Bytes += uint64(n)
	s := l.strip
	var told []uint64
	if l.from == 0 && n > 0 {
		told = s.told // not to be told twice
	}
	if n == len(l.bytes) {
		if m.flags&flagSummed != 0 {
			f.addFlight(l, m, int(l.to))
		}
		f.stats.Deliveries += uint64(l.to - l.from)
		f.reach(ticket, l, m, s.reaches(int(l.to)), told)
		if full {
			f.laneOf(l.slot, m) // empty: Idle follows when the sender has room again, and nothing of it is left
			f.full(l.slot, m)
		} else {
			f.again(l.slot, m)
		}
		if l.stale {
			f.quiet(l.slot, m)
		}
		return
	}
	offset := s.start(int(l.from)) + uint32(n)
	i := s.holding(offset)
	f.stats.Deliveries += uint64(i - int(l.from))
	if m.flags&flagSummed != 0 {
		to := i
		if offset > s.start(i) {
			to++ // it is finished before anything else
		}
		f.addFlight(l, m, to)
	}
	reached := uint64(0)
	if i > int(l.from) {
		reached = s.index[i-1].sequence
	}
	if begin := s.start(i); offset > begin { // half-sent: it is finished before anything else
		rest := s.bytes[offset:s.index[i].end]
		rest = f.restOf(s.index[i].message, l.encoding, rest, int(s.index[i].end-begin))
		reached = s.index[i].sequence
		f.stats.Deliveries++
		f.holdRest(l.slot, m, rest)
	}
	f.reach(ticket, l, m, reached, told)
	f.full(l.slot, m)
	if l.stale {
		f.quiet(l.slot, m)
	}
}

// restOf returns the end of one piece of a strip, of whole bytes, for a lane: shared with
// the message, which keeps its bytes longer than the strip does. What the message would
// be encoded to now may have another length, if the encoder compresses by rules.
func (f *Fan) restOf(m *ring.Message, k ring.Encoding, rest []byte, whole int) []byte {
	if m != nil {
		if b := m.Encoded(k, f.encode); len(b) == whole {
			return b[whole-len(rest):]
		}
	}
	return slices.Clone(rest)
}

// quiet tells the loop of a member without a subscription, which may be waiting to
// end the connection, that nothing is on its way any more.
func (f *Fan) quiet(slot uint32, m *member) {
	if m.view == 0 && m.lane == 0 {
		f.tell(eventIdle, slot, m, nil)
	}
}

// again queues the member if there is more for it. What it was told of, or
// asked not to be told of, is forgotten when it is past all of that.
func (f *Fan) again(slot uint32, m *member) {
	if m.lane != 0 || f.owed(m) {
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
	if m.flags&flagFull == 0 {
		m.flags |= flagFull
		f.stats.Stalled++
	}
	if m.flags&flagLive != 0 && (m.view == 0 || !f.views[m.view].oneShot) { // a poll waits behind another response: that is no sign that it is slow
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
			if f.LaneEmpty(slot) { // else something was written since, and Idle follows that
				f.events.Idle(slot)
			}
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
