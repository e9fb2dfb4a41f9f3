package server

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
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
	switch {
	case t.collect == nil:
	case err == nil: // clients have waited, and come first
		time.AfterFunc(uncollected, t.collect)
	default:
		t.collect()
	}
	closeAll(t.passed) // the server has copies
	t.forgetExpected()
	if t.Server == nil {
		return nil, err
	}
	if err != nil {
		t.finishEntries(err)
		return nil, t.closers.closeAfter(err)
	}
	return t.Server, nil
}

// uncollected is how long no garbage is collected behind a commit, unless the limit of memory asks for it: in so short a
// time there is little.
const uncollected = 200 * time.Millisecond

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
	ahead    map[int]*expected // by loop of the other process
	passed   []int             // listeners
	collect  func()            // has garbage be collected again; nil: it is
	serving  bool              // openListeners is done
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
	t.rests, t.ahead = map[int]rests{}, map[int]*expected{}
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
	case roomSubscriptions:
		return take(t, p, t.subscriptions.Import)
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
	if percent >= 0 {
		t.collect = func() { debug.SetGCPercent(percent) }
	}
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
	t.tracing.restart(t.log.Head())
	if err := t.openListeners(); err != nil {
		return err
	}
	t.serving = true
	return nil
}

// ProgramVersion implements upgrade.Versioned.
func (t *taking) ProgramVersion() string { return t.c.Version }

// Prepare implements upgrade.New.
func (t *taking) Prepare(totals upgrade.Totals) error {
	if !t.serving {
		return errors.New("the log did not come")
	}
	if totals.Head != t.log.Head() {
		return fmt.Errorf("the log ends at %d here, and at %d there", t.log.Head(), totals.Head)
	}
	t.forgetExpected()
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
