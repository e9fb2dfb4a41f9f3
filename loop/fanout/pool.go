package fanout

// What passes and strips leave behind is used again. A strip that grew far
// beyond the cut (one large message) is dropped instead. A strip whose bytes are with
// the sender is used again when all of its flights were reported.

const (
	poolKeeps  = 16 << 10 // passes and strips: about 250 B each without memory
	poolMemory = 4 << 20  // bytes of strips' memory among them
)

func (f *Fan) newStrip(base uint64) *strip {
	var s *strip
	if n := len(f.freeStrips); n > 0 {
		s = f.freeStrips[n-1]
		f.freeStrips = f.freeStrips[:n-1]
		f.pooled -= s.kept()
	} else {
		s = &strip{foundFor: none}
	}
	s.begin(base)
	return s
}

// kept is the memory of an unused strip beyond what each of them has.
func (s *strip) kept() int { return cap(s.memory) + 24*max(0, cap(s.index)-8) }

// freeStrip lets s go: at once, or when its last flight is reported. Until then
// its bytes count among those that wait, or as loose.
func (f *Fan) freeStrip(s *strip) {
	if s.flights > 0 {
		s.free, s.next = true, nil
		if s.counted == 0 {
			s.loose = int32(len(s.bytes))
			f.loose += len(s.bytes)
		}
		return
	}
	f.strips -= int(s.counted)
	f.loose -= int(s.loose)
	s.counted, s.loose, s.free = 0, 0, false
	if len(f.freeStrips) >= poolKeeps || cap(s.memory) > 4*f.limits.StripBytes {
		return
	}
	s.reset()
	if f.pooled+s.kept() > poolMemory {
		s.memory, s.index = nil, nil
	}
	f.pooled += s.kept()
	f.freeStrips = append(f.freeStrips, s)
}

// choked reports whether flights hold so many bytes that nobody else needs that no
// more are queued until some were reported.
func (f *Fan) choked() bool { return f.loose >= looseBytes }

// count counts what strip s of a pass holds.
func (f *Fan) count(s *strip) {
	n := int32(cap(s.memory)+24*cap(s.index)) + s.sizes
	f.strips += int(n - s.counted)
	s.counted = n
}

// kept is the memory of an unused pass beyond what each of them has.
func (p *pass) kept() int { return markBytes * (cap(p.marks) - len(p.lone)) }

func (f *Fan) newPass(base uint64) *pass {
	var p *pass
	if n := len(f.freePasses); n > 0 {
		p = f.freePasses[n-1]
		f.freePasses = f.freePasses[:n-1]
		f.pooled -= p.kept()
	} else {
		p = new(pass)
		p.marks = p.lone[:0]
	}
	p.live = f.newStrip(base)
	return p
}

func (f *Fan) freePass(p *pass) {
	for s := p.first; s != nil && s != p.live; {
		next := s.next
		f.freeStrip(s)
		s = next
	}
	for _, s := range []*strip{p.live, p.before, p.back} {
		if s != nil {
			f.freeStrip(s)
		}
	}
	*p = pass{marks: p.marks[:0]}
	if len(f.freePasses) < poolKeeps {
		if f.pooled+p.kept() > poolMemory {
			p.marks = p.lone[:0]
		}
		f.pooled += p.kept()
		f.freePasses = append(f.freePasses, p)
	}
}
