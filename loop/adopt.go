package loop

// Reserve counts a descriptor of this process among the connections, if there is room for it and
// for one connection more; Release must follow. Any goroutine may call it; those that ask at the
// same moment may all find room.
func (g *Group) Reserve() (ok bool) {
	total := int(g.reserved.Add(1))
	for _, l := range g.loops {
		total += int(l.load.Load())
	}
	if ok = g.admission.Room(total); !ok {
		g.reserved.Add(-1)
	}
	return ok
}

// Release ends a Reserve.
func (g *Group) Release() { g.reserved.Add(-1) }

// Adopt makes a connected socket that this process has made itself a connection of a loop, and
// a stream from its first byte: what is written to the stream can be read at the other end of the socket. It is not
// counted with its address. begin is called once, on the loop's goroutine, and returns
// what the stream is, with Commands; Front.Open follows. If the kernel does not take the
// socket, it is closed, and begin is not called. Any goroutine may call Adopt.
func (g *Group) Adopt(loop uint16, a Arrival, begin func(ref Ref, session uint64) *Subscription) {
	l := g.loops[loop]
	l.load.Add(1)
	l.Post(func() { l.unlessStill(func() { l.adoptPair(a, begin) }) })
}

func (l *Loop) adoptPair(a Arrival, begin func(ref Ref, session uint64) *Subscription) {
	l.adopt(&newcomer{Arrival: a})
	slot, c := l.bySocket(a.Socket)
	if c == nil {
		return
	}
	if l.pairs == nil {
		l.pairs = map[uint32]uint32{}
	}
	l.pairs[slot] = c.serial()
	l.startStream(slot, c, begin(Ref{Loop: l.number, Slot: slot, Generation: c.generation}, c.session), nil)
}
