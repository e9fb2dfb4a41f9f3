package control

import (
	"errors"
	"maps"
	"slices"
)

// Handover is what a Control knows beside its tables and the log, a value for encoding/gob: bans of which the
// log says something else, because it has not taken the orders. Those hold until a restart, and an upgrade is none.
type Handover struct {
	Apart []HandedApart // by client
}

// HandedApart is what the log says about a client.
type HandedApart struct {
	Client string
	Logged int64 // until, milliseconds since 1970, 0 for let in
}

// HandOver returns it, or says that an order is on its way to the log: then call it again when that is done.
func (c *Control) HandOver() (h Handover, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pending) > 0 {
		return h, errors.New("control: an order is on its way to the log")
	}
	for _, client := range slices.Sorted(maps.Keys(c.apart)) {
		h.Apart = append(h.Apart, HandedApart{client, c.apart[client].logged})
	}
	return h, nil
}

// Import takes what another process knows: behind the parts of its tables, and before the entries that are newer.
func (c *Control) Import(h Handover) {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.apart)
	for _, a := range h.Apart {
		c.apart[a.Client] = apart{logged: a.Logged, newest: &disconnection{}} // which will not come
	}
}

// EndMissed has the connections ended that orders of other nodes are about, which were restored and not applied: those
// that come from another process may be among them. Call it when they are there, if the log is one that nodes share.
func (c *Control) EndMissed() {
	if c.shared() {
		c.endMissed()
	}
}
