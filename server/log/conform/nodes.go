package conform

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"peal/server/log"
)

// agree waits until all nodes have so many entries, and fails the test unless they are the
// same, in one order.
func agree(t *testing.T, entries int, nodes ...*Node) {
	t.Helper()
	for i, n := range nodes {
		Until(t, fmt.Sprintf("node %d has %d entries", i, entries), func() bool { return len(n.Entries()) >= entries })
	}
	first := nodes[0].Entries()
	increasing(t, "node 0", first)
	for i, n := range nodes {
		got := n.Entries()
		if len(got) != entries {
			t.Fatalf("node %d has %d entries, want %d", i, len(got), entries)
		}
		for k, e := range got {
			if e.Sequence != first[k].Sequence || string(e.Data) != string(first[k].Data) {
				t.Fatalf("entry %d of node %d is number %d, %.100q; of node 0 it is number %d, %.100q", k, i, e.Sequence, e.Data, first[k].Sequence, first[k].Data)
			}
		}
	}
}

func twoNodesHaveOneOrder(t *testing.T, w *world) {
	nodes := []*Node{w.node(t), w.node(t)}
	const batches = 500
	var running sync.WaitGroup
	for i, n := range nodes {
		running.Go(func() {
			for k := range batches {
				batch := []*log.Entry{{Channel: "a", Data: fmt.Append(nil, i, " ", 2*k)}, {Channel: "b", Data: fmt.Append(nil, i, " ", 2*k+1)}}
				if err := n.try(batch...); err != nil {
					t.Error(err)
				}
				if batch[1].Sequence != batch[0].Sequence+1 {
					t.Errorf("a batch was torn: %d, %d", batch[0].Sequence, batch[1].Sequence)
				}
			}
		})
	}
	running.Wait()
	agree(t, 4*batches, nodes...)
	next := [2]int{}
	for _, e := range nodes[0].Tail.Entries() {
		var i, k int
		fmt.Sscan(string(e.Data), &i, &k)
		if k != next[i] {
			t.Fatalf("entry %d is number %d of node %d, want %d", e.Sequence, k, i, next[i])
		}
		next[i]++
	}
	for i, n := range nodes {
		for k, other := range nodes {
			c := n.cursor(n.Head())
			if got, ok := other.Resolve(c); !ok || got != n.Head() {
				t.Errorf("%v of node %d is %d, %v on node %d", c, i, got, ok, k)
			}
		}
	}
	if a, b := nodes[0].Engine.(log.Distributed).Node(), nodes[1].Engine.(log.Distributed).Node(); a == b || a == 0 || b == 0 {
		t.Errorf("the nodes are called %d and %d", a, b)
	}
}

func aNodeThatComesLaterHasEverything(t *testing.T, w *world) {
	first := w.node(t)
	const entries = 2000
	var running sync.WaitGroup
	running.Go(func() {
		for i := range entries {
			if err := first.try(&log.Entry{Channel: "a", Data: fmt.Append(nil, i)}); err != nil {
				t.Error(err)
			}
		}
	})
	Until(t, "some are there", func() bool { return first.Head() > entries/10 })
	second := w.node(t)
	Until(t, "more are there", func() bool { return first.Head() > entries/2 })
	third := w.node(t)
	running.Wait()
	agree(t, entries, first, second, third)
	if len(second.Restored) == 0 || len(second.Tail.Entries()) == 0 {
		t.Errorf("%d restored and %d tailed: the test wants both", len(second.Restored), len(second.Tail.Entries()))
	}
}

