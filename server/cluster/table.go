package cluster

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"peal/server/log"
)

// State is what is known of a node.
type State uint8

const (
	Live  State = iota
	Stale       // live, and silent or behind: see Cluster.Status
	Left        // it has ended
	Dead        // its lease has ended
)

func (s State) String() string { return [...]string{"live", "stale", "left", "dead"}[s] }

const (
	// mostNodes is how many nodes may live at a time. Entries of further ones are
	// skipped: no number of foreign entries makes the table grow.
	mostNodes = 1024

	// mostGone is how many nodes are remembered that left or died, the last ones. They
	// are for operators, and for heartbeats that such a node had on the way.
	mostGone = 64
)

// member is one node.
type member struct {
	message
	state    State     // Live, Left or Dead
	last     uint64    // sequence of its last heartbeat
	lastTime int64     // of that entry, milliseconds since 1970
	seen     time.Time // when its lease began, by the monotonic clock of this node
	accused  bool      // this node has appended that it is dead
}

// news is what a change of the table means to others.
type news struct {
	hello, gone uint64 // ids, 0 for none
}

// follow applies entries, restored ones if old is set.
func (c *Cluster) follow(batch []*log.Entry, old bool) {
	for _, e := range batch {
		if e.Kind != log.KindControl || e.Event != eventNode && e.Event != eventLeft && e.Event != eventDead {
			continue
		}
		m, err := parse(e.Data)
		c.mu.Lock()
		var n news
		if err == nil {
			n, err = c.applyLocked(e, &m, old)
		}
		if err != nil {
			c.skipped++
		}
		skipped := c.skipped
		c.mu.Unlock()
		if err != nil && skipped&(skipped-1) == 0 { // the first, and then ever fewer: they may come in numbers
			c.config.Log.Error("an entry of the log was skipped", "sequence", e.Sequence, "error", err, "skipped", skipped)
		}
		if n.hello != 0 && !old && c.onHello != nil {
			c.onHello(n.hello)
		}
		if n.gone != 0 && c.onGone != nil {
			c.onGone(n.gone)
		}
	}
}

func (c *Cluster) applyLocked(e *log.Entry, m *message, old bool) (n news, err error) {
	known := c.members[m.id]
	switch e.Event {
	case eventNode:
		switch {
		case known == nil:
			if c.live >= mostNodes {
				return news{}, fmt.Errorf("cluster: the log has %d nodes: no room for node %s", c.live, id(m.id))
			}
			known = &member{}
			c.members[m.id] = known
			c.live++
		case known.state != Live && !m.hello:
			return news{}, nil // it was on the way when the node was declared dead
		case known.state != Live:
			c.live++
		}
		hello := m.hello
		c.reportLocked(e, m, known, old)
		*known = member{message: *m, last: e.Sequence, lastTime: e.Time, seen: c.config.Now()}
		if !old && m.id != c.self {
			c.tails.add(max(0, known.seen.Sub(time.UnixMilli(e.Time))))
		}
		if hello {
			n.hello = m.id
			if m.id == c.self {
				c.again = false
			}
		}
	case eventLeft:
		if known != nil && known.state == Live {
			n.gone = m.id
			c.endLocked(known, Left, e, old)
		}
	case eventDead:
		if known != nil && known.state == Live && known.last <= m.upto {
			n.gone = m.id
			c.endLocked(known, Dead, e, old)
			if m.id == c.self && !c.leaving {
				c.again, c.lastBeat = true, time.Time{}
			}
		}
	}
	return n, nil
}

// reportLocked logs a hello, and what is wrong with it.
func (c *Cluster) reportLocked(e *log.Entry, m *message, known *member, old bool) {
	if old || !m.hello {
		return
	}
	if m.id != c.self {
		c.config.Log.Info("a node has joined the log", "node", m.name, "id", id(m.id), "version", m.version, "sequence", e.Sequence)
	} else if known.state == Dead {
		c.config.Log.Warn("this node was declared dead by another one, because it was silent for longer than node-lease: it joins again", "id", id(m.id), "sequence", e.Sequence)
	}
	for _, other := range c.members {
		if other.state == Live && other.id != m.id && other.name == m.name && m.name != "" {
			c.config.Log.Warn("two nodes of the log have the same name: set node-name so that they can be told apart", "node", m.name, "ids", id(m.id)+" "+id(other.id))
			return
		}
	}
}

func (c *Cluster) endLocked(m *member, s State, e *log.Entry, old bool) {
	m.state, m.lastTime, m.seen = s, e.Time, c.config.Now()
	c.live--
	if !old && m.id != c.self {
		level := slog.LevelInfo
		if s == Dead {
			level = slog.LevelWarn
		}
		c.config.Log.Log(bg, level, "a node is gone", "node", m.name, "id", id(m.id), "state", s.String(), "sequence", e.Sequence)
	}
	gone := slices.SortedFunc(func(yield func(*member) bool) {
		for _, m := range c.members {
			if m.state != Live && !yield(m) {
				return
			}
		}
	}, func(a, b *member) int { return cmp.Or(cmp.Compare(a.lastTime, b.lastTime), cmp.Compare(a.id, b.id)) })
	if len(gone) > mostGone {
		delete(c.members, gone[0].id)
	}
}

// id is how a node is named where a person reads it.
func id(n uint64) string { return fmt.Sprintf("%016x", n) }
