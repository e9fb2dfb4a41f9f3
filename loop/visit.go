package loop

// visit is something to be done on a stream by its loop.
type visit struct {
	ref Ref
	do  func(c Client)
}

// Do runs f for the WebSocket or event stream that ref names, on the goroutine of its
// loop; ref is its Client.Ref, or the Call.Conn of the request that it began with. If
// the connection is closed by then, or says good-bye, f is not run. c is good for the
// length of f, which must not block.
//
// Any goroutine may call Do, which does not block either. Callers limit how many are
// under way: one for a message that the front has noted with Client.Owe, for instance.
func (g *Group) Do(ref Ref, f func(c Client)) { g.loops[ref.Loop].Do(ref, f) }

// Do is Group.Do for a connection of this loop.
func (l *Loop) Do(ref Ref, f func(c Client)) {
	l.door.Lock()
	l.visits = append(l.visits, visit{ref, f})
	l.ringDoor()
	l.door.Unlock()
}

func (l *Loop) visit(v visit) {
	slot, c := v.ref.Slot, l.conn(v.ref.Slot)
	if c.generation != v.ref.Generation || !c.isOpen() {
		return
	}
	waited := l.waits(c)
	l.busy()
	v.do(l.clientOf(slot))
	l.idle()
	l.settled(slot, c, waited)
}
