package conform

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"peal/server/log"
)

func cutConnectionsLoseNothing(t *testing.T, w *world) {
	nodes := []*Node{w.node(t), w.node(t)}
	f := StartTraffic(t, nodes...)
	for range 10 {
		f.More(t, 50)
		w.Cut(t)
	}
	f.More(t, 100)
	epoch := nodes[0].Lineage().Epoch()
	f.Judge(t)
	if p := nodes[0].Engine.(log.Distributed).Progress(); p.Epochs != 0 || p.Reconnects == 0 {
		t.Errorf("%d epochs, %d reconnects; present epoch %v", p.Epochs, p.Reconnects, epoch)
	}
}

func aStoreThatIsGoneIsUnavailable(t *testing.T, w *world) {
	nodes := []*Node{w.node(t), w.node(t)}
	f := StartTraffic(t, nodes...)
	for range 2 {
		f.More(t, 100)
		w.Gone(t)
		for i, n := range nodes {
			Until(t, fmt.Sprintf("node %d says that the store is gone", i), func() bool { return errors.Is(n.Failing(), log.ErrUnavailable) })
		}
		err := nodes[0].Append([]*log.Entry{{Channel: "a"}}, func(error) { t.Error("done was called for what was refused") })
		if !errors.Is(err, log.ErrUnavailable) {
			t.Errorf("appended to a store that is gone: %v", err)
		}
		current := func() time.Time { return nodes[0].Engine.(log.Distributed).Progress().Current }
		before, refused := current(), f.refused.Load()
		Until(t, "all are refused", func() bool { return f.refused.Load() > refused+20 })
		if !current().Equal(before) {
			t.Error("a node takes itself for current that cannot know")
		}
		w.Back(t)
		for i, n := range nodes {
			Until(t, fmt.Sprintf("node %d is well again", i), func() bool { return n.Failing() == nil })
		}
	}
	f.More(t, 100)
	if f.refused.Load() == 0 {
		t.Error("nothing was refused")
	}
	f.Judge(t)
}

func aStoreThatRestartsLosesNothing(t *testing.T, w *world) {
	nodes := []*Node{w.node(t), w.node(t)}
	f := StartTraffic(t, nodes...)
	f.More(t, 100)
	var cursors []log.Cursor
	lineage := nodes[0].Lineage()
	for range 3 {
		c := nodes[0].cursor(nodes[0].Head())
		cursors = append(cursors, c)
		w.Restart(t)
		f.More(t, 100)
		for i, n := range nodes {
			Until(t, fmt.Sprintf("node %d knows the new epoch", i), func() bool { return n.Lineage().Epoch() != c.Epoch })
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
	f.Judge(t)
}
