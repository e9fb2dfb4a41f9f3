package distributed_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"peal/server/log"
	"peal/server/log/distributed"
)

// Stores that change while a node finds out what they have become, or whose changes it
// learns of late.

// order appends a control entry.
func (n *node) order(text string) {
	n.t.Helper()
	if err := n.Append([]*log.Entry{{Kind: log.KindControl, Event: "order", Data: []byte(text)}}, nil); err != nil {
		n.t.Fatal(err)
	}
}

// orders are the texts of those that were applied.
func (n *node) orders() (all []string) {
	for _, e := range n.got {
		if e.Event == "order" {
			all = append(all, string(e.Data))
		}
	}
	return all
}

// suspects has a node look at the store when it follows next.
func (w *world) suspects(n *node) {
	w.gone = true
	_ = n.Follow(w.t.Context(), 0)
	w.gone = false
}

// loseEpochs has a publish in three epochs that the store loses: a has applied more than any epoch that
// another node can begin behind what is left.
func (w *world) loseEpochs(a *node) {
	replica := w.copyOf()
	for range 3 {
		w.restart(0)
		a.step()
		a.publish("lost")
		a.step()
	}
	w.promote(replica)
}

// What a node reads after it has looked at the store may be of another epoch: nothing of it gets
// the name of the one that it has seen.
func TestAnEpochThatBeginsDuringRecovery(t *testing.T) {
	w := newWorld(t)
	a, b := w.node(), w.node()
	a.publish("one")
	a.step()
	b.step()
	a.publish("two")
	a.step() // b has not read it
	w.suspects(b)
	var three *fate
	w.happens = map[string]func(){"look": func() {
		w.replace()
		three = a.publish("three")
		a.step()
	}}
	b.step()
	if three == nil || three.err != nil {
		t.Fatalf("%+v", three)
	}
	if x, y := a.Lineage().Cursor(three.entry.Sequence), b.Lineage().Cursor(three.entry.Sequence); x != y {
		t.Errorf("%v on one node, %v on the other", x, y)
	}
	b.want("one", "three")
	if len(b.lost) == 0 {
		t.Error("it was told of no loss")
	}
}

// An epoch takes the place of others that are lost, with lower sequences than a node has applied: what is
// in it is a gap there, also for readers that have everything of the lost ones, and orders are followed, once.
func TestAnEpochInPlaceOfLostOnes(t *testing.T) {
	w := newWorld(t)
	a, b := w.node(), w.node()
	a.publish("one")
	a.step()
	b.step()
	w.loseEpochs(a)
	b.order("ban")
	low := b.publish("low")
	b.step()
	head := a.Head()
	if low.err != nil || low.entry.Sequence >= head {
		t.Fatalf("%v: at %d, and the other node is at %d", low.err, low.entry.Sequence, head)
	}
	replica := w.copyOf()
	w.later()
	a.step()
	if got := a.orders(); !slices.Equal(got, []string{"ban"}) {
		t.Errorf("the orders %q are followed", got)
	}
	if len(a.lost) == 0 || a.lost[0] <= head {
		t.Errorf("told that everything up to %d is lost: readers at %d do not hear of it", a.lost, head)
	}
	w.promote(replica) // without the epoch that a has begun
	b.step()
	w.later()
	a.step()
	b.step()
	if got := a.orders(); !slices.Equal(got, []string{"ban"}) {
		t.Errorf("then the orders %q are followed", got)
	}
}

// Orders in such an epoch that are retained no more are in the checkpoint. One that is older than what a
// node has read says nothing.
func TestACheckpointOfAnEpochInPlaceOfLostOnes(t *testing.T) {
	for name, late := range map[string]bool{"later": true, "older": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			slow, kept := &keeper{}, &keeper{texts: []string{"old"}}
			a, b := w.keep(slow), w.keep(kept)
			a.publish("one")
			a.step()
			b.step()
			b.Checkpoint(t.Context())
			a.publish("two")
			a.step()
			b.step()
			w.loseEpochs(a)
			b.order("ban")
			b.publish("3")
			b.publish("4")
			b.step()
			want := []string{""}
			if late {
				kept.texts = []string{"ban"}
				b.Checkpoint(t.Context()) // and removes the order
				want = append(want, "ban")
			}
			w.later()
			a.step()
			if !slices.Equal(slow.loaded, want) {
				t.Errorf("loaded %q, want %q", slow.loaded, want)
			}
		})
	}
}

