package conform

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"peal/server/log"
)

// Traffic publishes on all nodes, again and again, until it is stopped.
type Traffic struct {
	nodes   []*Node
	stop    chan struct{}
	running sync.WaitGroup

	mu           sync.Mutex
	acknowledged map[string]uint64 // data to sequence
	uncertain    map[string]bool
	refused      atomic.Int64 // with ErrUnavailable
	stored       atomic.Int64 // with ErrStorage
	wrong        []error      // anything else
}

// StartTraffic has two goroutines publish on each of the nodes, which end with the test.
func StartTraffic(t *testing.T, nodes ...*Node) *Traffic {
	f := &Traffic{nodes: nodes, stop: make(chan struct{}), acknowledged: make(map[string]uint64), uncertain: make(map[string]bool)}
	for i, n := range nodes {
		for k := range 2 {
			f.running.Go(func() { f.publish(n, fmt.Sprint(i, "-", k)) })
		}
	}
	t.Cleanup(f.end)
	return f
}

func (f *Traffic) publish(n *Node, name string) {
	for i := 0; ; i++ {
		select {
		case <-f.stop:
			return
		default:
		}
		data := fmt.Sprint(name, "-", i)
		e := &log.Entry{Channel: "a", Data: []byte(data)}
		accepted := false
		err := func() error {
			done := make(chan error, 1)
			if err := n.Append([]*log.Entry{e}, func(err error) { done <- err }); err != nil {
				return err
			}
			accepted = true
			return <-done
		}()
		f.mu.Lock()
		switch {
		case err == nil:
			f.acknowledged[data] = e.Sequence
		case errors.Is(err, log.ErrUnavailable) || errors.Is(err, log.ErrFull):
			f.refused.Add(1)
			if accepted {
				f.uncertain[data] = true
			}
		case errors.Is(err, log.ErrStorage):
			f.stored.Add(1)
		default:
			f.wrong = append(f.wrong, err)
		}
		f.mu.Unlock()
		if err != nil {
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// count is how many were acknowledged.
func (f *Traffic) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.acknowledged)
}

// More waits until that many more were acknowledged.
func (f *Traffic) More(t *testing.T, n int) {
	t.Helper()
	want := f.count() + n
	Until(t, fmt.Sprintf("%d more are acknowledged", n), func() bool { return f.count() >= want })
}

// Unavailable is how many were refused because the store could not be reached.
func (f *Traffic) Unavailable() int64 { return f.refused.Load() }

// Storage is how many were refused because the store had no room.
func (f *Traffic) Storage() int64 { return f.stored.Load() }

func (f *Traffic) end() {
	select {
	case <-f.stop:
	default:
		close(f.stop)
	}
	f.running.Wait()
}

// Judge ends the traffic. All nodes must have the same entries, each of them once: all
// that were acknowledged, under their number, and perhaps some whose end is not known.
func (f *Traffic) Judge(t *testing.T) {
	t.Helper()
	f.end()
	for _, err := range f.wrong {
		t.Errorf("published with %v", err)
	}
	last := f.nodes[0].last(t)
	for i, n := range f.nodes {
		Until(t, fmt.Sprintf("node %d has the last", i), func() bool { return n.Head() >= last })
	}
	entries := len(f.nodes[0].Entries())
	agree(t, entries, f.nodes...)
	seen := make(map[string]uint64)
	for _, e := range f.nodes[0].Entries() {
		if seen[string(e.Data)] != 0 && string(e.Data) != theLast {
			t.Errorf("%s is there twice, as %d and %d", e.Data, seen[string(e.Data)], e.Sequence)
		}
		seen[string(e.Data)] = e.Sequence
	}
	lost := 0
	for data, sequence := range f.acknowledged {
		if seen[data] != sequence {
			lost++
			t.Logf("%s was acknowledged as %d and is %d", data, sequence, seen[data])
		}
		delete(seen, data)
	}
	if lost > 0 {
		t.Errorf("%d of %d that were acknowledged are lost", lost, len(f.acknowledged))
	}
	delete(seen, theLast)
	for data := range seen {
		if !f.uncertain[data] {
			t.Errorf("%s is there, and was refused", data)
		}
	}
	if n := f.Storage(); n > 0 {
		t.Errorf("%d were refused for want of room", n)
	}
	for i, n := range f.nodes {
		if losses := n.Tail.Losses(); len(losses) > 0 {
			t.Errorf("node %d told of losses: %v", i, losses)
		}
	}
}

const theLast = "the last"

// last publishes once more, as often as it takes.
func (n *Node) last(t *testing.T) (sequence uint64) {
	t.Helper()
	var e *log.Entry
	Until(t, "a node publishes again", func() bool {
		e = &log.Entry{Channel: "a", Data: []byte(theLast)}
		return n.try(e) == nil
	})
	return e.Sequence
}

// JudgeLoss ends the traffic after entries may have been lost. No node may have seen another
// entry under a number, and each entry that was acknowledged, or seen on another node, must
// be on every node, or be part of what Lose has told there. late are nodes without traffic.
func (f *Traffic) JudgeLoss(t *testing.T, late ...*Node) {
	t.Helper()
	f.end()
	for _, err := range f.wrong {
		t.Errorf("published with %v", err)
	}
	nodes := slices.Concat(f.nodes, late)
	last := uint64(0)
	for _, n := range f.nodes {
		last = max(last, n.last(t))
	}
	for i, n := range nodes {
		Until(t, fmt.Sprintf("node %d has the last", i), func() bool { return n.Head() >= last })
	}
	all := make(map[uint64]string)
	for data, sequence := range f.acknowledged {
		all[sequence] = data
	}
	told := func(n *Node, sequence uint64) bool {
		return slices.ContainsFunc(n.Tail.Losses(), func(l [2]uint64) bool { return l[0] < sequence && sequence <= l[1] })
	}
	seen := make([]map[uint64]bool, len(nodes))
	for i, n := range nodes {
		entries := n.Entries()
		increasing(t, fmt.Sprint("node ", i), entries)
		seen[i] = make(map[uint64]bool)
		newest := make(map[string]uint64)
		for _, e := range entries {
			data := string(e.Data)
			if before, ok := all[e.Sequence]; ok && before != data {
				t.Errorf("node %d has %s as entry %d, which is %s", i, data, e.Sequence, before)
			}
			// One that was lost before its call was answered is appended again.
			if before, ok := newest[data]; ok && data != theLast && !told(n, before) {
				t.Errorf("node %d has %s twice, as %d and %d", i, data, before, e.Sequence)
			}
			all[e.Sequence], seen[i][e.Sequence], newest[data] = data, true, e.Sequence
		}
	}
	for i, n := range nodes {
		missing := 0
		for sequence := range all {
			before := i >= len(f.nodes) && sequence < n.Oldest() // readers of before know by that
			if !seen[i][sequence] && !before && !told(n, sequence) {
				missing++
				t.Logf("node %d has no entry %d, %s", i, sequence, all[sequence])
			}
		}
		if missing > 0 {
			t.Errorf("node %d lacks %d of %d entries, and was told of %v", i, missing, len(all), n.Tail.Losses())
		}
	}
}
