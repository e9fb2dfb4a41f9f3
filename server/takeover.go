package server

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"peal/loop"
	"peal/server/app"
	"peal/server/ban"
	"peal/server/cluster"
	"peal/server/control"
	"peal/server/engine"
	"peal/server/log"
	"peal/server/revoke"
	"peal/server/upgrade"
	"peal/server/webhook"
)

// TakeOver builds the server that goes on for the one at the other end of the link: its
// listeners, its log and its connections are this one's when it returns. Run must follow at once. After an
// error the other server goes on, unless its commit had come.
func TakeOver(ctx context.Context, c Config, l *upgrade.Link) (*Server, error) {
	return takeOver(ctx, c, l, func(t *taking) upgrade.New { return t })
}

// takeOver is TakeOver, with something between the link and the server.
func takeOver(ctx context.Context, c Config, l *upgrade.Link, through func(*taking) upgrade.New) (*Server, error) {
	t := &taking{ctx: ctx, builder: &builder{c: c}, streams: streams{}}
	err := upgrade.Accept(ctx, l, through(t))
	if t.collect != nil {
		t.collect()
	}
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
	restored chan error              // of Prepare or CatchUp, which read entries
	restore  func(log.Batches) error // one of them; it begins with the first entries: parts of the hub come before
	paused   log.Handover
	names    carriers
	streams  streams
	types    bool // the value under way is there for its type: see describing
	rests    map[int]rests
	passed   []int  // listeners
	collect  func() // has garbage be collected again; nil: it is
	serving  bool   // openListeners is done
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

// beginEntries has restore take the entries that come until finishEntries, if it has not begun.
func (t *taking) beginEntries() error {
	if t.entries != nil {
		return nil
	}
	f := t.restore
	if f == nil {
		return errors.New("entries came at the wrong time")
	}
	t.restore, t.entries, t.restored = nil, &entryStream{batches: make(chan []*log.Entry)}, make(chan error, 1)
	stream, done := t.entries, t.restored
	go func() { // ends with the stream
		err := f(stream.all())
		for range stream.batches {
		}
		done <- err
	}()
	return nil
}

// endEntries ends the stream, which may have none, and returns what restore did.
func (t *taking) endEntries() error {
	if err := t.beginEntries(); err != nil {
		return err
	}
	return t.finishEntries(nil)
}

// finishEntries ends the stream if there is one, and returns what restore did.
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
	doors := newHanded(m.Listeners, listeners)
	if err := doors.keep(&c); err != nil {
		return err
	}
	c.succeeds = &f.Log
	b, err := newBuilder(c)
	if err != nil {
		return err
	}
	t.builder = b
	t.handed = doors
	t.upgrades.takePast(f.Past)
	for _, step := range []func() error{t.openSecurity, t.bindAdminListener, t.openLog, t.openLoops, t.openTables, t.openAccessLog, t.openWorkers, t.openVerifiers, t.openFronts, t.bindListeners, t.bindRedirect} {
		if err := step(); err != nil {
			return err
		}
	}
	var ok bool
	if t.log, ok = t.Server.log.(log.Incoming); !ok {
		return fmt.Errorf("the log %s cannot be taken over", engine.Redacted(c.Engine))
	}
	t.sessions.Take(f.Sessions)
	t.names = carriers{t.dialects, t.origins}
	t.rests = map[int]rests{}
	t.log.Keep(states{t.orders, t.hooks, &t.protection})
	t.hub.Succeed(t.log.Oldest(), t.log.Head())
	tails, restore := t.Server.tails(t.orders)
	t.tails = tails
	t.restore = func(b log.Batches) error { return t.log.Prepare(b, restore) }
	return nil
}

func (t *taking) bindAdminListener() error { return t.bindAdmin(t.permissions) }

func closeAll(descriptors []int) {
	for _, fd := range descriptors {
		unix.Close(fd)
	}
}

