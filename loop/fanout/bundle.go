package fanout

import (
	"slices"

	"peal/loop/ring"
)

// bundle is views of several channels, by one channel that all of them contain:
// those that share, by encoding, or those with strips of their own.
//
// What waits for views that share is kept once for each channel, in the strips of
// the bundle's pass, however many views there are: a view whose other channels
// have nothing is sent from there, and for others a strip is merged when they are
// visited. A view shares while it has few members and if one of its channels is
// that of another view too.
type bundle struct {
	links    []link
	next     *bundle // further bundles of the channel
	channel  *channel
	pass     *pass  // shares: while something waits
	covers   uint64 // shares: what was applied beyond it is in the strips of the pass
	encoding ring.Encoding
	oneShot  bool
	shares   bool
	touched  bool // by the Apply under way
}

// link is one view's membership in a bundle; part is the index of the bundle in
// the view.
type link struct {
	view *view
	part int
}

// link puts the view into the bundle of channel c, its channel i.
func (f *Fan) link(v *view, i int, c *channel) {
	b := c.bundles
	for b != nil && (b.shares != v.shares || b.shares && b.encoding != v.encoding) {
		b = b.next
	}
	if b == nil {
		b = &bundle{channel: c, next: c.bundles, covers: v.head, encoding: v.encoding, oneShot: v.oneShot, shares: v.shares}
		c.bundles = b
	}
	b.covers = min(b.covers, v.head) // nothing has come on c since, and members of v that have all there is stand there
	v.several.bundles[i], v.several.places[i] = b, uint32(len(b.links))
	b.links = append(b.links, link{v, i})
	if p := b.pass; p != nil && p.left > 0 { // one place more before the round is at its end
		p.left++
		for s := p.first; s != nil; s = s.next {
			s.until++
		}
	}
}

// round is how many visits of views see all n of a bundle. One that has been
// visited in part comes once more at the end.
func (p *pass) round(n int) int {
	if p.within > 0 {
		n++
	}
	return n
}

// unlink takes the view at place out of the bundle; the last one moves there.
func (f *Fan) unlink(b *bundle, place uint32) {
	end := len(b.links) - 1
	if moved := b.links[end]; place != uint32(end) {
		b.links[place] = moved
		moved.view.several.places[moved.part] = place
	}
	b.links[end] = link{}
	b.links = b.links[:end]
	if p := b.pass; p != nil && p.left > 0 { // the one that moved may not have been visited
		if place == uint32(p.next) || p.next == end {
			p.within = 0
		}
		p.left = p.round(end)
		for s := p.first; s != nil; s = s.next {
			s.until = p.visits + uint32(p.left)
		}
	}
	if end == 0 {
		f.dropBundle(b)
	}
}

// dropBundle forgets a bundle without views.
func (f *Fan) dropBundle(b *bundle) {
	if p := b.pass; p != nil {
		b.pass = nil // still in the due queue perhaps, which looks again
		if b.oneShot {
			f.answered(p)
		}
		f.freePass(p)
	}
	for p := &b.channel.bundles; *p != nil; p = &(*p).next {
		if *p == b {
			*p = b.next
			break
		}
	}
	f.dropChannel(b.channel)
}

// addShared takes the next message of the bundle's channel.
func (f *Fan) addShared(b *bundle, m *ring.Message) {
	p := b.pass
	if p == nil {
		p = f.newPass(b.covers)
		b.pass, p.first = p, p.live
	}
	if b.oneShot {
		if len(p.live.index) >= f.limits.AnswerMessages*4 {
			f.cutShared(p)
		}
		p.live.note(m)
	} else {
		m = f.shownShared(m, b)
		bytes := m.Encoded(b.encoding, f.encode)
		if !p.live.empty() && p.live.size()+len(bytes) > f.limits.StripBytes {
			f.cutShared(p)
		}
		p.live.add(m, bytes)
	}
	p.live.sizes += int32(m.Size)
	f.count(p.live)
	f.charge(costAdded + m.Size/bytesAdded)
	p.left = p.round(len(b.links))
	p.live.until = p.visits + uint32(p.left)
	f.mark(p, m)
	if !b.touched {
		b.touched = true
		f.touched = append(f.touched, b)
	}
}

// cutShared starts a new strip. Those before it stay until nobody needs them.
func (f *Fan) cutShared(p *pass) {
	s := f.newStrip(p.live.last)
	p.live.next = s
	p.live = s
}

// touch tells the views of the bundles that were added to where their channels
// end now, once for each Apply.
func (f *Fan) touch() {
	for i, b := range f.touched {
		head := b.pass.live.last
		for _, l := range b.links {
			l.view.head = max(l.view.head, head)
		}
		f.charge(len(b.links) * costTouched)
		if !b.pass.queued {
			b.pass.queued = true
			f.due.push(b)
		}
		b.touched = false
		f.touched[i] = nil
	}
	f.touched = f.touched[:0]
}

// visitBundle visits the next views of a bundle, each with all its members.
func (f *Fan) visitBundle(b *bundle) (sent, seen int) {
	p := b.pass
	if p == nil || !p.queued {
		return 0, 1
	}
	visits, before := 0, f.work
	for p.left > 0 && seen < f.quantum && f.gathered.bytes < gatheredBytes && f.sendsOf(before) < f.quantum {
		if p.next >= len(b.links) {
			p.next = 0
		}
		v := b.links[p.next].view
		one, all := f.visitView(v, p, f.quantum-seen)
		sent += one
		seen += 1 + all
		if b.pass != p { // its last view has gone
			return sent, seen
		}
		if p.next >= len(b.links) || b.links[p.next].view != v {
			continue // it has gone, and the round begins again: unlink
		}
		if p.within < len(v.members) {
			break
		}
		p.next++
		p.within = 0
		p.left--
		visits++
	}
	f.through(p, sent, visits)
	if p.left > 0 {
		f.due.push(b)
	} else {
		p.queued = false
	}
	if !p.ending && (p.left == 0 || int32(p.visits-p.first.until) >= 0) {
		p.ending = true
		f.trims = append(f.trims, b)
	}
	return sent, seen
}

