package server

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"golang.org/x/sys/unix"

	"peal/loop"
	"peal/server/app"
	"peal/server/ban"
	"peal/server/control"
	"peal/server/engine"
	"peal/server/log"
	"peal/server/revoke"
	"peal/server/upgrade"
)

// TakeOver builds the server that goes on for the one at the other end of the link: its
// listeners, its log and its connections are this one's when it returns. Run must follow at once. After an
// error the other server goes on, unless its commit had come.
func TakeOver(ctx context.Context, c Config, l *upgrade.Link) (*Server, error) {
	t := &taking{ctx: ctx, builder: &builder{c: c}}
	err := upgrade.Accept(ctx, l, t)
	closeAll(t.passed) // the server has copies
	if t.Server == nil {
		return nil, err
	}
	if err != nil {
		t.finishEntries(err)
		return nil, t.closers.closeAfter(err)
	}
	return t.Server, nil
}

// taking is a Server that takes over. It implements upgrade.New.
type taking struct {
	ctx context.Context
	*builder
	log      log.Incoming
	tails    log.Tails
	entries  *entryStream
	restored chan error // of Prepare or CatchUp, which read entries
	paused   log.Handover
	names    carriers
	rests    map[int]rests
	stays    map[string]int
	passed   []int // listeners
	serving  bool  // openListeners is done
	lost     int   // connections that this process cannot go on with
}

// entryStream passes entries on to an engine that asks for them.
type entryStream struct {
	batches chan []*log.Entry
	err     error // valid when batches is closed
}

func (s *entryStream) all() log.Batches {
	return log.Batches(iter.Seq2[[]*log.Entry, error](func(yield func([]*log.Entry, error) bool) {
		stopped := false
		for b := range s.batches {
			if !stopped { // else the rest is drained, so that the sender does not wait
				stopped = !yield(b, nil)
			}
		}
		if s.err != nil && !stopped {
			yield(nil, s.err)
		}
	}))
}

// begin has f take the entries that come until finishEntries.
func (t *taking) beginEntries(f func(log.Batches) error) {
	t.entries, t.restored = &entryStream{batches: make(chan []*log.Entry)}, make(chan error, 1)
	stream, done := t.entries, t.restored
	go func() { // ends with the stream
		err := f(stream.all())
		for range stream.batches {
		}
		done <- err
	}()
}

// finishEntries ends the stream, and returns what f did.
func (t *taking) finishEntries(err error) error {
	if t.entries == nil {
		return nil
	}
	t.entries.err = err
	close(t.entries.batches)
	t.entries = nil
	return <-t.restored
}

// Accept implements upgrade.New.
func (t *taking) Accept(m upgrade.Manifest, listeners []int) (err error) {
	var f first
	if err := decode(m.Data, &f); err != nil {
		closeAll(listeners)
		return fmt.Errorf("manifest: %w", err)
	}
	c := t.c
	t.passed = listeners
	for i, l := range m.Listeners {
		switch l.Purpose {
		case doorClients:
			c.Inherit = append(c.Inherit, listeners[i])
		case doorPlain:
			c.InheritPlain = append(c.InheritPlain, listeners[i])
		case doorAdmin:
			c.InheritAdmin = append(c.InheritAdmin, listeners[i])
		}
	}
	c.succeeds = &f.Log
	b, err := newBuilder(c)
	if err != nil {
		return err
	}
	t.builder = b
	for _, step := range []func() error{t.openSecurity, t.openLog, t.openLoops, t.openTables, t.openAccessLog, t.openWorkers, t.openVerifiers, t.openFronts} {
		if err := step(); err != nil {
			return err
		}
	}
	var ok bool
	if t.log, ok = t.Server.log.(log.Incoming); !ok {
		return fmt.Errorf("the log %s cannot be taken over", engine.Redacted(c.Engine))
	}
	t.names = carriers{t.dialects, t.origins}
	t.rests = map[int]rests{}
	t.log.Keep(states{t.orders, t.hooks, &t.protection})
	t.hub.Succeed(t.log.Oldest(), t.log.Head())
	tails, restore := t.Server.tails(t.orders)
	t.tails = tails
	t.beginEntries(func(b log.Batches) error { return t.log.Prepare(b, restore) })
	return nil
}

