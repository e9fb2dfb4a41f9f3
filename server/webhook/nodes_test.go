package webhook_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"peal/server/log"
	"peal/server/log/fake"
	"peal/server/webhook"
)

// cluster is which nodes live; a test says so, in place of server/cluster.
type cluster struct {
	mu   sync.Mutex
	live []uint64
}

func (c *cluster) nodes() []uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.live)
}

func (c *cluster) add(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live = append(c.live, id)
}

func (c *cluster) gone(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live = slices.DeleteFunc(c.live, func(other uint64) bool { return other == id })
}

type fakeNode = *fake.Node

// readable is a node that can read again what it was given, as the engines can.
type readable struct {
	fakeNode
	mu  sync.Mutex
	all []*log.Entry
}

func (r *readable) Start(tail log.Tail, restore func([]*log.Entry)) error {
	return r.fakeNode.Start(log.Tails{tail, r}, func(batch []*log.Entry) {
		r.Apply(batch)
		restore(batch)
	})
}

func (r *readable) Room(int, int) bool { return true }
func (r *readable) Wake()              {}
func (r *readable) Apply(batch []*log.Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, batch...)
}

func (r *readable) Read(dst []*log.Entry, after uint64, count, _ int) ([]*log.Entry, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.all {
		if e.Sequence > after && len(dst) < count {
			dst = append(dst, e)
		}
	}
	return dst, nil
}

// node is one of a shared log.
func (c *cluster) node(t *testing.T, s *fake.Store, set func(*webhook.Config), all ...webhook.Definition) *running {
	t.Helper()
	n := &readable{fakeNode: s.Open()}
	k := config(n, all...)
	k.Node, k.Nodes = n.Node(), c.nodes
	if set != nil {
		set(&k)
	}
	r := start(t, k)
	c.add(n.Node())
	return r
}

func (r *running) id() uint64 { return r.log.(log.Distributed).Node() }

// One node delivers. When it dies the other one goes on where it was, and repeats what was on its way
// with its id; what the first still says about positions counts no more.
func TestAnotherNodeGoesOn(t *testing.T) {
	stuck := make(chan struct{})
	var once sync.Once
	v := newReceiver(t, func(_ int, _ http.ResponseWriter, r *http.Request) {
		wait := false
		once.Do(func() { wait = true })
		if wait { // delivered, and the first node never hears of it
			close(stuck)
			<-r.Context().Done()
		}
	})
	s, c := fake.New(time.Now), &cluster{}
	d := definition(v.URL)
	a := c.node(t, s, nil, d)
	a.ready(t)
	b := c.node(t, s, nil, d)
	without := c.node(t, s, nil) // of another configuration
	publish(t, b.log, 0, 10)
	<-stuck
	if x, y := a.Stats().Delivers, b.Stats().Delivers; !x || y {
		t.Fatalf("delivers: %v, %v", x, y)
	}
	publish(t, b.log, 10, 30)
	c.gone(a.id()) // it is alive, and stops by itself
	until(t, "the other one", func() bool { return b.Stats().Delivers })
	publish(t, a.log, 30, 40)
	until(t, "40 events", func() bool { return strings.HasSuffix(v.numbers(t), " 39") })
	if got := v.numbers(t); got != upTo(40) {
		t.Errorf("got %s", got)
	}
	if all := v.requests(); all[0].id() != all[1].id() {
		t.Errorf("the second request is %s, want a repeat of %s", all[1].id(), all[0].id())
	}
	until(t, "the first one ends", func() bool { return !a.Stats().Delivers })
	late := &log.Entry{Kind: log.KindControl, Event: "webhook-batch", Data: []byte(`{"endpoint":"shop","lease":1,"from":"1-77777","upto":"1-77777"}`)}
	if err := b.log.Append([]*log.Entry{late}, nil); err != nil {
		t.Fatal(err)
	}
	if saved := string(b.Save()); strings.Contains(saved, "77777") || !strings.Contains(saved, `"lease":2`) {
		t.Errorf("what a node says without a lease counts: %s", saved)
	}
	if without.Stats().Delivers {
		t.Error("a node without webhooks delivers")
	}

	// A node that comes later knows the positions from the log, or from a saved state of any node.
	s.Trim(without.log.Head() - 1)
	a.stop()
	_ = a.log.Close()
	c.gone(b.id())
	b.stop()
	_ = b.log.Close()
	last := c.node(t, s, nil, d)
	c.gone(without.id())
	publish(t, last.log, 40, 50)
	until(t, "50 events", func() bool { return strings.HasSuffix(v.numbers(t), " 49") })
	if got := v.numbers(t); got != upTo(50) {
		t.Errorf("got %s", got)
	}
}

// A node that cannot read the log does not know whether it lives: it stops.
func TestANodeThatReadsNothingStops(t *testing.T) {
	v := newReceiver(t, nil)
	s, c := fake.New(time.Now), &cluster{}
	var mu sync.Mutex
	ahead := time.Duration(0)
	r := c.node(t, s, func(k *webhook.Config) {
		k.Alive = time.Minute
		k.Now = func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return time.Now().Add(ahead)
		}
	}, definition(v.URL))
	r.ready(t)
	r.log.(*readable).Hold()
	mu.Lock()
	ahead = 2 * time.Minute
	mu.Unlock()
	until(t, "it stops", func() bool { return !r.Stats().Delivers })
}

// Nodes that take the lease at the same moment: one has it.
func TestOneNodeHasTheLease(t *testing.T) {
	v := newReceiver(t, nil)
	s := fake.New(time.Now)
	var all []*running
	for range 4 { // each believes that it is alone
		c := &cluster{}
		all = append(all, c.node(t, s, nil, definition(v.URL)))
	}
	count := func() (n int) {
		for _, r := range all {
			if r.Stats().Delivers {
				n++
			}
		}
		return n
	}
	all[0].ready(t)
	until(t, "one delivers", func() bool { return count() == 1 })
	publish(t, all[0].log, 0, 50)
	until(t, "50 events", func() bool { return strings.HasSuffix(v.numbers(t), " 49") })
	if got := v.numbers(t); got != upTo(50) {
		t.Errorf("got %s", got)
	}
}
