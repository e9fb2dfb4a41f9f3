package counts_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"peal/server/counts"
	"peal/server/log"
)

// node is one server: the subscribers that it has, and what it has read of the made-up log.
type node struct {
	*counts.Table
	id      uint64
	subs    map[string]int
	changed map[string]struct{}
	read    int
	world   *world
}

func (n *node) Changed(most int) (names []string) {
	for name := range n.changed {
		if len(names) < most {
			names = append(names, name)
			delete(n.changed, name)
		}
	}
	return names
}
func (n *node) Subscribers(channel string) int { return n.subs[channel] }
func (n *node) listed(channel string) int      { return n.subs[channel] / 2 }

// live is which nodes live by what it has read.
func (n *node) live() (ids []uint64) {
	for _, e := range n.world.log[:n.read] {
		switch e.Event {
		case "hello":
			ids = append(ids, uint64(e.TTL))
		case "gone":
			ids = slices.DeleteFunc(ids, func(id uint64) bool { return id == uint64(e.TTL) })
		}
	}
	return ids
}

func (n *node) add(channel string, by int) {
	n.subs[channel] = max(0, n.subs[channel]+by)
	n.changed[channel] = struct{}{}
}

type world struct {
	t      *testing.T
	log    []*log.Entry
	nodes  []*node
	next   uint64
	refuse func() error
}

func (w *world) start() *node {
	w.next++
	n := &node{id: w.next, subs: map[string]int{}, changed: map[string]struct{}{}, read: len(w.log), world: w}
	n.Table = counts.New(n.id, n, n.listed, n.live, func(_ uint64, err error) { w.t.Error(err) })
	for _, e := range w.log { // as restored
		if e.Event == "gone" {
			n.OnGone(uint64(e.TTL))
		}
	}
	w.nodes = append(w.nodes, n)
	w.tell("hello", n.id)
	return n
}

func (w *world) tell(event string, id uint64) {
	w.log = append(w.log, &log.Entry{Kind: log.KindControl, Event: event, TTL: int64(id)})
}

func (w *world) publish(batch []*log.Entry, done func(error)) error {
	if w.refuse != nil {
		if err := w.refuse(); err != nil {
			return err
		}
	}
	w.log = append(w.log, batch...)
	done(nil)
	return nil
}

func (n *node) follow(w *world, most int) {
	for ; n.read < len(w.log) && most > 0; most-- {
		e := w.log[n.read]
		n.read++
		switch e.Event {
		case "hello":
			n.OnHello(uint64(e.TTL))
		case "gone":
			n.OnGone(uint64(e.TTL))
		default:
			n.Apply([]*log.Entry{e})
		}
	}
}

func (w *world) settle() {
	for range 5 {
		for _, n := range w.nodes {
			n.follow(w, 1<<30)
			n.Step(w.publish)
		}
	}
	for _, n := range w.nodes {
		n.follow(w, 1<<30)
		n.Step(w.publish)
	}
}

func (w *world) judge() error {
	for _, n := range w.nodes {
		for c := range 6 {
			channel := fmt.Sprint("c", c)
			want, wantListed := 0, 0
			for _, other := range w.nodes {
				if other != n {
					want += other.subs[channel]
					wantListed += other.listed(channel)
				}
			}
			if got, listed := n.Elsewhere(channel); got != want || listed != wantListed {
				return fmt.Errorf("node %d: %s has %d subscribers and %d listed elsewhere, want %d and %d", n.id, channel, got, listed, want, wantListed)
			}
		}
	}
	return nil
}

func run(t *testing.T, seed uint64, lose bool, deaf bool) error {
	random := rand.New(rand.NewPCG(seed, 3))
	w := &world{t: t}
	w.start()
	w.start()
	if lose {
		w.refuse = func() error {
			if random.IntN(4) == 0 {
				return errors.New("refused")
			}
			return nil
		}
	}
	for range 400 {
		n := w.nodes[random.IntN(len(w.nodes))]
		switch k := random.IntN(40); {
		case k < 16:
			n.add(fmt.Sprint("c", random.IntN(6)), random.IntN(9)-4)
		case k < 24:
			n.Step(w.publish)
		case k < 36:
			n.follow(w, 1+random.IntN(6))
		case k < 37 && len(w.nodes) < 4:
			w.start()
		case k < 38 && len(w.nodes) > 1:
			i := random.IntN(len(w.nodes))
			dead := w.nodes[i]
			w.nodes = append(w.nodes[:i:i], w.nodes[i+1:]...)
			if !deaf {
				w.tell("gone", dead.id)
			}
			dead.Step(w.publish) // on its way, and too late
		case k < 39:
			w.tell("gone", n.id)
			w.tell("hello", n.id)
		}
	}
	w.refuse = nil
	w.settle()
	if err := w.judge(); err != nil {
		return err
	}
	before := len(w.log)
	for _, n := range w.nodes {
		n.Step(w.publish)
	}
	if len(w.log) > before {
		return fmt.Errorf("idle nodes appended %d entries", len(w.log)-before)
	}
	for _, n := range w.nodes {
		for channel := range n.subs {
			n.add(channel, -1<<20)
		}
	}
	w.settle()
	for _, n := range w.nodes {
		if st := n.Stats(); st.Channels != 0 {
			return fmt.Errorf("node %d: when all have gone: %+v", n.id, st)
		}
	}
	return w.judge()
}

