package loop

import (
	"context"
	"sync/atomic"
	"time"

	"peal/loop/frame"
)

// drainStep is how often a drain looks whether clients have caught up.
const drainStep = 10 * time.Millisecond

// Drain stops accepting, sends what is owed, says good-bye (WebSocket 1001, the
// last answer to polls, the end of event streams) and ends the loops. When ctx
// ends first, connections that are left are closed as they are.
func (g *Group) Drain(ctx context.Context) {
	g.once.Do(func() {
		g.StopAccepting()
		for g.someLeft(ctx) && g.awaitPass(ctx) {
		}
		g.stop(ctx)
	})
}

// someLeft is one pass of a drain. It reports whether another is due: connections
// are left, and so is time.
func (g *Group) someLeft(ctx context.Context) bool {
	left := make(chan int, 1)
	g.SayGoodBye(func(open int) { left <- open })
	select {
	case n := <-left:
		return n > 0
	case <-ctx.Done():
		return false
	}
}

// awaitPass waits for the next pass, and reports whether there is time for it.
func (g *Group) awaitPass(ctx context.Context) bool {
	over := make(chan struct{})
	g.loops[0].kernel.After(drainStep, func() { close(over) })
	select {
	case <-over:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// stop ends the loops that Start has started.
func (g *Group) stop(ctx context.Context) {
	for _, l := range g.loops {
		l.stopping.Store(true)
		l.kernel.Stop()
	}
	stuck := time.After(time.Second) // they have nothing to do but close
	for range g.loops {
		select {
		case <-g.ended:
		case <-stuck:
			if ctx.Err() != nil {
				return // a loop is stuck: the process ends without it
			}
			<-g.ended
		}
	}
}

// StopAccepting begins a drain: it closes the listeners. Any goroutine may call it;
// it does not wait.
func (g *Group) StopAccepting() {
	l := g.loops[0]
	l.Post(func() { l.acceptor.close() })
}

// SayGoodBye is one pass of a drain. It says good-bye to connections that have all
// they are owed; for the others there must be a pass later. done is called once, on
// the goroutine of a loop, with how many connections are left. Any goroutine may
// call SayGoodBye; it does not wait.
func (g *Group) SayGoodBye(done func(open int)) {
	var open, finished atomic.Int32
	for _, l := range g.loops {
		l.Post(func() {
			l.drainPass()
			open.Add(int32(l.open)) // before finished: who comes last sees them all
			if finished.Add(1) == int32(len(g.loops)) {
				done(int(open.Load()))
			}
		})
	}
}

// drainPass says good-bye to connections that have all they are owed.
func (l *Loop) drainPass() {
	l.draining = true
	if l.apply() { // what was published before the drain is owed
		l.scheduleTurn()
		return
	}
	for slot := range l.used {
		c := l.conn(slot)
		if c.state == stateFree || c.flags&flagDrained != 0 {
			continue
		}
		switch c.state {
		case stateHTTP:
			switch {
			case c.flags&flagAnswering != 0:
				c.flags |= flagCloseNext
			case c.input == 0:
				c.flags |= flagDrained
				l.linger(slot, c)
			} // else half a request is here: its answer will be the last
		case stateParked:
			c.flags |= flagCloseNext
			l.fan.Expire(slot) // not at once if its lane is not empty: the next pass asks again
		case stateSSE, stateWS:
			if l.fan.CaughtUp(slot) && !l.owed(c) && c.flags&flagBacklog == 0 { // what was read of it is still published, and replied to
				c.flags |= flagDrained
				l.closeStream(slot, c, frame.CloseGoingAway, "the server is going away: reconnect")
			}
		}
	}
}
