package fanout

// Member flags.
const (
	flagAttached  uint16 = 1 << iota
	flagFull             // the socket took less than it was given; Writable clears it
	flagBehind           // in the behind queue
	flagIgnoreGap        // go on after a gap that the encoding cannot tell
	flagClose            // poll: the connection ends after the answer
	flagHeadOnly         // poll by HEAD
	flagDead             // an event said so; nothing is sent any more
	flagExpired          // poll: its time is up, so it is answered even with nothing
	flagMarks            // Fan.marks has an entry
	flagForeign          // poll with a cursor that means nothing here: the answer says gap
	flagLive             // had all there was at least once: no longer resuming
	flagSlow             // its socket was full while it was live, and it has not caught up since
	flagIntroduce        // poll: the answer has a session id, so it is for this member alone
	flagAdopted          // it is known by an id of another session: Fan.adopted
	flagLast             // poll: Finish
	flagSummed           // it has a sum: its encoding is that of a Summer

	flagUnsummed = flagLast // a stream with a sum: the end in its lane lacks it, because a strip before it is with the sender
)

// member is what the fan knows of one connection. It has no pointers, so that
// a million of them cost the collector nothing.
type member struct {
	position   uint64 // everything of its view up to here was sent or is in its lane
	session    uint64
	view       uint32 // index in views; 0 for none
	place      uint32 // index in the view's members
	lane       uint32 // index in lanes; 0 for none
	flight     uint32 // its ticket + 1 while bytes are with the sender; 0 for none
	generation uint32 // Conn.Generation
	flags      uint16
	origin     uint16 // Subscription.Origin
}

// slabBits: 256 members a slab (40 B each) so that growing never moves one.
const slabBits = 8

type slab [1 << slabBits]member

func (f *Fan) member(slot uint32) *member {
	return &f.slabs[slot>>slabBits][slot&(1<<slabBits-1)]
}

// Attach makes c a member that receives nothing yet. Slots are the loop's small
// numbers, and free again after Detach, for another generation; session is unique
// and non-zero.
func (f *Fan) Attach(c Conn, session uint64) {
	for int(c.Slot>>slabBits) >= len(f.slabs) {
		f.slabs = append(f.slabs, new(slab))
	}
	m := f.member(c.Slot)
	if m.flags&flagAttached != 0 {
		panic("fanout: slot attached twice")
	}
	*m = member{session: session, generation: c.Generation, flags: flagAttached}
	f.stats.Members++
}

// Detach forgets the member: its subscription, its lane, its place in queues. Bytes
// that are with the sender are still reported, and then mean nothing.
func (f *Fan) Detach(slot uint32) {
	m := f.member(slot)
	if m.flags&flagAttached == 0 {
		return
	}
	f.leave(slot, m)
	f.dropLane(m)
	if m.flags&flagFull != 0 {
		f.stats.Stalled--
	}
	*m = member{}
	f.stats.Members--
}

// Position is the sequence up to which the member has everything, by what was
// reported.
func (f *Fan) Position(slot uint32) uint64 {
	m := f.member(slot)
	if m.view == 0 || m.position >= f.views[m.view].head {
		return max(m.position, f.applied)
	}
	return m.position
}

// CaughtUp reports whether all there is was accepted by the member's socket.
func (f *Fan) CaughtUp(slot uint32) bool {
	m := f.member(slot)
	return m.lane == 0 && m.flight == 0 && m.flags&flagFull == 0 &&
		(m.view == 0 || m.position >= f.views[m.view].head)
}

// Stalled reports whether the member's socket is full.
func (f *Fan) Stalled(slot uint32) bool { return f.member(slot).flags&flagFull != 0 }

// LaneEmpty reports whether nothing private waits for the member's socket, nor, if
// it has no subscription, is anything on its way to it. Else Idle follows.
func (f *Fan) LaneEmpty(slot uint32) bool {
	m := f.member(slot)
	return m.lane == 0 && (m.flight == 0 || m.view != 0)
}

// LaneWaits reports whether something private waits that the sender does not have yet.
func (f *Fan) LaneWaits(slot uint32) bool {
	m := f.member(slot)
	if m.lane == 0 {
		return false
	}
	l, out := &f.lanes[m.lane], 0
	if m.flight != 0 && f.flights[m.flight-1].lane {
		out = len(f.flights[m.flight-1].bytes)
	}
	return m.flags&flagFull != 0 || len(l.half)+len(l.buf) > out
}

// Held is what the fan keeps for this member alone, in bytes: the rest of a
// half-sent message (shared with others, but pinned by it) and its lane.
func (f *Fan) Held(slot uint32) (half, private int) {
	if m := f.member(slot); m.lane != 0 {
		l := &f.lanes[m.lane]
		return len(l.half), len(l.buf)
	}
	return 0, 0
}

// FirstChannel is the first channel of the member's subscription.
func (f *Fan) FirstChannel(slot uint32) string { return f.views[f.member(slot).view].first().name() }

// Width is the number of channels that the member receives.
func (f *Fan) Width(slot uint32) int {
	if m := f.member(slot); m.view != 0 {
		return f.views[m.view].width()
	}
	return 0
}

// Channeled is the number of channels with members.
func (f *Fan) Channeled() int { return f.channels.len() }

// Revive lets private bytes be written to a member that an event declared
// finished (Gapped), so that it can be told why.
func (f *Fan) Revive(slot uint32) {
	m := f.member(slot)
	m.flags &^= flagDead
	f.leave(slot, m) // or the next message would find the same gap
	if m.lane != 0 {
		f.recount(&f.lanes[m.lane])
		if m.flags&flagFull == 0 {
			f.queueBehind(slot, m)
		}
	}
}

// Writable says that the member's socket has room again.
func (f *Fan) Writable(slot uint32) {
	m := f.member(slot)
	if m.flags&flagFull == 0 {
		return
	}
	m.flags &^= flagFull
	f.stats.Stalled--
	f.again(slot, m)
}
