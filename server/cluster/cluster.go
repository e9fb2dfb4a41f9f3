package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"peal/server/log"
)

// The formats that this program knows: see the package.
const (
	Newest = 1 // it can read this one and all before
	Oldest = 1 // it can write this one and all up to Newest
)

// DefaultLease is how long a node may be silent. MinLease and MaxLease bound it.
const (
	DefaultLease = 5 * time.Second
	MinLease     = time.Second
	MaxLease     = 10 * time.Minute
)

// beatEvery is the time between two heartbeats of a node; less with a short lease, of
// which there must be several in one.
const beatEvery = time.Second

var bg = context.Background()

// Config is fixed.
type Config struct {
	Name, Version string // of this node and of its program, for the others
	Lease         time.Duration

	// Connections is how many there are, for the others. nil: none are reported. It may
	// take as long as a loop takes to answer.
	Connections func() int

	// Groups is how many connections each of at most MostGroups groups has, with names of at most
	// MaxNameBytes, for Cluster.Elsewhere; nil: there are none.
	Groups func() map[string]int

	Now func() time.Time // with the monotonic clock; time.Now outside tests
	Log *slog.Logger
}

// Cluster has the nodes of one log. It implements log.Tail.
type Cluster struct {
	// Fixed at New.
	config  Config
	log     log.Distributed
	self    uint64
	started time.Time

	// Fixed before the start of the log.
	onHello, onGone func(node uint64)

	kick chan struct{} // this node is to say hello again

	mu       sync.Mutex
	members  map[uint64]*member
	live     int    // of members
	skipped  uint64 // entries
	said     bool   // hello, so heartbeats follow
	again    bool   // the next one is a hello
	leaving  bool
	beating  bool // a heartbeat is on its way
	lastBeat time.Time
	lastStep time.Time
	appends  Latency // see Status
	tails    Latency
	calls    Latency
	applies  Latency
	current  time.Time // since when this node has been current, zero if it is not
}

// New returns the Cluster of an engine that is not started.
func New(l log.Distributed, c Config) *Cluster {
	if c.Lease == 0 {
		c.Lease = DefaultLease
	}
	return &Cluster{config: c, log: l, self: l.Node(), started: c.Now(), kick: make(chan struct{}, 1), members: map[uint64]*member{}}
}

// OnHello has f called for each node that begins, this one too, or comes back after it was declared
// dead: at its entry, under the append lock, so f must be quick and must not append. It is not called
// for entries that are restored. Call it before the log is started.
func (c *Cluster) OnHello(f func(node uint64)) { c.onHello = f }

// OnGone has f called for each node that leaves or is declared dead, this one too, likewise, and
// for restored entries, too.
func (c *Cluster) OnGone(f func(node uint64)) { c.onGone = f }

// Room is always there; see log.Tail.
func (c *Cluster) Room(int, int) bool { return true }

// Apply follows entries about nodes; see log.Tail.
func (c *Cluster) Apply(batch []*log.Entry) { c.follow(batch, false) }

// Restore follows those that the log has kept. Call it in their order.
func (c *Cluster) Restore(batch []*log.Entry) { c.follow(batch, true) }

// Wake has a node that was declared dead say hello at once.
func (c *Cluster) Wake() {
	c.mu.Lock()
	again := c.again && c.said
	c.mu.Unlock()
	if again {
		select {
		case c.kick <- struct{}{}:
		default:
		}
	}
}

// Lose has this node say hello again, and forgets those that are gone: entries that are lost, or that this
// node has missed, may have been hellos that other nodes know of and not all. See log.Loser.
func (c *Cluster) Lose(_, _ uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, m := range c.members {
		if m.state != Live {
			delete(c.members, id)
		}
	}
	c.again, c.lastBeat = true, time.Time{}
}

// Time counts a duration of the engine; see log.Timed.
func (c *Cluster) Time(t log.Timing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.Append > 0 {
		c.calls.add(t.Append)
	}
	if t.Apply > 0 {
		c.applies.add(t.Apply)
	}
}

// Live reports whether that node lives, as of the newest entry that was applied. An entry of
// a node that does not is to be ignored: all nodes ignore it, and what it says is repeated
// after the node's hello. Under the append lock, or for the moment.
func (c *Cluster) Live(node uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.members[node]
	return m != nil && m.state == Live
}

