package loop

import (
	"encoding/binary"
	"net/netip"
)

// peer is the address at the far end of a connection as the kernel gave it at
// accept; peerSlab has how it is kept. The zero value is no address: the client
// came over a Unix socket.
//
// An IPv4 address is kept in its IPv6 form (RFC 4291 §2.5.5.2). The zone of a
// link-local IPv6 address is not kept.
type peer struct {
	ip   [16]byte
	port uint16
}

// addrPort is the address as the rest of the server uses it; IPv4 is IPv4 also
// where it came through an IPv6 socket. The zero value gives the zero AddrPort,
// which is not valid. It does not allocate.
func (p peer) addrPort() netip.AddrPort {
	if p == (peer{}) {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(netip.AddrFrom16(p.ip).Unmap(), p.port)
}

// peerOf is how an address is kept.
func peerOf(a netip.AddrPort) peer {
	if !a.IsValid() {
		return peer{}
	}
	return peer{a.Addr().As16(), a.Port()}
}

// peerSlab has the peers of the connections in the slab of the same number, 7 bytes
// for each. They lie beside the connections, not in them: an event does not need
// them. An IPv4 address lies here itself, an IPv6 address in Loop.addresses6
// (viaIPv6). Without an address both are 0, which is no IPv4 peer.
type peerSlab struct {
	address [1 << slabBits]uint32 // IPv4, or the index of an IPv6 address
	port    [1 << slabBits]uint16
	via     [1 << slabBits]via
}

// via is how a connection came here.
type via uint8

const (
	viaIPv6    via = 1 << iota // its address is an IPv6 address
	viaTLS                     // it is encrypted
	viaTrusted                 // its peer is a proxy whose word about its clients counts
	viaNamed                   // its peer was named by the proxy before it: Handler.Peer
	viaClient                  // its peer is the client of its latest request, behind the proxy in Loop.proxies
	viaCounted                 // it is counted with its address: admit.Admission.Leave
	viaSlowed                  // reading from it pauses: Loop.slowed
	viaRefused                 // it is here to be refused: Loop.refusals
)

func (l *Loop) via(slot uint32) via { return l.peers[slot>>slabBits].via[slot&(1<<slabBits-1)] }

// setVia notes how a connection of a peer came here.
func (l *Loop) setVia(slot uint32, peer netip.Addr, secure bool) {
	v := &l.peers[slot>>slabBits].via[slot&(1<<slabBits-1)]
	*v &^= viaTLS | viaTrusted
	if secure {
		*v |= viaTLS
	}
	if l.trusts(peer.Unmap().WithZone("")) {
		*v |= viaTrusted
	}
}

// trusts reports whether the word of that peer about its clients counts.
func (l *Loop) trusts(peer netip.Addr) bool { return l.trusted != nil && l.trusted(peer) }

// exempt reports whether no limit for one address applies to the connections of a peer:
// it is no client of its own (a trusted proxy), or is on this machine.
func (l *Loop) exempt(peer netip.Addr) bool {
	return !peer.IsValid() || peer.IsLoopback() || l.trusts(peer)
}

// Peer is called by the kernel, and by nobody else.
func (l *Loop) Peer(socket int32, peer netip.AddrPort) (welcome bool) {
	slot, c := l.bySocket(socket)
	if c == nil {
		return false
	}
	secure, was := l.via(slot)&viaTLS != 0, l.newcomerOf(slot)
	l.forgetPeer(slot)
	l.setPeer(slot, peerOf(peer))
	l.setVia(slot, peer.Addr(), secure)
	v := &l.peers[slot>>slabBits].via[slot&(1<<slabBits-1)]
	if *v |= viaNamed; !peer.IsValid() {
		*v &^= viaTrusted // of a Unix socket of the proxy's, not of this server
	}
	return l.rename(slot, was)
}

// setClient gives a connection the address of the client that has sent its latest
// request through a trusted proxy, which has many clients. One that is not valid
// gives it that of the proxy back.
func (l *Loop) setClient(slot uint32, client netip.AddrPort) {
	v := l.via(slot)
	switch {
	case client.IsValid() && v&viaClient == 0:
		if l.proxies == nil {
			l.proxies = map[uint32]peer{}
		}
		l.proxies[slot] = l.peer(slot)
		l.replacePeer(slot, peerOf(client), v|viaClient)
	case client.IsValid():
		l.replacePeer(slot, peerOf(client), v)
	case v&viaClient != 0:
		l.replacePeer(slot, l.proxies[slot], v&^viaClient)
		delete(l.proxies, slot)
	}
}

// replacePeer is setPeer for a connection that has an address.
func (l *Loop) replacePeer(slot uint32, p peer, v via) {
	if l.peer(slot) == p {
		l.peers[slot>>slabBits].via[slot&(1<<slabBits-1)] = v
		return
	}
	l.release6(slot)
	l.peers[slot>>slabBits].via[slot&(1<<slabBits-1)] = v &^ viaIPv6
	l.setPeer(slot, p)
}

// transport is the address at the other end of the connection, which setClient has
// not replaced.
func (l *Loop) transport(slot uint32) peer {
	if l.via(slot)&viaClient != 0 {
		return l.proxies[slot]
	}
	return l.peer(slot)
}

// keepClient makes the client of the latest request that of the connection, which has
// become a stream.
func (l *Loop) keepClient(slot uint32) {
	if v := &l.peers[slot>>slabBits].via[slot&(1<<slabBits-1)]; *v&viaClient != 0 {
		*v &^= viaClient
		delete(l.proxies, slot)
	}
}

// peer is the address of the connection.
func (l *Loop) peer(slot uint32) (p peer) {
	s, i := l.peers[slot>>slabBits], slot&(1<<slabBits-1)
	p.port = s.port[i]
	switch {
	case s.via[i]&viaIPv6 != 0:
		p.ip = l.addresses6[s.address[i]]
	case s.address[i] != 0 || p.port != 0:
		p.ip[10], p.ip[11] = 0xFF, 0xFF
		binary.BigEndian.PutUint32(p.ip[12:], s.address[i])
	}
	return p
}

// setPeer keeps the address of a new connection; forgetPeer must follow.
func (l *Loop) setPeer(slot uint32, p peer) {
	s, i := l.peers[slot>>slabBits], slot&(1<<slabBits-1)
	s.port[i] = p.port
	if p == (peer{}) || netip.AddrFrom16(p.ip).Is4In6() {
		s.address[i] = binary.BigEndian.Uint32(p.ip[12:])
		return
	}
	n := len(l.addresses6)
	if free := len(l.free6); free > 0 {
		n = int(l.free6[free-1])
		l.free6 = l.free6[:free-1]
		l.addresses6[n] = p.ip
	} else {
		l.addresses6 = append(l.addresses6, p.ip)
	}
	s.via[i] |= viaIPv6
	s.address[i] = uint32(n)
}

// forgetPeer gives the memory of an IPv6 address back.
func (l *Loop) forgetPeer(slot uint32) {
	l.keepClient(slot)
	l.release6(slot)
	s, i := l.peers[slot>>slabBits], slot&(1<<slabBits-1)
	s.address[i], s.port[i], s.via[i] = 0, 0, 0
}

func (l *Loop) release6(slot uint32) {
	s, i := l.peers[slot>>slabBits], slot&(1<<slabBits-1)
	if s.via[i]&viaIPv6 != 0 {
		l.free6 = append(l.free6, s.address[i])
	}
}

// clientText is the address of a client for a line of the log.
func (l *Loop) clientText(slot uint32) string { return l.peer(slot).text() }

func (p peer) text() string {
	if a := p.addrPort(); a.IsValid() {
		return a.String()
	}
	return "unix socket"
}

// shareOf is the share that a connection is counted with when a limit is reached:
// Parts.Share. Without it each connection is one of its own.
func (l *Loop) shareOf(slot uint32) uint64 {
	if session := l.conn(slot).session; l.shareBy == nil {
		return session
	} else {
		return l.shareBy(l.peer(slot).addrPort().Addr(), session)
	}
}
