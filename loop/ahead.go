package loop

import (
	"bytes"
	"context"
	"sync"

	"peal/loop/fanout"
)

// One step of Ahead looks at so many slots at most, and describes connections until there are so many, or they have cost so
// much: one each, and one for each channel.
const (
	aheadLooks = 1024
	aheadMost  = 64
	aheadCost  = 384
)

// Ahead describes connections as Export does, while the loops run, so that a hand-over that follows has less to do
// while clients wait: see ConnState.AppendChange. It leaves out those that something waits for, and visits a bounded number
// in each turn of a loop. give gets each step's connections of a loop, and descriptors of their sockets that stay good until
// it returns, although the connections may end. The result, one slice for each loop, is the caller's.
//
// From then on another process may have copies of the sockets, so a connection that ends is shut down
// before it is closed: until Alone, Thaw or Leave.
func (g *Group) Ahead(ctx context.Context, names fanout.Names, give func(loop int, some []ConnState, sockets []int) error) ([][]ConnState, error) {
	all := make([][]ConnState, len(g.loops))
	for i, l := range g.loops {
		for from, done := uint32(0), false; !done; {
			var found foreseen
			r, err := g.step(ctx, l, func() (s step) {
				l.shared = true
				some, sockets, next, done := l.ahead(from, names)
				if !found.put(some, sockets) {
					l.closeCopies(sockets) // nobody waits any more
				}
				return step{next: next, done: done}
			})
			some, sockets := found.take()
			if err == nil && len(some) > 0 {
				err = give(i, some, sockets)
			}
			l.closeCopies(sockets)
			if err != nil {
				return nil, err
			}
			all[i] = append(all[i], some...)
			from, done = r.next, r.done
		}
	}
	return all, nil
}

// foreseen is what one step of Ahead has found, for a caller that waits or has gone.
type foreseen struct {
	mu      sync.Mutex
	gone    bool
	some    []ConnState
	sockets []int
}

func (f *foreseen) put(some []ConnState, sockets []int) (waited bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.gone {
		f.some, f.sockets = some, sockets
	}
	return !f.gone
}

func (f *foreseen) take() ([]ConnState, []int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone = true
	return f.some, f.sockets
}

func (l *Loop) closeCopies(sockets []int) {
	for _, fd := range sockets {
		l.kernel.CloseCopy(int32(fd))
	}
}

// Alone says that no other process has copies of the sockets. Any goroutine may call it; it does not wait.
func (g *Group) Alone() {
	for _, l := range g.loops {
		l.Post(func() { l.shared = false })
	}
}

// ahead is one step of Ahead, from that slot on.
func (l *Loop) ahead(from uint32, names fanout.Names) (some []ConnState, sockets []int, next uint32, done bool) {
	x := l.fan.NewQuietExporter(names)
	end, cost := min(from+aheadLooks, l.used), 0
	for next = from; next < end && len(some) < aheadMost && cost < aheadCost; next++ {
		c := l.conn(next)
		if c.state == stateFree || c.input != 0 || !l.fan.Quiet(next) {
			continue
		}
		var h ConnState
		if why := l.export(next, c, x, names, &h, nil); why != "" || h.Fresh {
			continue
		}
		fd, err := l.kernel.Copy(c.fd)
		if err != nil {
			continue // no descriptor is free: it is described behind the freeze
		}
		sockets = append(sockets, int(fd))
		h.Receives.Own()
		if m, ok := l.front.(Mover); ok {
			h.mark = m.Mark(c.session)
		}
		some = append(some, h)
		cost += 1 + len(h.Receives.Channels)
	}
	return some, sockets, next, next >= l.used
}

// Expect has a loop of this process hear of the sockets of connections that another process has described ahead, before
// Start, and reads what the front knew of them; m is nil for a front that hands nothing over. Import of the same, or of what takes
// its place, is then cheaper.
func (g *Group) Expect(loop int, m Mover, conns []ConnState) error {
	k := g.loops[loop].kernel
	for i := range conns {
		h := &conns[i]
		if err := k.Add(h.Socket); err != nil {
			return err
		}
		h.polled = true
		if m != nil && len(h.Front) > 0 {
			h.moved, _ = m.Read(h.Front) // Import hears of the error
		}
	}
	return nil
}

// TakePlace gives h what there is of a connection that was described ahead: it is the same
// one, as it is now.
func (h *ConnState) TakePlace(of *ConnState) {
	h.Socket, h.polled = of.Socket, of.polled
	if bytes.Equal(h.Front, of.Front) {
		h.moved = of.moved
	}
}
