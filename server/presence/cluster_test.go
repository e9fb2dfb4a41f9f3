package presence_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"peal/server/log"
	"peal/server/presence"
	"peal/server/publication"
)

// order is a log that several nodes share, made up: entries, and what nodes hear of each
// other between them.
type order struct {
	entries []*log.Entry // of kind control: Event is hello, gone or lost, TTL the node
}

func (o *order) append(e *log.Entry) {
	e.Sequence = uint64(len(o.entries)) + 1
	o.entries = append(o.entries, e)
}

// sent is a batch on its way into the order.
type sent struct {
	batch []*log.Entry
	done  func(error)
	fate  int // 0: it arrives, 1: it is lost, 2: it arrives, and the node hears that it is lost
	upto  uint64
}

// node is one server of the made-up cluster.
type node struct {
	*presence.Table
	id      uint64
	cluster *presence.Cluster
	tail    log.Tail
	order   *order
	read    uint64 // entries that it has applied
	queue   []*sent
	waiting []*sent // in the order, and not read yet
	guests  []*seated
	events  map[uint64]*log.Entry // by sequence
	faults  *rand.Rand            // nil: batches arrive
	deaf    bool                  // a planted fault: it does not hear that nodes are gone
}

type seated struct {
	guest                 *presence.Guest
	channel, client, info string
}

// Apply is the tail behind the feed of the node.
func (n *node) Apply(batch []*log.Entry) {
	for _, e := range batch {
		n.events[e.Sequence] = e
	}
}
func (n *node) Room(int, int) bool { return true }
func (n *node) Wake()              {}

// live is which nodes live by what it has read.
func (n *node) live() (ids []uint64) {
	for _, e := range n.order.entries[:n.read] {
		switch e.Event {
		case "hello":
			ids = append(ids, uint64(e.TTL))
		case "gone":
			ids = slices.DeleteFunc(ids, func(id uint64) bool { return id == uint64(e.TTL) })
		}
	}
	return ids
}

func (n *node) publish(batch []*log.Entry, done func(error)) error {
	s := &sent{batch: batch, done: done}
	if n.faults != nil {
		switch n.faults.IntN(12) {
		case 0:
			return errors.New("no room")
		case 1:
			s.fate = 1
		case 2:
			s.fate = 2
		}
	}
	n.queue = append(n.queue, s)
	return nil
}

// flush has the next batch arrive.
func (n *node) flush() {
	if len(n.queue) == 0 {
		return
	}
	s := n.queue[0]
	n.queue = n.queue[1:]
	if s.fate != 1 {
		for _, e := range s.batch {
			n.order.append(e)
		}
	}
	if s.fate > 0 {
		s.done(log.ErrUnavailable)
		return
	}
	s.upto = uint64(len(n.order.entries))
	n.waiting = append(n.waiting, s)
}

// follow applies at most that many entries.
func (n *node) follow(most int) {
	for ; most > 0 && n.read < uint64(len(n.order.entries)); most-- {
		e := n.order.entries[n.read]
		n.read++
		switch e.Event {
		case "hello":
			n.cluster.OnHello(uint64(e.TTL))
		case "gone":
			if !n.deaf {
				n.cluster.OnGone(uint64(e.TTL))
			}
		case "lost":
			n.cluster.Lose()
		default:
			n.tail.Apply([]*log.Entry{e})
		}
	}
	for len(n.waiting) > 0 && n.waiting[0].upto <= n.read {
		n.waiting[0].done(nil)
		n.waiting = n.waiting[1:]
	}
}

// miss has the node not read some entries, and learn of it.
func (n *node) miss(most int) {
	for ; most > 0 && n.read < uint64(len(n.order.entries)); most-- {
		if n.order.entries[n.read].Kind == log.KindControl {
			break
		}
		n.read++
	}
	n.cluster.Lose()
}

