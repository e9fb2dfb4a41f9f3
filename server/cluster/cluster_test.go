package cluster_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"peal/server/cluster"
	"peal/server/log"
	"peal/server/log/fake"
)

var _ log.Loser = (*cluster.Cluster)(nil)

// world is several nodes over one log, whose clock only the test moves.
type world struct {
	t     *testing.T
	store *fake.Store

	mu sync.Mutex
	at time.Time
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, at: time.Now()}
	w.store = fake.New(w.now)
	return w
}

// node is one server.
type node struct {
	*cluster.Cluster
	log    *fake.Node
	events []string // what it was called for
	groups map[string]int
	report bytes.Buffer
}

// open starts a node without its hello.
func (w *world) open(name string) *node {
	w.t.Helper()
	n := &node{log: w.store.Open()}
	n.Cluster = cluster.New(n.log, cluster.Config{Name: name, Version: "1.2", Lease: 5 * time.Second, Connections: func() int { return 7 }, Groups: func() map[string]int { return n.groups }, Now: w.now, Log: slog.New(slog.NewTextHandler(&n.report, nil))})
	n.OnHello(func(id uint64) { n.events = append(n.events, fmt.Sprintf("hello %016x", id)) })
	n.OnGone(func(id uint64) { n.events = append(n.events, fmt.Sprintf("gone %016x", id)) })
	if err := n.log.Start(n.Cluster, n.Restore); err != nil {
		w.t.Fatal(err)
	}
	return n
}

