package fanout

import (
	"slices"
	"sort"

	"peal/loop/ring"
)

// strip is a run of a view's stream: everything on its channels with base <
// sequence <= last. With one message it borrows the message's own bytes; with
// more it has a copy of them in a row, made once for all members.
//
// Bytes below end of the index never change while the strip lives; growing
// may move them, and what was handed to the sender stays as it was.
type strip struct {
	base  uint64
	last  uint64
	bytes []byte // borrowed from the first message, or the start of memory
	index []piece

	memory []byte // the strip's own, kept from use to use

	told     []uint64 // the notices it begins with: gap ends by channel of the view, nil for none
	gapped   uint64   // the highest of them
	excludes bool     // some message must not reach some session
	private  bool     // serves one member only
	counted  int32    // bytes of it in Fan.strips
	loose    int32    // bytes of it in Fan.loose
	flights  int32    // that are out with bytes of it
	free     bool     // to be used again when they were reported
	sizes    int32    // of a bundle: Size of its messages, which perhaps nobody else keeps
	until    uint32   // of a bundle: visits of the pass by which all views have been seen since its last message
	stamp    uint64   // of a bundle: members that were behind by then may need it: queue.pushed
	wave     uint64   // of a bundle: members with flights of a wave before this may need it
	next     *strip   // of a bundle: what was waiting after it

	sum *stripSum // of a Summer's encoding

	// The last search, since most members stand at the same place.
	foundFor uint64
	found    int
}

// piece is one message, or the notices of its gaps, of a strip.
type piece struct {
	sequence uint64
	end      uint32
	message  *ring.Message // nil for gap notices
}

// none is a position that nobody has.
const none = ^uint64(0)

func (s *strip) empty() bool { return len(s.index) == 0 }
func (s *strip) size() int   { return len(s.bytes) }

// begin lets the empty strip s begin after base.
func (s *strip) begin(base uint64) { s.base, s.last = base, base }

// reset empties s, keeping its memory.
func (s *strip) reset() {
	clear(s.index)
	s.bytes, s.index, s.memory = nil, s.index[:0], s.memory[:0]
	s.told, s.gapped, s.excludes, s.private = nil, 0, false, false
	s.next, s.until, s.stamp, s.wave, s.sizes = nil, 0, 0, 0, 0
	s.foundFor = none
	if s.sum != nil {
		*s.sum = stripSum{}
	}
}

// add appends a message whose bytes are b: borrowed if it is the first.
func (s *strip) add(m *ring.Message, b []byte) {
	if len(s.index) == 0 {
		s.bytes = b[:len(b):len(b)]
	} else {
		s.copyIn(b)
	}
	s.index = append(s.index, piece{m.Sequence, uint32(len(s.bytes)), m})
	s.last = m.Sequence
	s.excludes = s.excludes || m.Exclude != nil
}

// copyIn appends b to the strip's own memory, moving there what was borrowed.
func (s *strip) copyIn(b []byte) {
	if len(s.memory) == 0 {
		s.memory = append(s.memory, s.bytes...)
	}
	s.memory = append(s.memory, b...)
	s.bytes = s.memory
}

// note appends a message without bytes, for a view of polls.
func (s *strip) note(m *ring.Message) {
	s.index = append(s.index, piece{m.Sequence, 0, m})
	s.last = m.Sequence
	s.excludes = s.excludes || m.Exclude != nil
}

// addNotices begins the strip with the notices of its gaps, as one piece that
// stands at the base: sending it moves no position.
func (s *strip) addNotices(b []byte, told []uint64) {
	s.copyIn(b)
	s.index = append(s.index, piece{s.base, uint32(len(s.bytes)), nil})
	s.told, s.gapped = told, slices.Max(told)
}

// after returns the index of the first piece for who stands at position.
func (s *strip) after(position uint64) int {
	if position == s.base {
		return 0
	}
	if position == s.foundFor {
		return s.found // still right when pieces were added: they come after it
	}
	i := sort.Search(len(s.index), func(i int) bool { return s.index[i].sequence > position })
	if i < len(s.index) { // else pieces may be added that are not after it: position can be ahead
		s.foundFor, s.found = position, i
	}
	return i
}

// reaches is where a member stands that has the pieces up to to.
func (s *strip) reaches(to int) uint64 {
	if to == len(s.index) {
		return s.last
	}
	return s.index[to-1].sequence
}

// start is where piece i begins.
func (s *strip) start(i int) uint32 {
	if i == 0 {
		return 0
	}
	return s.index[i-1].end
}

// holding returns the piece that contains offset.
func (s *strip) holding(offset uint32) int {
	return sort.Search(len(s.index), func(i int) bool { return s.index[i].end > offset })
}
