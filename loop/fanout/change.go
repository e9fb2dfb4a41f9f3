package fanout

import (
	"slices"

	"peal/loop/ring"
)

// marks is what sets single channels of a member apart from its position: each
// slice has one sequence for each channel of the view, or is nil for none.
//
// A subscription that begins behind the connection takes the position back with
// it; had keeps the other channels from being repeated. One that begins ahead
// has its start in skip, or in had if the client said that it has all before.
type marks struct {
	told []uint64 // what is gone up to here needs no notice: told already, or not asked for
	had  []uint64 // the client has all up to here
	skip []uint64 // nothing up to here was asked for
}

// highest is the position from which on the marks say nothing any more.
func (k *marks) highest() uint64 {
	h := uint64(0)
	for _, s := range [][]uint64{k.told, k.had, k.skip} {
		for _, q := range s {
			h = max(h, q)
		}
	}
	return h
}

// bar reports whether m, of view v, is nothing for the member: it has it by one
// of its channels, or asked for it by none.
func (k *marks) bar(f *Fan, v *view, m *ring.Message) bool {
	if k == nil || k.had == nil {
		return false
	}
	had, wanted := false, false
	v.channels(func(i int, c *channel) {
		if f.channels.carries(c, m) {
			had = had || k.had[i] >= m.Sequence
			wanted = wanted || k.skip[i] < m.Sequence
		}
	})
	return had || !wanted
}

// isTold reports whether a gap of channel i up to that sequence needs no notice.
func (k *marks) isTold(i int, to uint64) bool {
	return k != nil && k.told != nil && to <= k.told[i]
}

// start is where the member stands on channel i of its view.
func (k *marks) start(i int, position uint64) uint64 {
	if k == nil || k.had == nil {
		return position
	}
	return max(position, k.had[i], k.skip[i])
}

// Add has a stream receive further channels, or channels it has from another
// start; all in s but these and the start is ignored for a member that receives
// already. It returns the position from which on s.Channels are delivered.
//
// Nothing is sent before the next Flush. What the member has of its other
// channels, or will have when what is with the sender was reported, is neither
// repeated nor left out.
func (f *Fan) Add(slot uint32, s *Subscription) (start uint64) {
	m := f.member(slot)
	if m.view == 0 {
		start, _ = f.Subscribe(slot, s) // fails only for a member that is subscribed
		return start
	}
	old := f.views[m.view]
	base, before := f.Position(slot), f.marks[slot]
	start, told := f.resolve(s)
	names := make([]string, 0, old.width()+len(s.Channels))
	old.channels(func(_ int, c *channel) { names = append(names, c.name()) })
	names = append(names, s.Channels...)
	slices.Sort(names)
	names = slices.Compact(names)

	k := newMarks(len(names))
	place := func(name string) int { i, _ := slices.BinarySearch(names, name); return i }
	old.channels(func(i int, c *channel) {
		at := place(c.name())
		k.had[at] = base
		if before == nil {
			return
		}
		if before.told != nil {
			k.told[at] = before.told[i]
		}
		if before.had != nil {
			k.had[at], k.skip[at] = max(base, before.had[i]), before.skip[i]
		}
	})
	for i, name := range s.Channels {
		at := place(name)
		k.had[at], k.skip[at], k.told[at] = 0, start, 0
		if s.From == After {
			k.had[at], k.skip[at] = start, 0
		}
		if told != nil {
			k.told[at] = told[i]
		}
	}
	f.charge((old.width() + len(names)) * costJoined)
	f.carry(m, old, s.Channels)
	f.relocate(slot, m, names, old.encoding)
	m.position = min(base, start)
	if start < base {
		m.flags &^= flagLive | flagSlow // it resumes
	}
	f.setMarks(slot, m, k)
	f.wakeMember(slot, m)
	return start
}

// Drop ends the subscription to some channels of a stream; it goes on with the
// others. Channels it does not have are ignored.
func (f *Fan) Drop(slot uint32, channels []string) {
	m := f.member(slot)
	if m.view == 0 {
		return
	}
	old := f.views[m.view]
	base, before := f.Position(slot), f.marks[slot]
	var names []string
	var kept []int
	old.channels(func(i int, c *channel) {
		if !slices.Contains(channels, c.name()) {
			names, kept = append(names, c.name()), append(kept, i)
		}
	})
	switch len(names) {
	case old.width():
		return
	case 0:
		f.leave(slot, m)
		m.position = base
		return
	}
	k := newMarks(len(names))
	for at, i := range kept {
		if before != nil && before.told != nil {
			k.told[at] = before.told[i]
		}
		if before != nil && before.had != nil {
			k.had[at], k.skip[at] = before.had[i], before.skip[i]
		}
	}
	f.charge((old.width() + len(names)) * costJoined)
	f.carry(m, old, channels)
	f.relocate(slot, m, names, old.encoding)
	m.position = base
	f.setMarks(slot, m, k)
	f.wakeMember(slot, m)
}

// Channels appends the names of the member's channels, sorted.
func (f *Fan) Channels(dst []string, slot uint32) []string {
	m := f.member(slot)
	if m.view != 0 {
		f.views[m.view].channels(func(_ int, c *channel) { dst = append(dst, c.name()) })
	}
	return dst
}

func newMarks(width int) *marks {
	all := make([]uint64, 3*width)
	return &marks{told: all[:width:width], had: all[width : 2*width : 2*width], skip: all[2*width:]}
}

// setMarks gives the member its marks, unless they say nothing beyond its position.
func (f *Fan) setMarks(slot uint32, m *member, k *marks) {
	if k.highest() <= m.position {
		return
	}
	f.marks[slot] = k
	m.flags |= flagMarks
}

// relocate takes the member from its view into that of names, which are sorted.
func (f *Fan) relocate(slot uint32, m *member, names []string, k ring.Encoding) {
	v := f.find(names, k, false)
	if v == f.views[m.view] {
		f.forget(slot, m)
		return
	}
	// Counted there before it is counted out here: a channel without a
	// subscriber could be forgotten, and what it knows of gaps become coarser.
	v.channels(f.enter)
	f.part(slot, m)
	f.join(slot, m, v)
	v.channels(func(_ int, c *channel) { f.source.Leave(c.name()) })
}

// noteTold remembers the notices that the member was sent.
func (f *Fan) noteTold(slot uint32, m *member, told []uint64) {
	if m.flags&flagMarks == 0 {
		f.marks[slot] = &marks{told: told}
		m.flags |= flagMarks
		return
	}
	f.marks[slot].told = told
}

// wakeMember queues the member if there is something for it.
func (f *Fan) wakeMember(slot uint32, m *member) {
	if m.flags&flagFull == 0 && m.position < f.views[m.view].head {
		f.queueBehind(slot, m)
	}
}
