package conform

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"peal/server/log"
)

// traffic publishes on all nodes, again and again, until it is stopped.
type traffic struct {
	nodes   []*node
	stop    chan struct{}
	running sync.WaitGroup

	mu           sync.Mutex
	acknowledged map[string]uint64 // data to sequence
	uncertain    map[string]bool
	refused      atomic.Int64 // with ErrUnavailable
	wrong        []error      // anything else
}

func startTraffic(t *testing.T, nodes ...*node) *traffic {
	f := &traffic{nodes: nodes, stop: make(chan struct{}), acknowledged: make(map[string]uint64), uncertain: make(map[string]bool)}
	for i, n := range nodes {
		for k := range 2 {
			f.running.Go(func() { f.publish(n, fmt.Sprint(i, "-", k)) })
		}
	}
	t.Cleanup(f.end)
	return f
}

func (f *traffic) publish(n *node, name string) {
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
func (f *traffic) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.acknowledged)
}

// more waits until that many more were acknowledged.
func (f *traffic) more(t *testing.T, n int) {
	t.Helper()
	want := f.count() + n
	until(t, fmt.Sprintf("%d more are acknowledged", n), func() bool { return f.count() >= want })
}

func (f *traffic) end() {
	select {
	case <-f.stop:
	default:
		close(f.stop)
	}
	f.running.Wait()
}

// judge ends the traffic. All nodes must have the same entries, each of them once: all
// that were acknowledged, under their number, and perhaps some whose end is not known.
func (f *traffic) judge(t *testing.T) {
	t.Helper()
	f.end()
	for _, err := range f.wrong {
		t.Errorf("published with %v", err)
	}
	last := f.nodes[0].publish(t, "the last")
	for i, n := range f.nodes {
		until(t, fmt.Sprintf("node %d has the last", i), func() bool { return n.Head() >= last.Sequence })
	}
	entries := len(f.nodes[0].tail.Entries()) + len(f.nodes[0].restored)
	agree(t, entries, f.nodes...)
	seen := make(map[string]uint64)
	for _, e := range append(f.nodes[0].restored, f.nodes[0].tail.Entries()...) {
		if seen[string(e.Data)] != 0 {
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
	delete(seen, "the last")
	for data := range seen {
		if !f.uncertain[data] {
			t.Errorf("%s is there, and was refused", data)
		}
	}
	for i, n := range f.nodes {
		if losses := n.tail.Losses(); len(losses) > 0 {
			t.Errorf("node %d told of losses: %v", i, losses)
		}
	}
}

func cutConnectionsLoseNothing(t *testing.T, w *world) {
	nodes := []*node{w.node(t), w.node(t)}
	f := startTraffic(t, nodes...)
	for range 10 {
		f.more(t, 50)
		w.Cut(t)
	}
	f.more(t, 100)
	epoch := nodes[0].Lineage().Epoch()
	f.judge(t)
	if p := nodes[0].Engine.(log.Distributed).Progress(); p.Epochs != 0 || p.Reconnects == 0 {
		t.Errorf("%d epochs, %d reconnects; present epoch %v", p.Epochs, p.Reconnects, epoch)
	}
}

func aStoreThatIsGoneIsUnavailable(t *testing.T, w *world) {
	nodes := []*node{w.node(t), w.node(t)}
	f := startTraffic(t, nodes...)
	for range 2 {
		f.more(t, 100)
		w.Gone(t)
		for i, n := range nodes {
			until(t, fmt.Sprintf("node %d says that the store is gone", i), func() bool { return errors.Is(n.Failing(), log.ErrUnavailable) })
		}
		err := nodes[0].Append([]*log.Entry{{Channel: "a"}}, func(error) { t.Error("done was called for what was refused") })
		if !errors.Is(err, log.ErrUnavailable) {
			t.Errorf("appended to a store that is gone: %v", err)
		}
		current := func() time.Time { return nodes[0].Engine.(log.Distributed).Progress().Current }
		before, refused := current(), f.refused.Load()
		until(t, "all are refused", func() bool { return f.refused.Load() > refused+20 })
		if !current().Equal(before) {
			t.Error("a node takes itself for current that cannot know")
		}
		w.Back(t)
		for i, n := range nodes {
			until(t, fmt.Sprintf("node %d is well again", i), func() bool { return n.Failing() == nil })
		}
	}
	f.more(t, 100)
	if f.refused.Load() == 0 {
		t.Error("nothing was refused")
	}
	f.judge(t)
}

func aStoreThatRestartsLosesNothing(t *testing.T, w *world) {
	nodes := []*node{w.node(t), w.node(t)}
	f := startTraffic(t, nodes...)
	f.more(t, 100)
	var cursors []log.Cursor
	lineage := nodes[0].Lineage()
	for range 3 {
		c := nodes[0].cursor(nodes[0].Head())
		cursors = append(cursors, c)
		w.Restart(t)
		f.more(t, 100)
		for i, n := range nodes {
			until(t, fmt.Sprintf("node %d knows the new epoch", i), func() bool { return n.Lineage().Epoch() != c.Epoch })
		}
	}
	if nodes[0].Lineage() != lineage {
		t.Error("the lineage is another object")
	}
	for i, n := range append(nodes, w.node(t)) {
		for _, c := range cursors {
			if got, ok := n.Resolve(c); !ok || got != c.Sequence || n.cursor(got) != c {
				t.Errorf("node %d: %v, of before a restart that lost nothing, is %d, %v, and is called %v now", i, c, got, ok, n.cursor(got))
			}
		}
		if _, ok := n.Resolve(log.Cursor{Epoch: cursors[0].Epoch, Sequence: n.Head()}); ok {
			t.Errorf("node %d: an epoch has named what came after it", i)
		}
	}
	f.judge(t)
}
