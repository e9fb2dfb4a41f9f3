package fanout

// Passes is how many views and bundles hold strips.
func (f *Fan) Passes() (n int) {
	for _, c := range f.channels.exact.All() {
		for b := c; b != nil; b = b.next() {
			if b.pass() != nil {
				n++
			}
		}
	}
	for _, v := range f.views {
		if v != nil && v.pass != nil {
			n++
		}
	}
	return n
}

// LiveIndex is the number of pieces in all live strips.
func (f *Fan) LiveIndex() (n int) {
	for _, v := range f.views {
		if v != nil && v.pass != nil {
			n += len(v.pass.live.index)
		}
	}
	return n
}

// Shares reports whether what waits for the member is in the strips of bundles.
func (f *Fan) Shares(slot uint32) bool {
	m := f.member(slot)
	return m.view != 0 && f.views[m.view].shares
}

// ShareUpTo has views of more than n members not share; before the first Subscribe.
func (f *Fan) ShareUpTo(n int) { f.shareMembers = n }

// VisitUpTo has no more than n members of a view visited at a time; before the first Flush.
func (f *Fan) VisitUpTo(n int) { f.quantum = n }

// End is the position to which a flight leads, 0 for nowhere.
func (f *Fan) End(ticket uint32) uint64 {
	if l := &f.flights[ticket]; l.strip != nil {
		return l.strip.reaches(int(l.to))
	}
	return 0
}

// Loose is how many bytes only flights hold.
func (f *Fan) Loose() int { return f.loose }

// Likes is how many matchers, and lengths of prefixes, the index has.
func (f *Fan) Likes() (n int) {
	x := &f.channels.likes
	for _, g := range x.groups {
		for _, b := range g.ends {
			n += len(b.likes)
		}
	}
	return n + len(x.lengths) + x.over + x.total
}

// MaxMatchers is how many matchers a fan may have.
const MaxMatchers = maxMatchers

// FullMembers counts the members whose socket is full, as Stats should have it.
func (f *Fan) FullMembers() (n int) {
	for slot := range uint32(len(f.slabs) << slabBits) {
		if f.member(slot).flags&flagFull != 0 {
			n++
		}
	}
	return n
}

// Miscounted is the channels whose pass does not count the views that have them among their news.
func (f *Fan) Miscounted() (names []string) {
	for _, c := range f.channels.exact.All() {
		for b := c; b != nil; b = b.next() {
			p, n := b.pass(), 0
			if p == nil || p.uncounted {
				continue
			}
			for _, l := range f.links(b) {
				if l.view.several.fresh.channels>>l.part&1 != 0 {
					n++
				}
			}
			if p.unseen != n {
				names = append(names, b.name())
			}
		}
	}
	return names
}
