package loadtest

import (
	"cmp"
	"slices"
)

// Counts is what the receivers of a run found. Expected = Delivered + Lost,
// exactly; Duplicated and Reordered come on top of and within Delivered.
type Counts struct {
	Expected   uint64 `json:"expected"`   // messages × receivers that should have had them
	Delivered  uint64 `json:"delivered"`  // first copies
	Lost       uint64 `json:"lost"`       // never came
	Duplicated uint64 `json:"duplicated"` // further copies
	Reordered  uint64 `json:"reordered"`  // first copies that came after a later message of their stream
	Foreign    uint64 `json:"foreign"`    // no stamp, another run's, or a stream the subscriber did not ask for

	// Damaged messages are no deliveries: each is lost too, unless it comes again whole.
	Corrupted uint64 `json:"corrupted"` // of the right length, with a wrong byte
	Truncated uint64 `json:"truncated"` // shorter or longer than it was sent
	Invalid   uint64 `json:"invalid"`   // text that is not UTF-8, a wrapper that is not JSON, the wrong type of frame
}

// Traffic is the bytes of a run at the receivers' sockets: payload and all that
// surrounds it, without TCP and IP. Written is the requests of polls. Only the
// epoll kind counts.
type Traffic struct {
	Read    uint64 `json:"read"`
	Written uint64 `json:"written"`

	Compressed uint64 `json:"compressed,omitempty"` // of Read: messages of permessage-deflate, without their frames
	Inflated   uint64 `json:"inflated,omitempty"`   // what they were before
}

// Add adds other to c.
func (c *Counts) Add(other Counts) {
	c.Expected += other.Expected
	c.Delivered += other.Delivered
	c.Lost += other.Lost
	c.Duplicated += other.Duplicated
	c.Reordered += other.Reordered
	c.Foreign += other.Foreign
	c.Corrupted += other.Corrupted
	c.Truncated += other.Truncated
	c.Invalid += other.Invalid
}

// Clean reports that every expected message came once, whole and in order, and nothing else.
func (c Counts) Clean() bool {
	return c.Lost+c.Duplicated+c.Reordered+c.Foreign+c.Damaged() == 0
}

// Damaged is how many messages arrived in another form than they were sent.
func (c Counts) Damaged() uint64 { return c.Corrupted + c.Truncated + c.Invalid }

// A track is what one subscriber has of one stream.
type track struct {
	high    uint64   // greatest sequence seen
	missing *missing // of those below high; nil, as almost always, when none is
}

// missing is a sorted list of disjoint ranges.
type missing struct{ ranges []Span }

// Span is a range of sequences, both ends in it.
type Span struct{ First, Last uint64 }

// A verdict is what one arrival was.
type verdict uint8

const (
	inOrder verdict = iota
	reordered
	duplicate
)

// take records the arrival of sequence.
func (t *track) take(sequence uint64) verdict {
	switch {
	case sequence == t.high+1:
		t.high = sequence
		return inOrder
	case sequence > t.high:
		if t.missing == nil {
			t.missing = new(missing)
		}
		t.missing.ranges = append(t.missing.ranges, Span{t.high + 1, sequence - 1})
		t.high = sequence
		return inOrder
	case t.missing.remove(sequence):
		return reordered
	}
	return duplicate
}

// lost returns how many of the sequences 1…published never came.
func (t *track) lost(published uint64) uint64 {
	n := uint64(0)
	if published > t.high {
		n = published - t.high
	}
	if t.missing != nil {
		for _, s := range t.missing.ranges {
			n += s.Last - s.First + 1
		}
	}
	return n
}

// lostBut is lost without those that are excused, which are sorted and apart.
func (t *track) lostBut(published uint64, excused []Span) uint64 {
	n := t.lost(published)
	if n == 0 || len(excused) == 0 {
		return n
	}
	if t.missing != nil {
		for _, s := range t.missing.ranges {
			n -= within(s, excused)
		}
	}
	return n - within(Span{t.high + 1, published}, excused)
}

// within counts the sequences of s that are in spans.
func within(s Span, spans []Span) (n uint64) {
	from, _ := slices.BinarySearchFunc(spans, s.First, func(e Span, v uint64) int { return cmp.Compare(e.Last, v) })
	for _, e := range spans[from:] {
		if e.First > s.Last {
			break
		}
		if first, last := max(s.First, e.First), min(s.Last, e.Last); first <= last {
			n += last - first + 1
		}
	}
	return n
}

// joined sorts spans and makes one of those that touch.
func joined(spans []Span) []Span {
	slices.SortFunc(spans, func(a, b Span) int { return cmp.Compare(a.First, b.First) })
	kept := spans[:0]
	for _, s := range spans {
		if n := len(kept); n > 0 && s.First <= kept[n-1].Last+1 {
			kept[n-1].Last = max(kept[n-1].Last, s.Last)
			continue
		}
		kept = append(kept, s)
	}
	return kept
}

// remove takes sequence out and reports whether it was in.
func (m *missing) remove(sequence uint64) bool {
	if m == nil {
		return false
	}
	i, _ := slices.BinarySearchFunc(m.ranges, sequence, func(s Span, v uint64) int {
		if s.Last < v {
			return -1
		}
		return 1
	})
	if i == len(m.ranges) || m.ranges[i].First > sequence {
		return false
	}
	r := m.ranges[i]
	left := []Span{{r.First, sequence - 1}, {sequence + 1, r.Last}}
	left = slices.DeleteFunc(left, func(s Span) bool { return s.First > s.Last })
	m.ranges = slices.Replace(m.ranges, i, i+1, left...)
	return true
}
