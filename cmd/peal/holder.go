package main

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// withReason adds to an error of the start what to do about it, if the kernel's
// error alone does not show that.
func withReason(err error) error {
	var op *net.OpError
	if !errors.As(err, &op) {
		return err
	}
	at, ok := op.Addr.(*net.TCPAddr)
	switch {
	case !ok:
		return err
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("%w: %s; end it, or choose another address", err, holder(at.AddrPort()))
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: ports below %d are reserved for root and for programs with the capability CAP_NET_BIND_SERVICE; choose a higher port and let a proxy listen on this one, or allow it: AmbientCapabilities=CAP_NET_BIND_SERVICE in a systemd unit, or setcap cap_net_bind_service=+ep on the program", err, firstFreePort())
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return fmt.Errorf("%w: no network interface of this machine has the address %s; choose one that \"ip address\" lists, 127.0.0.1 for this machine only, or 0.0.0.0 for all of them", err, at.IP)
	case errors.Is(err, unix.EAFNOSUPPORT):
		return fmt.Errorf("%w: this machine has no %s", err, map[bool]string{true: "IPv4", false: "IPv6"}[at.IP.To4() != nil])
	}
	return err
}

// firstFreePort is the first port that every user may listen on (ip(7),
// ip_unprivileged_port_start).
func firstFreePort() int {
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	if err == nil {
		if n, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
			return n
		}
	}
	return 1024
}

// holder describes the process that listens on an address, or on one that includes
// it, as far as /proc shows it: only root can see the descriptors of other users.
func holder(at netip.AddrPort) string {
	found := listeners(at)
	if len(found) == 0 {
		return "no program that listens on it is visible; a program may hold the port without listening"
	}
	if pids := holders(found); len(pids) > 0 {
		return fmt.Sprintf("process %d (%s) has it", pids[0], commandLine("/proc/"+strconv.Itoa(pids[0])))
	}
	name := "number " + found[0].user
	if u, err := user.LookupId(found[0].user); err == nil {
		name = u.Username
	}
	return fmt.Sprintf("a process of user %s has it, which only that user and root can identify", name)
}

// holders are the processes that have one of the sockets.
func holders(sockets []socket) (pids []int) {
	descriptors, _ := filepath.Glob("/proc/[0-9]*/fd/*") // the pattern is good: no error
	for _, d := range descriptors {
		// A process that ended meanwhile or is hidden has no link to read.
		target, err := os.Readlink(d)
		if err != nil || !slices.ContainsFunc(sockets, func(s socket) bool { return s.link == target }) {
			continue
		}
		process := filepath.Dir(filepath.Dir(d))
		pid, err := strconv.Atoi(filepath.Base(process))
		if err == nil && !slices.Contains(pids, pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// maxCommand is how many bytes of a command line an error message contains.
const maxCommand = 120

func commandLine(process string) string {
	b, err := os.ReadFile(filepath.Join(process, "cmdline"))
	if err != nil || len(b) == 0 {
		return "unknown command"
	}
	command := strings.ReplaceAll(strings.TrimRight(string(b), "\x00"), "\x00", " ")
	if len(command) > maxCommand {
		command = command[:maxCommand] + "…"
	}
	// The arguments come from another process: they must not control the terminal.
	return strings.Trim(strconv.Quote(command), `"`)
}

// socket is a listening socket: its link in /proc/PID/fd and its user's number.
type socket struct{ link, user string }

// listeners are the sockets that keep others from listening on at.
func listeners(at netip.AddrPort) []socket {
	return append(listening("/proc/net/tcp", at), listening("/proc/net/tcp6", at)...)
}

// listening are the sockets of one table of /proc/net that keep others from
// listening on at: same port, and the same address or one of the two for all.
// Columns: proc_net_tcp(5): 1 is the local address in hexadecimal, 3 the state
// (0A: listening), 7 the user, 9 the inode.
func listening(table string, at netip.AddrPort) (found []socket) {
	f, err := os.Open(table)
	if err != nil {
		return nil // no /proc, or no IPv6: then no process is named
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		columns := strings.Fields(lines.Text())
		if len(columns) < 10 || columns[3] != "0A" {
			continue
		}
		local, ok := parseLocal(columns[1])
		if !ok || local.Port() != at.Port() {
			continue
		}
		if a, b := local.Addr().Unmap(), at.Addr().Unmap(); a == b || a.IsUnspecified() || b.IsUnspecified() {
			found = append(found, socket{"socket:[" + columns[9] + "]", columns[7]})
		}
	}
	return found
}

// parseLocal reads an address as /proc/net/tcp has it: words of 32 bits in the
// byte order of the machine, and the port. Peal is built for little-endian machines
// only.
func parseLocal(text string) (netip.AddrPort, bool) {
	address, port, _ := strings.Cut(text, ":")
	b, err := hex.DecodeString(address)
	p, err2 := strconv.ParseUint(port, 16, 16)
	if err != nil || err2 != nil || len(b)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(b); i += 4 {
		slices.Reverse(b[i : i+4])
	}
	a, ok := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a, uint16(p)), ok
}
