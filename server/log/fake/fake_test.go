package fake_test

import (
	"slices"
	"testing"
	"time"

	"peal/server/log"
	"peal/server/log/fake"
)

var _ log.Distributed = (*fake.Node)(nil)

// tail notes what it is given.
type tail struct{ got []uint64 }

func (t *tail) Room(int, int) bool { return true }
func (t *tail) Wake()              {}
func (t *tail) Apply(batch []*log.Entry) {
	for _, e := range batch {
		t.got = append(t.got, e.Sequence)
	}
}

func TestNodesHaveOneOrder(t *testing.T) {
	s := fake.New(time.Now)
	var tails [2]tail
	var nodes [2]*fake.Node
	for i := range nodes {
		nodes[i] = s.Open()
		if err := nodes[i].Start(&tails[i], nil); err != nil {
			t.Fatal(err)
		}
	}
	done := 0
	publish := func(n *fake.Node) {
		t.Helper()
		if err := n.Append([]*log.Entry{{Channel: "a", Data: []byte("x")}, {Channel: "b"}}, func(error) { done++ }); err != nil {
			t.Fatal(err)
		}
	}
	publish(nodes[0])
	nodes[1].Hold()
	publish(nodes[0])
	publish(nodes[1])
	ahead := nodes[0].Lineage().Cursor(6)
	if done != 2 || len(tails[1].got) != 2 || !nodes[1].Ahead(ahead) || nodes[0].Ahead(ahead) || nodes[1].Progress().Known != 6 {
		t.Errorf("%d done, %v, ahead %v", done, tails[1].got, nodes[1].Ahead(ahead))
	}
	nodes[1].Release()
	if want := []uint64{1, 2, 3, 4, 5, 6}; done != 3 || !slices.Equal(tails[0].got, want) || !slices.Equal(tails[1].got, want) {
		t.Errorf("%d done, %v and %v", done, tails[0].got, tails[1].got)
	}
	s.Trim(2)
	next := s.Open()
	var restored []uint64
	if err := next.Start(&tail{}, func(batch []*log.Entry) {
		for _, e := range batch {
			restored = append(restored, e.Sequence)
		}
	}); err != nil || !slices.Equal(restored, []uint64{3, 4, 5, 6}) || next.Oldest() != 3 || next.Head() != 6 {
		t.Errorf("restored %v, oldest %d, head %d, %v", restored, next.Oldest(), next.Head(), err)
	}
	if err := next.Close(); err != nil || next.Append(nil, nil) != log.ErrClosed {
		t.Errorf("after Close: %v", err)
	}
}
