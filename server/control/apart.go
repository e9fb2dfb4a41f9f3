package control

import (
	"slices"
	"time"

	"peal/server/share"
)

// apart is what the log says about a client while the table has something else: the effect of an
// order of this node that is not in the log yet, or that the log has not taken. The state that is saved
// is what the log says: other nodes start with it.
//
// There are no more of them than bans in the log and in the table; those that have ended go with
// the next Save.
type apart struct {
	logged int64          // until, milliseconds since 1970, 0 for let in
	newest *disconnection // this node's newest order about the client, whose effect the table has
}

// ban gives orders their effect on this node, and notes that they will come by the log. Until then they
// hold here against those of other nodes about their clients, which are before them in the log.
func (c *Control) ban(by share.Key, clients []string, length time.Duration) (orders []*disconnection, refused []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := &disconnection{node: c.node}
	before := make(map[string]int64, len(clients))
	for _, client := range clients {
		before[client] = c.untilLocked(client)
	}
	refused, until := c.bans.Ban(by, clients, length)
	if length > 0 {
		o.until = upToMillisecond(until)
	}
	without := make(map[string]struct{}, len(refused))
	for _, client := range refused {
		without[client] = struct{}{}
	}
	for _, client := range clients {
		if _, ok := without[client]; !ok {
			o.clients = append(o.clients, client)
		}
	}
	if len(o.clients) > 0 {
		orders = append(orders, o)
	}
	if len(refused) > 0 && c.shared() { // they are disconnected, and on other nodes, too
		orders = append(orders, &disconnection{node: c.node, clients: refused})
	}
	c.pending = append(c.pending, orders...)
	if c.shared() {
		for _, client := range o.clients {
			a, ok := c.apart[client]
			if !ok {
				a.logged = before[client]
			}
			a.newest = o
			c.apart[client] = a
		}
	}
	return orders, refused
}

// untilLocked is what the table has about a client.
func (c *Control) untilLocked(client string) int64 {
	if until := c.bans.Until(client); !until.IsZero() {
		return upToMillisecond(until)
	}
	return 0
}

// forget: an order of this node may not be in the log. It holds here all the same; if it is in the log, it is
// followed as one of another node.
func (c *Control) forget(o *disconnection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending = slices.DeleteFunc(c.pending, func(p *disconnection) bool { return p == o })
	for _, client := range o.clients {
		if a, ok := c.apart[client]; ok && !c.isPendingLocked(client) && a.logged == c.untilLocked(client) {
			delete(c.apart, client)
		}
	}
}

// arrived reports whether o is an order of this node that has its effect already.
func (c *Control) arrived(o *disconnection) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.pending, func(p *disconnection) bool { return p.until == o.until && slices.Equal(p.clients, o.clients) })
	if o.node != c.node || i < 0 {
		return false
	}
	p := c.pending[i]
	c.pending = slices.Delete(c.pending, i, i+1)
	for _, client := range o.clients {
		a, ok := c.apart[client]
		switch {
		case !ok:
		case a.newest == p:
			delete(c.apart, client)
		default:
			a.logged = o.until
			c.apart[client] = a
		}
	}
	return true
}

// appended: the log has an order of this node.
func (c *Control) appended(o *disconnection, sequence uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o.sequence = sequence
	if sequence <= c.missed && slices.Contains(c.pending, o) {
		c.missLocked(o)
	}
}

// Lose is called when entries up to a sequence will not come; see log.Loser. Orders of this node among them are in
// the state that was loaded before, or lost: then they hold here, as those that the log has not taken.
func (c *Control) Lose(_, upto uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.missed = max(c.missed, upto)
	for _, o := range slices.Clone(c.pending) {
		if o.sequence > 0 && o.sequence <= upto {
			c.missLocked(o)
		}
	}
}

func (c *Control) missLocked(o *disconnection) {
	c.pending = slices.DeleteFunc(c.pending, func(p *disconnection) bool { return p == o })
	for _, client := range o.clients {
		if a, ok := c.apart[client]; ok && a.newest == o && o.sequence <= c.loaded {
			c.logLocked(client, a.logged)
		}
	}
}

// overrule follows an order of another node, or of this one that was forgotten.
func (c *Control) overrule(o *disconnection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, client := range o.clients {
		c.logLocked(client, o.until)
	}
}

// logLocked is what the log says about a client.
func (c *Control) logLocked(client string, until int64) {
	if !c.isPendingLocked(client) {
		c.bans.Restore(client, time.UnixMilli(until))
		delete(c.apart, client)
	} else if a, ok := c.apart[client]; ok {
		a.logged = until
		c.apart[client] = a
	}
}

// isPendingLocked reports whether an order of this node about the client is still to come.
func (c *Control) isPendingLocked(client string) bool {
	return slices.ContainsFunc(c.pending, func(p *disconnection) bool { return slices.Contains(p.clients, client) })
}

// logged is what the log says about all clients that are kept away: by client, until, milliseconds since 1970.
func (c *Control) logged() map[string]int64 {
	all := map[string]int64{}
	c.bans.Each(func(client string, until time.Time) { all[client] = upToMillisecond(until) })
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now().UnixMilli()
	for client, a := range c.apart {
		delete(all, client)
		switch {
		case a.logged > now:
			all[client] = a.logged
		case !c.isPendingLocked(client) && c.untilLocked(client) == 0:
			delete(c.apart, client)
		}
	}
	return all
}

// replace takes what the log says about all clients, after orders that this node has missed.
func (c *Control) replace(kept map[string]int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	gone := map[string]struct{}{} // let in by an order that was missed
	c.bans.Each(func(client string, _ time.Time) {
		if _, ok := kept[client]; !ok {
			gone[client] = struct{}{}
		}
	})
	for client := range c.apart {
		if _, ok := kept[client]; !ok {
			gone[client] = struct{}{}
		}
	}
	for client := range gone {
		if a, ok := c.apart[client]; !ok || a.logged != 0 { // else no order about it was missed
			c.logLocked(client, 0)
		}
	}
	for client, until := range kept {
		if a, ok := c.apart[client]; !ok || a.logged != until {
			c.logLocked(client, until)
		}
	}
}