func (w *world) start(name string) *node {
	w.t.Helper()
	n := w.open(name)
	if err := n.Hello(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return n
}

func (n *node) id() string { return fmt.Sprintf("%016x", n.log.Node()) }

// pass lets time pass, with steps of the nodes, as Run makes them.
func (w *world) pass(d time.Duration, nodes ...*node) {
	const step = 250 * time.Millisecond
	for ; d > 0; d -= step {
		w.mu.Lock()
		w.at = w.at.Add(step)
		w.mu.Unlock()
		for _, n := range nodes {
			n.Step()
			n.Wake()
		}
	}
}

// states is what a node knows: names and states.
func (n *node) states() string {
	var all []string
	for _, one := range n.Status(cluster.Log{}).Nodes {
		all = append(all, one.Name+" "+one.State)
	}
	return strings.Join(all, ", ")
}

func (w *world) expect(want string, nodes ...*node) {
	w.t.Helper()
	for _, n := range nodes {
		if got := n.states(); got != want {
			w.t.Errorf("node %s knows %q, want %q", n.Status(cluster.Log{}).Self, got, want)
		}
	}
}

func TestNodesComeAndGo(t *testing.T) {
	w := newWorld(t)
	a := w.start("a")
	b := w.start("b")
	w.expect("a live, b live", a, b)
	w.pass(20*time.Second, a, b)
	w.expect("a live, b live", a, b)
	for _, one := range a.Status(cluster.Log{}).Nodes {
		if one.Version != "1.2" || one.Connections != 7 || one.Heard > 1000 || one.Lag > 1 || one.Reads != cluster.Newest {
			t.Errorf("%+v", one)
		}
	}
	a.Time(log.Timing{Append: time.Millisecond})
	a.Time(log.Timing{Apply: time.Minute})
	sum := func(l cluster.Latency) (n uint64) {
		for _, count := range l.Counts {
			n += count
		}
		return n
	}
	if s := a.Status(cluster.Log{}); sum(s.Append) < 20 || sum(s.Tail) < 20 || s.Call.Counts[2] != 1 || s.Call.Sum != time.Millisecond || s.Apply.Counts[len(cluster.LatencyBounds)] != 1 {
		t.Errorf("durations: %+v", s)
	}
	if err := b.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.expect("a live, b left", a, b) // at once
	w.pass(20*time.Second, a, b)
	w.expect("a live, b left", a)
	c := w.start("c")
	w.expect("a live, c live, b left", a, c)
	if want := []string{"hello " + a.id(), "hello " + b.id(), "gone " + b.id(), "hello " + c.id()}; fmt.Sprint(a.events) != fmt.Sprint(want) {
		t.Errorf("a was called for %v, want %v", a.events, want)
	}
	if want := []string{"gone " + b.id(), "hello " + c.id()}; fmt.Sprint(c.events) != fmt.Sprint(want) { // no hello that was restored
		t.Errorf("c was called for %v, want %v", c.events, want)
	}
	if !a.Live(c.log.Node()) || a.Live(b.log.Node()) || a.Live(12345) {
		t.Errorf("live: c %v, b %v, nobody %v", a.Live(c.log.Node()), a.Live(b.log.Node()), a.Live(12345))
	}
}

// A node that is silent for longer than its lease is dead to all at the same entry, and
// comes back by itself.
func TestSilentNodeIsDeadUntilItIsBack(t *testing.T) {
	w := newWorld(t)
	a, b, c := w.start("a"), w.start("b"), w.start("c")
	w.pass(2*time.Second, a, b, c)
	c.log.Hold() // stopped: it neither reads nor steps
	w.pass(4*time.Second, a, b)
	w.expect("a live, b live, c stale", a, b)
	w.pass(2*time.Second, a, b)
	w.expect("a live, b live, c dead", a, b)
	if a.Live(c.log.Node()) {
		t.Error("c lives")
	}
	w.pass(60*time.Second, a, b)

	c.log.Release() // 66 s later; the others' leases are no older
	c.Step()
	c.Wake()
	w.expect("a live, b live, c live", a, b, c)
	w.pass(20*time.Second, a, b, c)
	w.expect("a live, b live, c live", a, b, c)
	want := fmt.Sprint([]string{"hello " + c.id(), "gone " + c.id(), "hello " + c.id()})
	for _, n := range []*node{a, b, c} {
		if got := fmt.Sprint(n.events[len(n.events)-3:]); got != want {
			t.Errorf("node %s was called for %v, want %v", n.id(), got, want)
		}
	}
	if !strings.Contains(c.report.String(), "this node was declared dead") || strings.Count(a.report.String(), "a node is gone") != 1 {
		t.Errorf("c reports %s\na reports %s", &c.report, &a.report)
	}
}

// A node that cannot reach the log, or was stopped, kills nobody.
func TestNodeThatIsNotCurrentKillsNobody(t *testing.T) {
	w := newWorld(t)
	a, b := w.start("a"), w.start("b")
	w.pass(2*time.Second, a, b)

	w.store.Fail(log.ErrUnavailable)
	w.pass(60*time.Second, a, b)
	w.store.Fail(nil)
	w.pass(20*time.Second, a, b)
	w.expect("a live, b live", a, b)

	w.store.Fail(log.ErrStorage) // all can read, and nobody can write
	w.pass(60*time.Second, a, b)
	w.store.Fail(nil)
	w.pass(20*time.Second, a, b)
	w.expect("a live, b live", a, b)

	w.pass(60 * time.Second) // both were stopped
	w.pass(20*time.Second, a, b)
	w.expect("a live, b live", a, b)
	if len(a.events) != 2 {
		t.Errorf("a was called for %v", a.events)
	}
	w.pass(6*time.Second, a) // now it counts
	w.expect("a live, b dead", a)
}

// The entry of the first node that notices decides, and one that was overtaken by a
// heartbeat has no effect.
func TestDeathIsDecidedByTheLog(t *testing.T) {
	w := newWorld(t)
	a, b := w.start("a"), w.start("b")
	late := w.store.Open() // another author
	if err := late.Start(log.Tails{}, func([]*log.Entry) {}); err != nil {
		t.Fatal(err)
	}
	last := late.Head()
	say := func(event string, data []byte) {
		t.Helper()
		if err := late.Append([]*log.Entry{{Kind: log.KindControl, Event: event, Data: data}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	w.pass(2*time.Second, a, b)
	say("node-dead", cluster.Death(b.log.Node(), last)) // b had a heartbeat since
	w.expect("a live, b live", a, b)
	say("node-dead", cluster.Death(b.log.Node(), late.Head()))
	w.expect("a live, b dead", a, b)
	say("node-dead", cluster.Death(b.log.Node(), late.Head()))
	w.pass(time.Second, a, b)
	w.expect("a live, b live", a, b)
	if want := fmt.Sprint([]string{"hello " + a.id(), "hello " + b.id(), "gone " + b.id(), "hello " + b.id()}); fmt.Sprint(a.events) != want {
		t.Errorf("a was called for %v, want %v", a.events, want)
	}
}

// A heartbeat that a dead node had on the way does not make it live: its members would
// be missing.
func TestHeartbeatIsNoHello(t *testing.T) {
	w := newWorld(t)
	a, b := w.start("a"), w.start("b")
	b.log.Hold()
	w.pass(7*time.Second, a)
	w.expect("a live, b dead", a)
	b.Step() // reaches the store, where b cannot read yet
	w.expect("a live, b dead", a)
	b.log.Release()
	w.pass(2*time.Second, a, b)
	w.expect("a live, b live", a, b)
}

func TestMalformedEntriesAreSkipped(t *testing.T) {
	w := newWorld(t)
	a := w.start("a")
	good := cluster.Heartbeat(77, "b", 1)
	bad := [][]byte{nil, {}, {2, 1, 1, 1}, {1}, good[:len(good)-1], cluster.Heartbeat(0, "b", 1), cluster.Heartbeat(78, "b\x1b[2J", 1), cluster.Heartbeat(79, strings.Repeat("x", cluster.MaxNameBytes+1), 1)}
	for _, data := range bad {
		if err := a.log.Append([]*log.Entry{{Kind: log.KindControl, Event: "node", Data: data}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	w.expect("a live", a)
	if s := a.Status(cluster.Log{}); s.Skipped != uint64(len(bad)) || strings.Count(a.report.String(), "was skipped") != 4 {
		t.Errorf("%d skipped of %d:\n%s", s.Skipped, len(bad), &a.report)
	}
	// A later version's fields are skipped, other events are none of ours.
	later := append(good, 99, 3, 'n', 'e', 'w')
	for _, e := range []*log.Entry{{Kind: log.KindControl, Event: "node", Data: later}, {Kind: log.KindControl, Event: "node-renamed"}, {Channel: "node", Event: "node", Data: []byte("x")}} {
		if err := a.log.Append([]*log.Entry{e}, nil); err != nil {
			t.Fatal(err)
		}
	}
	w.expect("a live, b live", a)
	if s := a.Status(cluster.Log{}); s.Skipped != uint64(len(bad)) {
		t.Errorf("%d skipped", s.Skipped)
	}
}

// Each node knows how many connections a group has on the others that live.
func TestGroupsOfOtherNodes(t *testing.T) {
	w := newWorld(t)
	a, b, c := w.start("a"), w.start("b"), w.start("c")
	a.groups = map[string]int{"x": 100, "none": 0}
	b.groups = map[string]int{"x": 3, "y": 2}
	c.groups = map[string]int{"x": 4}
	w.pass(2*time.Second, a, b, c)
	check := func(what string, n *node, group string, want int) {
		t.Helper()
		if got := n.Elsewhere(group); got != want {
			t.Errorf("%s: node %s has %d of %s elsewhere, want %d", what, n.Status(cluster.Log{}).Self, got, group, want)
		}
	}
	check("all live", a, "x", 7)
	check("all live", a, "y", 2)
	check("all live", b, "x", 104)
	check("all live", b, "y", 0)
	check("all live", a, "none", 0)
	c.groups = nil
	w.pass(2*time.Second, a, b, c)
	check("c has none", a, "x", 3)
	c.groups = map[string]int{"x": 4}
	w.pass(2*time.Second, a, b, c)
	if err := b.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("b has left", a, "x", 4)
	check("b has left", a, "y", 0)
	w.pass(20*time.Second, a)
	check("c is dead", a, "x", 0)
	// As many as there may be, and then one more, which is skipped.
	for i, data := range [][]byte{cluster.Groups(88, cluster.MostGroups), cluster.Groups(89, cluster.MostGroups+1), append(cluster.Heartbeat(90, "d", 1), 13, 3, 1, 'x', 0x80)} {
		if err := a.log.Append([]*log.Entry{{Kind: log.KindControl, Event: "node", Data: data}}, nil); err != nil {
			t.Fatal(err)
		}
		check("foreign", a, "g7", 7)
		if got := a.Status(cluster.Log{}).Skipped; got != uint64(i) {
			t.Errorf("%d skipped, want %d", got, i)
		}
	}
}

func TestTableIsBounded(t *testing.T) {
	w := newWorld(t)
	a := w.start("a")
	for i := range uint64(1200) {
		if err := a.log.Append([]*log.Entry{{Kind: log.KindControl, Event: "node", Data: cluster.Heartbeat(i+1, "x", 1)}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	states := a.Status(cluster.Log{}).States()
	if states["live"] != 1024 || a.Status(cluster.Log{}).Skipped != 177 {
		t.Errorf("%v, %d skipped", states, a.Status(cluster.Log{}).Skipped)
	}
	w.pass(20*time.Second, a)
	if states = a.Status(cluster.Log{}).States(); states["live"] != 1 || states["dead"] != 64 {
		t.Errorf("%v", states)
	}
}

// The format is the newest that all can read, once a node knows all.
func TestFormat(t *testing.T) {
	w := newWorld(t)
	a := w.start("a")
	w.pass(10*time.Second, a)
	if got := a.Format(); got != cluster.Newest {
		t.Errorf("format %d, want %d", got, cluster.Newest)
	}
	if err := a.Check(); err != nil {
		t.Error(err)
	}
	if err := a.log.Append([]*log.Entry{{Kind: log.KindControl, Event: "node", Data: cluster.Heartbeat(9, "new", 9)}}, nil); err != nil {
		t.Fatal(err)
	}
	b := w.open("b")
	err := b.Check()
	if want := fmt.Sprintf("the log is used by a newer version of Peal: node new (9.9) writes format 9, and this program reads formats up to %d: install that version here, too", cluster.Newest); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// What nodes say of themselves is enough for one that starts when older entries are
// trimmed.
func TestNodesAreKnownAfterTrimming(t *testing.T) {
	w := newWorld(t)
	a, b := w.start("a"), w.start("b")
	w.pass(5*time.Second, a, b)
	w.store.Trim(a.log.Head())
	c := w.start("c")
	w.pass(time.Second, a, b, c)
	w.expect("a live, b live, c live", a, b, c)
	w.pass(6*time.Second, a, b)
	w.expect("a live, b live, c dead", a, b)
}

// A failing log delays the hello; the node repeats it until it is in the log.
func TestHelloIsRepeated(t *testing.T) {
	w := newWorld(t)
	a := w.start("a")
	b := w.open("b")
	w.store.Fail(log.ErrUnavailable)
	if err := b.Hello(t.Context()); err != log.ErrUnavailable {
		t.Errorf("hello: %v", err)
	}
	w.store.Fail(nil)
	w.expect("a live", a)
	w.pass(time.Second, a, b)
	w.expect("a live, b live", a, b)
	if len(a.events) != 2 {
		t.Errorf("a was called for %v", a.events)
	}
	w.store.Fail(log.ErrUnavailable)
	if err := b.Leave(t.Context()); err != log.ErrUnavailable {
		t.Errorf("leave: %v", err)
	}
}

// Run beats by the real clock, and ends with its context.
func TestRun(t *testing.T) {
	s := fake.New(time.Now)
	l := s.Open()
	c := cluster.New(l, cluster.Config{Name: "a", Lease: time.Second, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err := l.Start(c, c.Restore); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { c.Run(ctx); close(ended) }()
	if err := c.Hello(ctx); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); l.Head() < 4 && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	if l.Head() < 4 {
		t.Error("no heartbeats in a minute")
	}
	cancel()
	<-ended
}

// Where entries are lost, the hello of a node that came back may be known to some nodes only. All
// say hello again, and a node that others take for dead is among them.
func TestLossBringsHellos(t *testing.T) {
	w := newWorld(t)
	a, b := w.start("a"), w.start("b")
	b.log.Hold()
	w.pass(7*time.Second, a)
	w.expect("a live, b dead", a)
	a.events, b.events = nil, nil
	for _, n := range []*node{a, b} {
		n.Lose(0, 5)
		n.Wake()
	}
	if got := a.states(); got != "a live" {
		t.Errorf("after the loss a knows %q", got)
	}
	b.log.Release()
	w.pass(2*time.Second, a, b)
	w.expect("a live, b live", a, b)
	if got := fmt.Sprint(a.events); !strings.Contains(got, "hello "+a.id()) || !strings.Contains(got, "hello "+b.id()) {
		t.Errorf("a was called for %s", got)
	}
}

// TestContinue: a process that goes on as a node says no hello, and its heartbeats go on.
func TestContinue(t *testing.T) {
	w := newWorld(t)
	a, b := w.start("a"), w.start("b")
	w.pass(3*time.Second, a, b)
	h := a.HandOver()
	events := len(b.events)
	next := &node{log: w.store.Open()}
	next.Cluster = cluster.New(sameNode{next.log, a.log.Node()}, cluster.Config{Name: "a", Version: "1.3", Lease: 5 * time.Second, Now: w.now, Log: slog.New(slog.DiscardHandler)})
	if err := next.log.Start(next.Cluster, next.Restore); err != nil {
		t.Fatal(err)
	}
	next.Continue(h)
	w.pass(20*time.Second, next, b)
	if len(b.events) != events {
		t.Errorf("the other node was called for %q", b.events[events:])
	}
	for _, n := range b.Status(cluster.Log{}).Nodes {
		if n.Name == "a" && (n.State != "live" || n.Version != "1.3") {
			t.Errorf("the node is %+v", n)
		}
	}
}

// sameNode is the engine of a process that goes on as another node.
type sameNode struct {
	log.Distributed
	id uint64
}

func (n sameNode) Node() uint64 { return n.id }
