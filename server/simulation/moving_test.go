package simulation_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"slices"
	"testing/synctest"
	"time"

	"peal/loop"
	"peal/loop/ring"
	"peal/server/ban"
	"peal/server/control"
	"peal/server/httpapi"
	"peal/server/hub"
	"peal/server/log"
	"peal/server/revoke"
	"peal/server/session"
)

// In worlds with bug.upgrades, other processes go on with the server: what server/handover.go and
// server/takeover.go do, in their order and in the encoding that they use, without the socket between them. The
// world goes on between the parts as long as the loops are not still, and the hand-over may be given up before
// its end, wherever it is.

// moving is a hand-over under way.
type moving struct {
	w        *world
	out      log.Outgoing
	hub      *hub.Handing
	offered  log.Handover
	paused   log.Handover
	changed  bool // the first changes of the hub were given
	restored bool // and the entries up to the head of the offer
	cancel   context.CancelFunc
	quiet    chan error // of Pause; nil: it was not called
	waits    bool       // the log is paused

	next  *process
	log   incoming
	order orderly
	loops loop.Config

	// Of the connections.
	ahead     [][]loop.ConnState // as they were while the world went on, nil: they were not described
	there     [][]loop.ConnState // what the other process has of that
	importing bool
	state     loop.GroupState
	taken     []seat
	adopted   []adopted
}

// incoming is an engine that takes over.
type incoming interface {
	engine
	log.Incoming
}

// mover is a storage whose engine can be handed over.
type mover interface {
	// succeed opens the engine of a successor.
	succeed(h log.Handover) (incoming, error)
	// mayRefuse tells whether a successor may be unable to read what it needs.
	mayRefuse() bool
	// release is Release of the predecessor, e.
	release(e engine) error
	// begun notes that a successor has begun.
	begun(e incoming)
}

// seat is where a socket was in the process before.
type seat struct {
	s      *socket
	m      *machine
	fd     int32
	kernel *kernel
	edge   bool
}

// adopted is a connection in the process that is to go on with it.
type adopted struct {
	c    *conn
	loop int
	ref  loop.Ref
}

// names are those of what connections refer to.
type names struct {
	encodings
	*httpapi.Origins
}

// encodings is what the encoder's table knows of its rows.
type encodings interface {
	EncodingName(k ring.Encoding) string
	EncodingOf(name string) (k ring.Encoding, ok bool)
}

// errRefused is why a hand-over ends that the world has the other process refuse.
var errRefused = errors.New("the other process refuses")

// moveOn begins a hand-over, goes on with it, or gives it up.
func (w *world) moveOn(reach func(from, to frost) func()) {
	m := w.moving
	switch {
	case w.failure != "":
	case m == nil:
		if !w.draining && w.own.IntN(25) == 0 {
			w.offer()
		}
	case w.draining || w.own.IntN(80) == 0:
		w.callOff()
	case m.quiet != nil && !m.waits:
		m.awaitPause()
	case w.own.IntN(3) > 0:
	case !m.changed:
		w.note("the hub is handed over")
		m.changed = true
		m.must(m.hub.Changes(pass(m.next.hub.Import)))
	case !m.restored:
		w.note("the log is handed over")
		m.restored = true
		if err := m.entries(0, m.offered.Head, m.log.Prepare); err != nil {
			m.fails(err)
			w.callOff()
		}
	case w.frost == thawed && m.ahead == nil && w.own.IntN(4) > 0:
		m.describe()
	case w.frost == thawed:
		w.note("the loops freeze")
		w.frost = freezing
		w.group.BeginFreeze(reach(freezing, frozen))
	case w.frost == frozen && m.quiet == nil:
		m.pause()
	case w.frost == frozen:
		w.note("the loops settle")
		w.frost = settling
		w.group.BeginSettle(reach(settling, still))
	case w.frost == still:
		m.end()
	}
}

// must fails the world with an error, if there is one, that no part of a hand-over may have here.
func (m *moving) must(err error) {
	if err != nil {
		m.w.fail("hand-over: %v", err)
	}
}

// fails fails the world with an error of the other process's log, unless the disk is to blame.
func (m *moving) fails(err error) {
	if !m.w.storage.(mover).mayRefuse() {
		m.must(err)
	}
}

// offer has another process begin to take over.
func (w *world) offer() {
	out := w.engine.(log.Outgoing)
	h, err := out.Offer()
	if err != nil {
		return // the disk is full, or fails
	}
	w.note("another process is to go on behind %d", h.Head)
	m := &moving{w: w, out: out, hub: w.hub.HandOver(), offered: h, next: w.newProcess(), order: w.bans.newOrderly(), loops: w.plan.loop}
	w.moving = m
	if w.own.IntN(3) == 0 {
		m.loops.Loops = 1 + w.own.IntN(3)
	}
	m.pass(&m.offered)
	if m.log, err = w.storage.(mover).succeed(m.offered); err != nil {
		m.log = nil
		m.fails(err)
		w.callOff()
		return
	}
	p := m.next
	p.engine, p.sessions = m.log, session.New([16]byte{1})
	ids := w.sessions.HandOver() // before the entries, which leave some of them out
	m.must(pass(func(h *session.Handover) error { p.sessions.Take(*h); return nil })(&ids))
	m.log.Keep(m.order.control)
	p.hub.Succeed(m.log.Oldest(), m.log.Head())
	p.ring = newRing(w.plan, m.log.Head())
	w.encode(p)
	p.machine = newMachine(w)
	p.machine.started = w.machine.started
	p.machine.booted = p.machine.now() - time.Duration(w.own.IntN(5000))*time.Millisecond
	p.group = w.newLoops(p, m.loops)
}

