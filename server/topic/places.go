package topic

import (
	"math/bits"
	"strings"
)

// places is a set of positions in a topic, from 0 to its length.
type places [(MaxTopicBytes + 64) / 64]uint64

func (p *places) has(at int) bool { return p[at>>6]&(1<<(at&63)) != 0 }
func (p *places) add(at int)      { p[at>>6] |= 1 << (at & 63) }

// next is the positions behind those of p.
func (p places) next() places {
	for i := len(p) - 1; i > 0; i-- {
		p[i] = p[i]<<1 | p[i-1]>>63
	}
	p[0] <<= 1
	return p
}

func (p places) and(q places) places {
	for i := range p {
		p[i] &= q[i]
	}
	return p
}

func (p places) or(q places) places {
	for i := range p {
		p[i] |= q[i]
	}
	return p
}

// through is p and all positions that follow one of them behind positions of q only: the
// carries of an addition go as far as q has ones.
func (p places) through(q places) places {
	carry := uint64(0)
	for i := range p {
		var sum uint64
		sum, carry = bits.Add64(q[i], p[i]&q[i], carry)
		p[i] |= sum ^ q[i]
	}
	return p
}

// walker has what is known of one topic while it is matched. Memory on the stack.
type walker struct {
	topic   string
	classes [classes]*class
	masks   [classes]places // of the bytes of topic that classes have
}

// mask is the positions of the bytes that c has.
func (w *walker) mask(c *class) *places {
	i := 0
	for ; w.classes[i] != nil; i++ {
		if w.classes[i] == c {
			return &w.masks[i]
		}
	}
	w.classes[i] = c
	m := &w.masks[i]
	for at := range len(w.topic) {
		b := w.topic[at]
		m[at>>6] |= c[b>>6] >> (b & 63) & 1 << (at & 63)
	}
	return m
}

// of is the positions of a byte.
func (w *walker) of(b byte) (p places) {
	for at := 0; ; at++ {
		i := strings.IndexByte(w.topic[at:], b)
		if i < 0 {
			return p
		}
		at += i
		p.add(at)
	}
}

// skip is where literal ends, if it begins at one of from.
func (w *walker) skip(literal string, from places) (to places) {
	switch len(literal) {
	case 0:
		return from
	case 1:
		return from.and(w.of(literal[0])).next()
	}
	for at := 0; ; at++ {
		i := strings.Index(w.topic[at:], literal)
		if i < 0 {
			return to
		}
		if at += i; from.has(at) {
			to.add(at + len(literal))
		}
	}
}

// expand is where the expression can end, if it begins at one of from.
func (w *walker) expand(e *expression, from places) (to places) {
	in := from
	if e.first != 0 {
		in = from.and(w.of(e.first)).next()
	}
	in = w.units(e, in)
	to = from.or(in) // it may expand to nothing
	if e.separator == 0 || e.separators == 0 {
		return to
	}
	separators := w.of(e.separator)
	for range e.separators {
		more := w.units(e, in.and(separators).next())
		if more.or(to) == to {
			return to
		}
		in, to = more, to.or(more)
	}
	return to
}

// units is where any number of units can end, if they begin at one of from.
func (w *walker) units(e *expression, from places) places {
	m := w.mask(e.allowed)
	to := from.through(*m)
	if strings.IndexByte(w.topic, '%') < 0 {
		return to
	}
	for at := range len(w.topic) {
		if to.has(at) && w.topic[at] == '%' && isTriplet(w.topic[at:]) && !to.has(at+3) {
			to.add(at + 3)
			to = to.through(*m)
		}
	}
	return to
}
