package share

import (
	"encoding/binary"
	"net/netip"
)

// Key names one share. It is comparable, has no pointers, and fits into a map or
// an entry of 8 bytes. The zero Key is the share of all clients without a network
// address (those of a Unix socket), and of the server itself.
//
// A key is valid while the process runs, and in one that goes on for it; do not store it.
type Key uint64

// Keys of no IPv6 network that can send: ff00::/8 is multicast (RFC 4291 §2.7).
const (
	ipv4 Key = 0xFFFF_FFFF_0000_0000 // and the address in the lower half
	zero Key = 0xFFFF_FFFE_0000_0000 // the network of [::1], whose first 64 bits are 0
)

// Restored is the share of entries that a log has from before a restart: their
// original share is not known.
const Restored Key = 0xFFFF_FFFD_0000_0000

// Of returns the share of the client at addr, whose connection is session.
//
//   - IPv4, also in its IPv6 form: one share for each address.
//   - IPv6: one share for each /64, which is the smallest network that providers
//     assign to a customer; its owner has all of its addresses.
//   - No address (the zero Addr: a Unix socket): one share for all of them.
//
// addr is that of the client: loop.Client.Peer().Addr(), or behind a trusted proxy
// loop.Call.Client.Addr(). Clients behind one
// proxy that is not trusted have the proxy's address and so one share: inside it, their connections
// distinguish them. session is not used yet: a token or an API key will be found by
// it, so every caller passes it.
//
// Of does not allocate.
func Of(addr netip.Addr, session uint64) Key {
	_ = session // see above
	switch addr = addr.Unmap(); {
	case !addr.IsValid():
		return 0
	case addr.Is4():
		b := addr.As4()
		return ipv4 | Key(binary.BigEndian.Uint32(b[:]))
	}
	b := addr.As16()
	if k := Key(binary.BigEndian.Uint64(b[:8])); k != 0 {
		return k
	}
	return zero
}
