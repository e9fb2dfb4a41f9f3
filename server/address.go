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

// DefaultListen are the addresses without Config.Listen; the second is omitted on a
// machine without IPv6.
func DefaultListen() []string { return loopbackAddresses(defaultPort) }

func loopbackAddresses(port string) []string {
	return []string{net.JoinHostPort("127.0.0.1", port), net.JoinHostPort("::1", port)}
}

// address is one to listen on.
type address struct {
	text     string
	optional bool // omitted on a machine without IPv6
}

// addresses are those of Config.Listen.
func (c Config) addresses() (all []address) {
	listen := c.Listen
	if len(listen) == 0 && len(c.Inherit)+len(c.InheritPlain) == 0 {
		listen = []string{defaultPort}
	}
	return addressesOf(listen)
}

// addressesOf are those of a list, in which a port alone stands for two.
func addressesOf(list []string) (all []address) {
	for _, a := range list {
		if isPort(a) {
			both := loopbackAddresses(a)
			all = append(all, address{text: both[0]}, address{text: both[1], optional: true})
		} else {
			all = append(all, address{text: a})
		}
	}
	return all
}

// redirectAddresses are those of Config.HTTPRedirect.
func (c Config) redirectAddresses() []address {
	if c.HTTPRedirect == "" {
		return nil
	}
	return addressesOf([]string{c.HTTPRedirect})
}

// isPort reports whether an address is a port alone.
func isPort(address string) bool { return address != "" && strings.Trim(address, "0123456789") == "" }

// checkAddress refuses an address on which the server cannot listen.
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
			return fmt.Errorf("listen on %q: a port is 1 to 65535; use 127.0.0.1:0 for a port that the kernel chooses", address)
		}
		return nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("listen on %q: must be host:port, as in 127.0.0.1:8080, a port alone, which is that port of the loopback addresses, or unix:/path", address)
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return fmt.Errorf("listen on %q: the port must be 0 to 65535, as in %s", address, net.JoinHostPort(host, defaultPort))
	}
	return nil
}

// exposed describes the address by which other machines reach it: "" if they cannot,
// because it is a Unix socket or a loopback address.
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
	return "this address"
}

// safer is the loopback address with the port of another.
func safer(address string) string {
	_, port, _ := net.SplitHostPort(address) // exposed has looked
	return net.JoinHostPort("127.0.0.1", port)
}

// public reports whether the server may listen on addresses that others can reach.
func (c Config) public() bool { return c.Open || c.Auth == AuthToken }

// checkListen refuses an address that other machines could reach, where clients
// need no credentials.
func (c Config) checkListen(address string) error {
	if err := checkAddress(address); err != nil || c.public() {
		return err
	}
	if meant := exposed(address); meant != "" {
		return fmt.Errorf("listen on %q: every client that can reach this address could publish and subscribe, because auth is open; set --auth token, listen on %s, or set --open to allow %s", address, safer(address), meant)
	}
	return nil
}

// checkInherited is checkListen for a listener of the parent process.
func (c Config) checkInherited(fd int, at net.Addr) error {
	if at == nil || at.Network() == "unix" || c.public() || exposed(at.String()) == "" {
		return nil
	}
	return fmt.Errorf("inherit descriptor %d: it listens on %s, and every client that can reach this address could publish and subscribe, because auth is open; set --auth token, let the parent process listen on %s, or set --open to allow this address", fd, at, safer(at.String()))
}

// checkInheritedAdmin is checkAdmin for a listener of the parent process.
func (c Config) checkInheritedAdmin(fd int, at net.Addr) error {
	if at.Network() == "unix" || c.AdminOpen || c.adminProves() || exposed(at.String()) == "" {
		return nil
	}
	return fmt.Errorf("inherit descriptor %d: it listens on %s, and every client that can reach this address could read metrics and profiles, because Peal checks no credentials; let the parent process listen on %s or on a Unix socket, or set --admin-open if a firewall or network policy protects it", fd, at, safer(at.String()))
}

// adminProves reports whether clients of the operator's listener prove who they are, in a way that nobody on
// the network can read: by a certificate, or by a key over TLS.
func (c Config) adminProves() bool {
	return c.AdminTLS.ClientCA != "" || c.AdminTLS.On() && len(c.OperatorKeys) > 0
}

// checkAdmin refuses an address for the operator that other machines could reach.
func (c Config) checkAdmin() error {
	if c.Admin == "" {
		return nil
	}
	if err := checkAddress(c.Admin); err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	if meant := exposed(c.Admin); meant != "" && !c.AdminOpen && !c.adminProves() {
		return fmt.Errorf("admin: listen on %q: every client that can reach this address could read metrics and profiles, because Peal checks no credentials; listen on %s or on a Unix socket, set admin-client-ca to require client certificates, or admin-tls-cert with operator-keys, or set --admin-open to allow %s if a firewall or network policy protects it", c.Admin, safer(c.Admin), meant)
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
			errs = append(errs, fmt.Errorf("listen on %q: is given as %s and as %s: remove one of the two, or choose another address", text, first, what))
		}
		seen[text] = what
	}
	for _, a := range c.addresses() {
		add(a.text, "--listen")
	}
	for _, a := range addressesOf(c.ListenPlain) {
		add(a.text, "--listen-plain")
	}
	for _, a := range c.redirectAddresses() {
		add(a.text, "--http-redirect")
	}
	for _, a := range c.adminAddresses() {
		add(a.text, "--admin")
	}
	return errs
}

// adminAddresses are those of Config.Admin.
func (c Config) adminAddresses() []address {
	if c.Admin == "" {
		return nil
	}
	return addressesOf([]string{c.Admin})
}
