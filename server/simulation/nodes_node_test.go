package simulation_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"peal/loop"
	"peal/loop/ring"
	"peal/server/ban"
	"peal/server/cluster"
	"peal/server/control"
	"peal/server/httpapi"
	"peal/server/hub"
	"peal/server/idempotency"
	"peal/server/log"
	"peal/server/log/distributed"
	"peal/server/presence"
	"peal/server/revoke"
	"peal/server/workers"
)

// node is one life of one server.
type node struct {
	w           *nodes
	site        int
	life        int
	pausedUntil time.Time
	dead        bool
	busy        bool // it starts
	ready       bool // the log is open

	link     *link // to the store
	log      *distributed.Log
	control  *control.Control
	cluster  *cluster.Cluster // with members, as the next two
	members  *presence.Cluster
	presence *presence.Table
	table    *ban.Table
	keys     *idempotency.Table
	hub      *hub.Hub
	ring     *ring.Ring
	front    *httpapi.Front // of publishers
	machine  *machine
	shell    *world // what the machine knows of its world
	group    *loop.Group
	conns    map[netip.AddrPort]*guest

	applied  uint64 // the newest entry that the tails were given
	floor    uint64 // what is up to here is not in the histories, or a gap covers it
	flushing bool
	reading  bool
}

// startNode begins a life at that site.
func (w *nodes) startNode(site int) {
	w.lives++
	n := &node{w: w, site: site, life: w.lives, conns: map[netip.AddrPort]*guest{}}
	w.sites[site] = n
	w.note("%s starts", n)
	n.table = ban.New(100, 100, time.Now)
	n.control = control.New(&ordering{n}, n.table, revoke.New(100, time.Hour, time.Now), time.Now, slog.New(slog.DiscardHandler))
	n.control.Share(func([]string) {}, func() {})
	n.link = &link{n: n}
	n.begin(&n.busy, n.open)
}

// begin has a goroutine do something of the node's, whose calls may take long. doing is set
// until it has ended.
func (n *node) begin(doing *bool, do func()) {
	*doing = true
	go func() { // until its calls have been answered or cut
		defer func() {
			*doing = false
			if p := recover(); p != nil {
				n.w.fail("panic in %s: %v\n%s", n, p, debug.Stack())
			}
		}()
		do()
	}()
	synctest.Wait()
}

// open opens the log and restores what it has, as the server does at its start.
func (n *node) open() {
	random := rand.New(rand.NewPCG(n.w.seed, uint64(n.life)))
	c := distributed.Config{Window: time.Hour, Entries: n.w.plan.trims}
	if n.w.traces {
		c.Log = slog.New(slog.NewTextHandler((*logOfNode)(n), nil))
	}
	l, err := distributed.Open(context.Background(), n.link, c, time.Now, random.Uint64)
	if err == nil {
		n.log = l
		n.opened(l.Oldest(), l.Head())
		l.Keep(n.control)
		var tail log.Tail = &witnessOfNode{n, n.tails()}
		err = l.Start(tail, n.restore)
	}
	switch {
	case n.dead:
	case err != nil:
		n.w.note("%s does not start: %v", n, err)
		n.w.sites[n.site] = nil
		n.dead = true
	default:
		n.restored()
	}
}

// logOfNode notes what the engine logs.
type logOfNode node

func (l *logOfNode) Write(line []byte) (int, error) {
	_, text, _ := strings.Cut(string(bytes.TrimSpace(line)), " ") // behind the time
	l.w.trace("%s logs %s", (*node)(l), text)
	return len(line), nil
}

func (n *node) tails() log.Tails {
	all := log.Tails{n.hub, n.control, learnerOfNode{n.keys}}
	if n.w.bug.members {
		all = n.memberTails()
	}
	if n.w.bug.tails != nil {
		all = n.w.bug.tails(n, all)
	}
	return all
}

// learnerOfNode learns the idempotency keys of other nodes, as the server does.
type learnerOfNode struct{ keys *idempotency.Table }

func (learnerOfNode) Room(int, int) bool { return true }
func (learnerOfNode) Wake()              {}
func (l learnerOfNode) Apply(batch []*log.Entry) {
	for _, e := range batch {
		l.keys.Restore(e)
	}
}

// restore takes what the store had.
func (n *node) restore(batch []*log.Entry) {
	for _, e := range batch {
		if r := n.w.store.records[n.log.Lineage().Cursor(e.Sequence)]; r == nil || !sameEntry(e, r.entry) {
			n.w.fail("%s restores entry %d (%.40q), but the store has %v", n, e.Sequence, e.Data, r)
		} else {
			r.seen = append(r.seen, n)
		}
	}
	n.control.Restore(batch)
	if n.w.bug.members {
		n.cluster.Restore(batch)
	}
	n.hub.Restore(batch)
	for _, e := range batch {
		n.keys.Restore(e)
	}
}

