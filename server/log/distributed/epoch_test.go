package distributed_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"peal/server/log"
)

// copyOf is what a replica of the store has at this moment.
func (s *shelf) copyOf() *shelf {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &shelf{meta: s.meta, records: slices.Clone(s.records), keys: maps.Clone(s.keys), last: maps.Clone(s.last), results: maps.Clone(s.results)}
	c.meta.Predecessors = slices.Clone(s.meta.Predecessors)
	return c
}

// promote has a replica take the place of the store.
func (s *shelf) promote(c *shelf) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.meta, s.records, s.keys, s.last, s.results, s.ready = c.meta, c.records, c.keys, c.last, c.results, false
}

// later has nodes without anything to do look at the store.
func (w *world) later() { w.clock = w.clock.Add(2 * time.Second) }

// An epoch whose beginning is lost has given sequences, and what a node still has of them must not
// become the next one's.
func TestALostEpochGivesItsSequencesToNoOther(t *testing.T) {
	w := newWorld(t)
	a, b := w.node(), w.node()
	a.publish("one")
	a.step()
	b.step()
	w.restart(0)
	replica := w.copyOf()
	two := a.publish("two") // in an epoch that only a has heard of
	a.step()
	a.want("one", "two")
	lost := a.Lineage().Cursor(two.entry.Sequence)
	w.promote(replica)
	three := b.publish("three")
	b.step()
	named := b.Lineage().Cursor(three.entry.Sequence)
	w.later()
	if three.err != nil || named.Sequence == lost.Sequence {
		t.Fatalf("%v; %v after %v", three.err, named, lost)
	}
	a.step()
	b.step()
	for i, n := range []*node{a, b} {
		if at, ok := n.Resolve(named); (!ok || at != named.Sequence) && len(n.lost) == 0 {
			t.Errorf("node %d: the cursor of what is there resolves to %d, %t, and nobody was told", i, at, ok)
		}
		if _, ok := n.Resolve(lost); ok {
			t.Errorf("node %d: the cursor of what is lost resolves", i)
		}
		if len(n.lost) == 0 {
			t.Errorf("node %d was told of no loss", i)
		}
	}
	four := b.publish("four")
	b.step()
	a.step()
	if x, y := a.Lineage().Cursor(four.entry.Sequence), b.Lineage().Cursor(four.entry.Sequence); x != y || !slices.Contains(a.texts(), "four") {
		t.Errorf("%v and %v; applied %q", x, y, a.texts())
	}
}

// A store that was emptied, and then begun by a node that knows of nothing, gives no sequence that another
// node has given a publisher before.
func TestAnEmptiedStoreGivesOtherSequences(t *testing.T) {
	w := newWorld(t)
	a := w.node()
	one := a.publish("one")
	if _, err := a.Flush(t.Context()); err != nil { // taken, but not read yet
		t.Fatal(err)
	}
	w.replace()
	b := w.node()
	other := b.publish("other")
	b.step()
	w.later()
	a.step()
	if !one.ended || one.entry.Sequence == other.entry.Sequence {
		t.Errorf("ended %t: %d, and then %d", one.ended, one.entry.Sequence, other.entry.Sequence)
	}
	if got, was := b.Lineage().Cursor(other.entry.Sequence), a.Lineage().Cursor(one.entry.Sequence); got == was {
		t.Errorf("two messages have the cursor %v", got)
	}
	if len(a.lost) == 0 {
		t.Error("the node that has seen them was told of no loss")
	}
}