// Nodes are those that live, likewise, the smallest id first.
func (c *Cluster) Nodes() (ids []uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, m := range c.members {
		if m.state == Live {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Lease is how long a node may be silent.
func (c *Cluster) Lease() time.Duration { return c.config.Lease }

// Check reports, after the start of the log, whether a node writes a format that this
// program cannot read.
func (c *Cluster) Check() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.members {
		if m.writes > Newest {
			return fmt.Errorf("the log is used by a newer version of Peal: node %s (%s) writes format %d, and this program reads formats up to %d: install that version here, too", m.name, m.version, m.writes, Newest)
		}
	}
	return nil
}

// Format is the format in which this node must write: the newest one that all nodes that
// live can read. Until a node has been current for a lease, it is the oldest: there may be nodes
// that it has not heard of.
func (c *Cluster) Format() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.formatLocked()
}

func (c *Cluster) formatLocked() int {
	if c.current.IsZero() || c.config.Now().Sub(c.current) < c.config.Lease {
		return Oldest
	}
	format := uint64(Newest)
	for _, m := range c.members {
		if m.state == Live {
			format = min(format, m.reads)
		}
	}
	return max(Oldest, int(format))
}

// every is the time between two heartbeats.
func (c *Cluster) every() time.Duration { return min(beatEvery, c.config.Lease/5) }

// Run sends heartbeats and watches the leases of others until ctx ends.
func (c *Cluster) Run(ctx context.Context) {
	tick := time.NewTicker(c.every() / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-c.kick:
		}
		c.Step()
	}
}

// Step does what is due now. Run calls it several times between two heartbeats; tests
// that have the time call it themselves. It must not be called by two goroutines at a time.
func (c *Cluster) Step() {
	progress, now := c.log.Progress(), c.config.Now() // before the lock
	c.mu.Lock()
	patience := c.config.Lease / 2
	away := now.Sub(c.lastStep) > patience || now.Sub(progress.Current) > patience
	if away {
		c.current = time.Time{}
	} else if c.current.IsZero() {
		c.current = now
	}
	own := c.members[c.self]
	if away || own != nil && now.Sub(own.seen) > patience {
		for _, m := range c.members {
			if m.state == Live && m != own {
				m.seen = now // its heartbeats may be there and unread, or the log takes none, as from this node
			}
		}
	}
	c.lastStep = now
	var silent []message
	for _, m := range c.members {
		if c.said && !c.leaving && m.state == Live && m.id != c.self && !m.accused && now.Sub(m.seen) > c.config.Lease {
			m.accused = true
			silent = append(silent, message{id: m.id, name: m.name, upto: m.last, by: c.self})
		}
	}
	due := c.said && !c.leaving && !c.beating && now.Sub(c.lastBeat) >= c.every()
	c.mu.Unlock()
	for i := range silent {
		c.accuse(&silent[i])
	}
	if due {
		connections := 0
		if c.config.Connections != nil {
			connections = c.config.Connections()
		}
		c.beat(connections, func(error) {})
	}
}

// accuse appends that a node is dead.
func (c *Cluster) accuse(m *message) {
	c.append(eventDead, m, func(err error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if known := c.members[m.id]; known != nil && known.state == Live {
			known.accused = false // the entry is not there, or came too late: see anew
		}
	})
}

// beat appends a heartbeat, or a hello if one is due. done is called when this node has
// applied it, or with the reason why it is not in the log.
func (c *Cluster) beat(connections int, done func(error)) {
	progress, now := c.log.Progress(), c.config.Now()
	var groups map[string]int
	if c.config.Groups != nil {
		groups = c.config.Groups()
	}
	c.mu.Lock()
	m := message{
		id: c.self, name: c.config.Name, version: c.config.Version, reads: Newest, writes: uint64(c.formatLocked()),
		head: progress.Head, connections: uint64(connections), started: uint64(c.started.UnixMilli()),
		behind: uint64(max(0, now.Sub(progress.Current).Milliseconds())), hello: c.again,
		groups: groups,
	}
	c.beating, c.lastBeat = true, now
	c.mu.Unlock()
	c.append(eventNode, &m, func(err error) {
		c.mu.Lock()
		c.beating = false
		if err == nil {
			c.appends.add(c.config.Now().Sub(now))
		}
		c.mu.Unlock()
		done(err)
	})
}

func (c *Cluster) append(event string, m *message, done func(error)) {
	entry := &log.Entry{Kind: log.KindControl, Event: event, Data: m.append(nil)}
	if err := c.log.Append([]*log.Entry{entry}, done); err != nil {
		done(err)
	}
}

// Hello says that this node begins, without connections, and returns when it has applied that. After an error Run
// says it again, once a second.
func (c *Cluster) Hello(ctx context.Context) error {
	c.mu.Lock()
	c.said, c.again = true, true
	c.mu.Unlock()
	return wait(ctx, func(done func(error)) { c.beat(0, done) })
}

// Leave says that this node has ended: the others need not wait for the end of its
// lease. It appends nothing after that.
func (c *Cluster) Leave(ctx context.Context) error {
	c.mu.Lock()
	said := c.said && !c.leaving
	c.leaving = true
	c.mu.Unlock()
	if !said {
		return nil
	}
	return wait(ctx, func(done func(error)) { c.append(eventLeft, &message{id: c.self, name: c.config.Name}, done) })
}

func wait(ctx context.Context, begin func(done func(error))) error {
	result := make(chan error, 1)
	begin(func(err error) { result <- err })
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
