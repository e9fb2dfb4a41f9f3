package fanout

// Passes is how many views hold strips.
func (f *Fan) Passes() (n int) {
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
