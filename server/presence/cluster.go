package presence

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"peal/server/log"
	"peal/server/publication"
)

// Cluster has the members of all nodes that share one log. Every node has one, and gives it the
// same entries in the same order, so all have the same members and the same events: an entry
// makes an event of what it changed for the whole cluster, and none if it changed nothing. A
// client on two nodes joins once and leaves once.
//
// It follows what nodes say of themselves; whether there is room for a member is decided by the
// Table of its node, before it says so. Only far beyond the limits (nodes with other settings)
// does a Cluster refuse.
type Cluster struct {
	// Fixed at NewCluster.
	config  Config
	self    uint64
	watched func(channel string) bool
	nodes   func() []uint64
	onAsk   func() // nil for nothing

	elsewhere func(channel string) int // nil for none
	onChange  func(channel string)     // see Table.OnChange; nil for none

	// Shared. Members that are on other nodes only, and their bytes; the Tables of this node
	// have less room by that much.
	foreignMembers atomic.Int64
	foreignBytes   atomic.Int64
	refused        atomic.Uint64
	events         atomic.Uint64

	mu       sync.Mutex // held for the work of one entry, or of one page
	channels map[string]*union
	peers    map[uint64]*peer
	departed []uint64 // peers that are gone, the first to go in front; at most departedPeers
	hellos   uint64
	members  int
	bytes    int
	refresh  map[string]struct{} // watched channels of which an event is owed, because a state changed them
	checks   []ref               // own members that an entry named: the Table compares them
	checkAll bool                // compare all of them
	state    bool                // the state of this node is asked for
	ask      bool                // that of all nodes is needed
	work     chan struct{}       // of the Table, see UseCluster
}

// union has the members of one channel on all nodes.
type union struct {
	name    string
	members order
	own     int // of them, on this node
}

// peer is one node, this one included.
type peer struct {
	id         uint64
	first      *place // of its members, in the order in which they were told
	last       *place
	count      int
	generation uint32 // of the state that was read last, or is being read
	began      uint64 // its place among the hellos; 0: none was read, so it came before this node did, or is gone
	reading    bool   // a state has begun
	stale      bool   // members of an earlier generation are at the front, and go
	complete   bool   // a whole state was read
	heard      bool   // it was among the nodes that live
	gone       bool
}

// place is one member on one node.
type place struct {
	peer       *peer
	union      *union
	member     *member
	next       *place // of the member, on another node
	before     *place // of the peer
	after      *place
	info       string
	since      uint64 // sequence of the entry that brought the info
	generation uint32
}

// ref names a member of this node.
type ref struct{ channel, client string }

const (
	// unionMemberBytes is the memory of a member and of its first place, without texts.
	unionMemberBytes = 240
	unionBytes       = 160

	// A Cluster refuses what is beyond that many times the limits.
	slack = 2

	departedPeers = 1024
	mostPeers     = 4 * departedPeers // no number of foreign entries makes the table grow
	mostChecks    = 1 << 16
)

// NewCluster returns an empty cluster, seen from the node self, which is not 0. watched
// reports whether a client of this node is subscribed to the events of a channel; nodes are
// those that live, this one included. Both may be called under the append lock.
func NewCluster(c Config, self uint64, watched func(channel string) bool, nodes func() []uint64) *Cluster {
	return &Cluster{
		config: c.WithDefaults(), self: self, watched: watched, nodes: nodes,
		channels: map[string]*union{}, peers: map[uint64]*peer{}, refresh: map[string]struct{}{},
		work: make(chan struct{}, 1),
	}
}

// OnHello tells of a node that has come, or come back, in the order of the log, and this one
// too. It is not called for entries that were restored.
func (c *Cluster) OnHello(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.peerLocked(id)
	c.hellos++
	p.heard, p.gone, p.began = true, false, c.hellos
	if id == c.self {
		c.checkAll = true
	}
	c.state = c.peerLocked(c.self).began > 0
	c.signal()
}

