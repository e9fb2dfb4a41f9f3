package machine

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"peal/cmd/peal/doctor"
)

// fewPorts is from where on a proxy of this machine runs out of ports early.
const fewPorts = 16_384

// ports checks those that the kernel gives to outgoing connections. A proxy on this
// machine needs one for each connection to Peal.
func (m *Machine) ports() (all []doctor.Finding) {
	const check, key = "ephemeral-ports", "net.ipv4.ip_local_port_range"
	span, err := m.numbers("proc/sys/net/ipv4/ip_local_port_range")
	if err != nil || len(span) < 2 {
		return one(doctor.Skip(check, "%s: %v", key, err))
	}
	value := fmt.Sprintf("%s is %s", key, spaced(span))
	count := span[1] - span[0] + 1
	if count < fewPorts {
		all = append(all, doctor.Warn(check, fmt.Sprintf("%s: %d ports", value, count),
			"a proxy on this machine needs a port for each connection to one address of Peal; when none is left, clients get 502", append(setSysctl(key, "10240 65535"), "let the proxy connect to a Unix socket (listen: unix:/run/peal/peal.sock), which needs no ports")...))
	} else {
		all = append(all, doctor.Fine(check, "%s: a proxy on this machine can have %d connections to one address of Peal", value, count))
	}
	all = append(all, m.listeners(span)...)
	if values, err := m.numbers("proc/sys/net/ipv4/tcp_tw_reuse"); err != nil {
		all = append(all, doctor.Skip("tw-reuse", "%v", err))
	} else if values[0] == 0 {
		all = append(all, doctor.Warn("tw-reuse", "net.ipv4.tcp_tw_reuse is 0", "ports of closed connections to Peal stay unusable for a minute: a proxy on this machine runs out of them sooner", setSysctl("net.ipv4.tcp_tw_reuse", "2")...))
	} else {
		all = append(all, doctor.Fine("tw-reuse", "net.ipv4.tcp_tw_reuse is %d", values[0]))
	}
	return all
}

// listeners checks whether an outgoing connection can take the port of a listener.
func (m *Machine) listeners(span []int64) (all []doctor.Finding) {
	reserved, err := m.read("proc/sys/net/ipv4/ip_local_reserved_ports")
	if err != nil {
		reserved = ""
	}
	for _, port := range m.tcpPorts() {
		if port < span[0] || port > span[1] || inRanges(reserved, port) {
			continue
		}
		list := strconv.FormatInt(port, 10)
		if reserved != "" {
			list = reserved + "," + list
		}
		all = append(all, doctor.Warn("listen-port", fmt.Sprintf("port %d of listen is within net.ipv4.ip_local_port_range", port),
			"an outgoing connection can have this port when the server starts, which then fails", setSysctl("net.ipv4.ip_local_reserved_ports", list)...))
	}
	return all
}

// inRanges reports whether a list as in "8080,9000-9100" has the port.
func inRanges(list string, port int64) bool {
	for item := range strings.SplitSeq(list, ",") {
		from, to, isRange := strings.Cut(item, "-")
		low, err := strconv.ParseInt(from, 10, 64)
		high := low
		if isRange && err == nil {
			high, err = strconv.ParseInt(to, 10, 64)
		}
		if err == nil && low <= port && port <= high {
			return true
		}
	}
	return false
}

// conntrack checks the table of the packet filter, which has an entry for each
// connection.
func (m *Machine) conntrack() []doctor.Finding {
	const check, key = "conntrack", "net.netfilter.nf_conntrack_max"
	most, err := m.numbers("proc/sys/net/netfilter/nf_conntrack_max")
	if err != nil {
		return one(doctor.Fine(check, "the kernel does not track connections here"))
	}
	n := m.connections()
	need := int64(n) + int64(n)/4 // beside those that have just closed
	used := ""
	if count, err := m.numbers("proc/sys/net/netfilter/nf_conntrack_count"); err == nil {
		used = fmt.Sprintf(", %d in use", count[0])
		if count[0] > most[0]*9/10 {
			return one(doctor.Fail(check, fmt.Sprintf("%s is %d%s", key, most[0], used), "when the table is full, the kernel drops packets of new connections", setSysctl(key, fmt.Sprint(2*max(need, most[0])))...))
		}
	}
	if most[0] < need {
		return one(doctor.Fail(check, fmt.Sprintf("%s is %d%s: %d connections need %d", key, most[0], used, n, need), "when the table is full, the kernel drops packets of new connections", setSysctl(key, fmt.Sprint(2*need))...))
	}
	return one(doctor.Fine(check, "%s is %d%s", key, most[0], used))
}

// reversePath checks the filter that drops packets which come in by another interface
// than the response would go out.
func (m *Machine) reversePath() []doctor.Finding {
	const check, dir = "rp-filter", "proc/sys/net/ipv4/conf"
	entries, err := fs.ReadDir(m.Files, dir)
	if err != nil {
		return one(doctor.Skip(check, "%v", err))
	}
	mode := func(name string) int64 {
		n, err := m.numbers(dir + "/" + name + "/rp_filter")
		if err != nil {
			return 0
		}
		return n[0]
	}
	var strict []string
	interfaces := 0
	for _, e := range entries {
		switch name := e.Name(); name {
		case "all", "default", "lo":
		default:
			interfaces++
			if max(mode("all"), mode(name)) == 1 {
				strict = append(strict, name)
			}
		}
	}
	if interfaces > 1 && len(strict) > 0 {
		return one(doctor.Warn(check, "strict on "+strings.Join(strict, ", "), fmt.Sprintf("with %d interfaces, packets that come in by another one than the route back are dropped without a trace: clients time out", interfaces), setSysctl("net.ipv4.conf.all.rp_filter", "2")...))
	}
	if len(strict) > 0 {
		return one(doctor.Fine(check, "strict, with one interface"))
	}
	return one(doctor.Fine(check, "not strict"))
}
