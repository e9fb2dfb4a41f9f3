package simulation_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"peal/loop"
	"peal/server/log"
)

// nodes is a world of several servers that share one log: what they have in common is
// the clock, the network and the store, and the clients that move between them.
type nodes struct {
	seed uint64
	rnd  *rand.Rand
	plan nodesPlan
	bug  nodesBug

	store        *store
	sites        []*node // the present life of each, nil while it is down
	guests       []*guest
	publications []*publication
	orders       *orders
	finishing    bool
	lives        int
	quiet        int // rounds without anything to do

	steps   []string
	traces  bool // also what the store serves, and what nodes apply: PEAL_STEPS is set
	failure string
	counts  nodesCounts
}

// nodesPlan is what a seed decides once.
type nodesPlan struct {
	sites    int
	guests   int
	channels []string
	loop     loop.Config
	ring     int  // slots
	loses    bool // the store loses entries that it had answered for
	trims    int  // entries that the store keeps, also before a slow node has read them; 0 for all
	breaks   bool // calls are cut, answers lost, nodes killed
}

// nodesBug is a fault planted between the parts of this world; the zero value is none.
type nodesBug struct {
	tails   func(n *node, next log.Tails) log.Tails
	keyless bool // the store knows no idempotency keys
	known   bool // no cursor is ahead
	mute    bool // nobody hears of what was lost
	members bool // none: nodes share the members of channels
	deaf    bool // with members: nobody hears that a node is gone
}

// nodesCounts tell whether schedules met enough to prove something.
type nodesCounts [nodesKinds]int

const (
	delivered  = iota // messages judged
	told              // gaps
	moves             // of clients to another node, with their cursor
	killed            // nodes
	paused            // nodes
	cuts              // calls that were not answered
	failovers         // of the store, with entries lost
	emptied           // stores
	garbage           // foreign entries that cannot be read
	replays           // publications that were repeated, on whatever node
	turnedBack        // clients that were to come back later
	ordered           // bans
	answeredTo        // publications that were answered
	trimmed           // entries
	nodesKindsOfAll

	// With members.
	departed = iota - 1 // times that a node heard that another is gone
	agreed              // lists that were the same on all nodes
	nodesKinds
)

func (c nodesCounts) String() string {
	return fmt.Sprintf("%d messages judged, %d gaps, %d moves, %d nodes killed, %d paused, %d calls cut, %d failovers with a loss, %d times emptied, %d foreign entries, %d publications repeated, %d clients turned back, %d orders, %d publications answered, %d entries trimmed",
		c[delivered], c[told], c[moves], c[killed], c[paused], c[cuts], c[failovers], c[emptied], c[garbage], c[replays], c[turnedBack], c[ordered], c[answeredTo], c[trimmed])
}

func newNodes(seed uint64, b nodesBug) *nodes {
	w := &nodes{seed: seed, rnd: rand.New(rand.NewPCG(seed, 15)), bug: b, traces: os.Getenv(stepsVariable) != ""}
	r := w.rnd
	w.plan = nodesPlan{
		sites:    2 + r.IntN(3),
		guests:   2 + r.IntN(5),
		channels: []string{"A", "B", "news/ä"}[:1+r.IntN(3)],
		loop:     newLoopConfig(r),
		breaks:   r.IntN(4) > 0,
	}
	w.plan.ring = 64 << r.IntN(7)
	w.plan.loop.Loops = 1 + r.IntN(2)
	w.plan.loop.MaxConnections, w.plan.loop.InputBytes = everything, everything
	w.plan.loop.IdleTimeout, w.plan.loop.HeadTimeout = time.Hour, time.Hour
	w.plan.loop.Fanout.HeldBytes = everything
	w.plan.loop.Fanout.LaneBytes = everything
	if w.plan.breaks {
		w.plan.loses = r.IntN(2) == 0 && hubLoses
		if r.IntN(3) == 0 {
			w.plan.trims = 5 + r.IntN(30)
		}
	}
	if b.members { // which have entries of their own, many
		w.plan.trims = 0
	}
	w.store = newStore(w)
	w.orders = newOrders(w)
	w.sites = make([]*node, w.plan.sites)
	for i := range w.sites {
		w.startNode(i)
	}
	for i := range w.plan.guests {
		w.guests = append(w.guests, &guest{w: w, name: fmt.Sprint("guest ", i)})
	}
	return w
}

func (w *nodes) note(format string, args ...any) {
	w.steps = append(w.steps, fmt.Sprintf(format, args...))
}

// trace is note for what is too much for those who have not asked.
func (w *nodes) trace(format string, args ...any) {
	if w.traces {
		w.note(format, args...)
	}
}

