package deflate

// Held is the memory of f beside that of package flate.
func (f *Inflater) Held() int { return cap(f.in) + cap(f.out) }
