package fanout

import (
	"cmp"
	"slices"

	"peal/loop/ring"
)

// scratch is memory that reading history uses again and again.
type scratch struct {
	messages []*ring.Message
	merged   []*ring.Message
	answer   []*ring.Message
	gaps     []ring.Gap
	places   []int // of the channels of gaps in their view
	bytes    []byte
	merge    merge
	own      bool // what was read is for one member alone: concerns
}

// outcome of reading history.
type outcome uint8

const (
	read outcome = iota
	wait         // a gap ends beyond applied: what it hides may still come by the ring
)

// readMerged fills scratch.merged with what the view's channels retain after
// position, up to what was applied, in the order of the sequences, and
// scratch.gaps with what is gone. It covers everything up to the returned upto.
//
// It takes at most count messages, and reads few more: see merge. Of channels
// that give a slow consumer only their newest, there is only that.
func (f *Fan) readMerged(slot uint32, m *member, v *view, count, bytes int) (upto uint64, o outcome) {
	f.scratch.gaps, f.scratch.places = f.scratch.gaps[:0], f.scratch.places[:0]
	f.scratch.own = false
	k := f.marks[slot]
	slow := m.flags&flagSlow != 0
	beyond := false
	conflated := 0
	g := &f.scratch.merge
	g.begin(f, v, k, count, bytes)
	v.channels(func(i int, c *channel) {
		if slow && f.policyOf(c.name()) == Latest {
			conflated++
			return
		}
		at := k.start(i, m.position)
		discarded := g.add(i, c, at)
		if discarded > at && !k.isTold(i, discarded) {
			discarded = f.concerns(c.name(), discarded, slot, m)
		}
		if discarded > at && !k.isTold(i, discarded) {
			beyond = beyond || discarded > f.applied
			f.addGap(i, ring.Gap{Channel: c.name(), From: at, To: discarded})
		}
	})
	all := f.scratch.merged[:0]
	if !beyond {
		all, upto = g.run(all, count)
	}
	clear(f.scratch.messages)
	if conflated > 0 {
		f.scratch.merged = all
		beyond = f.readLatest(m.position, k, v, upto) || beyond
		all = f.scratch.merged
		slices.SortFunc(all, func(a, b *ring.Message) int { return cmp.Compare(a.Sequence, b.Sequence) })
		all = slices.Compact(all) // a message on several of the channels
		all = slices.DeleteFunc(all, func(msg *ring.Message) bool { return k.bar(f, v, msg) })
	}
	if beyond {
		clear(all)
		f.scratch.merged = all[:0]
		return 0, wait
	}
	f.scratch.merged = all
	return upto, read
}

// addGap notes a gap of the channel at that place of the view.
func (f *Fan) addGap(place int, g ring.Gap) {
	f.scratch.gaps = append(f.scratch.gaps, g)
	f.scratch.places = append(f.scratch.places, place)
}

// readLatest adds to scratch the newest message up to upto of each channel whose
// policy is Latest, and what was passed over as a gap. beyond is as in readMerged.
func (f *Fan) readLatest(position uint64, k *marks, v *view, upto uint64) (beyond bool) {
	v.channels(func(i int, c *channel) {
		if f.policyOf(c.name()) != Latest {
			return
		}
		at := k.start(i, position)
		msg, passed, discarded := f.source.Latest(c.name(), at, upto)
		g := ring.Gap{Channel: c.name(), From: at, To: discarded, Slow: true, Skipped: passed}
		if msg != nil {
			f.scratch.merged = append(f.scratch.merged, msg)
			if passed > 0 {
				g.To = max(discarded, msg.Sequence-1)
			}
		}
		if g.To > at && !k.isTold(i, g.To) {
			beyond = beyond || g.To > f.applied
			f.addGap(i, g)
		}
	})
	return beyond
}

// conflates reports whether a slow consumer of the view is not sent everything.
func (f *Fan) conflates(v *view) (yes bool) {
	v.channels(func(_ int, c *channel) { yes = yes || f.policyOf(c.name()) == Latest })
	return yes
}

// ends reports whether a gap that was found ends the member: it is slow, and the
// policy of that channel says so.
func (f *Fan) ends(m *member) bool {
	return m.flags&flagSlow != 0 && slices.ContainsFunc(f.scratch.gaps, func(g ring.Gap) bool { return f.policyOf(g.Channel) == Disconnect })
}

