package machine

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"peal/cmd/peal/doctor"
)

// tcpPorts are those of the configuration.
func (m *Machine) tcpPorts() (ports []int64) {
	c := m.Config
	for _, list := range [][]string{c.Listen, c.ListenPlain, {c.HTTPRedirect, c.Admin}} {
		for _, text := range list {
			if _, port, err := net.SplitHostPort(text); err == nil {
				text = port
			}
			if n, err := strconv.ParseInt(text, 10, 64); err == nil && n > 0 {
				ports = append(ports, n)
			}
		}
	}
	return ports
}

// lowPorts checks whether the process may listen on ports that are reserved.
func (m *Machine) lowPorts() []doctor.Finding {
	const check = "low-ports"
	first := int64(1024)
	if n, err := m.numbers("proc/sys/net/ipv4/ip_unprivileged_port_start"); err == nil {
		first = n[0]
	}
	var low []string
	for _, p := range m.tcpPorts() {
		if p < first {
			low = append(low, strconv.FormatInt(p, 10))
		}
	}
	if len(low) == 0 {
		return nil
	}
	capable, err := m.capable(unix.CAP_NET_BIND_SERVICE)
	ports := strings.Join(low, ", ")
	switch {
	case err != nil:
		return one(doctor.Skip(check, "%v", err))
	case capable:
		return one(doctor.Fine(check, "%s: allowed", ports))
	}
	return one(doctor.Fail(check, fmt.Sprintf("%s: below %d, and the process of this user may not listen there", ports, first), "the server does not start",
		"AmbientCapabilities=CAP_NET_BIND_SERVICE  (in the [Service] section of the systemd unit)", "setcap cap_net_bind_service=+ep $(command -v peal)"))
}

// capable reports whether the process has a capability.
func (m *Machine) capable(capability int) (bool, error) {
	name := "proc/" + m.PID + "/status"
	text, err := m.read(name)
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "CapEff:"); ok {
			set, err := strconv.ParseUint(strings.TrimSpace(rest), 16, 64)
			return set>>capability&1 == 1, err
		}
	}
	return false, fmt.Errorf("/%s has no line CapEff", name)
}
