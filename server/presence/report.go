package presence

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"peal/server/log"
)

// reporter is what the Table of a node tells the Clusters of all nodes. It compares: for each
// client that something happened to, whether it is here with whether the log says so, and
// appends the difference. What the log has lost, or has accepted after an error, or says after
// the node was taken for dead, is put right in the same way.
type reporter struct {
	mu       sync.Mutex
	touched  map[string]map[string]struct{} // clients to compare, by channel
	inFlight int                            // batches that are not done
	failed   bool                           // one of them was lost or refused
	full     bool                           // because there was no room

	// Of the goroutine of Report.
	retry    time.Duration            // nothing is appended before
	told     map[string]time.Duration // when a channel with many members was told last
	dumping  bool                     // the state of this node is being told
	begun    uint32                   // generation of the state before
	dumpedAt time.Duration            // when it began
	noticed  map[uint64]time.Duration // since when nodes that are gone have members
	missing  time.Duration            // since when members of a node are unknown, or it has asked for them; 0: all are known
	patience time.Duration            // how long it then waits before it asks
}

const (
	// One Report appends at most that many entries of state, so many changes of members, and
	// so many of a node that is gone.
	reportStates  = 16
	reportChanges = 20_000
	reportGone    = 2000

	// One batch has at most that many entries and, but for the last, bytes.
	batchEntries = 64
	batchBytes   = 128 << 10

	reportRetry = time.Second
	stateEvery  = time.Second

	// sweepAfter is when a node that is not the oldest removes the members of one that is
	// gone, if they are still there.
	sweepAfter = 5 * time.Second

	// askAfter is when a node asks for members of others that it should have heard of; the
	// time doubles up to askMost, because one of the nodes may not answer.
	askAfter = 5 * time.Second
	askMost  = 10 * time.Minute
)

// UseCluster has the Table tell c of its members, and list those of all nodes. Then Report
// takes the place of Tick. Call it before anything else.
func (t *Table) UseCluster(c *Cluster) {
	t.cluster, t.accounts.cluster = c, c
	c.work = t.work
	t.report.touched = map[string]map[string]struct{}{}
	t.report.told = map[string]time.Duration{}
	t.report.patience = askAfter
	t.report.noticed = map[uint64]time.Duration{}
}

// Cluster is that of UseCluster, nil for none.
func (t *Table) Cluster() *Cluster { return t.cluster }

// touch has the next Report compare a client.
func (t *Table) touch(channel, client string) {
	r := &t.report
	r.mu.Lock()
	clients := r.touched[channel]
	if clients == nil {
		clients = map[string]struct{}{}
		r.touched[channel] = clients
	}
	clients[client] = struct{}{}
	r.mu.Unlock()
	t.signal()
}

// Report removes the members whose grace period has ended, and appends what the log does not
// say yet: changes of members of this node, its state if a node has come, members of nodes that
// are gone. publish is Append of the log. more is as for Tick.
func (t *Table) Report(publish func(batch []*log.Entry, done func(error)) error) (more bool) {
	select {
	case <-t.work: // this call handles it
	default:
	}
	now := t.clock()
	for i := range t.shards {
		s := &t.shards[i]
		for t.expire(s, now) {
		}
		s.mu.Lock()
		more = more || s.leaving.front != nil
		s.mu.Unlock()
	}
	c, r := t.cluster, &t.report
	here, busy := c.here()
	if !here {
		t.prune()
		return more // OnHello signals
	}
	if !t.reportable(now) {
		return true
	}
	t.compareAgain()
	w := &writer{table: t, publish: publish}
	w.tellState(now)
	w.tellChanges(now)
	w.tellGone(now)
	w.tellRefresh()
	w.tellAsk(now)
	w.flush()
	r.mu.Lock()
	defer r.mu.Unlock()
	return more || busy || w.more || r.dumping || r.inFlight > 0 || len(r.touched) > 0 || len(r.noticed) > 0
}

// reportable reports whether everything that was appended is done: what is compared is then
// what the log says.
func (t *Table) reportable(now time.Duration) bool {
	r := &t.report
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed {
		r.failed, r.dumping = false, false
		if r.retry = now + reportRetry; r.full {
			r.retry = now + TickEvery
		}
	}
	return r.inFlight == 0 && now >= r.retry
}

// compareAgain touches the members that entries have named, or all.
func (t *Table) compareAgain() {
	c := t.cluster
	c.mu.Lock()
	checks, all := c.checks, c.checkAll
	c.checks, c.checkAll = nil, false
	c.mu.Unlock()
	for _, k := range checks {
		t.touch(k.channel, k.client)
	}
	if !all {
		return
	}
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		names := make([]string, 0, len(s.channels))
		for name := range s.channels {
			names = append(names, name)
		}
		s.mu.Unlock()
		for _, name := range names {
			for after, more := "", true; more; {
				after, more = t.touchPage(s, name, after)
			}
		}
	}
}

// touchPage touches the next members of a channel behind the client after.
func (t *Table) touchPage(s *shard, name, after string) (last string, more bool) {
	var clients []string
	s.mu.Lock()
	if c := s.channels[name]; c != nil {
		c.members.after(after, func(m *member) bool {
			clients = append(clients, m.person.client())
			return len(clients) < chunkMembers
		})
	}
	s.mu.Unlock()
	for _, client := range clients {
		t.touch(name, client)
	}
	if len(clients) == 0 {
		return "", false
	}
	return clients[len(clients)-1], len(clients) == chunkMembers
}