// OnGone tells of a node that has left, or is dead, in the order of the log. Its members leave
// with entries that the oldest node appends; see Report.
func (c *Cluster) OnGone(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.peerLocked(id)
	if p.gone {
		return
	}
	p.gone, p.began, p.reading, p.complete = true, 0, false, false
	c.departed = append(c.departed, id)
	if len(c.departed) > departedPeers {
		if old := c.peers[c.departed[0]]; old != nil && old.gone && old.count == 0 {
			delete(c.peers, old.id)
		}
		c.departed = c.departed[1:]
	}
	c.signal()
}

// OnAsk has f called when a node asks for the state of all, under the append lock.
func (c *Cluster) OnAsk(f func()) { c.onAsk = f }

// UseElsewhere has f say how many connections the members of a channel have on other nodes.
func (c *Cluster) UseElsewhere(f func(channel string) int) { c.elsewhere = f }

// Lose tells that entries were lost, for all nodes or only for this one: it asks all nodes for
// their state.
func (c *Cluster) Lose() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.peers {
		p.complete = false
	}
	c.checkAll, c.ask = true, true
	c.signal()
}

// Missing is how many nodes live whose members are not all known yet: then lists have too few.
// Any goroutine may call it.
func (c *Cluster) Missing() (nodes int) {
	live := c.nodes()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range live {
		if p := c.peers[id]; p == nil || !p.complete {
			nodes++
		}
	}
	if own := c.peers[c.self]; own == nil || own.began == 0 {
		nodes = max(nodes, 1) // it has not come itself
	}
	return nodes
}

func (c *Cluster) signal() {
	select {
	case c.work <- struct{}{}:
	default: // signalled already
	}
}

func (c *Cluster) peerLocked(id uint64) *peer {
	p := c.peers[id]
	if p == nil {
		p = &peer{id: id}
		c.peers[id] = p
	}
	return p
}

// Apply follows one entry of kind presence, under the append lock, and returns the event of it
// for subscribers, nil for none. The error says that the entry cannot be read; then it has
// changed nothing.
func (c *Cluster) Apply(e *log.Entry) (*Event, error) {
	r, err := parseRecord(e.Data)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.peers) >= mostPeers && c.peers[r.node] == nil {
		return nil, fmt.Errorf("presence: an entry of one node more than %d", mostPeers)
	}
	switch r.what {
	case whatDelta:
		changes, err := r.body.changes()
		if err != nil {
			return nil, err
		}
		return c.counted(c.applyDelta(c.peerLocked(r.node), e, changes)), nil
	case whatState:
		flags, all, err := r.body.state()
		if err != nil {
			return nil, err
		}
		c.applyState(c.peerLocked(r.node), flags, all)
	case whatAsk:
		c.state = c.peerLocked(c.self).began > 0
		if c.signal(); c.onAsk != nil {
			c.onAsk()
		}
	case whatRefresh:
		ev := &Event{Channel: e.Channel, Unnamed: true}
		if u := c.channels[e.Channel]; u != nil {
			ev.Count = u.members.count
		}
		return c.counted(ev), nil
	}
	return nil, nil // of a later version
}

func (c *Cluster) counted(ev *Event) *Event {
	if ev != nil {
		c.events.Add(1)
	}
	return ev
}

// applyDelta makes the changes, and returns the event of those that are changes for the cluster.
func (c *Cluster) applyDelta(p *peer, e *log.Entry, changes []change) *Event {
	ev := &Event{Channel: e.Channel}
	for _, k := range changes {
		u := c.channels[e.Channel]
		if k.left {
			if q := u.placeOf(k.client, p); q != nil {
				gone, shown := c.removeLocked(q)
				if gone {
					ev.Left++
					ev.Leave = append(ev.Leave, publication.Member{Client: k.client})
				} else if shown {
					ev.Join = append(ev.Join, publication.Member{Client: k.client, Info: q.member.person.info()})
				}
			}
		} else if c.believesLocked(p) {
			q, fresh, shown := c.putLocked(p, e.Channel, k.client, k.info, e.Sequence)
			if q == nil {
				continue
			}
			if fresh {
				ev.Joined++
			}
			if fresh || shown {
				ev.Join = append(ev.Join, publication.Member{Client: k.client, Info: q.member.person.info()})
			}
		}
		if p.id == c.self {
			c.checkLocked(ref{e.Channel, k.client})
		}
	}
	if len(ev.Join)+len(ev.Leave) == 0 {
		return nil
	}
	if u := c.channels[e.Channel]; u != nil {
		ev.Count = u.members.count
	}
	if ev.Count > c.config.Named || len(ev.Join)+len(ev.Leave) > c.config.Named {
		ev.Unnamed, ev.Join, ev.Leave = true, nil, nil
	}
	return ev
}

