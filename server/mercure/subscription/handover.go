package subscription

import "slices"

// Part is a piece of what a Table hands over to another process beside the subscriptions of connections (Carry), a value for
// encoding/gob. Fields may be added.
type Part struct {
	Ended []Carried // whose end is to be published

	// Of Peers. The first part has First.
	First, Came, State bool
	Nodes              []HandedNode
	Known              []HandedSubscription
}

// HandedNode is what is known of another node.
type HandedNode struct {
	Node       uint64
	Generation int
	Gone       bool
}

// HandedSubscription is one of another node.
type HandedSubscription struct {
	Node                           uint64
	Generation                     int
	ID, Topic, Subscriber, Payload string
}

// partSubscriptions is the most of a part.
const partSubscriptions = 1024

// HandOver calls give with all of it, in parts. Neither may Report run, nor an entry be applied meanwhile. It returns the
// first error of give.
func (t *Table) HandOver(give func(*Part) error) error {
	if t == nil {
		return nil
	}
	for step := range slices.Chunk(t.ending(), partSubscriptions) {
		if err := give(&Part{Ended: step}); err != nil {
			return err
		}
	}
	if t.peers == nil {
		return nil
	}
	first, known := t.peers.handOver()
	if err := give(first); err != nil {
		return err
	}
	for step := range slices.Chunk(known, partSubscriptions) {
		if err := give(&Part{Known: step}); err != nil {
			return err
		}
	}
	return nil
}

// ending are the subscriptions that have ended, and whose end is to be published: they are in the queue.
func (t *Table) ending() (all []Carried) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.queue.order {
		for _, s := range l.waits {
			if s.place < 0 && s.owes() {
				all = append(all, Carried{s.ID, s.Topic, s.Subscriber, s.Payload, true})
			}
		}
	}
	return all
}

func (p *Peers) handOver() (first *Part, known []HandedSubscription) {
	p.mu.Lock()
	defer p.mu.Unlock()
	first = &Part{First: true, Came: p.came, State: p.state || p.begun || p.failed}
	for id, n := range p.nodes {
		first.Nodes = append(first.Nodes, HandedNode{id, n.generation, n.gone})
		for _, k := range n.subscriptions {
			known = append(known, HandedSubscription{id, k.generation, k.ID, k.Topic, k.Subscriber, k.Payload})
		}
	}
	return first, known
}

// Import takes a part of the Table of another process, into one that is new, before Report. The node is the same. What there is no room
// for is not listed, and its end is not published.
func (t *Table) Import(part *Part) error {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	for _, c := range part.Ended {
		if t.stats.Held >= t.limit {
			break
		}
		s := &Subscription{ID: c.ID, Topic: c.Topic, Subscriber: c.Subscriber, Payload: c.Payload, place: -1, announced: true}
		t.held.Add(t.held.Open(s.by), 1)
		t.stats.Held++
		if t.byID != nil {
			t.byID[s.ID] = s
		}
		t.wants(s)
	}
	t.mu.Unlock()
	if t.peers != nil {
		t.peers.take(part)
	}
	return nil
}

func (p *Peers) take(part *Part) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if part.First {
		p.nodes, p.count = map[uint64]*peer{}, 0 // what was restored is not all of it
		p.came, p.state = part.Came, part.State
		for _, n := range part.Nodes {
			p.nodes[n.Node] = &peer{subscriptions: map[string]*known{}, generation: n.Generation, gone: n.Gone}
		}
	}
	for _, k := range part.Known {
		n := p.nodes[k.Node]
		if n == nil || p.count >= p.limit {
			p.refused++
			continue
		}
		n.subscriptions[k.ID] = &known{&Subscription{ID: k.ID, Topic: k.Topic, Subscriber: k.Subscriber, Payload: k.Payload}, k.Generation}
		p.count++
	}
	p.table.wake()
}
