package fanout

import (
	"math/bits"
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
//
// The first bundle of a channel is the channel itself; more.next leads to the others, which have its name.
type bundle = channel

// link puts the view into the bundle of channel c, its channel i.
func (f *Fan) link(v *view, i int, c *channel) {
	b := f.bundleFor(c, v)
	b.covers = min(b.covers, v.head) // nothing has come on c since, and members of v that have all there is stand there
	v.several.bundles[i], v.several.places[i] = b, f.addLink(b, link{v, i})
	if p := b.pass(); p != nil && p.left > 0 { // one place more before the round is at its end
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
	end := b.size() - 1
	f.cutLink(b, place)
	if p := b.pass(); p != nil && p.left > 0 { // the one that moved may not have been visited
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
	if p := b.pass(); p != nil {
		f.setPass(b, nil) // still in the due queue perhaps, which looks again
		if b.is(flagOneShot) {
			f.answered(p)
		}
		f.freePass(p)
	}
	f.forgetBundle(b)
}

// addShared takes the next message of the bundle's channel.
func (f *Fan) addShared(b *bundle, m *ring.Message) {
	p := b.pass()
	if p == nil {
		p = f.newPass(b.covers)
		p.first = p.live
		f.setPass(b, p)
	}
	if b.is(flagOneShot) {
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
	p.left = p.round(b.size())
	p.live.until = p.visits + uint32(p.left)
	f.mark(p, m)
	if !b.is(flagTouched) {
		b.set(flagTouched, true)
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
		p := b.pass()
		head := p.live.last
		links := f.links(b)
		for _, l := range links {
			v := l.view
			v.head = max(v.head, head)
			if v.several.fresh.add(l.part) {
				p.unseen++
			}
			p.uncounted = p.uncounted || !v.counts()
		}
		f.charge(len(links) * costTouched)
		if !p.queued {
			p.queued = true
			f.due.push(b)
		}
		b.set(flagTouched, false)
		f.touched[i] = nil
	}
	f.touched = f.touched[:0]
}

// visitBundle visits the next views of a bundle, each with all its members.
func (f *Fan) visitBundle(b *bundle) (sent, seen int) {
	p := b.pass()
	if p == nil || !p.queued {
		return 0, 1
	}
	visits, passed, before := 0, 0, f.work
	for p.left > 0 && seen < f.quantum && f.gathered.bytes < gatheredBytes && f.sendsOf(before) < f.quantum {
		if p.unseen == 0 && !p.uncounted { // other bundles have visited the rest of its views
			visits += p.left
			p.left, p.within = 0, 0
			seen++
			break
		}
		if p.next >= b.size() {
			p.next = 0
		}
		v := f.viewAt(b, p.next)
		one, all := f.visitView(v, p, f.quantum-seen)
		sent += one
		seen += 1 + all
		if b.pass() != p { // its last view has gone
			return sent, seen
		}
		if p.next >= b.size() || f.viewAt(b, p.next) != v {
			continue // it has gone, and the round begins again: unlink
		}
		if p.within < len(v.members) {
			break
		}
		p.next++
		p.within = 0
		p.left--
		visits++
		if all > 0 {
			continue
		}
		if passed++; passed >= f.quantum/passedOver && !f.due.empty() { // another bundle visits the same views, and is ahead
			break
		}
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
	fresh := &v.several.fresh
	if fresh.none(v.head) {
		p.within = len(v.members)
		return 0, 0
	}
	whole := p.within == 0 && !v.oneShot
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
	switch {
	case p.within < len(v.members):
	case whole:
		f.seen(v)
	default: // something may have come that the first have not been offered
		f.partly(v)
	}
	return sent, seen
}

// revisit has v, a member of which has left and another taken its place, visited
// from its beginning by those bundles that have visited it in part.
func (f *Fan) revisit(v *view) {
	for i, b := range v.several.bundles {
		if p := b.pass(); p != nil && p.next == int(v.several.places[i]) {
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
	bundles, fresh := v.several.bundles, v.several.fresh.after(position)
	if fresh == allChannels {
		for _, b := range bundles {
			b.keep(position, turn, wave)
		}
		return
	}
	for ; fresh != 0; fresh &= fresh - 1 {
		bundles[bits.TrailingZeros64(fresh)].keep(position, turn, wave)
	}
}

// keep has the strip of b that begins behind position stay, see Fan.keep.
func (b *bundle) keep(position, turn, wave uint64) {
	if p := b.pass(); p == nil || p.live.last <= position {
		return
	}
	s := b.after(position)
	s.stamp, s.wave = max(s.stamp, turn), max(s.wave, wave)
}

// after returns the first strip with something behind position. There must be one.
func (b *bundle) after(position uint64) *strip {
	s := b.pass().first
	for s.last <= position {
		s = s.next
	}
	return s
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
	p := b.pass()
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
			f.setPass(b, nil)
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
			f.gather.open(low)
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
		if f.channels.find(b.matcher()).shared(v.encoding) {
			f.relink(v, true)
			return
		}
	}
}

// shared reports whether there are views that share the channel in encoding k.
func (c *channel) shared(k ring.Encoding) bool {
	for b := c; b != nil; b = b.next() {
		if b.size() > 0 && b.is(flagShares) && b.encoding == k {
			return true
		}
	}
	return false
}

// bundled reports whether there are views of several channels that have this one.
func (c *channel) bundled() bool {
	for b := c; b != nil; b = b.next() {
		if b.size() > 0 {
			return true
		}
	}
	return false
}

// meets reports whether a view of these channels would have one of them in common
// with another. Else it has nobody to share with, and strips of its own cost less.
func (f *Fan) meets(names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool {
		c := f.channels.find(matcher{n})
		return c != nil && c.bundled()
	})
}

func (f *Fan) relink(v *view, shares bool) {
	f.dropGathered() // a bundle without views may serve others from now on
	v.shares = shares
	f.seen(v)
	for i, b := range v.several.bundles {
		if f.turn(b, v) {
			continue
		}
		place := v.several.places[i]
		f.link(v, i, f.channels.find(b.matcher())) // first, or the channel could be forgotten
		f.unlink(b, place)
	}
}

// turn makes b, which v is the only view of, the bundle that v belongs into now, if there is no such bundle yet
// and nothing waits. It spares most channels a second one.
func (f *Fan) turn(b *bundle, v *view) bool {
	if b.pass() != nil || b.size() != 1 {
		return false
	}
	for other := f.channels.find(b.matcher()); other != nil; other = other.next() {
		if other != b && other.size() > 0 && other.serves(v) {
			return false
		}
	}
	b.fit(v)
	return true
}
