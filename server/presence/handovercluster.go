package presence

// A node hands its Cluster over, too: the successor has the same node id, so it is no new node, no other node
// tells its state for it, and nothing has to be appended: neither a hello nor a state. What the node had still to tell the log of is
// handed over with its Table, and Report appends it.

// ClusterPart is a piece of what a Cluster hands over, a value for encoding/gob. Fields may be added.
type ClusterPart struct {
	// Of the first part.
	Peers    []HandedPeer
	Departed []uint64 // the first to go in front
	Hellos   uint64
	State    bool     // the state of this node is asked for
	Ask      bool     // that of all nodes is needed
	CheckAll bool     // all members of this node are to be compared with what the log says
	Refresh  []string // channels of which an event is owed

	Places []HandedPlace // by peer, in their order
}

// HandedPeer is one node.
type HandedPeer struct {
	ID                             uint64
	Generation                     uint32
	Began                          uint64
	Reading, Stale, Complete, Gone bool
}

// HandedPlace is one member on one node.
type HandedPlace struct {
	Peer                  uint64
	Channel, Client, Info string
	Since                 uint64
	Generation            uint32
}

// HandOver calls give with all of it, in parts, of which there is at least one. No entry may be applied meanwhile. It returns
// the first error of give.
func (c *Cluster) HandOver(give func(*ClusterPart) error) error {
	c.mu.Lock()
	p := &ClusterPart{Departed: c.departed, Hellos: c.hellos, State: c.state, Ask: c.ask, CheckAll: c.checkAll}
	for name := range c.refresh {
		p.Refresh = append(p.Refresh, name)
	}
	var firsts []*place
	for _, q := range c.peers {
		p.Peers = append(p.Peers, HandedPeer{q.id, q.generation, q.began, q.reading, q.stale, q.complete, q.gone})
		firsts = append(firsts, q.first)
	}
	c.mu.Unlock()
	if err := give(p); err != nil {
		return err
	}
	for _, at := range firsts {
		for at != nil {
			p := &ClusterPart{}
			c.mu.Lock()
			for ; at != nil && len(p.Places) < partMembers; at = at.after {
				p.Places = append(p.Places, HandedPlace{at.peer.id, at.union.name, at.member.person.client(), at.info, at.since, at.generation})
			}
			c.mu.Unlock()
			if err := give(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// Import takes a part of the Cluster of another process, into one that is new, before an entry is applied. The node is the same.
func (c *Cluster) Import(p *ClusterPart) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range p.Peers {
		c.peers[k.ID] = &peer{id: k.ID, generation: k.Generation, began: k.Began, reading: k.Reading, stale: k.Stale, complete: k.Complete, gone: k.Gone}
	}
	if len(p.Peers) > 0 {
		c.departed, c.hellos = p.Departed, p.Hellos
		c.state, c.ask, c.checkAll = p.State, p.Ask, p.CheckAll
		if own := c.peers[c.self]; own != nil && own.reading {
			c.state = true // the state that was being told: again from its beginning
		}
		for _, name := range p.Refresh {
			c.refresh[name] = struct{}{}
		}
	}
	for i := range p.Places {
		k := &p.Places[i]
		q := c.peers[k.Peer]
		if q == nil {
			return errPart
		}
		generation := q.generation
		q.generation = k.Generation
		at, _, _ := c.putLocked(q, k.Channel, k.Client, k.Info, k.Since)
		if at != nil {
			at.since = k.Since
			at.member.show()
		}
		q.generation = generation
	}
	return nil
}

// toCheck are the members of this node that entries have named since the Table compared them last.
func (c *Cluster) toCheck() (refs []HandedRef) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.checks {
		refs = append(refs, HandedRef{r.channel, r.client})
	}
	return refs
}