// A node that begins when others have done so a moment before takes the state that they have kept meanwhile.
func TestTheStateOfTheEpochThatANodeBeginsIn(t *testing.T) {
	w := newWorld(t)
	kept := &keeper{texts: []string{"ban"}}
	a := w.keep(kept)
	a.publish("one")
	a.step()
	w.restart(0)
	w.happens = map[string]func(){"look": func() {
		for _, text := range []string{"1", "2", "3"} {
			a.publish(text)
			a.step()
		}
		a.Checkpoint(t.Context())
	}}
	fresh := &keeper{}
	w.keep(fresh)
	if want := []string{"ban"}; !slices.Equal(fresh.loaded, want) {
		t.Errorf("loaded %q, want %q", fresh.loaded, want)
	}
}

// A store may be started once more, with less, between the comparison and the beginning of an epoch.
func TestALossDuringRecovery(t *testing.T) {
	w := newWorld(t)
	a, b := w.node(), w.node()
	a.publish("one")
	two := a.publish("two")
	a.step()
	b.step()
	gone := a.Lineage().Cursor(two.entry.Sequence)
	w.restart(0)
	w.happens = map[string]func(){"back": func() { w.restart(1) }}
	a.publish("three")
	a.step()
	b.step()
	for i, n := range []*node{a, b} {
		if _, ok := n.Resolve(gone); ok || len(n.lost) != 1 {
			t.Errorf("node %d: told that everything up to %d is lost; the cursor of what is lost resolves: %t", i, n.lost, ok)
		}
	}
}

// A checkpoint that comes late, from an epoch that is lost, does not count as what the entries of
// another one have led to.
func TestACheckpointOfAnotherEpoch(t *testing.T) {
	w := newWorld(t)
	a, b := w.keep(&keeper{texts: []string{"stale"}}), w.keep(&keeper{texts: []string{"ban"}})
	a.publish("one")
	a.step()
	b.step()
	before, upto := a.Lineage().Epoch(), a.Head()
	w.restart(0)
	b.publish("two")
	b.step()
	if _, err := w.Checkpoint(context.Background(), before, upto+2*distributed.Jump, 1, []byte("stale"), 2); !errors.Is(err, distributed.ErrMoved) {
		t.Error(err)
	}
	a.Checkpoint(t.Context()) // it has not looked at the store yet
	b.Checkpoint(t.Context())
	if got := string(w.meta.State); got != "ban" {
		t.Errorf("the state is %q", got)
	}
}

// A node that has read nothing yet, of a log that has something, has a gap as others have if it is emptied.
func TestAnEmptiedStoreOfWhichNothingWasRead(t *testing.T) {
	w := newWorld(t)
	a := w.node()
	for range 3 {
		a.publish("before")
		a.step()
		w.restart(0)
		a.step()
	}
	a.publish("before")
	a.step()
	w.happens = map[string]func(){"look": w.replace}
	late := w.node()
	b := w.node()
	b.order("ban")
	b.step()
	w.later()
	head := late.Head()
	if b.Head() >= head {
		t.Fatalf("the new log is at %d, the old one was at %d", b.Head(), head)
	}
	late.step()
	if got := late.orders(); !slices.Equal(got, []string{"ban"}) || !slices.Contains(late.lost, head+1) {
		t.Errorf("the orders %q are followed; told that everything up to %d is lost, from %d", got, late.lost, head)
	}
}

// What is removed while a node starts is a gap there, also if nothing that it could read is left.
func TestEntriesRemovedDuringTheStart(t *testing.T) {
	w := newWorld(t)
	a := w.node()
	a.publish("one")
	a.publish("two")
	a.step()
	head := a.Head()
	w.happens = map[string]func(){"look": func() {
		w.records = nil
		a.publish("three")
		a.step()
	}}
	late := w.node()
	late.step()
	late.want("three")
	if !slices.Contains(late.lost, head) {
		t.Errorf("told that everything up to %d is lost, want %d", late.lost, head)
	}
}