// visitView visits up to most members of a view that shares, from p.within on.
func (f *Fan) visitView(v *view, p *pass, most int) (sent, seen int) {
	for ; p.within < len(v.members) && seen < most; seen++ {
		slot := v.members[p.within]
		m := f.member(slot)
		if m.position >= v.head || m.flags&(flagFull|flagBehind|flagDead) != 0 || m.flight != 0 || m.lane != 0 {
			f.keepFor(m, v)
			p.within++
			continue
		}
		at := p.within
		if f.send(slot, m, v) {
			sent++
		}
		if f.views[v.number] != v {
			return sent, seen + 1 // an answered poll was its last member
		}
		if p.within = at; m.view == v.number { // else it was an answered poll, and another takes its place
			p.within++
		}
	}
	return sent, seen
}

// revisit has v, a member of which has left and another taken its place, visited
// from its beginning by those bundles that have visited it in part.
func (f *Fan) revisit(v *view) {
	for i, b := range v.several.bundles {
		if p := b.pass; p != nil && p.next == int(v.several.places[i]) {
			p.within = 0
		}
	}
}

// keep has the strips that a member at position will read in its next turn stay
// until then: until so many have had a turn of those behind, and all flights of the
// waves before wave were reported.
func (f *Fan) keep(v *view, position, turn, wave uint64) {
	if !v.shares {
		if p := v.pass; p != nil && p.has(position) {
			p.stamp, p.wave = max(p.stamp, turn), max(p.wave, wave)
		}
		return
	}
	for _, b := range v.several.bundles {
		if b.pass == nil {
			continue
		}
		for s := b.pass.first; s != nil; s = s.next {
			if s.last > position {
				s.stamp, s.wave = max(s.stamp, turn), max(s.wave, wave)
				break
			}
		}
	}
}

// keepFor has what came for m while it is queued behind, or its bytes are with the
// sender, stay until its turn: the visit that would have sent it passes over m.
func (f *Fan) keepFor(m *member, v *view) {
	switch {
	case m.position >= v.head:
	case m.flight != 0:
		l, position := &f.flights[m.flight-1], m.position
		if l.strip != nil && !v.shares { // its position is where its pass began perhaps, and a new one begins behind the send
			position = max(position, l.strip.reaches(int(l.to)))
		}
		f.keep(v, position, 0, l.wave+1)
	case m.flags&flagBehind != 0:
		f.keep(v, m.position, f.behind.pushed, 0)
	}
}

// trim lets the oldest strips of b go, as long as all views have been visited
// since their last message and all members that were behind, or had bytes with the
// sender, have had their turn. It reports whether the latter is what the next one waits for.
func (f *Fan) trim(b *bundle) (again bool) {
	p := b.pass
	for p != nil {
		s := p.first
		if p.left > 0 && int32(p.visits-s.until) < 0 {
			p.ending = false
			return false
		}
		if f.behind.popped() < s.stamp || !f.reported(s.wave) {
			return true
		}
		b.covers = s.last
		if s == p.live {
			b.pass = nil
			f.freePass(p)
			return false
		}
		p.first = s.next
		f.freeStrip(s)
	}
	return false
}

// stopSharing gives the view strips of its own when it has become large. What
// waits for it is merged into the first of them.
func (f *Fan) stopSharing(v *view) {
	low := v.head
	for _, slot := range v.members {
		if m := f.member(slot); m.flags&(flagFull|flagBehind|flagDead) == 0 && m.lane == 0 {
			low = min(low, m.position)
		}
	}
	if low < v.head {
		p := v.startPass(f)
		p.live.begin(v.head)
		if n, ok := f.gather.start(v, low); ok && n > 0 {
			s := f.newStrip(low)
			f.gatherInto(s, v)
			f.count(s)
			if p.before = s; s.last < v.head { // too much for one strip: they read history
				p.before = nil
				f.freeStrip(s)
			}
		}
		p.left = len(v.members)
		f.markDirty(v, p)
	}
	f.relink(v, false)
}

// startSharing has the view share when it has few members, nothing waits, and there is
// another view to share with.
func (f *Fan) startSharing(v *view) {
	if v.shares || v.pass != nil || len(v.members) > f.shareMembers/4 {
		return
	}
	for _, b := range v.several.bundles {
		if b.channel.shared(v.encoding) {
			f.relink(v, true)
			return
		}
	}
}

// shared reports whether there are views that share the channel in encoding k.
func (c *channel) shared(k ring.Encoding) bool {
	b := c.bundles
	for b != nil && !(b.shares && b.encoding == k) {
		b = b.next
	}
	return b != nil
}

// meets reports whether a view of these channels would have one of them in common
// with another. Else it has nobody to share with, and strips of its own cost less.
func (f *Fan) meets(names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool {
		c := f.channels.find(matcher{n})
		return c != nil && c.bundles != nil
	})
}

func (f *Fan) relink(v *view, shares bool) {
	v.shares = shares
	for i, b := range v.several.bundles {
		place := v.several.places[i]
		f.link(v, i, b.channel) // first, or the channel could be forgotten
		f.unlink(b, place)
	}
}