func (n *node) join(channel, client, info string) {
	g := n.Enter(1, client, info)
	if unlisted, ok := g.Sit([]string{channel}, client, info, all); unlisted > 0 || !ok {
		g.End()
		return
	}
	n.guests = append(n.guests, &seated{g, channel, client, info})
}

// world is all nodes, and what each client has done.
type world struct {
	random  *rand.Rand
	config  presence.Config
	time    time.Time
	order   *order
	nodes   []*node // that run
	next    uint64
	watched func(string) bool
	faulty  bool
}

func newWorld(random *rand.Rand) *world {
	return &world{
		random: random, order: &order{}, time: time.Unix(1000, 0), watched: func(string) bool { return true },
		config: presence.Config{Grace: 500 * time.Millisecond, Named: 5 + random.IntN(30), Share: 100},
	}
}

func (w *world) control(event string, id uint64) {
	w.order.append(&log.Entry{Kind: log.KindControl, Event: event, TTL: int64(id)})
}

func (w *world) start() *node {
	w.next++
	n := &node{id: w.next, order: w.order, read: uint64(len(w.order.entries)), events: map[uint64]*log.Entry{}}
	if w.faulty {
		n.faults = w.random
	}
	n.Table = presence.New(w.config, func(string) bool { return false }, func() time.Time { return w.time })
	n.cluster = presence.NewCluster(w.config, n.id, w.watched, n.live)
	n.UseCluster(n.cluster)
	n.tail = n.cluster.Feed(n, func(e *log.Entry, err error) { panic(fmt.Sprint(e, err)) })
	for _, e := range w.order.entries { // as from what the log has kept
		if e.Event == "gone" {
			n.cluster.OnGone(uint64(e.TTL))
		}
	}
	w.nodes = append(w.nodes, n)
	w.control("hello", n.id)
	return n
}

// kill ends a node without a word; others hear of it later.
func (w *world) kill(i int) {
	n := w.nodes[i]
	w.nodes = slices.Delete(w.nodes, i, i+1)
	for range w.random.IntN(3) {
		n.flush() // some of what it said arrives
	}
	w.control("gone", n.id)
	if w.random.IntN(2) == 0 {
		for range w.random.IntN(3) {
			n.flush() // and some of it too late
		}
	}
}

// step is one random thing that happens.
func (w *world) step() {
	n := w.nodes[w.random.IntN(len(w.nodes))]
	switch k := w.random.IntN(100); {
	case k < 25:
		info := ""
		if w.random.IntN(2) == 0 {
			info = fmt.Sprint("i", w.random.IntN(4))
		}
		n.join(fmt.Sprint("c", w.random.IntN(3)), fmt.Sprint("client", w.random.IntN(20)), info)
	case k < 42:
		if len(n.guests) > 0 {
			i := w.random.IntN(len(n.guests))
			n.guests[i].guest.Dismissed = w.random.IntN(4) == 0
			n.guests[i].guest.End()
			n.guests = slices.Delete(n.guests, i, i+1)
		}
	case k < 60:
		n.Report(n.publish)
	case k < 72:
		n.flush()
	case k < 86:
		n.follow(1 + w.random.IntN(8))
	case k < 95:
		w.time = w.time.Add(time.Duration(w.random.IntN(400)) * time.Millisecond)
	case k < 96:
		if len(w.nodes) < 4 {
			w.start()
		}
	case k < 97:
		if len(w.nodes) > 1 {
			w.kill(w.random.IntN(len(w.nodes)))
		}
	case k < 98: // it was taken for dead, and comes back
		w.control("gone", n.id)
		w.control("hello", n.id)
	case k < 99:
		w.control("lost", 0)
	case k < 100:
		n.miss(1 + w.random.IntN(5))
	default:
		n.List("c0", "", 3)
	}
}