// fail notes the first failure.
func (w *nodes) fail(format string, args ...any) {
	if w.failure != "" {
		return
	}
	from := max(0, len(w.steps)-25)
	w.failure = fmt.Sprintf("seed %d: %s\nlast steps: %s", w.seed, fmt.Sprintf(format, args...), strings.Join(w.steps[from:], "; "))
}

// run is one schedule. A panic is a failure with its seed.
func (w *nodes) run(steps int) {
	defer w.end()
	defer func() {
		if p := recover(); p != nil {
			w.fail("panic: %v\n%s", p, debug.Stack())
		}
	}()
	for range steps {
		w.step()
		if w.failure != "" {
			return
		}
	}
	w.finish()
}

// end lets every goroutine of the world end.
func (w *nodes) end() {
	w.finishing = true
	for i := range w.sites {
		if n := w.sites[i]; n != nil {
			n.kill()
		}
	}
}

// up chooses a node that is up, nil if there is none.
func (w *nodes) up() *node {
	i := w.rnd.IntN(len(w.sites))
	for k := range w.sites {
		if n := w.sites[(i+k)%len(w.sites)]; n != nil && n.ready {
			return n
		}
	}
	return nil
}

func (w *nodes) step() {
	switch w.rnd.IntN(32) {
	case 0, 1, 2, 3:
		w.publish()
	case 4, 5, 6, 7, 8:
		for _, n := range w.sites {
			if n != nil && w.rnd.IntN(2) == 0 {
				n.work()
			}
		}
	case 9, 10, 11, 12, 13, 14:
		w.store.serve(1 + w.rnd.IntN(4))
	case 15, 16, 17, 18, 19, 20, 21:
		for _, n := range w.sites {
			if n != nil && w.rnd.IntN(3) > 0 {
				n.runLoops(1 + w.rnd.IntN(8))
			}
		}
	case 22, 23, 24, 25:
		w.visit()
	case 26:
		w.leaveNode()
	case 27, 28:
		w.elapse(time.Duration(w.rnd.IntN(400)) * time.Millisecond)
	case 29:
		w.orders.give()
	case 30, 31:
		if w.rnd.IntN(4) == 0 {
			w.misfortune()
		}
	}
	w.settle()
}

// settle lets goroutines run until each waits, and clients read what has arrived.
func (w *nodes) settle() {
	synctest.Wait()
	for _, n := range w.sites {
		if n != nil {
			n.read()
		}
	}
}

func (w *nodes) elapse(d time.Duration) {
	w.note("%v pass", d)
	time.Sleep(d)
	synctest.Wait()
	w.store.expire()
	for _, n := range w.sites {
		if n != nil && n.ready && !n.isPaused() {
			n.machine.elapse()
			n.hub.Sweep(time.Now())
			n.table.Sweep()
		}
	}
}

// misfortune is something rare.
func (w *nodes) misfortune() {
	if !w.plan.breaks {
		return
	}
	i := w.rnd.IntN(len(w.sites))
	n := w.sites[i]
	switch k := w.rnd.IntN(12); {
	case n == nil:
		w.startNode(i)
	case k < 2:
		w.note("node %d is killed", i)
		w.counts[killed]++
		n.kill()
	case k < 4:
		d := time.Duration(w.rnd.IntN(9000)) * time.Millisecond
		w.note("node %d is paused for %v", i, d)
		w.counts[paused]++
		n.pausedUntil = time.Now().Add(d)
	case k < 6:
		w.store.cutAll(n)
	case k < 8:
		w.store.foreign()
	case k < 11 && w.plan.loses:
		w.store.failover()
	case k < 12 && w.plan.loses && w.rnd.IntN(3) == 0:
		w.store.empty()
	}
}

// finish lets everything arrive and checks that nothing is missing.
func (w *nodes) finish() {
	w.note("finish")
	w.finishing = true
	for _, n := range w.sites {
		if n != nil {
			n.pausedUntil = time.Time{}
		}
	}
	for round := 0; w.failure == "" && !w.round(); round++ {
		if round == 400 {
			w.fail("it does not come to rest: %s; %s", w.unrest(), w.membersAtRest())
		}
	}
	if w.failure != "" {
		return
	}
	for _, g := range w.guests {
		g.judgeEnd()
	}
	w.store.judgeEnd()
	w.orders.judgeEnd()
}

// round is one of finish. It reports whether there is nothing more to do.
func (w *nodes) round() bool {
	for i, n := range w.sites {
		if n == nil {
			w.startNode(i)
		} else {
			n.work()
		}
	}
	w.settle()
	w.store.serve(100)
	w.settle()
	w.publishAgain()
	w.runAll()
	for _, g := range w.guests {
		g.stay()
	}
	w.runAll()
	w.quiet++
	if w.failure == "" && w.unrest() != "" {
		w.quiet = 0
	}
	w.elapse(300 * time.Millisecond)
	return w.quiet > quietRounds
}