// Connections is how many connections the members of channel have on this node. Any goroutine
// may call it.
func (t *Table) Connections(channel string) int {
	s := t.shardOf(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.channels[channel]; c != nil {
		return c.connections
	}
	return 0
}

// writer collects entries in batches.
type writer struct {
	table   *Table
	publish func(batch []*log.Entry, done func(error)) error
	batch   []*log.Entry
	refs    []ref // what the batch tells of own members
	bytes   int
	asks    bool // the batch does
	more    bool
	err     error
}

func (w *writer) add(e *log.Entry, refs ...ref) {
	w.batch = append(w.batch, e)
	w.refs = append(w.refs, refs...)
	if w.bytes += len(e.Data); len(w.batch) >= batchEntries || w.bytes >= batchBytes {
		w.flush()
	}
}

// flush appends the batch. If it is refused or lost, what it told of is compared again.
func (w *writer) flush() {
	batch, refs, asks := w.batch, w.refs, w.asks
	w.batch, w.refs, w.bytes, w.asks = nil, nil, 0, false
	if len(batch) == 0 {
		return
	}
	t, r := w.table, &w.table.report
	done := func(err error) {
		r.mu.Lock()
		r.inFlight--
		r.failed = r.failed || err != nil
		r.full = errors.Is(err, log.ErrFull)
		r.mu.Unlock()
		if err != nil {
			for _, k := range refs {
				t.touch(k.channel, k.client)
			}
			t.cluster.wantState(asks)
		}
		t.signal()
	}
	r.mu.Lock()
	r.inFlight++
	r.mu.Unlock()
	if w.err == nil {
		w.err = w.publish(batch, done)
	}
	if w.err != nil {
		done(w.err)
	}
}

// tellChanges appends the differences of the touched members.
func (w *writer) tellChanges(now time.Duration) {
	t, r := w.table, &w.table.report
	for name, at := range r.told {
		if now-at >= crowdEvery {
			delete(r.told, name)
		}
	}
	r.mu.Lock()
	touched := r.touched
	r.touched = map[string]map[string]struct{}{}
	r.mu.Unlock()
	left := reportChanges
	for _, name := range sortedNames(touched) {
		clients := touched[name]
		if _, early := r.told[name]; early || left <= 0 {
			for client := range clients {
				t.touch(name, client)
			}
			w.more = true
			continue
		}
		if w.err != nil {
			t.touchDifferences(name, clients)
			continue
		}
		left -= len(clients)
		if w.tellChannel(name, sortedNames(clients)) && t.cluster.count(name) > t.config.Named {
			r.told[name] = now
		}
	}
}

// prune forgets touched clients of which the log says what there is: while nothing can be appended,
// clients that come and go must not fill the memory.
func (t *Table) prune() {
	r := &t.report
	r.mu.Lock()
	touched := r.touched
	r.touched = map[string]map[string]struct{}{}
	r.mu.Unlock()
	for name, clients := range touched {
		t.touchDifferences(name, clients)
	}
}

// touchDifferences touches those of the clients of which the log says something else.
func (t *Table) touchDifferences(name string, clients map[string]struct{}) {
	all := sortedNames(clients)
	for len(all) > 0 {
		step := all[:min(holdSteps, len(all))]
		all = all[len(step):]
		for _, k := range t.cluster.differences(name, t.present(name, step)) {
			t.touch(name, k.client)
		}
	}
}

func sortedNames[T any](m map[string]T) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// tellChannel appends the differences of those clients on one channel.
func (w *writer) tellChannel(name string, clients []string) (told bool) {
	c := w.table.cluster
	data := appendHead(nil, whatDelta, c.self)
	var refs []ref
	end := func() {
		if len(refs) > 0 {
			w.add(presenceEntry(name, data), refs...)
			data, refs, told = appendHead(nil, whatDelta, c.self), nil, true
		}
	}
	for len(clients) > 0 {
		step := clients[:min(holdSteps, len(clients))]
		clients = clients[len(step):]
		for _, k := range c.differences(name, w.table.present(name, step)) {
			data = k.append(data)
			if refs = append(refs, ref{name, k.client}); len(refs) == recordMembers || len(data) >= recordMaxBytes-(4<<10) {
				end()
			}
		}
	}
	end()
	return told
}

// present is what there is of those clients on this node.
func (t *Table) present(channel string, clients []string) []change {
	all := make([]change, 0, len(clients))
	s := t.shardOf(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channels[channel]
	for _, client := range clients {
		k := change{client: client, left: true}
		if c != nil {
			if m := c.members.get(client); m != nil {
				k.left, k.info = false, m.person.info()
			}
		}
		all = append(all, k)
	}
	return all
}

// differences are those of all that the log does not say yet. all is changed.
func (c *Cluster) differences(channel string, all []change) []change {
	c.mu.Lock()
	defer c.mu.Unlock()
	u, own := c.channels[channel], c.peerLocked(c.self)
	return slices.DeleteFunc(all, func(k change) bool {
		q := u.placeOf(k.client, own)
		return (q == nil) == k.left && (q == nil || q.info == k.info)
	})
}

func (c *Cluster) count(channel string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if u := c.channels[channel]; u != nil {
		return u.members.count
	}
	return 0
}

// here reports whether this node has come, and whether a later Report has something to do.
func (c *Cluster) here() (here, busy bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	own := c.peerLocked(c.self)
	return own.began > 0 && !own.gone, c.state || c.ask || len(c.refresh) > 0 || len(c.checks) > 0 || c.checkAll
}

// wantState has this node tell its state, or ask for those of all.
func (c *Cluster) wantState(ask bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = c.peerLocked(c.self).began > 0
	c.ask = c.ask || ask
}

func byChannel(a, b known) int { return strings.Compare(a.channel, b.channel) }
