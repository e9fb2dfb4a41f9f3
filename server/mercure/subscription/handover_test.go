package subscription

import (
	"fmt"
	"testing"
)

// TestHandOver: another process goes on with what a node knows of the others, and publishes the ends that wait.
func TestHandOver(t *testing.T) {
	c := &cluster{}
	a, b := c.start(0), c.start(0)
	for i := range uint64(3) {
		a.Begin(i+1, 0, []string{fmt.Sprint(i)}, "")
		b.Begin(i+1, 0, []string{fmt.Sprint(i)}, `{"n":1}`)
	}
	c.settle()
	a.End(1) // and nothing is reported
	carried := map[uint64][]Carried{2: a.Carry(2), 3: a.Carry(3)}

	// The next process has the same id, and is restored without entries.
	next := &sharer{Table: New(1000, 1000), id: a.id, in: c, read: a.read, open: map[uint64]bool{}}
	next.now = a.now
	next.peers = next.Share(a.id, next.live, a.peers.lease)
	if err := a.HandOver(next.Import); err != nil {
		t.Fatal(err)
	}
	for session, all := range carried {
		next.Restore(session, 0, all)
	}
	c.nodes[0] = next
	before := len(c.entries)
	if !c.settle() {
		t.Fatal("it does not come to rest")
	}
	if err := c.judge(t); err != nil {
		t.Error(err)
	}
	if n := len(c.entries) - before; n != 1 {
		t.Errorf("%d entries, want the end of one subscription", n)
	}
	if s := next.Stats(); s.Active != 2 || s.Held != 2 || s.Elsewhere != 3 {
		t.Errorf("%+v", s)
	}
	c.nodes = c.nodes[:1]
	c.tell("gone", b.id)
	if c.settle(); next.Stats().Elsewhere != 0 {
		t.Error("the ends of the other node are not published")
	}
	if err := c.judge(t); err != nil {
		t.Error(err)
	}
	if err := (*Table)(nil).HandOver(nil); err != nil {
		t.Error(err)
	}
}
