package fanout

import "peal/loop/ring"

// gather reads what waits for the channels of a view, in the order of the
// sequences. It is used again and again.
type gather struct {
	cursors  []cursor // a heap by sequence
	last     uint64   // sequence that was read last
	excludes bool     // some message must not reach some session
}

// cursor is a place in the strips of a bundle.
type cursor struct {
	strip *strip
	i     int
}

func (c *cursor) sequence() uint64 { return c.strip.index[c.i].sequence }

// gathered is a strip that was merged for a view, until the sender is flushed.
type gathered struct {
	view     *view
	position uint64
	head     uint64
	strip    *strip
	bytes    int // of all that were merged since then
}

// start begins at what follows position, on n channels of the view. It reports
// false if some of it has left the strips already.
func (k *gather) start(v *view, position uint64) (n int, ok bool) {
	k.cursors, k.last, k.excludes = k.cursors[:0], position, false
	for _, b := range v.several.bundles {
		if position < b.covers {
			return 0, false
		}
		if b.pass == nil || b.pass.live.last <= position {
			continue
		}
		s := b.pass.first
		for s.last <= position {
			s = s.next
		}
		k.cursors = append(k.cursors, cursor{s, s.after(position)})
	}
	for i := len(k.cursors)/2 - 1; i >= 0; i-- {
		k.down(i)
	}
	return len(k.cursors), true
}

// next returns the next message, nil for none.
func (k *gather) next() *ring.Message {
	for len(k.cursors) > 0 {
		c := &k.cursors[0]
		m := c.strip.index[c.i].message
		if c.i++; c.i == len(c.strip.index) {
			if c.strip, c.i = c.strip.next, 0; c.strip == nil {
				end := len(k.cursors) - 1
				k.cursors[0] = k.cursors[end]
				k.cursors = k.cursors[:end]
			}
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
			if k.cursors[j].sequence() < k.cursors[least].sequence() {
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
	switch n, ok := f.gather.start(v, position); {
	case !ok || n == 0:
		return nil
	case n == 1:
		return f.gather.cursors[0].strip
	}
	s := f.newStrip(position)
	f.gatherInto(s, v)
	if f.gathered.strip != nil {
		f.freeStrip(f.gathered.strip)
	}
	f.gathered = gathered{v, position, v.head, s, f.gathered.bytes + cap(s.memory)}
	return s
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
