package loop

// A request may have to wait for something that the front does not have yet, and that
// it may not wait for on the loop: a signature that a worker checks. It stays where
// it is, in the input of its connection (stateWaiting), and is looked at again from
// its first byte.

// Again has the front asked once more about the request that it let Wait. ref is the
// Call.Conn of that request, and is stale afterwards. Any goroutine may call it, also
// before Request has returned; each call of Request that ends with Wait needs one.
func (g *Group) Again(ref Ref) { g.loops[ref.Loop].Again(ref) }

// Again is Group.Again for a connection of this loop.
func (l *Loop) Again(ref Ref) {
	l.door.Lock()
	l.waiters = append(l.waiters, ref)
	l.ringDoor()
	l.door.Unlock()
}

// askAgain makes the connection go on with its input in a turn, behind others. The time
// that it has waited is not the client's.
func (l *Loop) askAgain(ref Ref) {
	c := l.conn(ref.Slot)
	if c.generation != ref.Generation || c.state != stateWaiting {
		return
	}
	c.state = stateHTTP
	c.generation++
	c.seen = l.tick
	if c.flags&flagHead != 0 {
		k := &l.inputs[c.input]
		k.since += l.tick - k.waits
		l.wheel.Sooner(ref.Slot, l.tick+1) // what is left of its time is worked out then
	}
	if c.flags&flagAnswering == 0 { // else Idle goes on
		l.resume(ref.Slot, c)
	}
}
