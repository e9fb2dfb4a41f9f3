package machine

import (
	"fmt"
	"net/netip"

	"peal/cmd/peal/doctor"
)

// Networks with fewer bits than these are not those of proxies.
const (
	leastBits4 = 8
	leastBits6 = 16
)

// trust checks which addresses may name their clients.
func (m *Machine) trust() []doctor.Finding {
	const check = "trusted-proxies"
	if len(m.Config.TrustedProxies) == 0 {
		return one(doctor.Skip(check, "none are set: behind a proxy, all clients have its address"))
	}
	for _, text := range m.Config.TrustedProxies {
		p, err := netip.ParsePrefix(text)
		if err == nil && (p.Addr().Is4() && p.Bits() < leastBits4 || p.Addr().Is6() && p.Bits() < leastBits6) {
			return one(doctor.Fail(check, text+" is trusted", "every client in it can claim any address, and so avoid all limits for one address", "trusted-proxies: the addresses of your proxies only (docs/proxies.md)"))
		}
	}
	return one(doctor.Fine(check, "%s", fmt.Sprint(m.Config.TrustedProxies)))
}
