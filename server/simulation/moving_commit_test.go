package simulation_test

import (
	"context"
	"slices"
	"testing/synctest"
	"time"

	"peal/loop"
	"peal/server/hub"
	"peal/server/log"
)

// What a hand-over does while the loops are still: connections, and the commit.

// connections hands them over.
func (m *moving) connections() error {
	w, p := m.w, m.next
	m.export()
	began := time.Now()
	if w.own.IntN(3) == 0 {
		time.Sleep(time.Duration(w.own.IntN(1500)) * time.Millisecond)
		synctest.Wait()
	}
	if w.failure != "" {
		return nil
	}
	m.pass(&m.state.Sessions)
	p.group.ContinueSessions(m.state.Sessions)
	m.importing = true
	defer func() { m.importing = false }()
	for i := range m.state.Loops {
		s := &m.state.Loops[i]
		m.pass(&s.Rests)
		in := loop.Incoming{Names: p.names, Rests: s.Rests, Passed: time.Since(began)}
		for batch := range slices.Chunk(s.Conns, 1+w.own.IntN(5)) {
			if err := m.mayRefuse(); err != nil && w.own.IntN(4) == 0 {
				return err
			}
			var there []loop.ConnState
			m.must(recode(batch, &there))
			for j := range there {
				there[j].Socket = m.take(batch[j].Socket)
			}
			taken, err := p.group.Import(context.Background(), in, there)
			if err != nil || taken != len(there) {
				w.fail("hand-over: %d of %d connections were taken: %v", taken, len(there), err)
				return nil
			}
		}
	}
	return m.mayRefuse()
}

func (w *world) isImporting() bool { return w.moving != nil && w.moving.importing }

// take gives the other process the socket with that descriptor.
func (m *moving) take(fd int32) int32 {
	s := m.w.machine.socket(fd)
	m.taken = append(m.taken, seat{s, s.m, fd, s.kernel, s.edge})
	s.m, s.kernel, s.edge = m.next.machine, nil, false
	m.next.machine.take(s)
	return s.fd
}

// adopts notes a connection that another process is to go on with.
func (w *world) adopts(loop int, client loop.Client) {
	c := w.conns[client.Peer()]
	if c == nil {
		if !w.bug.proxied { // its client has not been named yet
			w.fail("a connection of %v is handed over, from where nobody is connected", client.Peer())
		}
		return
	}
	if c.session != 0 && c.session != client.Session() {
		w.fail("%s has another session number there: %d", c, client.Session())
	}
	w.moving.adopted = append(w.moving.adopted, adopted{c: c, loop: loop, ref: client.Ref()})
}

// commit has the other process go on.
func (m *moving) commit() {
	w, p, old := m.w, m.next, m.w.process
	w.note("another process goes on behind %d", m.paused.Head)
	m.judgeStays()
	if w.failure != "" {
		return
	}
	m.must(w.storage.(mover).release(old.engine))
	synctest.Wait()
	old.ended = true
	m.must(m.log.Begin(&witness{w, log.Tails{p.hub, m.order.control}}))
	w.storage.(mover).begun(m.log)
	p.hub.Settle()
	w.counts[upgrades]++
	w.counts[moved] += len(m.taken)
	m.leaveBehind()
	w.oracle.goOn(m.log.Oldest())
	m.judgeRetained()
	w.process, w.frost, w.moving = p, thawed, nil
	w.bans.orderly = m.order
	w.front = w.newFront(p)
	w.plan.loop = m.loops
	w.paused = false
	for _, k := range p.machine.kernels {
		k.seen, k.ran = p.group.StatsOf(k.number), p.machine.now()
	}
	m.adopt()
}

// leaveBehind ends what the process before has kept, and passes the connections on that nobody has accepted.
func (m *moving) leaveBehind() {
	w, there := m.w, m.next.machine
	for _, s := range w.machine.sockets {
		if s != nil && s.m == w.machine && s != w.machine.listener {
			w.counts[stayed]++
			s.conn.excused = true
			delete(w.conns, s.peer)
			s.close()
		}
	}
	for _, t := range m.taken {
		t.s.flow.pass(t.m, there)
	}
	for _, s := range w.machine.backlog {
		s.m = there
	}
	if there.backlog = w.machine.backlog; len(there.backlog) > 0 {
		there.listener.hear()
	}
}

// adopt has the world know the connections where they are now.
func (m *moving) adopt() {
	w := m.w
	w.stale, w.streams = nil, nil
	for _, a := range m.adopted {
		c := a.c
		c.loop = a.loop
		c.visits = 0 // what was to come has come to the process before, or never will
		if h := c.waiting; h != nil {
			h.again, h.moved = true, true
		}
		if c.stream != (loop.Ref{}) {
			c.stream = a.ref
			w.streams = append(w.streams, c)
		}
	}
}

// judgeRetained: the hub there has of each channel what this one has, but for what the files of the log
// do not have any more.
func (m *moving) judgeRetained() {
	w, oldest := m.w, m.log.Oldest()
	for _, name := range w.plan.names {
		had, lost := retainedBy(w.hub, name)
		has, now := retainedBy(m.next.hub, name)
		n := 0
		for n < len(had) && had[n] < oldest {
			lost = max(lost, oldest-1)
			n++
		}
		coarse := now == oldest-1 && now > lost // it had something there when the hand-over began
		if coarse {
			shelf := w.oracle.retained.shelf(name)
			shelf.discarded = max(shelf.discarded, now)
		}
		if !slices.Equal(had[n:], has) || now != lost && !coarse {
			w.fail("the hub there retains %v of %q behind %d, and the one here %v behind %d, the log from %d on", has, name, now, had, lost, oldest)
		}
	}
}

// retainedBy are the sequences that a hub retains of a channel, behind discarded.
func retainedBy(h *hub.Hub, name string) (sequences []uint64, discarded uint64) {
	for after := uint64(0); ; after = sequences[len(sequences)-1] {
		messages, discarded, more := h.Read(nil, name, after, h.Head(), everything, everything)
		for _, m := range messages {
			sequences = append(sequences, m.Sequence)
		}
		if !more {
			return sequences, discarded
		}
	}
}

// judgeStays: nobody is left behind without a reason.
func (m *moving) judgeStays() {
	w := m.w
	stay := map[string]int{}
	n := 0
	for i := range m.state.Loops {
		for why, k := range m.state.Loops[i].Stay {
			stay[why] += k
			n += k
		}
	}
	for _, s := range w.machine.sockets {
		if s == nil || s.m != w.machine || s == w.machine.listener {
			continue
		}
		n--
		c := s.conn
		switch {
		case c.left || c.turned || c.scarce || c.toEnd >= 0 || s.reset:
		case stay[loop.StayEnding] > 0 && c.stalled:
		case stay[loop.StayLayer] > 0 && w.bug.proxied:
		default:
			w.fail("%s is not handed over: %v", c, stay)
		}
	}
	if n != 0 {
		w.fail("%d more connections stay than the loops say, %v", -n, stay)
	}
}
