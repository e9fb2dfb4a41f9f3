package counts_test

import (
	"testing"

	"peal/server/counts"
)

// succeed has another process go on as n. Its subscribers are those of n, and all of its channels have changed there, because their
// connections came.
func (w *world) succeed(n *node) *node {
	w.t.Helper()
	next := &node{id: n.id, subs: map[string]int{}, changed: map[string]struct{}{}, read: n.read, world: w}
	next.Table = counts.New(n.id, next, next.listed, next.live, func(_ uint64, err error) { w.t.Error(err) })
	if err := n.HandOver(func(p *counts.Part) error { return next.Import(p) }); err != nil {
		w.t.Fatal(err)
	}
	for name, subscribers := range n.subs {
		next.add(name, subscribers)
	}
	for i := range w.nodes {
		if w.nodes[i] == n {
			w.nodes[i] = next
		}
	}
	return next
}

// TestHandOver: other nodes hear only of what is different behind a hand-over, and the new process knows what they have told.
func TestHandOver(t *testing.T) {
	w := &world{t: t}
	a, b := w.start(), w.start()
	a.add("x", 2)
	a.add("y", 4)
	a.add("z", 6)
	b.add("of b", 8)
	w.settle()
	entries := len(w.log)
	a = w.succeed(a)
	w.settle()
	if len(w.log) != entries {
		t.Errorf("%d entries were appended by the hand-over, want none", len(w.log)-entries)
	}
	if n, listed := a.Elsewhere("of b"); n != 8 || listed != 4 {
		t.Errorf("the new process knows %d subscribers of the other node, %d listed, want 8 and 4", n, listed)
	}

	a.subs["y"] = 1 // connections do not come
	delete(a.subs, "z")
	a = w.succeed(a)
	a.add("x", 1)
	w.settle()
	for name, want := range map[string]int{"x": 3, "y": 1, "z": 0} {
		if n, _ := b.Elsewhere(name); n != want {
			t.Errorf("the other node knows %d subscribers of %s, want %d", n, name, want)
		}
	}
}
