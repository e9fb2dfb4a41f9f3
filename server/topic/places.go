package topic

import "math/bits"

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

// minus is the positions of p that q does not have.
func (p places) minus(q places) places {
	for i := range p {
		p[i] &^= q[i]
	}
	return p
}

// walker has what is known of one topic while it is matched. Memory on the stack. Whatever
// the topic is, what it does for one byte of a literal, or one value of an expression, takes
// the same time.
type walker struct {
	topic    string
	bytes    [256]places // of each byte
	triplets places      // where % and two hexadecimal digits begin
	inner    places      // the positions inside of these
	classes  [classes]*class
	masks    [classes]places // of the bytes of topic that classes have
}

func (w *walker) read(topic string) {
	w.topic = topic
	for at := range len(topic) {
		b := topic[at]
		w.bytes[b].add(at)
		if b == '%' && isTriplet(topic[at:]) {
			w.triplets.add(at)
		}
	}
	first := w.triplets.next()
	w.inner = first.or(first.next())
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
	for i := range len(c.members) {
		of := &w.bytes[c.members[i]]
		m[0] |= of[0]
		m[1] |= of[1]
		m[2] |= of[2]
		m[3] |= of[3]
	}
	return m
}

// skip is where literal ends, if it begins at one of from.
func (w *walker) skip(literal string, from places) places {
	for i := range len(literal) {
		if from = from.and(w.bytes[literal[i]]).next(); from == (places{}) {
			break
		}
	}
	return from
}

// expand is where the expression can end, if it begins at one of from.
func (w *walker) expand(e *expression, from places) (to places) {
	in := from
	if e.first != 0 {
		in = from.and(w.bytes[e.first]).next()
	}
	in = w.units(e, in)
	to = from.or(in) // it may expand to nothing
	if e.separator == 0 {
		return to
	}
	for range e.separators {
		more := w.units(e, in.and(w.bytes[e.separator]).next())
		if more.or(to) == to {
			return to
		}
		in, to = more, to.or(more)
	}
	return to
}

// units is where any number of units can end, if they begin at one of from. The digits of a
// triplet are units, too, so that a way through all of its bytes is right. None begins inside of
// one: literals have whole triplets only.
func (w *walker) units(e *expression, from places) places {
	return from.through(w.mask(e.allowed).or(w.triplets)).minus(w.inner)
}
