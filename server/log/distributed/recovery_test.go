package distributed_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"peal/server/log"
	"peal/server/log/distributed"
)

// A store that is back with all it had begins an epoch, and nobody has a gap.
func TestARestartLosesNothing(t *testing.T) {
	w := newWorld(t)
	a, b := w.node(), w.node()
	a.publish("one")
	a.step()
	b.step()
	old := a.Lineage().Cursor(w.first + 1)
	w.restart(0)
	f := b.publish("two")
	b.step()
	a.step()
	a.want("one", "two")
	b.want("one", "two")
	if f.err != nil || f.entry.Sequence <= w.first+1+distributed.Jump {
		t.Errorf("%v, sequence %d", f.err, f.entry.Sequence)
	}
	for _, n := range []*node{a, b, w.node()} {
		if at, ok := n.Resolve(old); !ok || at != w.first+1 {
			t.Errorf("a cursor of before resolves to %d, %t", at, ok)
		}
		if len(n.lost) > 0 {
			t.Errorf("lost up to %d", n.lost)
		}
		if n.Lineage().Epoch() != a.Lineage().Epoch() || n.Lineage().Cursor(f.entry.Sequence).Epoch == old.Epoch {
			t.Error("another epoch, or the one before")
		}
	}
}

// Entries that were shown and are lost: all nodes find out, old and new.
func TestALostTail(t *testing.T) {
	for name, first := range map[string]int{"the node that saw them is first": 0, "another is": 1} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			nodes := []*node{w.node(), w.node()}
			saw, other := nodes[0], nodes[1]
			saw.publish("one")
			saw.step()
			other.step()
			saw.publish("two")
			saw.publish("three")
			saw.step() // the other one has not read them
			gone, kept := saw.Lineage().Cursor(w.first+3), saw.Lineage().Cursor(w.first+1)
			w.restart(2)
			nodes[first].publish("four")
			nodes[first].step()
			nodes[1-first].step()
			nodes[first].step()
			nodes[1-first].step()
			saw.want("one", "two", "three", "four")
			other.want("one", "four")
			fresh := w.node()
			for i, n := range []*node{saw, other, fresh} {
				if len(n.lost) != 1 {
					t.Fatalf("node %d: lost %d", i, n.lost)
				}
				if _, ok := n.Resolve(gone); ok || n.Ahead(gone) {
					t.Errorf("node %d: the cursor of what is lost resolves", i)
				}
				if at, ok := n.Resolve(kept); !ok || at != w.first+1 || n.lost[0] < at {
					t.Errorf("node %d: %d, %t, lost up to %d", i, at, ok, n.lost)
				}
			}
			again := &log.Entry{Kind: log.KindControl, Event: distributed.EventLost, Data: []byte{1, 2}} // by a node that had seen as much
			if err := other.Append([]*log.Entry{again}, nil); err != nil {
				t.Fatal(err)
			}
			other.step()
			saw.step()
			if len(other.lost) != 1 || len(saw.lost) != 1 {
				t.Errorf("a loss that is reported twice is two gaps: %d and %d", other.lost, saw.lost)
			}
			for _, e := range other.got[1:] {
				if e.Sequence <= w.first+distributed.Jump {
					t.Errorf("the sequence %d was used before", e.Sequence)
				}
			}
		})
	}
}

// A store that was emptied, with a new node that knows nothing of what was there.
func TestAnEmptiedStore(t *testing.T) {
	w := newWorld(t)
	a := w.node()
	for i := range 5 {
		a.publish(fmt.Sprint(i))
	}
	a.step()
	w.replace()
	b := w.node()
	b.publish("new")
	b.step()
	a.publish("newer")
	a.step()
	b.step()
	b.step()
	if got := a.texts(); got[len(got)-1] != "newer" || len(a.lost) == 0 || len(b.lost) == 0 {
		t.Errorf("%q, lost %d and %d", got, a.lost, b.lost)
	}
	if a.Head() != b.Head() || a.Lineage().Epoch() != b.Lineage().Epoch() {
		t.Errorf("heads %d and %d", a.Head(), b.Head())
	}
	b.want("new", "newer")
}

func TestAStoreThatIsGone(t *testing.T) {
	w := newWorld(t)
	a := w.node()
	w.gone = true
	f := a.publish("one")
	a.step()
	if f.ended || a.Failing() != nil {
		t.Errorf("it is given up at once: %v", a.Failing())
	}
	w.clock = w.clock.Add(3 * time.Second)
	a.step()
	if !errors.Is(f.err, log.ErrUnavailable) || !errors.Is(a.Failing(), log.ErrUnavailable) {
		t.Errorf("%v, failing: %v", f.err, a.Failing())
	}
	if f := a.publish("two"); !errors.Is(f.err, log.ErrUnavailable) {
		t.Errorf("the next one: %v", f.err)
	}
	w.gone = false
	a.step()
	if a.Failing() != nil {
		t.Error(a.Failing())
	}
	f = a.publish("three")
	a.step()
	if f.err != nil || !f.ended {
		t.Errorf("ended %t, %v", f.ended, f.err)
	}
	a.want("three")
	w.refuses = true
	if f = a.publish("four"); f.err != nil {
		t.Error(f.err)
	}
	a.step()
	if !errors.Is(f.err, log.ErrStorage) {
		t.Error(f.err)
	}
}