// Take implements upgrade.New.
func (t *taking) Take(p upgrade.Part) error {
	if room, ok := strings.CutPrefix(p.Room, describing); ok {
		t.types, p.Room = true, room
		defer func() { t.types = false }()
	}
	if strings.HasPrefix(p.Room, roomConnections) {
		return take(t, p, func(*conns) error { return errors.New("connections came without descriptors") })
	}
	switch p.Room {
	case roomHub:
		return take(t, p, t.hub.Import)
	case roomEntries:
		return take(t, p, t.takeEntries)
	case roomOffered:
		return t.endEntries()
	case roomPaused:
		return take(t, p, t.takePaused)
	case roomCaughtUp:
		if err := t.endEntries(); err != nil {
			return err
		}
		return t.open()
	case roomIdempotency:
		return take(t, p, t.keys.Import)
	case roomBans:
		return take(t, p, func(p *ban.Part) error { t.bans.Import(p); return nil })
	case roomRevocations:
		return take(t, p, func(p *revoke.Part) error { t.revoked.Import(p); return nil })
	case roomControl:
		return take(t, p, func(h *control.Handover) error { t.orders.Import(*h); return nil })
	case roomWebhooks:
		return take(t, p, func(p *webhook.Part) error { return t.hooks.Import(t.ctx, p) })
	case roomPresence:
		return take(t, p, t.presence.Import)
	case roomMembers, roomCounts, roomNode:
		return t.takeNode(p)
	case roomSessions:
		return take(t, p, func(s *sessions) error {
			t.sessions.Take(s.IDs)
			t.loops.ContinueSessions(s.Counter)
			t.upgrades.offered(s.Stayed, s.Frozen)
			return nil
		})
	case roomRests:
		return take(t, p, func(r *rests) error {
			t.rests[r.Loop] = *r
			return t.loops.ImportLife(t.ctx, r.Loop, loop.Incoming{Names: t.names, Passed: time.Duration(monotonic() - r.Exported)}, r.Life)
		})
	}
	return errors.New("this version does not know what that is: restart the server instead, which drains connections")
}

// takeNode takes what a node knows of the others.
func (t *taking) takeNode(p upgrade.Part) error {
	if t.cluster == nil {
		return errors.New("the log of this process is not shared with other nodes")
	}
	switch p.Room {
	case roomMembers:
		return take(t, p, t.presence.Cluster().Import)
	case roomCounts:
		return take(t, p, t.counts.Import)
	}
	return take(t, p, func(h *cluster.Handover) error { t.cluster.Continue(*h); return nil })
}

// take decodes a part for f.
func take[T any](t *taking, p upgrade.Part, f func(*T) error) error {
	v := new(T)
	if err := t.streams.of(p.Room).decode(p.Data, v); err != nil {
		return err
	}
	if t.types {
		return nil
	}
	return f(v)
}

func (t *taking) takeEntries(p *log.Packed) error {
	if err := t.beginEntries(); err != nil {
		return err
	}
	batch, err := p.Unpack()
	if err != nil {
		return err
	}
	t.entries.batches <- batch
	return nil
}

func (t *taking) takePaused(h *log.Handover) error {
	if t.entries != nil || t.restore != nil {
		return errors.New("the log is paused before it was offered")
	}
	t.paused = *h
	percent := debug.SetGCPercent(-1) // clients wait from now on; what is allocated meanwhile is what the connections have
	t.collect = func() { debug.SetGCPercent(percent) }
	_, restore := t.Server.tails(t.orders)
	t.restore = func(b log.Batches) error { return t.log.CatchUp(t.paused, b, restore) }
	return nil
}

// open makes the server ready for connections, when the log is here. Apps come before members: those of the Pusher protocol have
// other events.
func (t *taking) open() error {
	apps, err := t.c.newApps(app.Remembered(t.protection.namespaces()))
	if err != nil {
		return err
	}
	t.apps.Store(apps)
	t.ring.Begin(t.log.Head())
	if err := t.openListeners(); err != nil {
		return err
	}
	t.serving = true
	return nil
}

// ProgramVersion implements upgrade.Versioned.
func (t *taking) ProgramVersion() string { return t.c.Version }

