package cluster

import (
	"cmp"
	"slices"
	"time"

	"peal/server/log"
)

// Status is what operators see: of GET /cluster, peal status and metrics. Texts are of this
// server's own and of entries that were checked, and hold no secrets.
type Status struct {
	Self    string `json:"self"`   // id of the node that answers
	Format  int    `json:"format"` // that it writes
	Skipped uint64 `json:"skipped"`
	Log     Log    `json:"log"`
	Nodes   []Node `json:"nodes"` // live ones first, by name

	// Append is the time from the append of a heartbeat of this node until it has applied it: a
	// sample each second of what a publisher waits for. Tail is the age of the heartbeats of others when
	// this node applies them, in whole milliseconds, by the clocks of both machines.
	Append Latency `json:"-"`
	Tail   Latency `json:"-"`

	Call  Latency `json:"-"` // see log.Timing: Append
	Apply Latency `json:"-"` // and Apply
}

// Log is the log as the node that answers sees it.
type Log struct {
	Engine  string `json:"engine"`
	Shared  bool   `json:"shared"` // other nodes append to it, too
	Epoch   string `json:"epoch"`
	Oldest  uint64 `json:"oldest"`
	Head    uint64 `json:"head"`
	Known   uint64 `json:"known"`
	Behind  int64  `json:"behind_ms"` // since the node knew that it had applied everything
	Failing string `json:"failing"`   // "" if it can be written

	Reconnects uint64 `json:"reconnects"`
	Epochs     uint64 `json:"epochs"`
	Lost       uint64 `json:"lost"`
	Skipped    uint64 `json:"skipped"`
}

// Of fills in what p has.
func (l *Log) Of(p log.Progress, now time.Time) {
	l.Shared, l.Head, l.Known = true, p.Head, p.Known
	l.Behind = max(0, now.Sub(p.Current).Milliseconds())
	l.Reconnects, l.Epochs, l.Lost, l.Skipped = p.Reconnects, p.Epochs, p.Lost, p.Skipped
}

// Node is one node. Head, Lag and Behind are as of its last heartbeat.
type Node struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Version     string `json:"version"`
	Self        bool   `json:"self"`
	State       string `json:"state"` // live, stale, left, dead
	Connections int    `json:"connections"`
	Head        uint64 `json:"head"`       // that it has applied
	Lag         uint64 `json:"lag"`        // entries that were in the log before its heartbeat and that it had not applied
	Behind      int64  `json:"behind_ms"`  // since it knew that it had applied everything
	Heard       int64  `json:"heard_ms"`   // since its last heartbeat, or its end
	Started     int64  `json:"started_ms"` // since 1970
	Reads       int    `json:"reads"`      // newest format
	Writes      int    `json:"writes"`     // format
}

// Alone is the status of a node whose log is its own.
func Alone(l Log, n Node) Status {
	n.Self, n.State, n.Head, n.Reads, n.Writes = true, Live.String(), l.Head, Newest, Newest
	l.Known = l.Head
	return Status{Format: Newest, Log: l, Nodes: []Node{n}}
}

// showGone is how long nodes that are gone are shown.
const showGone = time.Hour

// Status is what is known now; l is the log, which has no Progress yet. A node is stale if
// two heartbeats are missing, or if it was behind for longer than the lease.
func (c *Cluster) Status(l Log) Status {
	progress, now := c.log.Progress(), c.config.Now()
	l.Of(progress, now)
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Status{Self: id(c.self), Format: c.formatLocked(), Skipped: c.skipped, Log: l, Append: c.appends, Tail: c.tails, Call: c.calls, Apply: c.applies}
	late := max(3*c.every(), c.config.Lease/2)
	for _, m := range c.members {
		heard := max(0, now.Sub(m.seen))
		if m.state != Live && heard > showGone {
			continue
		}
		n := Node{
			ID: id(m.id), Name: m.name, Version: m.version, Self: m.id == c.self, Connections: int(m.connections),
			Head: m.head, Behind: int64(m.behind), Heard: heard.Milliseconds(), Started: int64(m.started), Reads: int(m.reads), Writes: int(m.writes),
		}
		if m.last > m.head {
			n.Lag = m.last - 1 - m.head
		}
		state := m.state
		if n.Self && state == Live {
			n.Head, n.Lag, n.Behind = l.Head, max(l.Known, l.Head)-l.Head, l.Behind
		}
		if state == Live && (heard > late || time.Duration(n.Behind)*time.Millisecond > c.config.Lease) {
			state = Stale
		}
		n.State = state.String()
		s.Nodes = append(s.Nodes, n)
	}
	slices.SortFunc(s.Nodes, func(a, b Node) int {
		gone := func(n Node) int { return map[string]int{"left": 1, "dead": 1}[n.State] }
		return cmp.Or(cmp.Compare(gone(a), gone(b)), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return s
}

// Elsewhere is how many connections a group has on other nodes that live, as of their last
// heartbeats.
func (c *Cluster) Elsewhere(group string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.members {
		if m.state == Live && m.id != c.self {
			n += m.groups[group]
		}
	}
	return n
}

// States is how many nodes are in each state.
func (s Status) States() map[string]uint64 {
	n := map[string]uint64{}
	for state := range Dead + 1 {
		n[state.String()] = 0
	}
	for _, one := range s.Nodes {
		n[one.State]++
	}
	return n
}
