package fanout

import "peal/loop/ring"

// ids are the ids that the members of one slab have adopted: 16 B for each of them once
// one has, and no pointers.
type ids [1 << slabBits][16]byte

// Adopt has messages leave the member out by id, and no longer by its session number;
// nil: by its session number again. It holds until the next Adopt, or Detach. Messages
// that wait for the member, wherever, are left out by what holds when their turn comes.
func (f *Fan) Adopt(slot uint32, id *[16]byte) {
	m := f.member(slot)
	if id == nil {
		m.flags &^= flagAdopted
		return
	}
	for int(slot>>slabBits) >= len(f.adopted) {
		f.adopted = append(f.adopted, nil)
	}
	s := &f.adopted[slot>>slabBits]
	if *s == nil {
		*s = new(ids)
	}
	(*s)[slot&(1<<slabBits-1)] = *id
	m.flags |= flagAdopted
}

// concerns returns what remains of a gap of channel for the member, 0 for nothing. The
// strip that is being read is then for this member alone, if others have more or less of it.
func (f *Fan) concerns(channel string, discarded uint64, slot uint32, m *member) uint64 {
	if f.channels.pattern(channel) != nil {
		return discarded // it is not known whom each of them leaves out
	}
	upto, whole := f.source.Concerns(channel, discarded, func(x *ring.Exclusion) bool { return f.known(x, slot, m) })
	f.scratch.own = f.scratch.own || !whole
	return upto
}

// leavesOut reports whether msg must not reach the member. It then moves past msg as
// if it had received it.
func (f *Fan) leavesOut(msg *ring.Message, slot uint32, m *member) bool {
	return msg.Exclude != nil && f.known(msg.Exclude, slot, m)
}

// known reports whether x names the member.
func (f *Fan) known(x *ring.Exclusion, slot uint32, m *member) bool {
	if m.flags&flagAdopted != 0 {
		return f.adopted[slot>>slabBits][slot&(1<<slabBits-1)] == x.ID
	}
	return m.session == x.Session
}
