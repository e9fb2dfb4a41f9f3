package loop

import (
	"net/netip"
	"time"

	"peal/loop/admit"
)

// newcomer is an accepted connection on its way to its loop.
type newcomer struct {
	Arrival
	counted bool          // among those of its address: admit.Admission.Leave must follow
	why     admit.Reason  // it is to be refused for; then admit.Refusals.End must follow
	retry   time.Duration // its client is to come back then
}

// Refusal is why a connection is only here to be refused. Its front answers the first
// request in the form of its transport, and the loop ends it. The zero value is none.
type Refusal struct {
	Reason admit.Reason
	Retry  time.Duration // the client is to come back after that; for each another time
}

// clientAt is a client as its connections are admitted.
func (l *Loop) clientAt(addr netip.Addr) admit.Client {
	if l.shareBy == nil || !l.limited(addr) {
		return admit.Client{}
	}
	return admit.Client{Key: l.addressKey(addr), Limited: true}
}

// addressKey is the share of an address as it is kept with a connection.
func (l *Loop) addressKey(addr netip.Addr) uint64 {
	return l.shareBy(addr.Unmap().WithZone(""), 0)
}

// isLimited is the default of Parts.Limited.
func (l *Loop) isLimited(addr netip.Addr) bool { return !l.exempt(addr.Unmap()) }

// warnRefused logs that a connection is refused.
func (l *Loop) warnRefused(why admit.Reason, peer netip.AddrPort) {
	l.warn(&l.complaints.refused, "connection refused; "+refusedBy[why], func() []any {
		return []any{"reason", why.String(), "client", peerOf(peer).text()}
	})
}

// refusedBy says what has refused a connection and what to change, by its reason.
var refusedBy = [...]string{
	admit.Full:        "the server has reached max-connections: raise it if there is memory and descriptors for more",
	admit.Address:     "its address has reached max-connections-per-address: raise it, or name the proxy in trusted-proxies",
	admit.AddressRate: "its address has reached accept-rate-per-address: raise it, or name the proxy in trusted-proxies",
	admit.Memory:      "the memory of the process is beyond the mark of memory-limit",
}

// leave takes a connection back out of what counts it.
func (l *Loop) leave(n newcomer) {
	switch {
	case n.why != admit.None:
		l.admission.Refusals.End()
		return // it was never part of load
	case n.counted:
		l.admission.Leave(l.addressKey(n.Peer.Addr()))
	}
	l.load.Add(-1)
}

// newcomerOf is what leave takes back for a connection.
func (l *Loop) newcomerOf(slot uint32) (n newcomer) {
	switch v := l.via(slot); {
	case v&viaRefused != 0:
		n.why = l.refusals[slot].Reason
	case v&viaCounted != 0:
		n.counted, n.Peer = true, l.peer(slot).addrPort()
	}
	return n
}

// enter notes how a new connection was admitted.
func (l *Loop) enter(slot uint32, c *conn, n *newcomer) {
	v := &l.peers[slot>>slabBits].via[slot&(1<<slabBits-1)]
	switch {
	case n.counted && *v&viaTrusted != 0: // since it was accepted; its address may change with each request
		l.admission.Leave(l.addressKey(n.Peer.Addr()))
	case n.counted:
		*v |= viaCounted
	}
	if n.why != admit.None {
		*v |= viaRefused
		l.refusals[slot] = Refusal{n.why, n.retry}
		l.wait(slot, c, l.headTicks)
	}
}

// rename admits a connection again when the proxy before it has named its client. One
// that is not welcome is to be closed: it has no token of the budget, and the proxy answers.
func (l *Loop) rename(slot uint32, was newcomer) (welcome bool) {
	if was.why != admit.None {
		l.peers[slot>>slabBits].via[slot&(1<<slabBits-1)] |= viaRefused
		return true
	}
	if was.counted {
		l.admission.Leave(l.addressKey(was.Peer.Addr()))
	}
	peer := l.peer(slot).addrPort()
	who := l.clientAt(peer.Addr())
	if !who.Limited || l.via(slot)&viaTrusted != 0 { // trusted until a moment ago: its address may change with each request
		return true
	}
	if why, _ := l.admission.Name(who, l.now); why != admit.None {
		l.warnRefused(why, peer)
		return false
	}
	l.peers[slot>>slabBits].via[slot&(1<<slabBits-1)] |= viaCounted
	return true
}

// countClient counts a connection of a trusted proxy that becomes a stream with the
// client of its request: from now on it has no other. Before, it has none of its own.
func (l *Loop) countClient(slot uint32) {
	if l.via(slot)&viaClient == 0 {
		return
	}
	l.keepClient(slot)
	if who := l.clientAt(l.peer(slot).addrPort().Addr()); who.Limited {
		l.admission.Count(who.Key)
		l.peers[slot>>slabBits].via[slot&(1<<slabBits-1)] |= viaCounted
	}
}

// AddressFull reports whether a client at addr has as many connections as it may: a
// front decides by it about the streams of clients behind trusted proxies. Any goroutine may
// call it; those that ask at the same moment may all be let in.
func (g *Group) AddressFull(addr netip.Addr) bool {
	who := g.loops[0].clientAt(addr)
	return who.Limited && g.admission.Full(who.Key)
}

// Press refuses new connections, or ends that. It is for when the memory of the process
// is beyond its mark. Any goroutine may call it.
func (g *Group) Press(on bool) { g.admission.Press(on) }

// LimitAdmission changes Config.Admission and MaxConnections. Connections beyond them stay. Any
// goroutine may call it.
func (g *Group) LimitAdmission(c Config) { g.admission.Limit(c.WithDefaults().admission()) }

// admission is the limits of an admit.Admission.
func (c Config) admission() admit.Limits {
	limits := c.Admission
	limits.Connections, limits.FullAtOnce = c.MaxConnections, fullAtOnce
	return limits
}

// fullAtOnce is how many refused connections may be open beyond MaxConnections, with descriptors
// of the margin.
const fullAtOnce = 64
