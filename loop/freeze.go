package loop

import (
	"context"
	"fmt"
	"maps"
	"slices"
)

// freezing is what a loop notes that has stopped to hand its connections over. It may go on
// at any time: thaw.
//
// What comes meanwhile is not lost. Input is noted where input waits for its turn
// (flagReadable and Loop.again); what other goroutines bring stays behind the door; room in
// sockets and resets are noted here, because events are edges and do not come again.
type freezing struct {
	owed  []named // connections for which something is being prepared
	done  func()  // to be called when these have it; nil: it was
	still bool    // nothing is sent any more
	rest  func()  // to be called when still; nil: Settle was not called yet

	handed []uint32 // slots of the connections that Export has returned

	room   map[uint32]uint32 // slot → serial: there is room in the socket again
	broken map[uint32]uint32 // likewise: half-closed connections that were reset perhaps
	posts  []func()          // what must wait for the thaw
}

// named is a connection by its slot and serial.
type named struct{ slot, serial uint32 }

// Freeze stops the loops for a hand-over: they accept nothing, read nothing and serve no
// timer. What is under way is finished; Freeze returns when all responses and replies that
// other goroutines prepare have come, or with an error when ctx ends. Connections that
// still wait then are not handed over. Publications still go through: see Settle.
//
// Thaw must follow, or Abandon. Until then, nothing else may write to connections.
func (g *Group) Freeze(ctx context.Context) error {
	return g.await(ctx, "responses are being prepared", g.BeginFreeze)
}

// BeginFreeze is Freeze for a caller that does not wait: done is called once, on the goroutine
// of a loop, unless Thaw comes before.
func (g *Group) BeginFreeze(done func()) {
	g.onAll(done, func(l *Loop, done func()) { l.beginFreeze(done) })
}

// Settle follows Freeze when nothing more is published: the loops take the ring to its
// head, and send until only members whose sockets are full, and those that read the
// history, have something to receive. Then they send nothing any more, and what other
// goroutines bring waits. An error means that this took longer than ctx.
func (g *Group) Settle(ctx context.Context) error {
	return g.await(ctx, "messages are being sent", g.BeginSettle)
}

// BeginSettle is Settle for a caller that does not wait, as BeginFreeze.
func (g *Group) BeginSettle(done func()) {
	g.onAll(done, func(l *Loop, done func()) { l.beginSettle(done) })
}

// Thaw has the loops go on as if Freeze had not been called. Any goroutine may call it; it does not
// wait. Loops that are not frozen do nothing.
func (g *Group) Thaw() {
	for _, l := range g.loops {
		l.Post(l.thaw)
	}
}

// onAll begins something on all loops, and calls done when it is done on all of them.
func (g *Group) onAll(done func(), begin func(l *Loop, done func())) {
	left := make(chan struct{}, len(g.loops))
	for range len(g.loops) - 1 {
		left <- struct{}{}
	}
	for _, l := range g.loops {
		l.Post(func() {
			begin(l, func() {
				select {
				case <-left:
				default:
					done()
				}
			})
		})
	}
}

// await is begin with waiting.
func (g *Group) await(ctx context.Context, what string, begin func(done func())) error {
	over := make(chan struct{})
	begin(func() { close(over) })
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("loop: hand-over: %s: %w", what, ctx.Err())
	}
}

func (l *Loop) beginFreeze(done func()) {
	if l.freeze == nil {
		l.freeze = &freezing{room: map[uint32]uint32{}, broken: map[uint32]uint32{}}
	}
	f := l.freeze
	f.owed, f.done = nil, done
	for slot := range l.used {
		if c := l.conn(slot); c.isOwed() {
			f.owed = append(f.owed, named{slot, c.serial()})
		}
	}
	l.awaitOwed()
}

// isOwed reports whether another goroutine prepares something for the connection.
func (c *conn) isOwed() bool {
	return c.state == stateLater || c.state != stateFree && (c.late > 0 || c.flags&flagAsking != 0)
}

