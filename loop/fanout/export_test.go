package fanout

// Passes is how many views and bundles hold strips.
func (f *Fan) Passes() (n int) {
	for _, c := range f.channels {
		for b := c.bundles; b != nil; b = b.next {
			if b.pass != nil {
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
