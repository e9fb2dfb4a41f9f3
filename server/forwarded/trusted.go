package forwarded

import (
	"fmt"
	"net/netip"
	"slices"
)

// Words that stand in the list beside networks.
const (
	Unix     = "unix"     // the clients of Unix sockets
	Loopback = "loopback" // 127.0.0.0/8 and ::1
)

// MostTrusted is how many entries the list may have.
const MostTrusted = 1000

// Trusted is a set of addresses, fixed when it is made. A nil one has none.
type Trusted struct {
	ranges []span // sorted, apart from one another; IPv4 before IPv6, as netip orders them
	unix   bool
}

// span is all addresses from first to last, of one family.
type span struct{ first, last netip.Addr }

// Parse reads the list: networks as in 10.0.0.0/8, single addresses, Loopback and Unix.
// The error names the first entry that is none of these, and what to write.
func Parse(list []string) (*Trusted, error) {
	if len(list) > MostTrusted {
		return nil, fmt.Errorf("%d entries: must be at most %d; use larger networks", len(list), MostTrusted)
	}
	t := &Trusted{}
	for _, text := range list {
		switch text {
		case Unix:
			t.unix = true
			continue
		case Loopback:
			t.add(netip.MustParsePrefix("127.0.0.0/8"))
			t.add(netip.MustParsePrefix("::1/128"))
			continue
		}
		p, err := parseNetwork(text)
		if err != nil {
			return nil, err
		}
		t.add(p)
	}
	t.join()
	return t, nil
}

func parseNetwork(text string) (netip.Prefix, error) {
	wrong := func(why string) error {
		return fmt.Errorf("%q: %s; write a network as in 10.0.0.0/8, an address, loopback or unix", text, why)
	}
	if a, err := netip.ParseAddr(text); err == nil {
		if a.Zone() != "" {
			return netip.Prefix{}, wrong("an address with a zone cannot be trusted")
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, wrong("is neither an address nor a network")
	}
	if a := p.Addr(); a.Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, wrong("contains more than IPv4 addresses in IPv6 form")
		}
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	if m := p.Masked(); m != p {
		return netip.Prefix{}, fmt.Errorf("%q: has bits behind its length; write %s for the network, or %s for the address", text, m, p.Addr())
	}
	return p, nil
}

func (t *Trusted) add(p netip.Prefix) {
	last := p.Addr().AsSlice()
	for i := p.Bits(); i < len(last)*8; i++ {
		last[i/8] |= 0x80 >> (i % 8)
	}
	end, _ := netip.AddrFromSlice(last)
	t.ranges = append(t.ranges, span{p.Addr(), end})
}

// join sorts the ranges and makes one of those that overlap.
func (t *Trusted) join() {
	slices.SortFunc(t.ranges, func(a, b span) int { return a.first.Compare(b.first) })
	var joined []span
	for _, r := range t.ranges {
		if n := len(joined); n > 0 && r.first.Compare(joined[n-1].last) <= 0 {
			if r.last.Compare(joined[n-1].last) > 0 {
				joined[n-1].last = r.last
			}
			continue
		}
		joined = append(joined, r)
	}
	t.ranges = joined
}

// Has reports whether the address is a trusted proxy's. The zero Addr is that of the
// clients of Unix sockets. An IPv4 address in IPv6 form is the IPv4 address, and a zone
// is ignored. It does not allocate.
func (t *Trusted) Has(a netip.Addr) bool {
	if t == nil {
		return false
	}
	if !a.IsValid() {
		return t.unix
	}
	a = a.Unmap().WithZone("")
	i, found := slices.BinarySearchFunc(t.ranges, a, func(r span, a netip.Addr) int { return r.first.Compare(a) })
	return found || i > 0 && t.ranges[i-1].last.Compare(a) >= 0
}

// Any reports whether anything is trusted.
func (t *Trusted) Any() bool { return t != nil && (t.unix || len(t.ranges) > 0) }
