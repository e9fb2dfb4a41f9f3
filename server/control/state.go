package control

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"

	"peal/server/revoke"
)

// The state is all bans and revocations that are in force, and the floor of tokens:
//
//	│ version 2 │ floor 8, seconds since 1970, 0: none │ names │
//	names: each what it is, its length (uvarint), the name, and
//	  of a client  │ until 8, milliseconds since 1970 │
//	  of a sub     │ last 8, the newest token that it can be about │ before 8, both seconds since 1970 │
//	  of a jti     │ last 8 │
//
// Version 1 had clients only: │ 1 │ so many × (until 8, name) │. A server of a
// version that cannot read the state does not start with it.
const (
	stateVersion = 2
	stateBytes   = 1 + 8
)

// Save returns the bans and revocations that are in force, nothing if there is none: at
// most as many as their tables hold. Of the bans they are those of the log: an order of this node that the log has
// not taken is not among them, or nodes that start with the state would keep away other clients than those that run. Equal tables have equal states, on all nodes: an engine that compares
// them need not store one again. See log.State.
func (c *Control) Save() (state []byte) {
	le := binary.LittleEndian
	var names [][]byte
	for client, until := range c.logged() {
		names = append(names, le.AppendUint64(appendName([]byte{ofClient}, client), uint64(until)))
	}
	c.revoked.Each(func(name string, isID bool, before, last int64) {
		if isID {
			names = append(names, le.AppendUint64(appendName([]byte{ofID}, name), uint64(last)))
			return
		}
		b := le.AppendUint64(appendName([]byte{ofSubject}, name), uint64(last))
		names = append(names, le.AppendUint64(b, uint64(before)))
	})
	floor := c.revoked.Floor()
	if len(names) == 0 && floor == 0 {
		return nil
	}
	slices.SortFunc(names, bytes.Compare)
	state = le.AppendUint64(append(state, stateVersion), uint64(floor))
	return append(state, bytes.Join(names, nil)...)
}

// Load takes what Save has returned in an earlier life; see log.State.
func (c *Control) Load(state []byte, upto uint64) error {
	c.mu.Lock()
	c.loaded = upto
	c.mu.Unlock()
	kept := map[string]int64{} // bans
	if err := c.load(state, kept); err != nil {
		return err
	}
	if c.began && c.shared() {
		c.replace(kept)
		c.endMissed()
	} else {
		for client, until := range kept {
			c.bans.Restore(client, time.UnixMilli(until))
		}
	}
	c.began = true
	return nil
}

// load revokes what a state says, and adds its bans to kept.
func (c *Control) load(state []byte, kept map[string]int64) error {
	switch {
	case len(state) == 0:
		return nil
	case state[0] == 1:
		return loadVersion1(state[1:], kept)
	case state[0] != stateVersion || len(state) < stateBytes:
		return errOrder
	}
	c.revoked.Raise(int64(binary.LittleEndian.Uint64(state[1:])))
	for b := state[stateBytes:]; len(b) > 0; {
		name, rest, ok := cutName(b[1:])
		if !ok {
			return errOrder
		}
		if b, ok = c.loadName(b[0], name, rest, kept); !ok {
			return errOrder
		}
	}
	return nil
}

// endMissed ends the connections that orders are about which came by a state and not one by one.
func (c *Control) endMissed() {
	var clients []string
	c.bans.Each(func(client string, _ time.Time) { clients = append(clients, client) })
	c.onClients(clients)
	c.onTokens()
}

// loadName takes one name of the state; b is what follows it.
func (c *Control) loadName(what byte, name string, b []byte, kept map[string]int64) (rest []byte, ok bool) {
	if len(b) < 8 {
		return nil, false
	}
	at := int64(binary.LittleEndian.Uint64(b))
	b = b[8:]
	named := map[string]struct{}{name: {}}
	switch {
	case what == ofClient:
		kept[name] = at
	case what == ofSubject && len(b) >= 8:
		c.revoked.Restore(&revoke.Order{Subjects: named, Before: int64(binary.LittleEndian.Uint64(b))}, at)
		b = b[8:]
	case what == ofID:
		c.revoked.Restore(&revoke.Order{IDs: named}, at)
	default:
		return nil, false
	}
	return b, true
}

func loadVersion1(b []byte, kept map[string]int64) error {
	for len(b) > 0 {
		if len(b) < 8 {
			return errOrder
		}
		client, rest, ok := cutName(b[8:])
		if !ok {
			return errOrder
		}
		kept[client] = int64(binary.LittleEndian.Uint64(b))
		b = rest
	}
	return nil
}

// Lost refuses all tokens that were issued before now: one of them may have been
// revoked in an earlier life. See log.State. Clients that were kept away can come back.
func (c *Control) Lost(why string) {
	c.lost = why
	c.revoked.Raise(c.now().Unix())
}

// Missing is why revocations of earlier lives may be unknown, "" if all are known:
// then tokens that were issued before the start are refused. Call it after the log
// was started.
func (c *Control) Missing() string { return c.lost }
