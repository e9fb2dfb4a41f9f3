package loop

import (
	"context"

	"peal/loop/frame"
)

// restarting is the reason in good-byes to connections that stay behind.
const restarting = "restarting: the server goes on in another process"

// Leave follows the commit of a hand-over: the loops close the listeners and let go of the connections that Export has
// returned, without a word to clients and fronts, but for those of the sessions in stay, which the other process could
// not take. These and the others that were not exported are served on; what waits on the listeners is
// the other process's. Drain must follow, whose good-byes then have the code 1012. An error means that a loop does not answer.
func (g *Group) Leave(ctx context.Context, stay map[uint64]struct{}) error {
	return g.each(ctx, func(l *Loop) { l.letGo(stay) })
}

func (l *Loop) letGo(stay map[uint64]struct{}) {
	f := l.freeze
	if f == nil {
		return
	}
	l.shared = false // the copies are what goes on
	if a := l.acceptor; a != nil {
		a.paused = true
		for _, listener := range a.listeners {
			l.kernel.CloseSocket(listener)
		}
		a.listeners = nil
	}
	for _, slot := range f.handed {
		c := l.conn(slot)
		if _, stays := stay[c.session]; stays {
			continue
		}
		c.flags &^= flagNamed // the front of the other process has it
		delete(f.room, slot)
		delete(f.broken, slot)
		l.giveBack(slot, c)
	}
	l.leaving = true
	l.thaw()
}

// parting is the code and the reason of good-byes.
func (l *Loop) parting() (code uint16, reason string) {
	if l.leaving {
		return frame.CloseServiceRestart, restarting
	}
	return frame.CloseGoingAway, goingAway
}