func closeAll(descriptors []int) {
	for _, fd := range descriptors {
		unix.Close(fd)
	}
}

// Take implements upgrade.New.
func (t *taking) Take(p upgrade.Part) error {
	switch p.Room {
	case roomHub:
		return take(p, t.hub.Import)
	case roomEntries:
		return take(p, t.takeEntries)
	case roomOffered:
		return t.finishEntries(nil)
	case roomPaused:
		return take(p, t.takePaused)
	case roomCaughtUp:
		if err := t.finishEntries(nil); err != nil {
			return err
		}
		return t.open()
	case roomIdempotency:
		return take(p, t.keys.Import)
	case roomBans:
		return take(p, func(p *ban.Part) error { t.bans.Import(p); return nil })
	case roomRevocations:
		return take(p, func(p *revoke.Part) error { t.revoked.Import(p); return nil })
	case roomControl:
		return take(p, func(h *control.Handover) error { t.orders.Import(*h); return nil })
	case roomSessions:
		return take(p, func(s *sessions) error {
			t.sessions.Take(s.IDs)
			t.loops.ContinueSessions(s.Counter)
			t.stays = s.Stays
			return nil
		})
	case roomRests:
		return take(p, func(r *rests) error { t.rests[r.Loop] = *r; return nil })
	}
	return errors.New("this version does not know it")
}

// take decodes a part for f.
func take[T any](p upgrade.Part, f func(*T) error) error {
	v := new(T)
	if err := decode(p.Data, v); err != nil {
		return err
	}
	return f(v)
}

func (t *taking) takeEntries(p *log.Packed) error {
	if t.entries == nil {
		return errors.New("entries came at the wrong time")
	}
	batch, err := p.Unpack()
	if err != nil {
		return err
	}
	t.entries.batches <- batch
	return nil
}

func (t *taking) takePaused(h *log.Handover) error {
	if t.entries != nil {
		return errors.New("the log is paused before it was offered")
	}
	t.paused = *h
	_, restore := t.Server.tails(t.orders)
	t.beginEntries(func(b log.Batches) error { return t.log.CatchUp(t.paused, b, restore) })
	return nil
}

// open makes the server ready for connections, when the log is here.
func (t *taking) open() error {
	t.hooks.Begin(t.log.Head())
	apps, err := t.c.newApps(app.Remembered(t.protection.namespaces()))
	if err != nil {
		return err
	}
	t.apps.Store(apps)
	t.rememberApps(apps)
	t.ring.Begin(t.log.Head())
	if err := t.openListeners(); err != nil {
		return err
	}
	t.serving = true
	return nil
}

// Adopt implements upgrade.New.
func (t *taking) Adopt(b upgrade.Batch) error {
	var of conns
	if err := decode(b.Data, &of); err != nil || len(of.Conns) != len(b.Descriptors) || !t.serving {
		closeAll(b.Descriptors)
		return errors.Join(fmt.Errorf("%d connections with %d descriptors", len(of.Conns), len(b.Descriptors)), err)
	}
	for i := range of.Conns {
		of.Conns[i].Socket = int32(b.Descriptors[i])
	}
	r := t.rests[of.Loop]
	in := loop.Incoming{Names: t.names, Rests: r.Rests, Passed: time.Duration(monotonic() - r.Exported)}
	taken, err := t.loops.Import(t.ctx, in, of.Conns)
	t.lost += len(of.Conns) - taken
	if err != nil && !errors.Is(err, loop.ErrConn) {
		return err
	}
	if err != nil {
		t.config.Log.Warn("connections end with the old process", "connections", len(of.Conns)-taken, "reason", err)
	}
	return nil
}

// Prepare implements upgrade.New.
func (t *taking) Prepare(totals upgrade.Totals) error {
	if !t.serving {
		return errors.New("the log did not come")
	}
	if totals.Head != t.log.Head() {
		return fmt.Errorf("the log ends at %d here, and at %d there", t.log.Head(), totals.Head)
	}
	return nil
}

// Begin implements upgrade.New.
func (t *taking) Begin() error {
	if err := t.log.Begin(t.tails); err != nil {
		return err
	}
	t.hub.Settle()
	if err := t.openOperator(); err != nil {
		return err
	}
	t.operator.serve()
	return nil
}
