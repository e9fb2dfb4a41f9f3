package share_test

import (
	"net/netip"
	"testing"

	"peal/server/share"
)

func TestOf(t *testing.T) {
	of := func(addr string) share.Key {
		if addr == "" {
			return share.Of(netip.Addr{}, 1)
		}
		return share.Of(netip.MustParseAddr(addr), 1)
	}
	check := func(a, b string, same bool) {
		t.Helper()
		if got := of(a) == of(b); got != same {
			t.Errorf("%q and %q: the same share: %v, want %v", a, b, got, same)
		}
	}
	check("192.0.2.1", "192.0.2.1", true)
	check("192.0.2.1", "::ffff:192.0.2.1", true)
	check("192.0.2.1", "192.0.2.2", false)
	check("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true)
	check("2001:db8:1:2::1", "2001:db8:1:3::1", false)
	check("fe80::1%eth0", "fe80::1", true)
	check("", "", true)
	// None of the special ones is another's.
	special := []string{"", "::1", "0.0.0.0", "127.0.0.1", "255.255.255.255", "2001:db8::1", "fe80::1"}
	for i, a := range special {
		for _, b := range special[i+1:] {
			check(a, b, false)
		}
	}
	if of("") != 0 {
		t.Errorf("the share of those without an address is %x, want the zero key", of(""))
	}
	if of("192.0.2.1") != share.Of(netip.MustParseAddr("192.0.2.1"), 2) {
		t.Error("two connections of one address have two shares")
	}
}

func TestOfDoesNotAllocate(t *testing.T) {
	addr := netip.MustParseAddr("2001:db8::1")
	if n := testing.AllocsPerRun(100, func() { share.Of(addr, 7) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