// settle has everything arrive.
func (w *world) settle() error {
	for _, n := range w.nodes {
		n.faults = nil
	}
	for range 300 {
		busy := false
		for _, n := range w.nodes {
			busy = n.Report(n.publish) || busy
		}
		for _, n := range w.nodes {
			for len(n.queue) > 0 {
				busy = true
				n.flush()
			}
		}
		for _, n := range w.nodes {
			busy = busy || n.read < uint64(len(w.order.entries))
			n.follow(1 << 30)
		}
		w.time = w.time.Add(300 * time.Millisecond)
		if !busy {
			return nil
		}
	}
	return errors.New("after 300 rounds there is still something to do")
}

// oracle is who is on a channel by what the clients have done, with the infos of connections.
func (w *world) oracle(channel string) map[string]map[string]bool {
	all := map[string]map[string]bool{}
	for _, n := range w.nodes {
		for _, g := range n.guests {
			if g.channel == channel {
				if all[g.client] == nil {
					all[g.client] = map[string]bool{}
				}
				all[g.client][g.info] = true
			}
		}
	}
	return all
}

func pages(n *node, channel string, limit int) (all []publication.Member) {
	for after := ""; ; {
		p := n.List(channel, after, limit)
		all = append(all, p.Members...)
		if !p.More {
			if p.Count != len(all) {
				panic(fmt.Sprintf("count %d, %d members", p.Count, len(all)))
			}
			return all
		}
		after = p.Members[len(p.Members)-1].Client
	}
}

func (w *world) judge() error {
	for c := range 3 {
		channel := fmt.Sprint("c", c)
		want := w.oracle(channel)
		first := pages(w.nodes[0], channel, 3)
		for _, n := range w.nodes {
			got := pages(n, channel, 7)
			if !slices.Equal(got, first) {
				return fmt.Errorf("%s: node %d has %v, node %d %v", channel, n.id, got, w.nodes[0].id, first)
			}
			if len(got) != len(want) {
				return fmt.Errorf("%s: node %d has %v, want %v", channel, n.id, got, want)
			}
			for _, m := range got {
				if want[m.Client] == nil {
					return fmt.Errorf("%s: node %d has %v, want %v", channel, n.id, m, want)
				}
			}
			if missing := n.cluster.Missing(); missing != 0 {
				return fmt.Errorf("node %d misses %d nodes", n.id, missing)
			}
		}
	}
	return nil
}

// events judges the events of all nodes: those of one entry are equal, and each is a change of
// what those before have led to.
func (w *world) events(from uint64) (named int, err error) {
	lists := map[string]map[string]string{}
	for sequence := from; sequence <= uint64(len(w.order.entries)); sequence++ {
		var first *log.Entry
		for i, n := range w.nodes {
			e := n.events[sequence]
			if i > 0 && (e == nil) != (first == nil) || e != nil && first != nil && string(e.Data) != string(first.Data) {
				return 0, fmt.Errorf("entry %d: node %d makes %s of it, node %d %s", sequence, n.id, text(e), w.nodes[0].id, text(first))
			}
			first = e
		}
		if first == nil {
			continue
		}
		count, join, leave, ok := parseEvent(string(first.Data))
		list := lists[first.Channel]
		if !ok {
			delete(lists, first.Channel) // it must be asked for
			continue
		}
		named++
		if list == nil {
			if len(join) == count { // all of them joined
				lists[first.Channel] = join
			}
			continue
		}
		for client, info := range join {
			if old, there := list[client]; there && old == info {
				return 0, fmt.Errorf("entry %d: %s joins %s twice: %s", sequence, client, first.Channel, first.Data)
			}
			list[client] = info
		}
		for client := range leave {
			if _, there := list[client]; !there {
				return 0, fmt.Errorf("entry %d: %s leaves %s twice: %s", sequence, client, first.Channel, first.Data)
			}
			delete(list, client)
		}
		if count != len(list) {
			return 0, fmt.Errorf("entry %d: %s has %d members, the event says %s", sequence, first.Channel, len(list), first.Data)
		}
	}
	for channel, list := range lists {
		got := map[string]string{}
		for _, m := range pages(w.nodes[0], channel, 5) {
			got[m.Client] = m.Info
		}
		if !maps.Equal(got, list) {
			return 0, fmt.Errorf("%s: a follower of the events has %v, the list is %v", channel, list, got)
		}
	}
	return named, nil
}