// work has the engine do some of what it does on its goroutines.
func (n *node) work() {
	if !n.ready || n.isPaused() {
		return
	}
	if n.w.bug.members {
		n.tell()
	}
	if !n.flushing {
		n.begin(&n.flushing, func() { _, _ = n.log.Flush(context.Background()) })
	}
	if n.reading || n.dead {
		return
	}
	checkpoint := n.w.rnd.IntN(4) == 0
	n.begin(&n.reading, func() {
		if n.log.Follow(context.Background(), time.Second) == nil && checkpoint && !n.dead {
			n.log.Checkpoint(context.Background())
		}
	})
}

// opened is called when the engine knows what the store has, before it restores it.
func (n *node) opened(oldest, head uint64) {
	n.hub = hub.NewWithHash(hub.Config{TotalBytes: everything, Limits: hub.Limits{Messages: everything, Bytes: everything, Age: time.Hour}}, (*feedOfNode)(n), n.wake, time.Now, hashOfNode, 1<<12)
	n.hub.OnLose(func(uint64, uint64) {
		if n.group != nil && !n.dead {
			n.group.Look()
		}
	})
	n.keys = idempotency.New(time.Hour, 10_000, 10_000, time.Now)
	n.floor, n.applied = oldest-1, head
	n.hub.Begin(oldest, head)
	var err error
	if n.ring, err = ring.New(n.w.plan.ring, 1<<24, head); err != nil {
		panic(err)
	}
	if n.w.bug.members {
		n.useMembers()
	}
}

func hashOfNode(name string) uint64 { return (&plan{}).hash(name) }

// restored is called when the log is open: the node takes connections.
func (n *node) restored() {
	w := n.w
	deps := httpapi.Deps{
		Log: n.publisher(), Hub: n.hub, Door: (*doorOfNode)(n), Workers: workers.New(0, 0), Bans: n.table,
		Keys: n.keys, Presence: n.presence,
	}
	n.front = httpapi.New(deps)
	n.shell = &world{seed: w.seed, rnd: w.rnd, own: w.rnd, scarce: true, node: n, process: &process{}, plan: plan{loop: w.plan.loop}}
	n.machine = newMachine(n.shell)
	n.shell.machine = n.machine
	g, err := loop.New(w.plan.loop, n.ring, n.machine.open)
	if err != nil {
		panic(err)
	}
	encoder := httpapi.NewEncoder(nil, n.log.Lineage(), w.rnd.Int64N, nil)
	err = g.Serve(loop.Parts{
		Listeners: []int{int(n.machine.listener.fd)},
		Front:     func(int) loop.Front { return &watchOfNode{n, httpapi.New(deps)} },
		Encoder:   encoder,
		Source:    n.hub,
	})
	if err != nil {
		panic(err)
	}
	n.group, n.ready = g, true
	if w.bug.members {
		n.sayHello()
	}
}

func (n *node) publisher() httpapi.Publisher {
	if n.w.bug.known {
		return knowing{n.log}
	}
	return n.log
}

// knowing has a bug: it takes every cursor that it does not know for one that means nothing.
type knowing struct{ *distributed.Log }

func (knowing) Ahead(log.Cursor) bool { return false }

func (n *node) wake() {
	if n.group != nil && !n.dead {
		n.group.Wake()
	}
}

func (n *node) isPaused() bool { return time.Now().Before(n.pausedUntil) }

// kill ends the life as kill -9 does: the kernel closes its connections.
func (n *node) kill() {
	n.dead = true
	n.w.store.cutAll(n)
	for _, g := range n.guests() {
		n.readGuest(g)
		g.gone()
	}
	n.w.sites[n.site] = nil
	n.ready = false
	if n.log != nil {
		n.begin(&n.busy, func() { _ = n.log.Close() })
	}
}

func (n *node) guests() (all []*guest) {
	for _, g := range n.w.guests {
		if g.node == n {
			all = append(all, g)
		}
	}
	return all
}

// connect makes a connection of g.
func (n *node) connect(g *guest) *conn {
	c := &conn{client: &client{w: n.shell, name: g.name}, loop: -1, toEnd: -1}
	c.socket = n.machine.connect(c)
	n.conns[c.socket.peer] = g
	return c
}

// runLoops lets each loop have some callbacks.
func (n *node) runLoops(most int) {
	if !n.ready || n.isPaused() {
		return
	}
	for _, k := range n.machine.kernels {
		for range most {
			if n.w.failure != "" || !k.step(true) {
				break
			}
		}
	}
}

// runAll has the loops do all there is to do.
func (n *node) runAll() {
	for range 100_000 {
		busy := false
		for _, k := range n.machine.kernels {
			busy = n.w.failure == "" && k.step(false) || busy
		}
		if !busy && n.machine.resting() {
			return
		}
	}
	n.w.fail("the loops of node %d do not come to rest", n.site)
}

func (n *node) isResting() bool { return n.machine.resting() }

// afterCallback is world.afterCallback for a node.
func (n *node) afterCallback() {
	n.machine.ended = n.machine.ended[:0]
	if n.shell.failure != "" {
		n.w.fail("%s", n.shell.failure)
	}
	n.read()
}

