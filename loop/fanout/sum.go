package fanout

import (
	"peal/loop/deflate"
	"peal/loop/ring"
)

// In the encodings of a Summer each member has the sum of what it was sent, in the order
// in which its socket accepts it: the messages of a strip when that was reported, with
// the one that is half-sent, and then what was written to its lane meanwhile. What several
// members were sent of a strip is added up once. Members of other encodings have none of
// this.

// summing is what a Fan has for such encodings.
type summing struct {
	summer Summer                        // nil: there are none
	sums   []*[1 << slabBits]deflate.Sum // by slot, as slabs; nil where nobody needs one
	known  []known                       // sums of messages, by sequence
}

// known is the sum of a message that was needed before.
type known struct {
	sequence uint64
	encoding ring.Encoding
	sum      deflate.Sum
}

// knownSums is how many are remembered: the messages of a turn.
const knownSums = 256

// stripSum is the sum of some pieces of a strip, for the members that stand at the
// same place.
type stripSum struct {
	from, to uint32
	sum      deflate.Sum
	shift    deflate.Shift
}

// sum returns the member's.
func (f *Fan) sum(slot uint32) *deflate.Sum {
	return &f.summing.sums[slot>>slabBits][slot&(1<<slabBits-1)]
}

// beginSum has the stream in encoding k, which begins now, summed up if it must be.
func (f *Fan) beginSum(slot uint32, m *member, k ring.Encoding) {
	if f.summing.summer == nil || !f.summing.summer.Sums(k) {
		return
	}
	m.flags |= flagSummed
	for int(slot>>slabBits) >= len(f.summing.sums) {
		f.summing.sums = append(f.summing.sums, nil)
	}
	if s := &f.summing.sums[slot>>slabBits]; *s == nil {
		*s = new([1 << slabBits]deflate.Sum)
	}
	*f.sum(slot) = deflate.Sum{}
}

// AddSum adds b to the sum of a stream, if it has one: the part of its first bytes that
// comes behind the head. All else that Write and Flush send is added by itself.
func (f *Fan) AddSum(slot uint32, b []byte) {
	if m := f.member(slot); m.flags&flagSummed != 0 && len(b) > 0 {
		s := f.sum(slot)
		*s = s.Then(f.summing.summer.SumOf(b))
	}
}

// stripOut reports whether a part of a strip is with the sender, so that the sum of what
// is written now must wait for it.
func (f *Fan) stripOut(m *member) bool {
	return m.flight != 0 && f.flights[m.flight-1].strip != nil
}

// WriteEnd writes b, the last bytes of a stream, with what its encoding ends with.
func (f *Fan) WriteEnd(slot uint32, b []byte) (done bool, err error) {
	m := f.member(slot)
	if m.flags&(flagSummed|flagDead) != flagSummed {
		return f.Write(slot, b)
	}
	var sum deflate.Sum
	if f.stripOut(m) {
		m.flags |= flagUnsummed // addFlight corrects it
	} else {
		f.AddSum(slot, b)
		sum = *f.sum(slot)
	}
	return f.write(slot, f.summing.summer.AppendEnd(b, sum), false)
}

// addFlight adds the pieces of a strip up to piece to, and then what the lane of the
// member has, which was written since the flight began.
func (f *Fan) addFlight(l *flight, m *member, to int) {
	s := f.sum(l.slot)
	if to > int(l.from) {
		p := f.stripSum(l.strip, l.from, uint32(to), l.encoding)
		*s = s.ThenBy(p.sum, p.shift)
	}
	if m.lane == 0 {
		return
	}
	b := f.lanes[m.lane].buf
	if m.flags&flagUnsummed == 0 {
		*s = s.Then(f.summing.summer.SumOf(b))
		return
	}
	m.flags &^= flagUnsummed
	end := len(b) - len(f.summing.summer.AppendEnd(nil, *s))
	*s = s.Then(f.summing.summer.SumOf(b[:end]))
	f.summing.summer.AppendEnd(b[:end], *s)
}

// stripSum returns the sum of pieces of a strip.
func (f *Fan) stripSum(s *strip, from, to uint32, k ring.Encoding) *stripSum {
	if s.sum == nil {
		s.sum = new(stripSum)
	}
	p := s.sum
	if p.to == to && p.from == from { // to is never 0
		return p
	}
	var sum deflate.Sum
	for i := from; i < to; i++ {
		if m := s.index[i].message; m != nil {
			sum = sum.Then(f.messageSum(m, k))
		} else {
			sum = sum.Then(f.summing.summer.SumOf(s.bytes[s.start(int(i)):s.index[i].end]))
		}
	}
	f.charge(int(to-from) * costSum)
	*p = stripSum{from, to, sum, deflate.ShiftOf(sum.Length)}
	return p
}

// messageSum returns the sum of a message. One with further channels has several forms, see
// shown, and is not remembered.
func (f *Fan) messageSum(m *ring.Message, k ring.Encoding) deflate.Sum {
	if len(m.Also) > 0 {
		f.charge(costEncoded + m.Size*costByte)
		return f.summing.summer.Sum(m, k)
	}
	if f.summing.known == nil {
		f.summing.known = make([]known, knownSums)
	}
	n := &f.summing.known[m.Sequence%knownSums]
	if n.sequence != m.Sequence || n.encoding != k {
		*n = known{m.Sequence, k, f.summing.summer.Sum(m, k)}
		f.charge(costEncoded + m.Size*costByte)
	}
	return n.sum
}
