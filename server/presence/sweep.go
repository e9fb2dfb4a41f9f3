package presence

import (
	"cmp"
	"slices"
	"time"
)

// tellState appends the state of this node if it is asked for: an entry that begins it, all
// members in parts, an entry that ends it. Each step waits for the one before to be read, and
// changes of members wait for it too, so the parts never say what is older than the log.
func (w *writer) tellState(now time.Duration) {
	c, r := w.table.cluster, &w.table.report
	if !r.dumping {
		if generation, ok := c.takeState(now-r.dumpedAt >= stateEvery || r.dumpedAt == 0); ok {
			r.dumping, r.begun, r.dumpedAt = true, generation, max(now, 1)
			w.add(presenceEntry("", append(appendHead(nil, whatState, c.self), stateBegins)))
		}
		return
	}
	parts, ended, begun := c.stateParts(r.begun)
	switch {
	case !begun:
		if now-r.dumpedAt >= reportRetry { // the beginning is lost, or has not been read yet
			r.dumping = false
			c.wantState(false)
		}
		return
	case ended:
		r.dumping = false
	}
	for i, part := range parts {
		flags := byte(0)
		if ended && i == len(parts)-1 {
			flags = stateEnds
		}
		w.add(presenceEntry("", appendState(appendHead(nil, whatState, c.self), flags, part)))
	}
}

// takeState reports whether the state of this node is asked for, and may begin now.
func (c *Cluster) takeState(may bool) (generation uint32, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.state || !may {
		return 0, false
	}
	c.state = false
	return c.peerLocked(c.self).generation, true
}

// stateParts returns the next parts of the state that has begun behind that generation: members
// that the Cluster has not read in it yet. ended: there are no others; then the last part may be
// empty.
func (c *Cluster) stateParts(before uint32) (parts [][]known, ended, begun bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	own := c.peerLocked(c.self)
	if own.generation == before || !own.reading {
		return nil, false, false
	}
	at := own.first
	for range reportStates {
		var part []known
		bytes := 0
		for at != nil && at.generation != own.generation && len(part) < recordMembers && bytes < recordMaxBytes-(8<<10) {
			part = append(part, known{channel: at.union.name, client: at.member.person.client(), info: at.info, since: at.since})
			bytes += len(at.union.name) + len(at.member.person.client()) + len(at.info) + 16
			at = at.after
		}
		slices.SortStableFunc(part, byChannel)
		parts = append(parts, part)
		if at == nil || at.generation == own.generation {
			return parts, true, true
		}
	}
	return parts, false, true
}

// tellGone appends that the members of nodes that are gone have left, if they have not come back
// on another node after half of the grace period. The oldest node does so: it has read all that a younger one has. The others do so only if it does not. Entries of
// two nodes about the same member do no harm: the second changes nothing.
func (w *writer) tellGone(now time.Duration) {
	c, r := w.table.cluster, &w.table.report
	gone, stale, oldest := c.leftovers()
	for id := range r.noticed {
		if !slices.Contains(gone, id) {
			delete(r.noticed, id)
		}
	}
	for _, id := range gone {
		since, ok := r.noticed[id]
		if !ok {
			since, r.noticed[id] = now, now
		}
		wait := w.table.config.Grace / 2 // the lease was the other half, or the drain
		if !oldest {
			wait += sweepAfter
		}
		if now-since < wait {
			continue
		}
		all := c.placesOf(id)
		for len(all) > 0 {
			data := appendHead(nil, whatDelta, id)
			n := 0
			for n < min(len(all), recordMembers) && all[n].channel == all[0].channel && len(data) < recordMaxBytes-(4<<10) {
				k := change{client: all[n].client, left: true}
				data = k.append(data)
				n++
			}
			w.add(presenceEntry(all[0].channel, data))
			all = all[n:]
		}
	}
	for _, id := range stale {
		for c.dropStale(id) {
		}
	}
}

// leftovers are the nodes that are gone and still have members, and those with members that
// their state did not name. oldest: no node that is there came before this one.
func (c *Cluster) leftovers() (gone, stale []uint64, oldest bool) {
	live := c.nodes()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.peers {
		switch {
		case p.gone && p.count > 0:
			gone = append(gone, p.id)
		case p.stale:
			stale = append(stale, p.id)
		}
	}
	slices.Sort(gone)
	own := c.peers[c.self]
	older := func(id uint64) bool { p := c.peers[id]; return id != c.self && (p == nil || p.began < own.began) }
	return gone, stale, !slices.ContainsFunc(live, older)
}

// placesOf returns some members of a node that is gone, by channel.
func (c *Cluster) placesOf(id uint64) (all []ref) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.peers[id]
	if p == nil || !p.gone {
		return nil
	}
	for at := p.first; at != nil && len(all) < reportGone; at = at.after {
		all = append(all, ref{at.union.name, at.member.person.client()})
	}
	slices.SortStableFunc(all, func(a, b ref) int { return cmp.Compare(a.channel, b.channel) })
	return all
}

// dropStale removes some members that the last state of a node did not name. There are none on
// a node that has followed all the time. Watchers are owed an event.
func (c *Cluster) dropStale(id uint64) (more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.peers[id]
	if p == nil {
		return false
	}
	for range holdSteps {
		q := p.first
		if q == nil || q.generation == p.generation {
			p.stale = false
			return false
		}
		c.removeLocked(q)
		c.oweLocked(q.union.name)
		if id == c.self { // it may be there: a state is of the beginning before, if that was read late
			c.checkLocked(ref{q.union.name, q.member.person.client()})
		}
	}
	return true
}

// tellAsk asks all nodes for their state if this node has missed something, or if members of a
// node are unknown for longer than it takes to hear of them.
func (w *writer) tellAsk(now time.Duration) {
	c, r := w.table.cluster, &w.table.report
	if missing := c.Missing(); missing == 0 {
		r.missing, r.patience = 0, askAfter
	} else if r.missing == 0 {
		r.missing = max(now, 1)
	}
	c.mu.Lock()
	ask := c.ask
	c.ask = false
	c.mu.Unlock()
	if r.missing > 0 {
		w.more = true
		if now-r.missing >= r.patience {
			ask, r.missing, r.patience = true, max(now, 1), min(2*r.patience, askMost)
		}
	}
	if ask {
		w.asks = true
		w.add(presenceEntry("", appendHead(nil, whatAsk, c.self)))
	}
}

// tellRefresh appends the events that are owed.
func (w *writer) tellRefresh() {
	c := w.table.cluster
	c.mu.Lock()
	names := make([]string, 0, batchEntries)
	for name := range c.refresh {
		if len(names) == batchEntries {
			break
		}
		names = append(names, name)
		delete(c.refresh, name)
	}
	c.mu.Unlock()
	slices.Sort(names)
	for _, name := range names {
		w.add(presenceEntry(name, appendHead(nil, whatRefresh, c.self)))
	}
}
