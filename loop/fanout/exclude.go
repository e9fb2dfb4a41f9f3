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

// leavesOut reports whether msg must not reach the member. It then moves past msg as
// if it had received it.
func (f *Fan) leavesOut(msg *ring.Message, slot uint32, m *member) bool {
	switch x := msg.Exclude; {
	case x == nil:
		return false
	case m.flags&flagAdopted != 0:
		return f.adopted[slot>>slabBits][slot&(1<<slabBits-1)] == x.ID
	default:
		return m.session == x.Session
	}
}
