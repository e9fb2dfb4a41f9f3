package fake

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"peal/server/log"
)

// Store is the log that nodes share.
type Store struct {
	lineage *log.Lineage
	now     func() time.Time

	mu      sync.Mutex
	batches [][][]byte // of those that are kept: the binary forms of the entries of each
	oldest  uint64
	head    uint64
	saved   []byte // of the State of a node, up to savedAt
	savedAt uint64
	failing error
	nodes   []*Node // that are started and not closed

	collections map[string][]log.Document
}

// New returns an empty store. now is the clock, time.Now outside tests of time.
func New(now func() time.Time) *Store {
	return &Store{lineage: log.NewLineage(log.NewEpoch()), now: now, oldest: 1}
}

// Open returns a node, which must be started.
func (s *Store) Open() *Node {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := &Node{store: s, id: rand.Uint64() | 1, opened: s.head}
	n.head.Store(s.head)
	return n
}

// Fail has Append of all nodes return err; nil ends that. With log.ErrStorage the log can be read.
func (s *Store) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = err
	if err == nil {
		for _, n := range s.nodes {
			n.current = s.now()
		}
	}
}

// Trim removes the entries up to that sequence, having saved the state of one of the
// nodes. What is removed is whole batches.
func (s *Store) Trim(upto uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.nodes {
		if n.state != nil && len(n.waiting) == 0 {
			s.saved, s.savedAt = n.state.Save(), s.head
			break
		}
	}
	for len(s.batches) > 0 && s.oldest+uint64(len(s.batches[0]))-1 <= upto {
		s.oldest += uint64(len(s.batches[0]))
		s.batches = s.batches[1:]
	}
}

// Node is the engine of one server. It implements log.Distributed.
type Node struct {
	store *Store
	id    uint64
	state log.State

	opened uint64 // head of the store when it was opened: up to there entries are restored

	head atomic.Uint64 // the newest entry that was applied

	// Of store.mu.
	tail    log.Tail
	held    bool
	waiting []delivery // that were not applied, because the node is held
	current time.Time  // when it was released, or the store was back
}

// delivery is a batch for a node; done is nil for those of others.
type delivery struct {
	batch [][]byte
	done  func()
}

// Node is the id; see log.Distributed.
func (n *Node) Node() uint64 { return n.id }

// Lineage is that of the store.
func (n *Node) Lineage() *log.Lineage { return n.store.lineage }

// Head is the newest entry that this node has applied.
func (n *Node) Head() uint64 { return n.head.Load() }

// Oldest is the oldest entry of the store.
func (n *Node) Oldest() uint64 {
	n.store.mu.Lock()
	defer n.store.mu.Unlock()
	return n.store.oldest
}

// Retained is how many entries the store has.
func (n *Node) Retained() (entries uint64) {
	n.store.mu.Lock()
	defer n.store.mu.Unlock()
	for _, b := range n.store.batches {
		entries += uint64(len(b))
	}
	return entries
}

// Resolve knows what this node has applied.
func (n *Node) Resolve(c log.Cursor) (sequence uint64, ok bool) {
	return n.store.lineage.Resolve(c, n.head.Load())
}

// Ahead reports whether c is of this epoch and this node has not applied it yet.
func (n *Node) Ahead(c log.Cursor) bool {
	return c.Epoch == n.store.lineage.Epoch() && c.Sequence > n.head.Load()
}

// Progress is how far the node has read.
func (n *Node) Progress() log.Progress {
	n.store.mu.Lock()
	defer n.store.mu.Unlock()
	p := log.Progress{Head: n.head.Load(), Known: n.store.head, Current: n.current}
	if !n.held && (n.store.failing == nil || errors.Is(n.store.failing, log.ErrStorage)) {
		n.current = n.store.now()
		p.Current = n.current
	}
	return p
}

// Keep has Trim save s.
func (n *Node) Keep(s log.State) { n.state = s }

// Failing is what Store.Fail has been given.
func (n *Node) Failing() error {
	n.store.mu.Lock()
	defer n.store.mu.Unlock()
	return n.store.failing
}

// Start loads the state, restores what was kept when the node was opened, and follows the store from there.
func (n *Node) Start(tail log.Tail, restore func([]*log.Entry)) error {
	s := n.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.state != nil {
		if err := n.state.Load(s.saved, s.savedAt); err != nil {
			return err
		}
	}
	n.tail, n.current = tail, s.now()
	for _, b := range s.batches {
		batch, err := parse(b)
		if err != nil {
			return err
		}
		if batch[0].Sequence <= n.opened {
			restore(batch)
		} else {
			n.apply(delivery{batch: b})
		}
	}
	s.nodes = append(s.nodes, n)
	return nil
}

// Append numbers the batch, and applies it to all nodes that are not held. done is called
// when this node has applied it.
func (n *Node) Append(batch []*log.Entry, done func(error)) error {
	s := n.store
	s.mu.Lock()
	if s.failing != nil {
		s.mu.Unlock()
		return s.failing
	}
	if !slices.Contains(s.nodes, n) {
		s.mu.Unlock()
		return log.ErrClosed
	}
	if !log.IsControl(batch) && !n.tail.Room(len(batch), log.Charge(batch)) {
		s.mu.Unlock()
		return log.ErrFull
	}
	log.Number(batch, s.head+1, s.now().UnixMilli())
	s.head += uint64(len(batch))
	stored := make([][]byte, len(batch))
	for i, e := range batch {
		stored[i] = log.AppendEntry(nil, e)
	}
	s.batches = append(s.batches, stored)
	finish := func() {
		if done != nil {
			done(nil)
		}
	}
	var wake []*Node
	for _, node := range s.nodes {
		d := delivery{batch: stored}
		if node == n {
			d.done = finish
		}
		if node.held {
			node.waiting = append(node.waiting, d)
			continue
		}
		node.apply(d)
		wake = append(wake, node)
	}
	s.mu.Unlock()
	for _, node := range wake {
		node.tail.Wake()
	}
	if slices.Contains(wake, n) {
		finish()
	}
	return nil
}

// apply runs under store.mu.
func (n *Node) apply(d delivery) {
	batch, err := parse(d.batch)
	if err != nil {
		panic(err) // it was written above
	}
	n.head.Store(batch[len(batch)-1].Sequence)
	n.tail.Apply(batch)
}

// Hold stops the node from applying anything.
func (n *Node) Hold() {
	n.store.mu.Lock()
	defer n.store.mu.Unlock()
	n.held = true
}

// Release applies what was missed, and goes on.
func (n *Node) Release() {
	s := n.store
	s.mu.Lock()
	missed := n.waiting
	n.held, n.waiting, n.current = false, nil, s.now()
	for _, d := range missed {
		n.apply(d)
	}
	s.mu.Unlock()
	n.tail.Wake()
	for _, d := range missed {
		if d.done != nil {
			d.done()
		}
	}
}

// Close takes the node off the store.
func (n *Node) Close() error {
	s := n.store
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes = slices.DeleteFunc(s.nodes, func(other *Node) bool { return other == n })
	return nil
}

// parse reads the entries of one batch; those that share data have it from the first.
func parse(stored [][]byte) (batch []*log.Entry, err error) {
	for i, b := range stored {
		e, _, err := log.ParseEntry(b)
		if err != nil {
			return nil, err
		}
		if e.Refers() {
			for _, from := range batch[:i] {
				if e.Take(from) {
					break
				}
			}
		}
		batch = append(batch, &e)
	}
	return batch, nil
}
