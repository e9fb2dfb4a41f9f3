package fanout

import (
	"math/bits"
	"slices"

	"peal/loop/ring"
)

// gather reads what waits for the channels of a view, in the order of the
// sequences. It is used again and again.
type gather struct {
	bundles  []*bundle // of the channels that have something
	cursors  []cursor  // a heap by sequence
	last     uint64    // sequence that was read last
	excludes bool      // some message must not reach some session
}

// cursor is a place in the strips of a bundle.
type cursor struct {
	sequence uint64 // of what is there
	strip    *strip
	i        int
}

// mergedKept is how many merged strips are kept at a time. The rounds of bundles are at
// different places, where members stand at different positions.
const mergedKept = 32

// gathered are the strips that were merged in a Flush. One serves all members at the
// same place of the views in which the same channels have something, whatever their
// other channels are.
type gathered struct {
	strips [mergedKept]mergedStrip
	next   int // of strips, to be replaced
	hit    int // of strips, found last
	bytes  int // of all that were merged since they were last dropped

	// The last that was found.
	view     *view
	position uint64
	head     uint64
	strip    *strip
}

// mergedStrip has what the bundles have behind its position.
type mergedStrip struct {
	position uint64
	bundles  []*bundle // in the order of their channels' names, all of one encoding
	strip    *strip    // nil: this one is not in use
}

// start begins at what follows position, on n channels of the view. It reports
// false if some of it has left the strips already.
func (k *gather) start(v *view, position uint64) (n int, ok bool) {
	k.bundles = k.bundles[:0]
	bundles, fresh := v.several.bundles, v.several.fresh.after(position)
	ok = true
	if fresh == allChannels {
		for _, b := range bundles {
			ok = ok && k.add(b, position)
		}
	} else {
		for ; fresh != 0; fresh &= fresh - 1 {
			ok = ok && k.add(bundles[bits.TrailingZeros64(fresh)], position)
		}
	}
	return len(k.bundles), ok
}

// add takes b if it has something behind position. It reports false if that has left
// the strips.
func (k *gather) add(b *bundle, position uint64) bool {
	if position < b.covers {
		return false
	}
	if p := b.pass(); p != nil && p.live.last > position {
		k.bundles = append(k.bundles, b)
	}
	return true
}

// open has next begin at what follows position, which start was called for.
func (k *gather) open(position uint64) {
	k.cursors, k.last, k.excludes = k.cursors[:0], position, false
	for _, b := range k.bundles {
		s := b.after(position)
		i := s.after(position)
		k.cursors = append(k.cursors, cursor{s.index[i].sequence, s, i})
	}
	for i := len(k.cursors)/2 - 1; i >= 0; i-- {
		k.down(i)
	}
}

// next returns the next message, nil for none.
func (k *gather) next() *ring.Message {
	for len(k.cursors) > 0 {
		c := &k.cursors[0]
		m := c.strip.index[c.i].message
		if c.i++; c.i == len(c.strip.index) {
			c.strip, c.i = c.strip.next, 0
		}
		if c.strip != nil {
			c.sequence = c.strip.index[c.i].sequence
		} else {
			end := len(k.cursors) - 1
			k.cursors[0] = k.cursors[end]
			k.cursors = k.cursors[:end]
		}
		k.down(0)
		if m.Sequence > k.last { // else it was on a channel before
			k.last = m.Sequence
			k.excludes = k.excludes || m.Exclude != nil
			return m
		}
	}
	return nil
}

// down puts the cursor at place i where it belongs.
func (k *gather) down(i int) {
	for {
		least := i
		for j := 2*i + 1; j <= 2*i+2 && j < len(k.cursors); j++ {
			if k.cursors[j].sequence < k.cursors[least].sequence {
				least = j
			}
		}
		if least == i {
			return
		}
		k.cursors[i], k.cursors[least] = k.cursors[least], k.cursors[i]
		i = least
	}
}

// waitingFor returns the strip that has what follows position on the channels of
// a view that shares, nil if it is in none. It is a strip of the one channel that
// has something, or is merged and lives until the sender is flushed.
func (f *Fan) waitingFor(v *view, position uint64) *strip {
	if !v.shares {
		return nil
	}
	if f.gathered.view == v && f.gathered.position == position && f.gathered.head == v.head {
		return f.gathered.strip
	}
	g := &f.gathered
	if s := g.match(v, position); s != nil {
		return s
	}
	switch n, ok := f.gather.start(v, position); {
	case !ok || n == 0:
		return nil
	case n == 1:
		return f.gather.bundles[0].after(position)
	}
	s := g.find(position, f.gather.bundles)
	if s == nil {
		s = f.newStrip(position)
		f.gather.open(position)
		f.gatherInto(s, v)
		f.keepGathered(s)
	}
	g.view, g.position, g.head, g.strip = v, position, v.head, s
	return s
}

// match is find for a view of which it is known that nothing has come on other channels:
// these bundles need not be looked at.
func (g *gathered) match(v *view, position uint64) *strip {
	fresh := v.several.fresh.after(position)
	n := bits.OnesCount64(fresh)
	if fresh == allChannels || n < 2 {
		return nil
	}
search:
	for i := range g.strips {
		i = (g.hit + i) % mergedKept
		m := &g.strips[i]
		if m.strip == nil || m.position != position || len(m.bundles) != n {
			continue
		}
		left := fresh
		for _, b := range m.bundles {
			if b != v.several.bundles[bits.TrailingZeros64(left)] {
				continue search
			}
			left &= left - 1
		}
		g.hit = i
		return m.strip
	}
	return nil
}

// find returns what was merged of these bundles behind position, nil for nothing.
func (g *gathered) find(position uint64, bundles []*bundle) *strip {
	for i := range g.strips {
		i = (g.hit + i) % mergedKept
		if m := &g.strips[i]; m.strip != nil && m.position == position && slices.Equal(m.bundles, bundles) {
			g.hit = i
			return m.strip
		}
	}
	return nil
}

// keepGathered has s, which was merged of the bundles of f.gather, serve others.
func (f *Fan) keepGathered(s *strip) {
	g := &f.gathered
	m := &g.strips[g.next]
	g.hit, g.next = g.next, (g.next+1)%mergedKept
	if m.strip != nil {
		f.freeStrip(m.strip)
	}
	m.position, m.bundles, m.strip = s.base, append(m.bundles[:0], f.gather.bundles...), s
	g.bytes += cap(s.memory)
}

// dropGathered lets go of all that was merged: messages that are applied later are not in it.
func (f *Fan) dropGathered() {
	g := &f.gathered
	if g.bytes == 0 {
		return
	}
	for i := range g.strips {
		if m := &g.strips[i]; m.strip != nil {
			f.freeStrip(m.strip)
			clear(m.bundles)
			m.bundles, m.strip = m.bundles[:0], nil
		}
	}
	clear(f.gather.bundles)
	g.next, g.hit, g.bytes, g.view, g.strip = 0, 0, 0, nil, nil
}

// gatherInto fills s with what the merge that was started reads for v.
func (f *Fan) gatherInto(s *strip, v *view) {
	for m := f.gather.next(); m != nil; m = f.gather.next() {
		m = f.shown(m, v)
		b := m.Encoded(v.encoding, f.encode)
		if !s.empty() && s.size()+len(b) > f.limits.StripBytes {
			return
		}
		s.add(m, b)
		f.charge(costMerged + len(b)*costByte)
	}
}