// read has the clients read what has arrived.
func (n *node) read() {
	if n.shell == nil {
		return
	}
	for len(n.shell.touched) > 0 {
		c := n.shell.touched[0]
		n.shell.touched = n.shell.touched[1:]
		c.touched = false
		if g := n.conns[c.socket.peer]; g != nil && g.conn == c {
			n.readGuest(g)
			if g.conn == c && (c.socket.shut || c.socket.closed) {
				g.seesEnd()
			}
		}
	}
}

func (n *node) readGuest(g *guest) {
	s := g.conn.socket
	for n.w.failure == "" && len(s.out) > 0 && !g.ended {
		it, k, err := item{}, 0, error(nil)
		if isRefusal(s.out) {
			it, k, err = refusalItem(s.out)
		} else {
			it, k, err = g.decoder.next(s.out)
		}
		if err != nil {
			n.w.fail("%s cannot read what it received: %v", g, err)
			return
		}
		if k == 0 {
			return
		}
		s.out = s.out[k:]
		g.judge(it)
	}
}

// feedOfNode stands between hub and ring.
type feedOfNode node

func (f *feedOfNode) Room(messages, bytes int) bool { return f.ring.Room(messages, bytes) }
func (f *feedOfNode) Publish(m *ring.Message)       { f.ring.Publish(m) }
func (f *feedOfNode) Lose(upto uint64)              { f.ring.Lose(upto) }
func (f *feedOfNode) OnRoom(g func())               { f.ring.OnRoom(g) }

// doorOfNode takes the answers that the log was not ready to give at once.
type doorOfNode node

func (d *doorOfNode) Answer(ref loop.Ref, out []byte) {
	switch {
	case d.dead:
	case ref.Loop == publishers:
		d.w.answered((*node)(d), int(ref.Slot), int(ref.Generation), out)
	default:
		d.group.Answer(ref, out)
	}
}

func (d *doorOfNode) Again(ref loop.Ref)                     { d.group.Again(ref) }
func (d *doorOfNode) Do(ref loop.Ref, f func(c loop.Client)) { d.group.Do(ref, f) }

// watchOfNode stands between a loop and its front.
type watchOfNode struct {
	n    *node
	next *httpapi.Front
}

func (f *watchOfNode) Request(call *loop.Call) {
	in := call.In
	f.next.Request(call)
	g := f.n.conns[call.Peer]
	if call.Verdict == loop.More || g == nil {
		return
	}
	if !bytes.Equal(in[:call.Used], g.wire) {
		f.n.w.fail("%s: the loop hands on %.100q", g, in[:call.Used])
	}
	f.n.readGuest(g)
	g.begins(f.n, call)
}

func (f *watchOfNode) Open(client loop.Client, s *loop.Subscription) { f.next.Open(client, s) }
func (f *watchOfNode) Message(client loop.Client, binary bool, payload []byte) (uint16, string) {
	return f.next.Message(client, binary, payload)
}
func (f *watchOfNode) Due(client loop.Client) { f.next.Due(client) }
func (f *watchOfNode) Left(session uint64)    { f.next.Left(session) }

// witnessOfNode is the tail of the engine: what it is given must be what the store has.
type witnessOfNode struct {
	n    *node
	next log.Tails
}

func (t *witnessOfNode) Room(entries, bytes int) bool { return t.next.Room(entries, bytes) }
func (t *witnessOfNode) Wake()                        { t.next.Wake() }
func (t *witnessOfNode) Apply(batch []*log.Entry) {
	n := t.n
	for _, e := range batch {
		c := n.log.Lineage().Cursor(e.Sequence)
		r := n.w.store.records[c]
		switch {
		case n.dead:
			return
		case e.Sequence <= n.applied && !(e.Kind == log.KindControl && e.Sequence <= n.floor && r != nil && !slices.Contains(r.seen, n)): // missed, but for orders
			n.w.fail("node %d is given entry %d after %d", n.site, e.Sequence, n.applied)
		case r == nil:
			n.w.fail("node %d is given entry %s (%.40q), which the store never had", n.site, c, e.Data)
		case !sameEntry(e, r.entry):
			n.w.fail("node %d is given entry %s as %.40q, but it is %.40q", n.site, c, e.Data, r.entry.Data)
		default:
			r.seen = append(r.seen, n)
		}
		n.w.trace("node %d applies entry %s (kind %d, event %q, on %q, %.300q)", n.site, c, e.Kind, e.Event, e.Channel, e.Data)
		n.applied = max(n.applied, e.Sequence)
	}
	t.next.Apply(batch)
}

func (t *witnessOfNode) OnRoom(f func()) { t.next.OnRoom(f) }

func (t *witnessOfNode) Lose(from, upto uint64) {
	n := t.n
	if len(n.w.store.losses)+n.w.store.trimmed == 0 {
		n.w.fail("node %d says that entries behind %d up to %d are lost, but none is", n.site, from, upto)
	}
	n.w.note("node %d: lost behind %d up to %d", n.site, from, upto)
	n.floor = max(n.floor, upto)
	if !n.w.bug.mute {
		t.next.Lose(from, upto)
	}
}

func (n *node) String() string { return fmt.Sprintf("node %d, life %d", n.site, n.life) }

// hubLoses: there is somebody who tells subscribers what the store has lost.
var _, hubLoses = any((*hub.Hub)(nil)).(log.Loser)