func text(e *log.Entry) string {
	if e == nil {
		return "nothing"
	}
	return string(e.Data)
}

// parseEvent reads the event of a schedule, whose names need no escapes.
func parseEvent(data string) (count int, join, leave map[string]string, ok bool) {
	if strings.Contains(data, `"joined":`) {
		return 0, nil, nil, false
	}
	list := func(s string) map[string]string {
		all := map[string]string{}
		for _, part := range strings.Split(s, `{"client":"`)[1:] {
			client, rest, _ := strings.Cut(part, `"`)
			info := ""
			if after, has := strings.CutPrefix(rest, `,"info":"`); has {
				info, _, _ = strings.Cut(after, `"`)
			}
			all[client] = info
		}
		return all
	}
	j, l, _ := strings.Cut(data, `"leave":`)
	if _, err := fmt.Sscanf(data, `{"count":%d,`, &count); err != nil {
		panic(err)
	}
	return count, list(j), list(l), true
}

func runWorld(seed uint64, faulty bool, plant func(*node)) (named int, err error) {
	random := rand.New(rand.NewPCG(seed, 2))
	w := newWorld(random)
	w.faulty = faulty
	for range 2 + random.IntN(2) {
		w.start()
	}
	for range 100 + random.IntN(900) {
		w.step()
		if plant != nil {
			plant(w.nodes[0])
		}
	}
	if err := w.settle(); err != nil {
		return 0, err
	}
	if err := w.judge(); err != nil {
		return 0, err
	}
	// From here on all nodes have the same, so their events are equal.
	from := uint64(len(w.order.entries)) + 1
	for _, n := range w.nodes {
		n.faults = nil
	}
	nodes := len(w.nodes)
	for range 300 {
		n := w.nodes[random.IntN(nodes)]
		switch random.IntN(6) {
		case 0, 1:
			n.join(fmt.Sprint("c", random.IntN(3)), fmt.Sprint("client", random.IntN(8)), fmt.Sprint(random.IntN(2)))
		case 2:
			if len(n.guests) > 0 {
				n.guests[0].guest.End()
				n.guests = n.guests[1:]
			}
		case 3:
			n.Report(n.publish)
			n.flush()
		case 4:
			n.follow(3)
		case 5:
			w.time = w.time.Add(200 * time.Millisecond)
		}
	}
	if nodes > 1 {
		w.kill(random.IntN(nodes))
	}
	if err := w.settle(); err != nil {
		return 0, err
	}
	if err := w.judge(); err != nil {
		return 0, err
	}
	return w.events(from)
}

// TestAllNodesHaveTheSameMembers: random schedules of nodes that come, die, come back and lose
// what they append. In the end, each node has the members that there are, and all make the
// same events of the same entries.
func TestAllNodesHaveTheSameMembers(t *testing.T) {
	first, schedules := rand.Uint64(), 300
	if testing.Short() {
		schedules = 60
	}
	if *seedFlag != 0 {
		first, schedules = *seedFlag, 1
	}
	named := 0
	for i := range schedules {
		seed := first + uint64(i)
		n, err := runWorld(seed, seed%2 == 0, nil)
		if err != nil {
			t.Fatalf("%v\nreplay: go test ./server/presence -run TestAllNodesHaveTheSameMembers -seed %d", err, seed)
		}
		named += n
	}
	if *seedFlag == 0 && named < 10*schedules {
		t.Errorf("%d events with names in %d schedules: this tests little", named, schedules)
	}
}

// TestTheScheduleFindsTheDeadKept: nodes that do not hear of the end of another keep its members.
func TestTheScheduleFindsTheDeadKept(t *testing.T) {
	for seed := range uint64(50) {
		if _, err := runWorld(seed, false, func(n *node) { n.deaf = true }); err != nil {
			return
		}
	}
	t.Error("a node that keeps the members of dead nodes was not found")
}