// awaitOwed is called when something has come through the door of a frozen loop.
func (l *Loop) awaitOwed() {
	f := l.freeze
	f.owed = slices.DeleteFunc(f.owed, func(n named) bool {
		c := l.conn(n.slot)
		return c.serial() != n.serial || !c.isOwed()
	})
	if done := f.done; done != nil && len(f.owed) == 0 {
		f.done = nil
		done()
	}
}

func (l *Loop) beginSettle(done func()) {
	switch f := l.freeze; {
	case f == nil: // it was thawed meanwhile
	case f.still:
		done()
	default:
		f.rest = done
		l.scheduleTurn()
	}
}

// isStill reports whether the loop sends nothing, because its connections are being handed over.
func (l *Loop) isStill() bool { return l.freeze != nil && l.freeze.still }

// frozenTurn is the end of a turn of a frozen loop. more: there is more to send.
func (l *Loop) frozenTurn(more bool) {
	l.turned = l.work()
	f := l.freeze
	if f.rest != nil && !l.ring.Waiting() && l.fan.Settled() {
		f.still = true
		f.rest()
		return
	}
	if more || l.fan.Pending() || l.ring.Waiting() {
		l.scheduleTurn()
	}
}

// hold notes an event of a connection for the thaw.
func (l *Loop) hold(slot uint32, c *conn, e Events) {
	f := l.freeze
	if e&Writable != 0 && l.fan.Stalled(slot) {
		if f.still {
			f.room[slot] = c.serial()
		} else {
			l.fan.Writable(slot)
		}
	}
	switch {
	case c.state == stateFree || e&Readable == 0:
	case c.flags&flagHalfClosed != 0:
		if e&Broken != 0 {
			f.broken[slot] = c.serial()
		}
	default:
		c.flags |= flagReadable
		if e&NearEnd != 0 {
			c.flags |= flagEnding
		}
		l.queue(slot, c)
	}
}

// unlessStill runs what would write to a connection, after the thaw if it must.
func (l *Loop) unlessStill(post func()) {
	if l.isStill() {
		l.freeze.posts = append(l.freeze.posts, post)
		return
	}
	post()
}

// stillDoor leaves what other goroutines have brought behind the door, but for what they post.
func (l *Loop) stillDoor() {
	began, before := l.begin()
	l.door.Lock()
	l.rung = false
	posts := l.posts
	l.posts = nil
	l.door.Unlock()
	for _, f := range posts {
		f()
	}
	l.after(1)
	l.callback(began, before)
}

func (l *Loop) thaw() {
	f := l.freeze
	if f == nil {
		return
	}
	l.freeze, l.shared = nil, false
	for _, slot := range slices.Sorted(maps.Keys(f.room)) {
		if l.conn(slot).serial() == f.room[slot] {
			l.fan.Writable(slot)
		}
	}
	for _, slot := range slices.Sorted(maps.Keys(f.broken)) {
		if c := l.conn(slot); c.serial() == f.broken[slot] {
			l.ready(slot, c, Readable|Broken)
		}
	}
	if l.acceptor != nil {
		l.acceptor.acceptAll()
	}
	l.door.Lock()
	if len(l.inbox)+len(l.answers)+len(l.waiters)+len(l.visits) > 0 {
		l.ringDoor()
	}
	l.door.Unlock()
	for _, post := range f.posts {
		post()
	}
	l.scheduleTurn()
}

// Abandon ends the loops of a Group whose connections another process has taken over: descriptors are
// closed, and nobody hears of it, neither clients nor fronts. ctx is as for Drain.
func (g *Group) Abandon(ctx context.Context) {
	g.once.Do(func() {
		_ = g.each(ctx, func(l *Loop) { l.abandoned = true }) // a loop that does not answer is stuck
		g.stop(ctx)
	})
}

// abandon is end without a word.
func (l *Loop) abandon() {
	for slot := range l.used {
		if c := l.conn(slot); c.state != stateFree {
			l.kernel.CloseSocket(c.fd)
			*c = conn{}
		}
	}
	if l.acceptor != nil {
		for _, listener := range l.acceptor.listeners {
			l.kernel.CloseSocket(listener)
		}
		l.acceptor.listeners = nil
	}
}
