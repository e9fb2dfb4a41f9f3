package counts

import "slices"

// A node whose process is replaced hands over what it has told of itself, and what the others have told: nothing is reported again, and
// nothing vanishes.

// Part is a piece of what a Table hands over, a value for encoding/gob. Fields may be added.
type Part struct {
	// Of the first part.
	First   bool
	Came    bool // this node has
	State   bool // its state is asked for, or was being told
	Dropped uint64
	Peers   []HandedPeer

	Told   []HandedCount // Node is 0
	Counts []HandedCount // of the peers
}

// HandedPeer is what is known of another node.
type HandedPeer struct {
	Node                 uint64
	Generation           uint32
	Reading, Gone, Stale bool
}

// HandedCount is a channel of a node.
type HandedCount struct {
	Node                uint64
	Channel             string
	Subscribers, Listed int32
	Generation          uint32
}

// partCounts is the most of a part.
const partCounts = 4096

// HandOver calls give with all of it, in parts, of which there is at least one. Neither may Step run, nor an entry be applied
// meanwhile. It returns the first error of give.
func (t *Table) HandOver(give func(*Part) error) error {
	first := &Part{First: true}
	var told, counts []HandedCount
	t.mu.Lock()
	first.Came, first.State, first.Dropped = t.came, t.state || t.telling, t.dropped
	for id, p := range t.peers {
		first.Peers = append(first.Peers, HandedPeer{id, p.generation, p.reading, p.gone, p.stale})
		for name, r := range p.channels {
			counts = append(counts, HandedCount{id, name, r.subscribers, r.listed, r.generation})
		}
	}
	for name, n := range t.told {
		told = append(told, HandedCount{Channel: name, Subscribers: n.subscribers, Listed: n.listed})
	}
	t.mu.Unlock()
	t.failing.Lock()
	first.State = first.State || t.broken || len(t.failed) > 0
	t.failing.Unlock()
	if err := give(first); err != nil {
		return err
	}
	for step := range slices.Chunk(told, partCounts) {
		if err := give(&Part{Told: step}); err != nil {
			return err
		}
	}
	for step := range slices.Chunk(counts, partCounts) {
		if err := give(&Part{Counts: step}); err != nil {
			return err
		}
	}
	return nil
}

// Import takes a part of the Table of another process, into one that is new, before an entry is applied. The node is the same.
func (t *Table) Import(p *Part) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.First {
		t.came, t.state, t.dropped = p.Came, p.State, p.Dropped
		for _, k := range p.Peers {
			q := t.openLocked(k.Node)
			if q == nil {
				continue
			}
			q.generation, q.reading, q.gone, q.stale = k.Generation, k.Reading, k.Gone, k.Stale
		}
	}
	for _, k := range p.Told {
		t.told[k.Channel] = number{k.Subscribers, k.Listed}
		t.compare = append(t.compare, k.Channel)
	}
	for i := range p.Counts {
		k := &p.Counts[i]
		if q := t.peers[k.Node]; q != nil {
			generation := q.generation
			q.generation = k.Generation
			t.putLocked(q, []byte(k.Channel), number{k.Subscribers, k.Listed})
			q.generation = generation
		}
	}
	return nil
}

// isTold reports whether the others know how many a channel has.
func (t *Table) isTold(name string) bool {
	n := number{subscribers: int32(t.source.Subscribers(name))}
	n.listed = min(n.subscribers, int32(t.listed(name)))
	return t.told[name] == n
}
