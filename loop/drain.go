package loop

import (
	"context"
	"sync/atomic"
	"time"
)

// drainStep is how often a drain looks whether clients have caught up.
const drainStep = 10 * time.Millisecond

// Drain stops accepting, but for what waits already, sends what is owed, says good-bye (WebSocket 1001, the
// last answer to polls, the end of event streams) to a number of connections a second
// (pace), and ends the loops. When ctx ends first, WebSockets whose turn has come, and which wait
// for something else than their socket, get their good-bye without it; the others that are left
// are closed as they are.
func (g *Group) Drain(ctx context.Context) {
	g.once.Do(func() {
		g.Thaw()
		closed := make(chan struct{})
		g.stopAccepting(func() { close(closed) })
		select {
		case <-closed: // the last connections are with their loops before these count
		case <-ctx.Done():
		}
		pace := g.pace(ctx)
		for g.someLeft(ctx, pace.due(g.loops[0].kernel.Now())) && g.awaitPass(ctx) {
		}
		if ctx.Err() != nil {
			g.lastWords()
		}
		g.stop(ctx)
	})
}

// pace is that of a drain that begins now.
func (g *Group) pace(ctx context.Context) pace {
	open := 0
	for _, l := range g.loops {
		open += int(l.load.Load())
	}
	limit := time.Duration(0)
	if end, ok := ctx.Deadline(); ok {
		limit = time.Until(end)
	}
	p := newPace(int(g.drainRate.Load()), open, limit)
	p.began = g.loops[0].kernel.Now()
	if p.raised {
		g.config.Log.Info("drain-rate is too low for the connections that are open: the drain is faster", "connections", open, "limit", limit.Round(100*time.Millisecond), "rate", int(p.rate))
	}
	return p
}

// SetDrainRate changes Config.DrainRate. Any goroutine may call it.
func (g *Group) SetDrainRate(perSecond int) { g.drainRate.Store(int64(perSecond)) }

// DrainRate is Config.DrainRate. Any goroutine may call it.
func (g *Group) DrainRate() int { return int(g.drainRate.Load()) }

// someLeft is one pass of a drain, with more good-byes. It reports whether another is due: connections
// are left, and so is time.
func (g *Group) someLeft(ctx context.Context, more int) bool {
	left := make(chan int, 1)
	g.SayGoodBye(more, func(open int) { left <- open })
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

// lastWords says good-bye to WebSockets that are still owed something which the drain does not
// wait for any longer. It waits for the loops, at most a second.
func (g *Group) lastWords() {
	said := make(chan struct{}, len(g.loops))
	for _, l := range g.loops {
		l.Post(func() {
			for slot := range l.used {
				if c := l.conn(slot); c.state == stateWS && c.flags&flagDrained != 0 && c.isOpen() && l.fan.CaughtUp(slot) {
					code, reason := l.parting()
					l.closeStream(slot, c, code, reason)
				}
			}
			said <- struct{}{}
		})
	}
	late := time.After(time.Second)
	for range g.loops {
		select {
		case <-said:
		case <-late:
			return
		}
	}
}

// goingAway is the reason in good-byes.
const goingAway = "draining: the server is going away"

// StopAccepting begins a drain: it accepts what waits on the listeners, up to mostLast for
// each, and closes them. Any goroutine may call it; it does not wait.
func (g *Group) StopAccepting() { g.stopAccepting(func() {}) }

func (g *Group) stopAccepting(closed func()) {
	l := g.loops[0]
	l.Post(func() {
		l.acceptor.close()
		closed()
	})
}

// SayGoodBye is one pass of a drain. more is how many connections may have their turn
// beside those that earlier passes have left. A connection whose turn has come gets its
// good-bye when it has all it is owed, in this pass or a later one; until its turn it is
// served as before. done is called once, on the goroutine of a loop, with how many
// connections are left. Any goroutine may call SayGoodBye; it does not wait.
func (g *Group) SayGoodBye(more int, done func(open int)) {
	g.goodbyes.Add(int64(more))
	var open, finished atomic.Int32
	for _, l := range g.loops {
		l.Post(func() {
			l.drainPass(&g.goodbyes)
			open.Add(int32(l.open)) // before finished: who comes last sees them all
			if finished.Add(1) == int32(len(g.loops)) {
				done(int(open.Load()))
			}
		})
	}
}

// drainVisits is how many connections one pass looks at: a pass must not keep the loop
// from those that are still served.
const drainVisits = 4096

// drainPass visits the connections behind those of the pass before.
func (l *Loop) drainPass(goodbyes *atomic.Int64) {
	if l.freeze != nil {
		return
	}
	if l.apply() { // what was published before the drain is owed
		l.scheduleTurn()
		return
	}
	for range min(l.used, drainVisits) {
		if l.drainAt >= l.used {
			l.drainAt = 0
		}
		slot := l.drainAt
		l.drainAt++
		c := l.conn(slot)
		if c.state == stateFree || c.flags&flagDrained == 0 && !l.takeTurn(c, goodbyes) {
			continue
		}
		l.sayGoodBye(slot, c)
	}
}

// takeTurn reports whether it is the turn of c, and takes one of goodbyes for it.
func (l *Loop) takeTurn(c *conn, goodbyes *atomic.Int64) bool {
	if c.flags&flagUsed == 0 && l.tick-c.seen < freshTicks {
		return false // its first request is on the way
	}
	if goodbyes.Load() <= 0 {
		return false
	}
	if goodbyes.Add(-1) < 0 { // another loop was faster
		goodbyes.Add(1)
		return false
	}
	c.flags |= flagDrained
	return true
}

// freshTicks is how long a drain waits for the first request of a connection.
const freshTicks = 2

// sayGoodBye ends c if it has all it is owed; otherwise a later pass asks again.
func (l *Loop) sayGoodBye(slot uint32, c *conn) {
	switch c.state {
	case stateHTTP:
		switch {
		case c.flags&flagAnswering != 0:
			c.flags |= flagCloseNext
		case c.input == 0:
			l.linger(slot, c)
		} // else half a request is here: its answer will be the last
	case stateParked:
		c.flags |= flagCloseNext
		l.fan.Finish(slot) // not at once if its lane is not empty
	case stateSSE, stateWS:
		if l.fan.CaughtUp(slot) && !l.owed(c) && c.flags&flagBacklog == 0 && c.isOpen() { // what was read of it is still published, and replied to
			code, reason := l.parting()
			l.closeStream(slot, c, code, reason)
		}
	}
}