// readBack makes a strip of what follows the member's position in the history.
// shared: it is kept for others at the same place, and else the caller's. nil means
// that there is nothing to launch now: it waits for the ring, or was told of a gap,
// or has caught up.
func (f *Fan) readBack(slot uint32, m *member, v *view) (s *strip, shared bool) {
	upto, o := f.readMerged(slot, m, v, mergeMessages, f.limits.StripBytes)
	if o == wait {
		f.waiting = append(f.waiting, slot)
		return nil, false
	}
	if f.ends(m) {
		f.gap(slot)
		f.kill(slot, m, eventFell, nil)
		clear(f.scratch.merged)
		return nil, false
	}
	s = f.newStrip(m.position)
	s.private = f.scratch.own || m.flags&flagMarks != 0 || m.flags&flagSlow != 0 && f.conflates(v)
	s.last = upto
	f.stats.History++
	if len(f.scratch.gaps) > 0 && !f.addGaps(slot, m, v, s) {
		f.freeStrip(s)
		return nil, false
	}
	for _, msg := range f.scratch.merged {
		if len(s.bytes) >= f.limits.StripBytes {
			s.last = s.index[len(s.index)-1].sequence
			break
		}
		msg = f.shown(msg, v)
		s.add(msg, msg.Encoded(v.encoding, f.encode))
		s.last = upto
	}
	f.charge(len(s.bytes) * costByte)
	clear(f.scratch.merged)
	if s.empty() {
		m.position = max(m.position, s.last)
		f.freeStrip(s)
		f.again(slot, m)
		return nil, false
	}
	return s, f.keepBack(v, s)
}

// addGaps begins s with the notices of the gaps that were found. It reports
// false when the encoding has no word for them and the member must know.
func (f *Fan) addGaps(slot uint32, m *member, v *view, s *strip) bool {
	f.gap(slot)
	b := f.scratch.bytes[:0]
	told := make([]uint64, v.width())
	if k := f.marks[slot]; k != nil {
		copy(told, k.told)
	}
	for i, g := range f.scratch.gaps {
		b = f.encoder.AppendGap(b, v.encoding, g)
		told[f.scratch.places[i]] = g.To
	}
	f.charge(len(f.scratch.gaps)*costGap + len(b)*costByte)
	f.scratch.bytes = b
	if len(b) > 0 {
		s.addNotices(b, told)
		return true
	}
	if m.flags&flagIgnoreGap == 0 {
		f.kill(slot, m, eventGapped, nil)
		return false
	}
	f.watchGaps(slot, f.scratch.gaps)
	s.private = true // who passes over a gap in silence is not everybody
	return true
}

// keepBack lets others use s while members catch up, unless it serves only its
// first reader, and reports whether it does.
func (f *Fan) keepBack(v *view, s *strip) bool {
	if s.private || len(v.members) == 1 {
		return false
	}
	p := v.startPass(f)
	if p.back == nil {
		if len(f.backs) >= backViews {
			f.dropBacks()
			p = v.startPass(f)
		}
		f.backs = append(f.backs, v.number)
	}
	if p.back != nil {
		f.freeStrip(p.back)
	}
	p.back = s
	return true
}

// dropBacks lets all strips of history go.
func (f *Fan) dropBacks() {
	backs := f.backs
	f.backs = f.backs[:0]
	for _, n := range backs {
		v := f.views[n]
		if v == nil || v.pass == nil || v.pass.back == nil {
			continue
		}
		f.freeStrip(v.pass.back)
		v.pass.back = nil
		f.end(v)
	}
}

// earliest is the position behind which all follows that is retained of a channel, one of
// as many as among.
func (f *Fan) earliest(channel string, among int) uint64 {
	if p := f.channels.pattern(channel); p != nil {
		return f.firstOf(p, among)
	}
	return f.source.Newest(channel, -1)
}

// resolve turns where a subscription starts into a position. told is what was
// dropped of each channel before, no gap for who asks for what is there; nil for none.
func (f *Fan) resolve(s *Subscription) (position uint64, told []uint64) {
	head := f.source.Head()
	position = head
	switch s.From {
	case After:
		position = s.Sequence
	case Earliest, Foreign:
		for _, c := range s.Channels {
			position = min(position, f.earliest(c, len(s.Channels)))
		}
		f.charge(len(s.Channels) * costRead)
	case Last:
		position = f.newest(s.Channels, s.Count, head)
	}
	if s.From != Now && s.From != After && len(s.Channels) > 1 {
		told = make([]uint64, len(s.Channels))
		f.charge(len(s.Channels) * costRead)
		for i, c := range s.Channels {
			if p := f.channels.pattern(c); p != nil {
				told[i] = f.firstOf(p, len(s.Channels))
			} else {
				_, told[i], _ = f.source.Read(nil, c, head, head, 1, 1)
			}
		}
	}
	return position, told
}