func anIdempotencyKeyHoldsOnAllNodes(t *testing.T, w *world) {
	nodes := []*Node{w.node(t), w.node(t)}
	keyed := func(key, data string) *log.Entry {
		return &log.Entry{Channel: "a", Publisher: "p", IdempotencyKey: key, Data: []byte(data)}
	}
	first, repeat := keyed("k", "x"), keyed("k", "x")
	nodes[0].append(t, first)
	nodes[1].append(t, repeat)
	if first.Sequence == 0 || repeat.Sequence != first.Sequence {
		t.Errorf("the repeat on another node has sequence %d, the first %d", repeat.Sequence, first.Sequence)
	}
	for i, n := range nodes {
		if err := n.try(keyed("k", "another")); !errors.Is(err, log.ErrConflict) {
			t.Errorf("node %d, another message: %v", i, err)
		}
		if err := n.try(&log.Entry{Channel: "a", Data: []byte("beside")}, keyed("k", "another")); !errors.Is(err, log.ErrConflict) {
			t.Errorf("node %d, a batch with another message: %v", i, err)
		}
	}
	other := &log.Entry{Channel: "a", Publisher: "q", IdempotencyKey: "k", Data: []byte("of another publisher")}
	nodes[1].append(t, other)
	const races = 200
	var running sync.WaitGroup
	var sequences [races][2]uint64
	for i, n := range nodes {
		running.Go(func() {
			for k := range races {
				e := keyed(fmt.Sprint("race", k), "same")
				if err := n.try(e); err != nil {
					t.Error(err)
				}
				sequences[k][i] = e.Sequence
			}
		})
	}
	running.Wait()
	for k, s := range sequences {
		if s[0] != s[1] || s[0] == 0 {
			t.Errorf("race %d ended with %v", k, s)
		}
	}
	agree(t, 2+races, nodes...)
}

func aSlowNodeKeepsNobody(t *testing.T, w *world) {
	slow, fast := w.node(t), w.node(t)
	slow.publish(t, "0")
	slow.Tail.SetFull(true)
	const entries = 3000
	for i := 1; i < entries; i += 100 {
		batch := make([]*log.Entry, 0, 100)
		for k := i; k < min(i+100, entries); k++ {
			batch = append(batch, &log.Entry{Channel: "a", Data: fmt.Append(nil, k)})
		}
		fast.append(t, batch...)
	}
	if got := len(slow.Tail.Entries()); got != 1 {
		t.Errorf("%d entries were applied without room", got)
	}
	if p := slow.Engine.(log.Distributed).Progress(); p.Known <= p.Head || p.Head != slow.base(t)+1 {
		t.Errorf("the slow node says that it has %d of %d", p.Head, p.Known)
	}
	slow.Tail.SetFull(false)
	agree(t, entries, slow, fast)
	Until(t, "the node says that it has caught up", func() bool {
		p := slow.Engine.(log.Distributed).Progress()
		return p.Known == p.Head && p.Head == slow.base(t)+entries
	})
}

func aPositionOfAnotherNodeIsAhead(t *testing.T, w *world) {
	slow, fast := w.node(t), w.node(t)
	fast.publish(t, "0")
	Until(t, "both have it", func() bool { return slow.Head() == slow.base(t)+1 })
	slow.Tail.SetFull(true)
	c := fast.cursor(fast.publish(t, "1").Sequence)
	d := slow.Engine.(log.Distributed)
	if _, ok := slow.Resolve(c); ok || !d.Ahead(c) {
		t.Errorf("a position that the node has not read: it resolves %v, ahead %v", ok, d.Ahead(c))
	}
	slow.Tail.SetFull(false)
	Until(t, "it is not ahead any more", func() bool { _, ok := slow.Resolve(c); return ok && !d.Ahead(c) })
	// It may be of an epoch that has begun a moment ago, until the node has looked.
	Until(t, "the position of another log is not ahead", func() bool { return !d.Ahead(log.Cursor{Epoch: c.Epoch + 1, Sequence: 1}) })
}

func ordersOfAllNodesReachAll(t *testing.T, w *world) {
	nodes := []*Node{w.node(t), w.node(t)}
	nodes[1].Tail.SetFull(true)
	nodes[0].publish(t, "0")
	nodes[0].order(t, "1")
	nodes[1].Tail.SetFull(false)
	Until(t, "the order is there", func() bool { return nodes[1].Tail.Order() == "1" })
	nodes[1].order(t, "2")
	Until(t, "the order is there", func() bool { return nodes[0].Tail.Order() == "2" })
	agree(t, 3, nodes...)
	third := w.node(t)
	if third.Tail.Order() != "2" {
		t.Errorf("a node that comes later has the order %q", third.Tail.Order())
	}
}