// believesLocked reports whether p may have members. What a node had on the way when it was
// declared dead is ignored by all. That it came back may be in what was restored. One that was never heard of, because
// its hellos are lost, may be gone already, and nobody would say so: it tells its state once it is heard of.
func (c *Cluster) believesLocked(p *peer) bool {
	if (p.gone || !p.heard) && slices.Contains(c.nodes(), p.id) {
		p.heard, p.gone = true, false
	}
	return p.heard && !p.gone
}

// checkLocked has the Table compare a member of this node with what the log says of it.
func (c *Cluster) checkLocked(r ref) {
	if len(c.checks) == mostChecks {
		c.checks, c.checkAll = nil, true
	}
	if !c.checkAll {
		c.checks = append(c.checks, r)
	}
	c.signal()
}

// applyState takes a part of the state of p. It makes no event of its changes; on a node that
// has followed p all the time there are none.
func (c *Cluster) applyState(p *peer, flags byte, all []known) {
	if !c.believesLocked(p) {
		return
	}
	if flags&stateBegins != 0 {
		p.generation++
		p.reading, p.stale = true, false
	}
	for _, k := range all {
		q, fresh, shown := c.putLocked(p, k.channel, k.client, k.info, k.since)
		if q == nil {
			continue
		}
		if q.since != k.since {
			q.since = k.since
			shown = q.member.show() || shown
		}
		if fresh || shown {
			c.oweLocked(k.channel)
		}
		if p.id == c.self {
			c.checkLocked(ref{k.channel, k.client})
		}
	}
	if flags&stateEnds != 0 && p.reading {
		p.reading = false
		p.stale = p.first != nil && p.first.generation != p.generation
		p.complete = true
		if p.stale {
			c.signal()
		}
	}
}

// oweLocked notes that the watchers of channel have missed a change.
func (c *Cluster) oweLocked(channel string) {
	if _, ok := c.refresh[channel]; !ok && c.watched(channel) {
		c.refresh[channel] = struct{}{}
		c.signal()
	}
}

// List returns a page of the members of channel on all nodes; see Table.List.
func (c *Cluster) List(channel, after string, limit int) Page {
	p := Page{Incomplete: c.Missing() > 0, Members: make([]publication.Member, 0, min(limit, 1000))}
	c.mu.Lock()
	defer c.mu.Unlock()
	u := c.channels[channel]
	if u == nil {
		return p
	}
	p.Count = u.members.count
	u.members.after(after, func(m *member) bool {
		p.More = len(p.Members) == limit
		if !p.More {
			p.Members = append(p.Members, publication.Member{Client: m.person.client(), Info: m.person.info()})
		}
		return !p.More
	})
	return p
}

// full reports whether that many bytes and members of this node, and those that are on other
// nodes only, are more than there may be.
func (c *Cluster) full(bytes, members int) bool {
	return int64(bytes)+c.foreignBytes.Load() > int64(c.config.Bytes) || int64(members)+c.foreignMembers.Load() > int64(c.config.Members)
}

// foreign is how many members channel has that are on other nodes only.
func (c *Cluster) foreign(channel string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	u := c.channels[channel]
	if u == nil {
		return 0
	}
	return u.members.count - u.own
}

// ClusterStats are counts since the start and gauges of now.
type ClusterStats struct {
	Members int    // on all nodes
	Bytes   int    // of this copy of them
	Missing int    // nodes whose members are not all known yet
	Refused uint64 // members beyond twice the limits
	Events  uint64
}

// Stats returns the current numbers. Any goroutine may call it.
func (c *Cluster) Stats() ClusterStats {
	missing := c.Missing()
	c.mu.Lock()
	defer c.mu.Unlock()
	return ClusterStats{Members: c.members, Bytes: c.bytes, Missing: missing, Refused: c.refused.Load(), Events: c.events.Load()}
}
