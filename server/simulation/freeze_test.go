package simulation_test

// The loops of some seeds stop for a hand-over now and then, which is given up: it changes nothing.
// While they are frozen, clients, publishers and the log go on; time stands still.

// frost is how far the loops are.
type frost uint8

const (
	thawed   frost = iota
	freezing       // loop.Group.Freeze is under way
	frozen         // nothing new is begun
	settling       // loop.Group.Settle is under way
	still          // nothing is sent
)

// freezeOn begins a hand-over, goes on with it, or gives it up.
func (w *world) freezeOn() {
	group := w.group
	reach := func(from, to frost) func() {
		return func() {
			if w.group == group && w.frost == from { // it was not given up meanwhile
				w.frost = to
			}
		}
	}
	switch {
	case w.bug.upgrades:
		w.moveOn(reach)
	case w.seed%5%2 == 0 || w.failure != "" || w.node != nil:
	case w.frost == thawed:
		if !w.draining && w.own.IntN(60) == 0 {
			w.note("the loops freeze")
			w.frost = freezing
			group.BeginFreeze(reach(freezing, frozen))
		}
	case w.draining || w.own.IntN(12) == 0:
		w.thaw()
	case w.frost == frozen && w.own.IntN(3) == 0:
		w.note("the loops settle")
		w.frost = settling
		group.BeginSettle(reach(settling, still))
	}
}

// thaw has the loops go on. It counts those that were still.
func (w *world) thaw() {
	if w.frost == thawed {
		return
	}
	if w.frost == still {
		w.counts[stills]++
	}
	w.note("the loops thaw")
	w.frost = thawed
	w.group.Thaw()
}

// checkStill fails when a loop touches a socket that is being handed over. A layer for TLS has
// its own handshakes.
func (w *world) checkStill(fd int32) {
	if w.frost == still && !w.bug.tls {
		w.fail("a loop reads, writes or closes descriptor %d while its connections are being handed over", fd)
	}
}
