package subscription

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"peal/server/log"
)

// cluster is a made-up log that several nodes share. Entries of kind control with the events hello and gone have the node
// in TTL.
type cluster struct {
	entries []*log.Entry
	nodes   []*sharer
	next    uint64
	now     time.Duration
	faults  *rand.Rand // nil: all batches arrive
	deaf    bool       // a planted fault: nobody hears that nodes are gone
}

// sharer is one node.
type sharer struct {
	*Table
	peers   *Peers
	id      uint64
	in      *cluster
	read    int
	waiting []arrival
	open    map[uint64]bool // sessions
}

// arrival is a batch in the log that its node has not read yet.
type arrival struct {
	upto int
	done func(error)
}

func (c *cluster) tell(event string, id uint64) {
	c.entries = append(c.entries, &log.Entry{Kind: log.KindControl, Event: event, TTL: int64(id)})
}

// start begins a node, for which the log has the entries from that one on.
func (c *cluster) start(from int) *sharer {
	c.next++
	n := &sharer{Table: New(1000, 1000), id: c.next, in: c, read: len(c.entries), open: map[uint64]bool{}}
	ids := rand.New(rand.NewPCG(c.next, 1))
	n.random = func(b []byte) {
		for i := range b {
			b[i] = byte(ids.Uint32())
		}
	}
	n.now = func() time.Duration { return c.now }
	n.peers = n.Share(n.id, n.live, time.Second)
	n.peers.Restore(c.entries[from:])
	for _, e := range c.entries[from:] {
		if e.Event == "gone" {
			n.peers.OnGone(uint64(e.TTL))
		}
	}
	c.nodes = append(c.nodes, n)
	c.tell("hello", n.id)
	return n
}

