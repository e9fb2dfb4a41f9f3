package fanout

import (
	"slices"
	"strings"

	"peal/loop/ring"
)

// Standing is where a member stands, for those who inspect it.
type Standing struct {
	Position uint64 // everything up to here was accepted by its socket; 0 without a subscription
	Newest   uint64 // sequence of the newest message on its channels that was applied
	CaughtUp bool   // its socket has accepted all there is
	Stalled  bool   // its socket is full
	Slow     bool   // it was up to date, its socket was full, and it has not caught up since
	Half     int    // bytes of a half-sent message that wait, shared with others
	Private  int    // bytes that wait for it alone
}

// Standing describes a member.
func (f *Fan) Standing(slot uint32) (s Standing) {
	m := f.member(slot)
	s.CaughtUp, s.Stalled, s.Slow = f.CaughtUp(slot), m.flags&flagFull != 0, m.flags&flagSlow != 0
	s.Half, s.Private = f.Held(slot)
	if m.view == 0 {
		return s
	}
	s.Position, s.Newest = f.Position(slot), f.views[m.view].head
	return s
}

// Receives reports whether the member has subscribed to a channel, or a matcher, of that
// name.
func (f *Fan) Receives(slot uint32, channel string) bool {
	m := f.member(slot)
	if m.view == 0 {
		return false
	}
	v := f.views[m.view]
	if v.several == nil {
		return v.only.name() == channel
	}
	_, found := slices.BinarySearchFunc(v.several.bundles, channel, func(b *bundle, name string) int { return strings.Compare(b.name(), name) })
	return found
}

// Adopted is a copy of the id of an earlier session that the member goes by, nil for none.
func (f *Fan) Adopted(slot uint32) *[16]byte {
	if f.member(slot).flags&flagAdopted == 0 {
		return nil
	}
	id := f.adopted[slot>>slabBits][slot&(1<<slabBits-1)]
	return &id
}

// GoesBy reports whether the member goes by that id of an earlier session.
func (f *Fan) GoesBy(slot uint32, id *[16]byte) bool {
	return f.member(slot).flags&flagAdopted != 0 && f.adopted[slot>>slabBits][slot&(1<<slabBits-1)] == *id
}

// FirstChannels appends the first names of a member's channels, sorted, at most most.
func (f *Fan) FirstChannels(dst []string, slot uint32, most int) []string {
	m := f.member(slot)
	if m.view == 0 || most <= 0 {
		return dst
	}
	v := f.views[m.view]
	if v.several == nil {
		return append(dst, v.only.name())
	}
	for _, b := range v.several.bundles[:min(most, len(v.several.bundles))] {
		dst = append(dst, b.name())
	}
	return dst
}

// GapEvents is an Events that also hears of each gap that a member receives, or is closed
// for. Unlike the others it is called at once, and must not call the fan. The gaps are lent.
type GapEvents interface {
	Gap(slot uint32, gaps []ring.Gap)
}

// gap reports the gaps that were found for the member.
func (f *Fan) gap(slot uint32) {
	f.stats.Gaps++
	if f.gapped != nil {
		f.gapped.Gap(slot, f.scratch.gaps)
	}
}