// arriving are the connections of a batch that come from one loop.
type arriving struct {
	loop        int // of the other process
	data        []byte
	first       int // the place of the first one in the batch
	descriptors []int
	stream      *stream

	left    []int // places in the batch
	refused error // why
	err     error // this process cannot go on
}

// Adopt implements upgrade.New. The loops take their connections at a time.
func (t *taking) Adopt(b upgrade.Batch) (left []int, err error) {
	all, err := t.split(&b)
	if err == nil && !t.serving {
		err = errors.New("connections came before the log")
	}
	if err != nil {
		closeAll(b.Descriptors)
		return nil, err
	}
	var loops sync.WaitGroup
	for on := range t.c.Loop.Loops {
		loops.Go(func() {
			for i := range all {
				if all[i].loop%t.c.Loop.Loops == on {
					t.adoptOn(on, &all[i])
				}
			}
		})
	}
	loops.Wait()
	var refusals, errs []error
	for i := range all {
		left = append(left, all[i].left...)
		refusals, errs = append(refusals, all[i].refused), append(errs, all[i].err)
	}
	if len(left) > 0 {
		t.config.Log.Warn("connections stay with the old process, and are told to come back", "connections", len(left), "reason", errors.Join(refusals...))
	}
	t.upgrades.adopted(len(b.Descriptors)-len(left), len(left))
	return left, errors.Join(errs...)
}

// split divides a batch.
func (t *taking) split(b *upgrade.Batch) (all []arriving, err error) {
	rest, first := b.Data, 0
	number := func() (n int) {
		v, bytes := binary.Uvarint(rest)
		if bytes <= 0 || v > math.MaxInt32 {
			rest, err = nil, errBatch
			return 0
		}
		rest = rest[bytes:]
		return int(v)
	}
	for len(rest) > 0 {
		a := arriving{loop: number(), first: first}
		count, length := number(), number()
		if err != nil || length > len(rest) || count > len(b.Descriptors)-first {
			return nil, errBatch
		}
		a.data, rest = rest[:length], rest[length:]
		a.descriptors = b.Descriptors[first : first+count]
		a.stream = t.streams.of(roomOfLoop(a.loop))
		first += count
		all = append(all, a)
	}
	if first != len(b.Descriptors) {
		return nil, errBatch
	}
	return all, nil
}

var errBatch = errors.New("a batch of connections is damaged")

// adoptOn has a loop take connections.
func (t *taking) adoptOn(on int, a *arriving) {
	var of conns
	err := a.stream.decode(a.data, &of)
	if err != nil || len(of.Conns) != len(a.descriptors) {
		closeAll(a.descriptors)
		a.err = errors.Join(errBatch, err)
		return
	}
	for i := range of.Conns {
		of.Conns[i].Socket = int32(a.descriptors[i])
	}
	r := t.rests[a.loop]
	in := loop.Incoming{Names: t.names, Rests: r.Rests, Passed: time.Duration(monotonic() - r.Exported)}
	_, err = t.loops.ImportOn(on, in, of.Conns)
	if err != nil && !errors.Is(err, loop.ErrConn) {
		a.err = err
		return
	}
	a.refused = err
	for i := range of.Conns {
		if of.Conns[i].Socket < 0 {
			a.left = append(a.left, a.first+i)
		}
	}
}

// Prepare implements upgrade.New.
func (t *taking) Prepare(totals upgrade.Totals) error {
	if !t.serving {
		return errors.New("the log did not come")
	}
	if totals.Head != t.log.Head() {
		return fmt.Errorf("the log ends at %d here, and at %d there", t.log.Head(), totals.Head)
	}
	t.hooks.Begin(t.log.Head())
	t.presence.Settle()
	t.hub.Settle()
	return nil
}

// Begin implements upgrade.New. The loops run when it returns.
func (t *taking) Begin() error {
	if err := t.log.Begin(t.tails); err != nil {
		return err
	}
	t.failed = t.loops.Start()
	t.upgrades.begun()
	t.rememberApps(t.apps.Load())
	t.continueNode()
	t.operator = t.newOperator()
	t.operator.serve()
	t.operator.accept()
	t.serveRedirect()
	return nil
}
