package server

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"peal/loop"
)

const defaultPort = "8080"

// DefaultListen are the addresses without Config.Listen; the second is left out
// where the machine has no IPv6.
func DefaultListen() []string { return loopbackAddresses(defaultPort) }

func loopbackAddresses(port string) []string {
	return []string{net.JoinHostPort("127.0.0.1", port), net.JoinHostPort("::1", port)}
}

// address is one to listen on.
type address struct {
	text     string
	optional bool // left out where the machine has no IPv6
}

// addresses are what Config.Listen means.
func (c Config) addresses() (all []address) {
	loopback := func(port string) {
		both := loopbackAddresses(port)
		all = append(all, address{text: both[0]}, address{text: both[1], optional: true})
	}
	if len(c.Listen) == 0 && len(c.Inherit) == 0 {
		loopback(defaultPort)
	}
	for _, a := range c.Listen {
		if isPort(a) {
			loopback(a)
		} else {
			all = append(all, address{text: a})
		}
	}
	return all
}

// isPort reports whether an address is a port alone.
func isPort(address string) bool { return address != "" && strings.Trim(address, "0123456789") == "" }

// checkAddress refuses what cannot be listened on.
func checkAddress(address string) error {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		switch {
		case path == "":
			return errors.New(`listen on "unix:": the path of the socket is missing, as in unix:/run/peal.sock`)
		case len(path) > loop.MaxUnixPath:
			return fmt.Errorf("listen on %q: the path has %d bytes, a Unix socket's at most %d", address, len(path), loop.MaxUnixPath)
		}
		return nil
	}
	if isPort(address) {
		if _, err := net.LookupPort("tcp", address); err != nil || strings.Trim(address, "0") == "" {
			return fmt.Errorf("listen on %q: a port is 1 to 65535; for one that the kernel chooses say 127.0.0.1:0", address)
		}
		return nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("listen on %q: must be host:port, as in 127.0.0.1:8080, a port alone, which is one of this machine only, or unix:/path", address)
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return fmt.Errorf("listen on %q: the port must be 0 to 65535, as in %s", address, net.JoinHostPort(host, defaultPort))
	}
	return nil
}

// exposed is how others reach an address: "" if they cannot, because it is a
// Unix socket or one of this machine only.
func exposed(address string) (meant string) {
	host, _, err := net.SplitHostPort(address)
	if strings.HasPrefix(address, "unix:") || isPort(address) || err != nil || host == "localhost" {
		return ""
	}
	ip, err := netip.ParseAddr(host)
	if err == nil && ip.Unmap().IsLoopback() {
		return ""
	}
	if host == "" || err == nil && ip.IsUnspecified() {
		return "every address of the machine"
	}
	return "that"
}

// safer is the loopback address with the port of another.
func safer(address string) string {
	_, port, _ := net.SplitHostPort(address) // exposed has looked
	return net.JoinHostPort("127.0.0.1", port)
}

// checkListen refuses an address for clients that others could reach, while
// nothing asks them for credentials.
func (c Config) checkListen(address string) error {
	if err := checkAddress(address); err != nil || c.Open {
		return err
	}
	if meant := exposed(address); meant != "" {
		return fmt.Errorf("listen on %q: everybody who reaches this address could publish and subscribe, because nothing asks for credentials; listen on %s, or say --open if %s is meant", address, safer(address), meant)
	}
	return nil
}

// checkInherited is checkListen for a listener of the parent process.
func (c Config) checkInherited(fd int, at net.Addr) error {
	if at == nil || at.Network() == "unix" || c.Open || exposed(at.String()) == "" {
		return nil
	}
	return fmt.Errorf("inherit descriptor %d: it listens on %s, and everybody who reaches this address could publish and subscribe, because nothing asks for credentials; have the parent process listen on %s, or say --open if that is meant", fd, at, safer(at.String()))
}

// checkAdmin refuses an address for the operator that others could reach.
func (c Config) checkAdmin() error {
	if c.Admin == "" {
		return nil
	}
	if err := checkAddress(c.Admin); err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	if meant := exposed(c.Admin); meant != "" && !c.AdminOpen {
		return fmt.Errorf("admin: listen on %q: everybody who reaches this address could read metrics and profiles, because nothing asks for credentials; listen on %s or on a Unix socket, or say --admin-open if %s is meant and a firewall or network policy keeps others out", c.Admin, safer(c.Admin), meant)
	}
	return nil
}

// checkTwice refuses an address that is given twice.
func (c Config) checkTwice() (errs []error) {
	seen := map[string]string{}
	add := func(text, what string) {
		if strings.HasSuffix(text, ":0") && !strings.HasPrefix(text, "unix:") {
			return // a port that the kernel chooses
		}
		if first, ok := seen[text]; ok {
			errs = append(errs, fmt.Errorf("listen on %q: is given as %s and as %s: leave out one of the two, or choose another address", text, first, what))
		}
		seen[text] = what
	}
	for _, a := range c.addresses() {
		add(a.text, "--listen")
	}
	for _, a := range c.adminAddresses() {
		add(a.text, "--admin")
	}
	return errs
}

// adminAddresses are what Config.Admin means.
func (c Config) adminAddresses() []address {
	if c.Admin == "" {
		return nil
	}
	return Config{Listen: []string{c.Admin}}.addresses()
}