// TestNodesKnowTheSubscribersOfAll: random schedules of nodes that come, die, come back, and
// of reports that are refused.
func TestNodesKnowTheSubscribersOfAll(t *testing.T) {
	first := rand.Uint64()
	for seed := first; seed < first+200; seed++ {
		if err := run(t, seed, seed%2 == 0, false); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// TestTheScheduleFindsTheDeadKept: counts of a dead node that nobody removes are found.
func TestTheScheduleFindsTheDeadKept(t *testing.T) {
	for seed := range uint64(50) {
		if run(t, seed, false, true) != nil {
			return
		}
	}
	t.Error("counts of dead nodes were not found")
}

// TestReportsAreBounded: so many channels at a time, the rest later; the entries are small.
func TestReportsAreBounded(t *testing.T) {
	w := &world{t: t}
	a, b := w.start(), w.start()
	w.settle()
	for i := range 5000 {
		a.add(fmt.Sprint("channel-", i), 1)
	}
	for i, want := range []int{2000, 4000, 5000, 5000} {
		before := len(w.log)
		a.Step(w.publish)
		b.follow(w, 1<<30)
		if got := b.Stats().Channels; got != want {
			t.Errorf("after step %d there are %d channels, want %d", i+1, got, want)
		}
		if i == 3 && len(w.log) != before {
			t.Error("an idle node appended something")
		}
	}
	w.start()
	w.settle()
	if got := w.nodes[2].Stats().Channels; got != 5000 {
		t.Errorf("a new node has %d channels, want 5,000", got)
	}
	for _, e := range w.log {
		if len(e.Data) > 64<<10+256 {
			t.Errorf("an entry of %d bytes", len(e.Data))
		}
	}
}

// TestNothingGrowsWhileTheLogIsGone: channels that come and go are forgotten.
func TestNothingGrowsWhileTheLogIsGone(t *testing.T) {
	w := &world{t: t}
	a, b := w.start(), w.start()
	a.add("stays", 1)
	w.settle()
	w.refuse = func() error { return errors.New("gone") }
	for i := range 100 {
		for k := range 100 {
			a.add(fmt.Sprint(i, "-", k), 1)
		}
		a.Step(w.publish)
		for k := range 100 {
			a.add(fmt.Sprint(i, "-", k), -1)
		}
		a.Step(w.publish)
	}
	a.add("new", 1)
	if n := a.Waiting(); n > 200 {
		t.Errorf("%d channels wait to be reported", n)
	}
	w.refuse = nil
	w.settle()
	if got := b.Stats().Channels; got != 2 {
		t.Errorf("b knows %d channels of a, want 2", got)
	}
}

// TestEntriesAreBytes: the form of an entry, and that damaged ones change nothing.
func TestEntriesAreBytes(t *testing.T) {
	faults := 0
	n := &node{subs: map[string]int{}, changed: map[string]struct{}{}}
	table := counts.New(1, n, n.listed, func() []uint64 { return []uint64{1, 2} }, func(uint64, error) { faults++ })
	whole := "\x01\x00\x02\x00\x00\x00\x00\x00\x00\x00\x03tea\x05\x02\x01a\x80\x01\x00"
	for cut := range len(whole) {
		if cut == 10 || cut == 16 { // nothing, and one channel
			continue
		}
		table.Apply([]*log.Entry{{Kind: log.KindControl, Event: "counts", Data: []byte(whole[:cut])}})
	}
	if faults != len(whole)-2 || table.Stats().Channels != 0 {
		t.Errorf("%d of %d damaged entries were found, %d channels", faults, len(whole)-2, table.Stats().Channels)
	}
	table.Apply([]*log.Entry{{Kind: log.KindControl, Event: "counts", Data: []byte(whole)}})
	if tea, listed := table.Elsewhere("tea"); tea != 5 || listed != 2 {
		t.Errorf("tea has %d, %d", tea, listed)
	}
	if a, listed := table.Elsewhere("a"); a != 128 || listed != 0 {
		t.Errorf("a has %d, %d", a, listed)
	}
}