func (n *sharer) live() (ids []uint64) {
	for _, e := range n.in.entries[:n.read] {
		switch e.Event {
		case "hello":
			ids = append(ids, uint64(e.TTL))
		case "gone":
			if !n.in.deaf {
				ids = slices.DeleteFunc(ids, func(id uint64) bool { return id == uint64(e.TTL) })
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func (n *sharer) publish(batch []*log.Entry, done func(error)) error {
	fate := 3
	if n.in.faults != nil {
		fate = n.in.faults.IntN(10)
	}
	switch fate {
	case 0:
		return log.ErrFull
	case 1: // lost
		done(errors.New("lost"))
		return nil
	}
	n.in.entries = append(n.in.entries, batch...)
	if fate == 2 { // there, but its node is not told so
		done(errors.New("lost"))
		return nil
	}
	n.waiting = append(n.waiting, arrival{len(n.in.entries), done})
	return nil
}

func (n *sharer) follow(most int) {
	for ; n.read < len(n.in.entries) && most > 0; most-- {
		e := n.in.entries[n.read]
		n.read++
		switch {
		case e.Event == "hello":
			n.peers.OnHello(uint64(e.TTL))
		case e.Event == "gone" && n.in.deaf:
		case e.Event == "gone":
			n.peers.OnGone(uint64(e.TTL))
		default:
			n.peers.Apply([]*log.Entry{e})
		}
		for len(n.waiting) > 0 && n.waiting[0].upto <= n.read {
			n.waiting[0].done(nil)
			n.waiting = n.waiting[1:]
		}
	}
}

// settle has all happen that is due. It reports false if there is always more.
func (c *cluster) settle() bool {
	for range 100 {
		c.now += sweepAfter
		more := false
		for _, n := range c.nodes {
			n.follow(1 << 30)
			more = n.Report(n.publish) || more
		}
		for _, n := range c.nodes {
			more = more || n.read < len(c.entries)
		}
		if !more {
			return true
		}
	}
	return false
}

// judge compares what all nodes list, and what the events say, with what there is.
func (c *cluster) judge(t *testing.T) error {
	t.Helper()
	there := map[string]bool{}
	for _, n := range c.nodes {
		for _, s := range n.list {
			there[s.ID] = true
		}
	}
	for _, n := range c.nodes {
		listed := map[string]bool{}
		for _, s := range read(t, n.AppendList(nil, "", "", "")).Subscriptions {
			listed[s.ID] = true
		}
		if !maps.Equal(listed, there) {
			return fmt.Errorf("node %d lists %d subscriptions, and there are %d", n.id, len(listed), len(there))
		}
	}
	told := map[string]bool{}
	for _, e := range c.entries {
		if e.Kind != log.KindPublication {
			continue
		}
		var o object
		if err := json.Unmarshal(e.Data, &o); err != nil {
			return err
		}
		if told[o.ID] = true; !o.Active {
			delete(told, o.ID)
		}
	}
	if !maps.Equal(told, there) {
		return fmt.Errorf("by the events there are %d subscriptions, but there are %d", len(told), len(there))
	}
	return nil
}

// runCluster runs a random schedule: nodes come, die, are taken for dead, and lose what they append.
func runCluster(t *testing.T, seed uint64, deaf bool) error {
	random := rand.New(rand.NewPCG(seed, 16))
	c, trims := &cluster{deaf: deaf}, seed%2 == 0
	c.start(0)
	c.start(0)
	if seed%3 > 0 {
		c.faults = random
	}
	session := uint64(0)
	for range 300 {
		c.now += time.Duration(random.IntN(1000)) * time.Millisecond
		n := c.nodes[random.IntN(len(c.nodes))]
		switch k := random.IntN(40); {
		case k < 10:
			session++
			n.open[session] = n.Begin(session, 0, []string{fmt.Sprint("topic ", random.IntN(4)), "t"}[:1+random.IntN(2)], `{"n":1}`)
		case k < 16:
			if open := slices.Sorted(maps.Keys(n.open)); len(open) > 0 {
				s := open[random.IntN(len(open))]
				n.End(s)
				delete(n.open, s)
			}
		case k < 24:
			n.Report(n.publish)
		case k < 36:
			n.follow(1 + random.IntN(8))
		case k < 37 && len(c.nodes) < 4:
			from := 0
			if trims { // a node has the state of the others before they may die
				faults := c.faults
				c.faults = nil
				c.settle()
				from = len(c.entries)
				c.start(from)
				c.settle()
				c.faults = faults
			} else {
				c.start(0)
			}
		case k < 38 && len(c.nodes) > 1:
			i := random.IntN(len(c.nodes))
			dead := c.nodes[i]
			c.nodes = slices.Delete(c.nodes, i, i+1)
			if random.IntN(2) == 0 {
				dead.Report(dead.publish) // on its way
			}
			c.tell("gone", dead.id)
			if random.IntN(4) == 0 {
				dead.Report(dead.publish) // too late
			}
		case k < 39:
			c.tell("gone", n.id)
			if random.IntN(2) == 0 {
				for _, other := range c.nodes {
					if other != n {
						other.follow(1 << 30)
						c.now += 2 * sweepAfter
						other.Report(other.publish)
					}
				}
			}
			c.tell("hello", n.id)
		}
	}
	c.faults = nil
	if !c.settle() {
		return errors.New("it does not come to rest")
	}
	if err := c.judge(t); err != nil {
		return err
	}
	before := len(c.entries)
	for range 3 {
		c.now += time.Minute
		for _, n := range c.nodes {
			n.Report(n.publish)
		}
	}
	if len(c.entries) > before {
		return fmt.Errorf("idle nodes appended %d entries", len(c.entries)-before)
	}
	return nil
}

// TestNodesKnowTheSubscriptionsOfAll: the lists of all nodes, and the events, say in the end what there is.
func TestNodesKnowTheSubscriptionsOfAll(t *testing.T) {
	first := rand.Uint64()
	for seed := first; seed < first+60; seed++ {
		if err := runCluster(t, seed, false); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func TestTheScheduleFindsThatTheDeadAreKept(t *testing.T) {
	for seed := range uint64(50) {
		if runCluster(t, seed, true) != nil {
			return
		}
	}
	t.Error("subscriptions of dead nodes were not noticed")
}

// TestEndsOfADeadNode: the first node that lives publishes them at once, another one later.
func TestEndsOfADeadNode(t *testing.T) {
	c := &cluster{}
	a, b, dead := c.start(0), c.start(0), c.start(0)
	for i := range uint64(300) {
		dead.Begin(i+1, 0, []string{fmt.Sprint(i)}, "")
	}
	c.settle()
	c.nodes = c.nodes[:2]
	c.tell("gone", dead.id)
	ends := func(n *sharer) (ended int) {
		a.follow(1 << 30)
		b.follow(1 << 30)
		before := len(c.entries)
		n.Report(n.publish)
		for _, e := range c.entries[before:] {
			if !strings.Contains(string(e.Data), `"active":false`) || e.Tags[log.NodeTag] != fmt.Sprintf("3 %d", n.id) {
				t.Errorf("%s %v", e.Data, e.Tags)
			}
			ended++
		}
		return ended
	}
	if n := ends(b); n != 0 {
		t.Errorf("the second node published %d ends", n)
	}
	if n := ends(a); n != most {
		t.Errorf("the first node published %d ends, want %d", n, most)
	}
	c.now += sweepAfter
	if n := ends(b); n != 300-most {
		t.Errorf("the second node published %d ends, want the rest", n)
	}
	if all := read(t, a.AppendList(nil, "", "", "")); len(all.Subscriptions) != 0 {
		c.settle()
		if all := read(t, a.AppendList(nil, "", "", "")); len(all.Subscriptions) != 0 {
			t.Errorf("%d are listed", len(all.Subscriptions))
		}
	}
}

// TestPeersAreBounded: what is beyond the limit is counted, and not listed.
func TestPeersAreBounded(t *testing.T) {
	c := &cluster{}
	a, b := c.start(0), c.start(0)
	a.peers.limit = 3
	for i := range uint64(5) {
		b.Begin(i+1, 0, []string{fmt.Sprint(i)}, "")
	}
	c.settle()
	if s := a.Stats(); s.Elsewhere != 3 || s.Refused < 2 || s.Active != 0 {
		t.Errorf("%+v", s)
	}
	if s := b.Stats(); s.Elsewhere != 0 || s.Active != 5 {
		t.Errorf("%+v", s)
	}
}

// TestDamagedStatesChangeNothing: and those of a later version.
func TestDamagedStatesChangeNothing(t *testing.T) {
	whole := "\x01\x03\x02\x00\x00\x00\x00\x00\x00\x00\x04news\x01x\x00\x01a\x01y\x07{\"n\":1}"
	p := New(10, 10).Share(1, func() []uint64 { return []uint64{1, 2} }, time.Second)
	state := func(data string) int {
		p.Apply([]*log.Entry{{Kind: log.KindControl, Event: stateEvent, Data: []byte(data)}})
		return len(p.all())
	}
	for cut := range len(whole) {
		if n := state(whole[:cut]); n != 0 && cut != 18 {
			t.Fatalf("%q names %d", whole[:cut], n)
		}
		p.nodes, p.count = map[uint64]*peer{}, 0
	}
	if n := state("\x02" + whole[1:]); n != 0 {
		t.Error("a later version was read")
	}
	if n := state(whole); n != 2 {
		t.Errorf("%d subscriptions", n)
	}
	if b, ok := p.table.AppendOne(nil, "a", "y", "z"); !ok || !strings.Contains(string(b), `"payload":{"n":1}`) {
		t.Errorf("%s", b)
	}
}
