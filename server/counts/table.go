package counts

import (
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"

	"peal/server/log"
)

// number is how many subscribers a channel has, and how many of them are listed by name.
type number struct{ subscribers, listed int32 }

// Table has what the other nodes have reported. It is a log.Tail.
type Table struct {
	// Fixed at New.
	self     uint64
	source   Source
	listed   func(channel string) int
	nodes    func() []uint64
	report   func(sequence uint64, err error)
	onChange func(channel string) // nil for none

	mu      sync.Mutex
	total   map[string]number // of all peers
	peers   map[uint64]*peer
	entries int    // of all peers
	dropped uint64 // channels for which there was no room
	came    bool   // this node has
	state   bool   // the state of this node is asked for

	reporter
}

// peer is what one other node has reported.
type peer struct {
	channels   map[string]reported
	generation uint32 // of the state that is being read, or was read last
	reading    bool
	gone       bool // its channels are removed
	stale      bool // there may be channels of an earlier generation, which are removed
}

type reported struct {
	number
	generation uint32
}

const (
	// Most channels of all peers, and most peers.
	mostEntries = 1_000_000
	mostPeers   = 4096

	// holdSteps is how many channels are visited in one lock hold where they are not a part
	// of an entry.
	holdSteps = 256
)

// Source is the channels of this node: a hub.Hub. See there.
type Source interface {
	Changed(most int) []string
	Subscribers(channel string) int
}

// New returns the Table of the node self. listed is how many connections of a channel have a name on
// this node; nodes are those that live. report is called for entries that cannot be read. The last
// two are called under the append lock.
func New(self uint64, source Source, listed func(channel string) int, nodes func() []uint64, report func(sequence uint64, err error)) *Table {
	t := &Table{self: self, source: source, listed: listed, nodes: nodes, report: report, total: map[string]number{}, peers: map[uint64]*peer{}}
	t.told, t.failed = map[string]number{}, map[string]struct{}{}
	return t
}

// OnChange has f called for each channel whose subscribers on other nodes have changed. It runs under
// a lock and must be quick. Call it before anything else.
func (t *Table) OnChange(f func(channel string)) { t.onChange = f }

// Each calls f for each channel that other nodes have reported, a part in each lock hold; f must be quick.
func (t *Table) Each(f func(channel string)) {
	seen := 0
	t.mu.Lock()
	defer t.mu.Unlock()
	for name := range t.total {
		if seen++; seen%holdSteps == 0 {
			t.mu.Unlock()
			runtime.Gosched()
			t.mu.Lock()
		}
		f(name)
	}
}

// OnHello tells of a node that has come, or come back, this one too.
func (t *Table) OnHello(node uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if node == t.self {
		t.came = true
	} else if p := t.peers[node]; p != nil && p.gone {
		p.gone, p.stale = false, true
		p.generation++ // what it reported before goes, as far as it is not repeated
	}
	t.state = t.state || t.came
}

// OnGone tells of a node that has left, or is dead.
func (t *Table) OnGone(node uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if node == t.self {
		t.came = false
	} else if p := t.openLocked(node); p != nil {
		p.gone, p.reading = true, false
	}
}

// openLocked returns the peer, nil if there is no room for one more.
func (t *Table) openLocked(node uint64) *peer {
	p := t.peers[node]
	if p != nil {
		return p
	}
	if len(t.peers) >= mostPeers {
		maps.DeleteFunc(t.peers, func(_ uint64, p *peer) bool { return p.gone && len(p.channels) == 0 })
	}
	if len(t.peers) >= mostPeers {
		return nil
	}
	p = &peer{channels: map[string]reported{}}
	t.peers[node] = p
	return p
}

// Room is always there, and nothing waits for Wake; see log.Tail.
func (t *Table) Room(int, int) bool { return true }
func (t *Table) Wake()              {}

// Ask has this node report all of its channels: another one has missed entries.
func (t *Table) Ask() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.state = t.came
}

// Apply follows what the other nodes report; see log.Tail. It takes as long as their names take in
// a map.
func (t *Table) Apply(batch []*log.Entry) {
	if !log.IsControl(batch) {
		return
	}
	for _, e := range batch {
		if e.Kind != log.KindControl || e.Event != Event {
			continue
		}
		flags, node, each, err := parse(e.Data)
		if err != nil {
			t.report(e.Sequence, err)
			continue
		}
		if node != t.self {
			t.follow(node, flags, each)
		}
	}
}

