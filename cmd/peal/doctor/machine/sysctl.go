package machine

import (
	"fmt"
	"strings"

	"peal/cmd/peal/doctor"
)

// many is the number of connections from which on storms fill the larger queues.
const many = 100_000

// sysctl is one kernel setting with a least value.
type sysctl struct {
	check, key string
	field      int // of the values of the setting

	least func(connections int) int64
	set   func(connections int, old []int64) string
	why   string
}

// atLeast is a least value for servers of any size, and one for those with many
// connections.
func atLeast(few, lots int64) func(int) int64 {
	return func(n int) int64 {
		if n >= many {
			return lots
		}
		return few
	}
}

func always(value string) func(int, []int64) string {
	return func(int, []int64) string { return value }
}

const pageBytes = 4096

// sysctls are the queues and buffers of TCP.
var sysctls = []sysctl{
	{"somaxconn", "net.core.somaxconn", 0, atLeast(1024, 4096), always("65535"),
		"the backlog holds clients that connect faster than the server accepts; beyond it the kernel drops them, and each waits a second or more"},
	{"syn-backlog", "net.ipv4.tcp_max_syn_backlog", 0, atLeast(512, 4096), always("65535"),
		"unfinished TCP handshakes beyond it fall back to SYN cookies, without window scaling"},
	{"netdev-backlog", "net.core.netdev_max_backlog", 0, atLeast(1000, 4096), always("16384"),
		"packets that arrive faster than one processor takes them are dropped beyond it"},
	{"tcp-mem", "net.ipv4.tcp_mem", 2, func(n int) int64 { return int64(n) }, func(n int, old []int64) string {
		return fmt.Sprintf("%d %d %d", max(old[0], int64(n)/2), max(old[1], int64(n)), 2*int64(n))
	}, "buffers of all TCP connections together, in pages of 4 KiB: one for each connection must fit, or the kernel drops packets of a fan-out"},
	{"tcp-orphans", "net.ipv4.tcp_max_orphans", 0, func(n int) int64 { return int64(n) / 4 }, func(n int, _ []int64) string { return fmt.Sprint(max(65_536, n/4)) },
		"connections that the server has closed and whose last bytes are on their way; beyond it the kernel resets them, and clients miss the reason for the end"},
	{"tcp-rmem", "net.ipv4.tcp_rmem", 2, atLeast(64<<10, 64<<10), always("4096 131072 6291456"),
		"the receive buffer of a connection cannot grow to one message of 64 KiB"},
	{"tcp-wmem", "net.ipv4.tcp_wmem", 2, atLeast(64<<10, 64<<10), always("4096 16384 4194304"),
		"the send buffer of a connection cannot grow to one message of 64 KiB: large messages take several round trips"},
}

func (m *Machine) sysctls() (all []doctor.Finding) {
	n := m.connections()
	for _, s := range sysctls {
		values, err := m.numbers("proc/sys/" + strings.ReplaceAll(s.key, ".", "/"))
		least := s.least(n)
		switch {
		case err != nil:
			all = append(all, doctor.Skip(s.check, "%v", err))
		case len(values) <= s.field:
			all = append(all, doctor.Skip(s.check, "%s has %d values", s.key, len(values)))
		case values[s.field] < least:
			all = append(all, doctor.Warn(s.check, fmt.Sprintf("%s is %s: at least %d for %d connections", s.key, spaced(values), least, n), s.why, setSysctl(s.key, s.set(n, values))...))
		default:
			all = append(all, doctor.Fine(s.check, "%s is %s", s.key, spaced(values)))
		}
	}
	return all
}

func spaced(list []int64) string { return strings.Trim(fmt.Sprint(list), "[]") }

// overflows checks whether a backlog has been full since the machine has started.
func (m *Machine) overflows() []doctor.Finding {
	const check = "backlog"
	text, err := m.read("proc/net/netstat")
	if err != nil {
		return one(doctor.Skip(check, "%v", err))
	}
	var names []string
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, "TcpExt:")
		if !ok {
			continue
		}
		if names == nil { // the first line has the names, the second the numbers
			names = strings.Fields(rest)
			continue
		}
		for i, number := range strings.Fields(rest) {
			if i < len(names) && names[i] == "ListenOverflows" && number != "0" {
				return one(doctor.Warn(check, "connections dropped because a backlog was full, since the start of the machine: "+number,
					"clients that were dropped try again after a second or more; the counter is of all programs on this machine", setSysctl("net.core.somaxconn", "65535")[0], "systemctl restart peal  (a listener keeps the backlog that it has)", "nstat -az TcpExtListenOverflows  (shows whether it still grows)"))
			}
		}
		return one(doctor.Fine(check, "no backlog has been full since the start of the machine"))
	}
	return one(doctor.Skip(check, "/proc/net/netstat has no line TcpExt"))
}