// A store that can be read and takes nothing is not taken for a good one between two control entries.
func TestAStoreDoesNotFailByTurns(t *testing.T) {
	for want, refusal := range map[error]error{log.ErrStorage: distributed.ErrRefused, log.ErrUnavailable: distributed.ErrUnconfirmed} {
		w := newWorld(t)
		a := w.node()
		order := func(e *log.Entry) { e.Kind = log.KindControl }
		w.refuses, w.refusal = true, refusal
		for second := range 10 {
			a.publish("heartbeat", order)
			a.step()
			for range 4 {
				w.clock = w.clock.Add(250 * time.Millisecond)
				a.step()
				if err := a.Failing(); !errors.Is(err, want) && second > 1 {
					t.Fatalf("after %d s: failing %v, want %v", second, err, want)
				}
			}
		}
		w.refuses = false
		if f := a.publish("heartbeat", order); f.err != nil {
			t.Fatal(f.err)
		}
		a.step()
		if err := a.Failing(); err != nil {
			t.Error(err)
		}
		w.refuses = true
		a.publish("heartbeat", order)
		a.step()
		w.refuses = false
		w.clock = w.clock.Add(time.Minute) // without control entries
		a.step()
		if err := a.Failing(); err != nil {
			t.Error(err)
		}
	}
}

// keeper is the state of control entries: their texts.
type keeper struct {
	texts  []string
	loaded []string // states
}

func (k *keeper) Save() []byte { return []byte(strings.Join(k.texts, " ")) }
func (k *keeper) Load(state []byte, _ uint64) error {
	k.loaded = append(k.loaded, string(state))
	return nil
}
func (k *keeper) Lost(string) {}

// keep is a node with that state, which has two entries retained.
func (w *world) keep(k *keeper) *node {
	w.t.Helper()
	l, err := distributed.Open(context.Background(), w.shelf, distributed.Config{Window: time.Minute, Entries: 2}, func() time.Time { return w.clock }, func() uint64 { w.next++; return w.next * 0x9e3779b97f4a7c15 })
	if err != nil {
		w.t.Fatal(err)
	}
	l.Keep(k)
	if w.first == 0 {
		w.first = w.meta.Began
	}
	n := &node{Log: l, reader: &reader{room: everything}, t: w.t, clock: &w.clock}
	if err := l.Start(log.Tails{n.reader}, func([]*log.Entry) {}); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// A node for which entries were removed before it had read them takes the state of what
// they were about: an order that it has missed holds there, too.
func TestAMissedOrder(t *testing.T) {
	w := newWorld(t)
	slow, kept := &keeper{}, &keeper{texts: []string{"ban"}}
	a, b := w.keep(slow), w.keep(kept)
	a.publish("first")
	a.step()
	b.step()
	for _, text := range []string{"1", "2", "3", "4", "5"} {
		b.publish(text)
	}
	b.step()
	b.Checkpoint(context.Background()) // and removes all but two
	a.step()
	a.want("first", "4", "5")
	if want := []string{"", "ban"}; !slices.Equal(slow.loaded, want) || len(a.lost) != 1 {
		t.Errorf("loaded %q, want %q; lost %v", slow.loaded, want, a.lost)
	}
	if len(kept.loaded) != 1 {
		t.Errorf("the other node loaded %q", kept.loaded)
	}
}

// Two epochs begin before a node reads on: it names what follows by the second one.
func TestTwoEpochsAtOnce(t *testing.T) {
	w := newWorld(t)
	a, b := w.node(), w.node()
	a.publish("one")
	a.step()
	b.step()
	w.restart(0)
	for range 2 { // it finds out, and begins the first
		_, _ = a.Flush(context.Background())
		_ = a.Follow(context.Background(), 0)
		a.publish("lost in between")
	}
	first := a.Lineage().Epoch()
	w.restart(0) // the second
	f := b.publish("two")
	b.step()
	if f.err != nil || b.Lineage().Epoch() == first {
		t.Fatalf("%v, epoch %v", f.err, b.Lineage().Epoch())
	}
	a.step()
	b.step()
	for s := range max(a.Head(), b.Head()) - a.Head() + 1 {
		if x, y := a.Lineage().Cursor(a.Head()-s), b.Lineage().Cursor(a.Head()-s); x != y {
			t.Errorf("%v on one node, %v on the other", x, y)
		}
	}
	if at, ok := a.Resolve(b.Lineage().Cursor(f.entry.Sequence)); !ok || at != f.entry.Sequence {
		t.Errorf("a cursor of the second epoch resolves to %d, %t", at, ok)
	}
}