// pass passes a value on through its encoding.
func (m *moving) pass(v any) {
	if err := recode(v, v); err != nil {
		m.w.fail("hand-over: %T: %v", v, err)
	}
}

// recode encodes v, and decodes it to another value.
func recode(v, to any) error {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(v); err != nil {
		return err
	}
	return gob.NewDecoder(&b).Decode(to)
}

// pass returns what passes a part on to f, through its encoding.
func pass[T any](f func(*T) error) func(*T) error {
	return func(v *T) error {
		to := new(T)
		if err := recode(v, to); err != nil {
			return err
		}
		return f(to)
	}
}

// entries has take read those behind after and up to upto.
func (m *moving) entries(after, upto uint64, take func(retained log.Batches, restore func([]*log.Entry)) error) error {
	var all [][]*log.Entry
	err := m.out.EachRetained(after, upto, func(batch []*log.Entry) error {
		p := log.Pack(batch)
		return pass(func(p *log.Packed) error {
			batch, err := p.Unpack()
			all = append(all, batch)
			return err
		})(&p)
	})
	if err != nil {
		return err
	}
	return take(func(yield func([]*log.Entry, error) bool) {
		for _, batch := range all {
			if !yield(batch, nil) {
				return
			}
		}
	}, func(batch []*log.Entry) {
		m.next.hub.Restore(batch)
		m.order.control.Restore(batch)
	})
}

// pause begins to pause the log, which may have to work before.
func (m *moving) pause() {
	m.w.note("the log is to pause")
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel, m.quiet = cancel, make(chan error, 1)
	go func() { // ends with the pause, or with cancel
		var err error
		m.paused, err = m.out.Pause(ctx)
		m.quiet <- err
	}()
	m.awaitPause()
}

// awaitPause looks whether the log is paused.
func (m *moving) awaitPause() {
	synctest.Wait()
	select {
	case err := <-m.quiet:
		if m.waits = err == nil; !m.waits {
			m.w.note("the log does not pause: %v", err)
			m.quiet = nil
			m.w.callOff()
		}
	default:
	}
}

// callOff ends a hand-over: the process before goes on.
func (w *world) callOff() {
	m := w.moving
	if m == nil {
		w.thaw()
		return
	}
	w.note("the hand-over is called off")
	m.dismiss()
	m.out.Resume()
	w.group.Alone()
	w.thaw()
	synctest.Wait()
}

// abandonMove ends a hand-over because the process before ends.
func (w *world) abandonMove() {
	if w.moving != nil {
		w.moving.dismiss()
	}
}

// dismiss ends the other process.
func (m *moving) dismiss() {
	m.w.moving = nil
	if m.cancel != nil {
		m.cancel()
		synctest.Wait()
	}
	m.next.ended = true
	if m.log != nil {
		_ = m.log.Close()
	}
	for _, t := range slices.Backward(m.taken) {
		t.s.m, t.s.fd, t.s.kernel, t.s.edge = t.m, t.fd, t.kernel, t.edge
	}
}

// end ends a hand-over when the loops are still.
func (m *moving) end() {
	w := m.w
	err := m.handOver()
	switch {
	case w.failure != "":
	case err != nil:
		w.note("hand-over: %v", err)
		w.counts[refusals]++
		w.callOff()
	default:
		m.commit()
	}
}

// mayRefuse is an error now and then.
func (m *moving) mayRefuse() error {
	if m.w.own.IntN(12) == 0 {
		return errRefused
	}
	return nil
}

// handOver hands all over that waits for the loops to be still.
func (m *moving) handOver() error {
	w, p := m.w, m.next
	w.note("the hand-over ends at %d", m.paused.Head)
	m.pass(&m.paused)
	m.must(m.hub.Changes(pass(p.hub.Import)))
	err := m.entries(m.offered.Head, m.paused.Head, func(b log.Batches, restore func([]*log.Entry)) error {
		return m.log.CatchUp(m.paused, b, restore)
	})
	if err != nil {
		m.fails(err)
		return err
	}
	if err := m.mayRefuse(); err != nil || w.failure != "" {
		return err
	}
	m.must(w.bans.table.HandOver(pass(func(p *ban.Part) error { m.order.table.Import(p); return nil })))
	m.must(w.bans.revoked.HandOver(pass(func(p *revoke.Part) error { m.order.revoked.Import(p); return nil })))
	orders, err := w.bans.control.HandOver()
	if err != nil {
		return err // an order waits for the log
	}
	m.must(pass(func(h *control.Handover) error { m.order.control.Import(*h); return nil })(&orders))
	ids := w.sessions.HandOver()
	m.must(pass(func(h *session.Handover) error { p.sessions.Take(*h); return nil })(&ids))
	p.ring.Begin(m.paused.Head)
	w.serve(p, p.group, 1)
	if err := m.mayRefuse(); err != nil || w.failure != "" {
		return err
	}
	return m.connections()
}
