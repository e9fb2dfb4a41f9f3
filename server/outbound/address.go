package outbound

import (
	"fmt"
	"net/netip"
	"syscall"
)

// addressError: a backend has an address that is not public.
type addressError struct{ addr netip.Addr }

func (e *addressError) Error() string {
	return fmt.Sprintf("its address %s is not public: set allow-private: true if it is in your own network", e.addr)
}

// closed are networks of IPv4 that are not the public internet: private, shared, loopback,
// link-local with the metadata services of clouds, documentation, benchmarks, multicast, reserved.
var closed = prefixes("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
	"224.0.0.0/4", "240.0.0.0/4")

// unicast6 is the part of IPv6 that is given to the public, and closed6 what in it is not: protocols
// and tunnels, some of which have an IPv4 address inside, and documentation. What is outside of it
// (unique local, link-local, NAT64, mapped and compatible addresses) is not public.
var (
	unicast6 = netip.MustParsePrefix("2000::/3")
	closed6  = prefixes("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// IsPublic reports whether anybody on the internet could have the address.
func IsPublic(a netip.Addr) bool {
	if a.Zone() != "" {
		return false
	}
	a = a.Unmap()
	if a.Is4() {
		return !within(closed, a)
	}
	return unicast6.Contains(a) && !within(closed6, a)
}

func within(all []netip.Prefix, a netip.Addr) bool {
	for _, p := range all {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// Guard is the Control of a net.Dialer that refuses to connect to an address that is not public. It sees the address that is
// dialled, behind the resolver: a name cannot mean another address later.
func Guard(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("address %q: %w", address, err)
	}
	if !IsPublic(to.Addr()) {
		return &addressError{to.Addr()}
	}
	return nil
}
