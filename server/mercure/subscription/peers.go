package subscription

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"peal/server/log"
)

// Peers has the subscriptions of the other nodes of a log that several servers share. It learns them from their events, and from the state
// that each node tells after another one has come. It is a log.Tail that always has room. nil follows nothing.
type Peers struct {
	// Fixed.
	table *Table
	self  uint64
	live  func() []uint64
	lease time.Duration
	limit int

	mu      sync.Mutex // held for the work of one entry, or for as long as it takes to copy one pointer for each subscription
	nodes   map[uint64]*peer
	count   int
	refused uint64
	came    bool // this node has said hello
	state   bool // the state of this node is to be told

	// Of the caller of Report.
	rest   []*Subscription // of a state that has begun
	begun  bool
	failed bool // Guarded by mu: an entry of a state was lost or refused
}

// peer is another node.
type peer struct {
	subscriptions map[string]*known // by id
	generation    int               // of its state
	gone          bool              // it has left, or was declared dead
	missed        time.Duration     // since when it is not among those that live, 0: it is
	ending        bool              // ends are on their way to the log
}

// known is a subscription of another node.
type known struct {
	*Subscription
	generation int
}

const (
	// Peers has at most that many times the limit of its Table.
	slackOfPeers = 8

	// sweepAfter is when a node that is not the first one publishes the ends of a node that is gone,
	// if they are still there.
	sweepAfter = 5 * time.Second
)

// Share has t tell the other nodes of its subscriptions, and know theirs. self is the node, not 0; live
// are the nodes that live, this one included, the smallest first. Call it before anything else.
func (t *Table) Share(self uint64, live func() []uint64, lease time.Duration) *Peers {
	if t == nil {
		return nil
	}
	t.peers = &Peers{table: t, self: self, live: live, lease: lease, limit: slackOfPeers * t.limit, nodes: map[uint64]*peer{}}
	t.owner, t.byID = nodeText(self), map[string]*Subscription{}
	return t.peers
}

// OnHello tells of a node that has come, or come back, this one too, in the order of the log.
func (p *Peers) OnHello(node uint64) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.came = p.came || node == p.self
	p.state = p.came
	if n := p.nodes[node]; n != nil {
		n.gone = false
	}
	p.table.wake()
}

// OnGone tells of a node that has left, or is dead.
func (p *Peers) OnGone(node uint64) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.nodes[node]; n != nil {
		n.gone = true
		p.table.wake()
	}
}

// Room is always there, and Wake has nothing to do; see log.Tail.
func (p *Peers) Room(int, int) bool { return true }
func (p *Peers) Wake()              {}

// Apply follows a batch.
func (p *Peers) Apply(batch []*log.Entry) { p.follow(batch, false) }

// Restore follows one that the log has kept. Call it in their order.
func (p *Peers) Restore(batch []*log.Entry) { p.follow(batch, true) }

func (p *Peers) follow(batch []*log.Entry, restored bool) {
	if p == nil {
		return
	}
	for _, e := range batch {
		switch {
		case e.Kind == log.KindPublication && e.Private && e.Tags[log.NodeTag] != "" && strings.HasPrefix(e.Channel, log.PrivatePrefix+Path+"/"):
			p.applyEvent(e, restored)
		case e.Kind == log.KindControl && e.Event == stateEvent:
			p.applyState(e.Data)
		}
	}
}

func (p *Peers) applyEvent(e *log.Entry, restored bool) {
	node, foreign, ok := parseNode(e.Tags[log.NodeTag])
	if !ok || node == p.self && restored {
		return
	}
	var o struct {
		Topic, Subscriber string
		Active            bool
		Payload           json.RawMessage
	}
	if json.Unmarshal(e.Data, &o) != nil || ID(o.Topic, o.Subscriber) != e.Channel[len(log.PrivatePrefix):] {
		return // of a later version
	}
	s := &Subscription{ID: e.Channel[len(log.PrivatePrefix):], Topic: o.Topic, Subscriber: o.Subscriber, Payload: string(o.Payload)}
	if node == p.self {
		p.table.told(s.ID, o.Active)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case node == p.self && foreign:
		p.state = p.came // the one that is being told may name it
		p.table.wake()
	case node == p.self:
	case o.Active:
		p.putLocked(node, s)
	default:
		p.removeLocked(node, s.ID)
	}
}

func (p *Peers) putLocked(node uint64, s *Subscription) {
	n := p.nodes[node]
	if n == nil {
		if p.count >= p.limit {
			p.refused++
			return
		}
		n = &peer{subscriptions: map[string]*known{}}
		p.nodes[node] = n
		p.table.wake() // it may be gone
	}
	if k := n.subscriptions[s.ID]; k != nil {
		k.generation = n.generation
		return
	}
	if p.count >= p.limit {
		p.refused++
		return
	}
	n.subscriptions[s.ID] = &known{s, n.generation}
	p.count++
}

func (p *Peers) removeLocked(node uint64, id string) {
	n := p.nodes[node]
	if n == nil || n.subscriptions[id] == nil {
		return
	}
	delete(n.subscriptions, id)
	p.count--
	if len(n.subscriptions) == 0 && n.gone {
		delete(p.nodes, node)
	}
}

// applyState takes a part of the state of a node. At its end there is nothing left that no part has named.
func (p *Peers) applyState(data []byte) {
	flags, node, all, ok := parseState(data)
	if !ok || node == p.self {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.nodes[node]
	if flags&stateBegins != 0 && n != nil {
		n.generation++
	}
	for _, s := range all {
		p.putLocked(node, s)
	}
	if flags&stateEnds == 0 || n == nil {
		return
	}
	for id, k := range n.subscriptions {
		if k.generation != n.generation {
			p.removeLocked(node, id)
		}
	}
}

// all returns the subscriptions of the other nodes, in no order.
func (p *Peers) all() (all []*Subscription) {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	all = make([]*Subscription, 0, p.count)
	for _, n := range p.nodes {
		for _, k := range n.subscriptions {
			all = append(all, k.Subscription)
		}
	}
	return all
}

func (p *Peers) size() (count int, refused uint64) {
	if p == nil {
		return 0, 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count, p.refused
}

// ends returns the next ends of a node that is gone, at most limit, and the node. more: there are others, now or
// later.
func (p *Peers) ends(limit int, now time.Duration) (node uint64, ended []*Subscription, more bool) {
	live := p.live()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Contains(live, p.self) {
		return 0, nil, false // its hello wakes it
	}
	for id, n := range p.nodes {
		if slices.Contains(live, id) {
			n.gone, n.missed = false, 0
			continue
		}
		if len(n.subscriptions) == 0 {
			delete(p.nodes, id)
			continue
		}
		more = true
		if n.missed == 0 {
			n.missed = max(now, 1)
		}
		wait := time.Duration(0)
		if !n.gone {
			wait = 2 * p.lease // its heartbeats may be there and unread
		}
		if live[0] != p.self {
			wait += sweepAfter
		}
		if n.ending || ended != nil || now-n.missed < wait {
			continue
		}
		for _, k := range n.subscriptions {
			if len(ended) == limit {
				break
			}
			ended = append(ended, k.Subscription)
		}
		node, n.ending = id, true
	}
	return node, ended, more
}

func (p *Peers) ended(node uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.nodes[node]; n != nil {
		n.ending = false
	}
}