func (t *Table) follow(node uint64, flags byte, each func(func([]byte, number))) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.openLocked(node)
	if p != nil && p.gone && slices.Contains(t.nodes(), node) {
		p.gone, p.stale = false, true // that it came back is in what was restored
		p.generation++
	}
	if p == nil || p.gone {
		return // it was on the way when the node was declared dead
	}
	if flags&begins != 0 {
		p.generation++
		p.reading, p.stale = true, false
	}
	each(func(name []byte, n number) { t.putLocked(p, name, n) })
	if flags&ends != 0 && p.reading {
		p.reading, p.stale = false, true
	}
}

// putLocked takes one channel of a peer.
func (t *Table) putLocked(p *peer, name []byte, n number) {
	old, known := p.channels[string(name)]
	switch {
	case n == number{}:
		if known {
			t.dropLocked(p, string(name))
		}
		return
	case !known && t.entries == mostEntries:
		t.dropped++
		return
	case !known:
		t.entries++
	}
	key := string(name)
	p.channels[key] = reported{n, p.generation}
	t.addLocked(key, n.subscribers-old.subscribers, n.listed-old.listed)
}

func (t *Table) dropLocked(p *peer, name string) {
	old := p.channels[name]
	delete(p.channels, name)
	t.entries--
	t.addLocked(name, -old.subscribers, -old.listed)
}

func (t *Table) addLocked(name string, subscribers, listed int32) {
	if t.onChange != nil && subscribers != 0 {
		t.onChange(name)
	}
	n := t.total[name]
	n.subscribers += subscribers
	n.listed += listed
	if (n == number{}) {
		delete(t.total, name)
		return
	}
	t.total[name] = n
}

// Elsewhere is how many subscribers channel has on the other nodes, and how many of them are
// listed by name. Any goroutine may call it.
func (t *Table) Elsewhere(channel string) (subscribers, listed int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.total[channel]
	return int(n.subscribers), int(n.listed)
}

// Stats are gauges of now, and a count since the start.
type Stats struct {
	Channels int    // of all other nodes; one on several counts for each
	Dropped  uint64 // channels for which there was no room
}

// Stats returns the current numbers. Any goroutine may call it.
func (t *Table) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Stats{Channels: t.entries, Dropped: t.dropped}
}

// names returns the first channels of other nodes by name, at most limit, that begin with prefix
// and come after after. It visits all, a part in each lock hold.
func (t *Table) names(prefix, after string, limit int) []string {
	var all []string
	keep := func() {
		slices.Sort(all)
		all = all[:min(limit, len(all))]
	}
	seen := 0
	t.mu.Lock()
	for name := range t.total {
		if seen++; seen%holdSteps == 0 {
			t.mu.Unlock()
			runtime.Gosched()
			t.mu.Lock()
		}
		if name > after && strings.HasPrefix(name, prefix) && name[0] != '$' {
			if all = append(all, name); len(all) >= 2*limit+holdSteps {
				keep()
			}
		}
	}
	t.mu.Unlock()
	keep()
	return all
}

// sweep removes channels of peers that are gone, and those that a state did not name.
func (t *Table) sweep() {
	t.mu.Lock()
	var ids []uint64
	for id, p := range t.peers {
		if p.gone && len(p.channels) > 0 || p.stale && !p.reading {
			ids = append(ids, id)
		}
	}
	t.mu.Unlock()
	for _, id := range ids {
		t.sweepPeer(id)
	}
}

func (t *Table) sweepPeer(id uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.peers[id]
	if p == nil {
		return
	}
	seen := 0
	for name := range p.channels {
		if seen++; seen%holdSteps == 0 {
			t.mu.Unlock()
			runtime.Gosched()
			t.mu.Lock()
			if !p.gone && (!p.stale || p.reading) {
				return // it is back, or another state has begun
			}
		}
		if r, ok := p.channels[name]; ok && (p.gone || r.generation != p.generation) {
			t.dropLocked(p, name)
		}
	}
	p.stale = false // a peer that is gone is kept: it may have entries on the way
}
