package server

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
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

// checkAddress refuses what cannot be listened on, and what others could reach
// while nothing keeps them out.
func checkAddress(address string, open bool) error {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		if path == "" {
			return errors.New(`listen on "unix:": the path of the socket is missing, as in unix:/run/peal.sock`)
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
	if open || host == "localhost" {
		return nil
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Unmap().IsLoopback() {
		return nil
	}
	meant := "that"
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		meant = "every address of the machine"
	}
	return fmt.Errorf("listen on %q: everybody who reaches this address could publish and subscribe, because nothing asks for credentials; listen on 127.0.0.1:%s, or say --open if %s is meant", address, port, meant)
}

// listenError is why nobody can listen on an address. It says the address
// once, as it was configured; what it wraps would say it again.
type listenError struct {
	address string
	err     error
}

func (e *listenError) Unwrap() error { return e.err }

func (e *listenError) Error() string {
	reason := e.err
	var op *net.OpError
	if errors.As(reason, &op) {
		reason = op.Err
	}
	return fmt.Sprintf("listen on %q: %v", e.address, reason)
}