// quietRounds is for how many rounds there must be nothing to do: a node asks the store
// each second whether it is still the same.
const quietRounds = 12

func (w *nodes) runAll() {
	for _, n := range w.sites {
		if n != nil && n.ready {
			n.runAll()
		}
	}
	w.settle()
}

// unrest is what is still to come, "" for nothing.
func (w *nodes) unrest() string {
	for i, n := range w.sites {
		switch {
		case n == nil || !n.ready:
			return fmt.Sprintf("node %d is not ready", i)
		case n.log.Head() < w.store.newest():
			return fmt.Sprintf("node %d is at %d, the store at %d", i, n.log.Head(), w.store.newest())
		case !n.isResting():
			return fmt.Sprintf("node %d has something to do", i)
		}
	}
	for _, p := range w.publications {
		if p.isOpen() {
			return fmt.Sprintf("publication %d is not answered", p.number)
		}
	}
	for _, g := range w.guests {
		if !g.isSettled() {
			return fmt.Sprintf("%s is not served", g)
		}
	}
	if w.bug.members {
		return w.membersUnrest()
	}
	return ""
}

// anySet chooses some channels, sorted.
func (w *nodes) anySet() []string {
	var set []string
	for _, name := range w.plan.channels {
		if w.rnd.IntN(2) == 0 {
			set = append(set, name)
		}
	}
	if len(set) == 0 {
		set = []string{w.plan.channels[w.rnd.IntN(len(w.plan.channels))]}
	}
	slices.Sort(set)
	return set
}

// simulateNodes runs one schedule of several nodes.
func simulateNodes(t *testing.T, seed uint64, b nodesBug) (w *nodes) {
	synctest.Test(t, func(*testing.T) {
		w = newNodes(seed, b)
		w.run(stepsOfNodes)
	})
	return w
}

const (
	stepsOfNodes  = 500
	stepsVariable = "PEAL_STEPS" // set: a failure prints all steps of its schedule
)

// TestSimulationOfNodes runs seeded schedules of several servers that share a log.
// PEAL_SEED is the first, PEAL_SEEDS how many; PEAL_STEPS=1 prints all steps of those that fail.
func TestSimulationOfNodes(t *testing.T) {
	seeds := uint64(300)
	if raceEnabled || testing.Short() {
		seeds = 60
	}
	first, seeds := seedsFromEnv(t, seeds)
	sum := simulateSeedsOfNodes(t, first, seeds, nodesBug{})
	for i, n := range sum[:nodesKindsOfAll] {
		if n == 0 && seeds >= 50 && !t.Failed() && (hubLoses || i != told && i != failovers && i != emptied) {
			t.Errorf("count %d is 0: the schedules met too little to prove anything", i)
		}
	}
}

// foundInNodes are seeds that have found something once, beyond those that are always run.
var foundInNodes = []uint64{1642, 1809, 3542, 4338, 4414, 6735, 10111, 10334, 10795, 10948, 13865, 14977, 15818, 20791}

func TestSeedsThatFoundSomethingInNodes(t *testing.T) {
	for _, seed := range foundInNodes {
		simulateSeedsOfNodes(t, seed, 1, nodesBug{})
	}
}

// simulateSeedsOfNodes runs as many schedules. Each that fails is an error with its seed.
func simulateSeedsOfNodes(t *testing.T, first, seeds uint64, b nodesBug) (sum nodesCounts) {
	name := "TestSimulationOfNodes"
	if b.members {
		name += "WithMembers"
	}
	for seed := first; seed < first+seeds; seed++ {
		w := simulateNodes(t, seed, b)
		if w.failure != "" {
			t.Errorf("%s\nalone: PEAL_SEED=%d go test ./server/simulation -run '^%s$'", w.failure, seed, name)
			if w.traces {
				t.Log(strings.Join(w.steps, "\n"))
			}
		}
		for i, n := range w.counts {
			sum[i] += n
		}
	}
	t.Logf("seeds %d–%d, %d steps each: %s", first, first+seeds-1, stepsOfNodes, sum)
	return sum
}

// TestSeedOfNodesRepeats: what a seed has found must be found again.
func TestSeedOfNodesRepeats(t *testing.T) {
	for seed := uint64(1); seed <= 20; seed++ {
		a, b := simulateNodes(t, seed, nodesBug{}), simulateNodes(t, seed, nodesBug{})
		for i := range min(len(a.steps), len(b.steps)) {
			if a.steps[i] != b.steps[i] {
				t.Fatalf("seed %d went two ways: step %d is %s, and then %s", seed, i, a.steps[i], b.steps[i])
			}
		}
		if a.counts != b.counts {
			t.Fatalf("seed %d went two ways: %v and %v", seed, a.counts, b.counts)
		}
	}
}