// The beginning of a log is where nothing was, wherever its first epoch begins: no gap, whichever node
// a client comes to, and in whichever epoch.
func TestTheBeginningOfALogIsNoGap(t *testing.T) {
	w := newWorld(t)
	a, idle := w.node(), w.node()
	if a.Head() != 0 || a.Oldest() != 1 {
		t.Fatalf("head %d, oldest %d", a.Head(), a.Oldest())
	}
	begin := a.Lineage().Cursor(a.Head())
	w.restart(0)
	w.later()
	a.step() // nothing is there, so it is enough to look
	one := a.publish("one")
	a.step()
	b := w.node()
	idle.step() // it finds the entry of an epoch behind one in which nothing was appended
	idle.want("one")
	for i, n := range []*node{a, b, idle} {
		if at, ok := n.Resolve(begin); !ok || at >= n.Oldest() {
			t.Errorf("node %d: the beginning is %d, %t; its oldest entry is %d", i, at, ok, n.Oldest())
		}
		if len(n.lost) != 0 {
			t.Errorf("node %d was told that %d is lost", i, n.lost)
		}
	}
	got, err := b.Read(nil, one.entry.Sequence-1, 10, 1<<20)
	if err != nil || len(got) != 1 || string(got[0].Data) != "one" {
		t.Errorf("%d read, %v", len(got), err)
	}
}

// A new node may begin an emptied store with lower sequences than those that run have applied: they
// cannot deliver what has them, which is a gap, but orders hold there all the same.
func TestOrdersOfALogThatBeganAnew(t *testing.T) {
	w := newWorld(t)
	a := w.node()
	for range 3 { // far beyond where an empty log can begin
		a.publish("before")
		a.step()
		w.restart(0)
		a.step()
	}
	a.publish("before")
	a.step()
	w.replace()
	b := w.node()
	order := &log.Entry{Kind: log.KindControl, Event: "order", Data: []byte("x")}
	if err := b.Append([]*log.Entry{order}, nil); err != nil {
		t.Fatal(err)
	}
	low := b.publish("low")
	b.step()
	if low.entry.Sequence >= a.Head() {
		t.Fatalf("the new log is at %d, the old one was at %d", low.entry.Sequence, a.Head())
	}
	head := a.Head()
	w.later()
	a.step()
	if !slices.ContainsFunc(a.got, func(e *log.Entry) bool { return e.Event == "order" }) {
		t.Error("the order is missed")
	}
	if slices.Contains(a.texts(), "low") || len(a.lost) == 0 || slices.Max(a.lost) < head {
		t.Errorf("applied %q, told that everything up to %d is lost", a.texts(), a.lost)
	}
	high := a.publish("high")
	a.step()
	b.step()
	if high.err != nil || high.entry.Sequence <= head || !slices.Contains(b.texts(), "high") {
		t.Errorf("%v: %d behind %d; the other node has %q", high.err, high.entry.Sequence, head, b.texts())
	}
}

// An entry that the node has not read is not lost because the one behind it is, which the node has appended.
func TestWhatIsNotReadYetIsNotLost(t *testing.T) {
	w := newWorld(t)
	a, b := w.node(), w.node()
	one := a.publish("one")
	a.step()
	two := b.publish("two")
	if _, err := b.Flush(t.Context()); err != nil { // b has read neither
		t.Fatal(err)
	}
	w.restart(1)
	b.publish("three") // which finds out, before b reads
	b.step()
	a.step()
	if at, ok := a.Resolve(b.Lineage().Cursor(one.entry.Sequence)); !ok || at != one.entry.Sequence {
		t.Errorf("the cursor of what is left resolves to %d, %t", at, ok)
	}
	if last := b.Lineage().Predecessors()[0].Last; last != one.entry.Sequence {
		t.Errorf("the epoch before ends at %d, want %d: %d is lost", last, one.entry.Sequence, two.entry.Sequence)
	}
	b.want("one", "three")
}

// The readers of a node have a gap for entries that are removed while it finds out what the store has become.
func TestEntriesRemovedDuringRecovery(t *testing.T) {
	w := newWorld(t)
	a, b := w.node(), w.node()
	a.publish("one")
	a.step()
	b.step()
	for range 5 {
		a.publish("x")
	}
	a.step()
	w.gone = true // b loses its connection, and finds the entries behind "one"
	_ = b.Follow(t.Context(), 0)
	w.gone = false
	last := w.records[4].Sequence
	w.passing = 5
	b.step()
	if len(b.lost) != 1 || b.lost[0] != last {
		t.Errorf("told that everything up to %d is lost, want %d; applied %q", b.lost, last, b.texts())
	}
	b.want("one", "x")
}
