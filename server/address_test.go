package server_test

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"peal/server"
)

func TestAddressesThatAreTaken(t *testing.T) {
	for _, a := range []string{"8080", "1", "65535", "127.0.0.1:0", "localhost:80", "[::1]:80", "127.8.8.8:1", "unix:/run/peal.sock", "127.0.0.1:http"} {
		if err := (server.Config{Listen: []string{a}}).Validate(); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
	for _, a := range []string{"0.0.0.0:80", ":80", "[::]:80", "10.0.0.1:80", "example.com:80"} {
		if err := (server.Config{Listen: []string{a}, Open: true}).Validate(); err != nil {
			t.Errorf("%s with --open: %v", a, err)
		}
	}
}

func TestAddressesThatAreNot(t *testing.T) {
	check := func(address string, parts ...string) {
		t.Helper()
		err := (server.Config{Listen: []string{address}}).Validate()
		if err == nil {
			t.Errorf("%s is taken", address)
			return
		}
		for _, p := range parts {
			if !strings.Contains(err.Error(), p) {
				t.Errorf("%s: %q is not in: %v", address, p, err)
			}
		}
	}
	check(":8080", "every address of the machine", "--open", "127.0.0.1:8080")
	check("0.0.0.0:8080", "every address of the machine", "127.0.0.1:8080")
	check("10.0.0.1:8080", "every client that can reach this address could", "127.0.0.1:8080")
	check("0", "1 to 65535", "127.0.0.1:0")
	check("65536", "1 to 65535")
	check("127.0.0.1:65536", "0 to 65535")
	check("127.0.0.1", "host:port", "a port alone")
	check("", "host:port")
	check("unix:", "path")
	check("unix:/"+strings.Repeat("x", 107), "108 bytes", "at most 107")
}

// The operator's listener has a check, a sentence and a setting of its own.
func TestAdminAddresses(t *testing.T) {
	check := func(admin string, open, adminOpen bool, parts ...string) {
		t.Helper()
		err := (server.Config{Listen: []string{"127.0.0.1:0"}, Admin: admin, Open: open, AdminOpen: adminOpen}).Validate()
		if (err != nil) != (len(parts) > 0) {
			t.Errorf("admin on %s, open %v, admin-open %v: %v", admin, open, adminOpen, err)
		}
		for _, p := range parts {
			if err != nil && !strings.Contains(err.Error(), p) {
				t.Errorf("admin on %s: %q is not in: %v", admin, p, err)
			}
		}
	}
	check("127.0.0.1:8081", false, false)
	check("8081", false, false)
	check("unix:/run/peal-admin.sock", false, false)
	check("10.0.0.1:8081", false, true)
	check("0.0.0.0:8081", true, true)
	check("10.0.0.1:8081", false, false, "admin: ", "metrics and profiles", "--admin-open", "127.0.0.1:8081")
	check("10.0.0.1:8081", true, false, "metrics and profiles", "--admin-open")
	check(":8081", true, false, "every address of the machine")
	check("nonsense", true, true, "admin: ", "host:port")
}

func TestAnAddressIsGivenOnce(t *testing.T) {
	check := func(twice bool, admin string, listen ...string) {
		t.Helper()
		err := (server.Config{Listen: listen, Admin: admin, Open: true}).Validate()
		if (err != nil) != twice || twice && !strings.Contains(err.Error(), "is given as") {
			t.Errorf("admin %q, listen %q: %v", admin, listen, err)
		}
	}
	check(true, "", "127.0.0.1:80", "127.0.0.1:80")
	check(true, "", "80", "[::1]:80")
	check(true, "8080")
	check(true, "", "unix:/s", "unix:/s")
	check(true, "unix:/s:0", "unix:/s:0")
	check(false, "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0")
	check(false, "8081", "80", "unix:/s")
}

func TestSocketModes(t *testing.T) {
	for mode, good := range map[string]bool{"": true, "0660": true, "666": true, "0777": true, "0": true, "1777": false, "0868": false, "rw": false, "-1": false} {
		if err := (server.Config{SocketMode: mode}).Validate(); (err == nil) != good {
			t.Errorf("mode %q: %v", mode, err)
		}
	}
	if _, err := server.New(server.Config{Listen: []string{"127.0.0.1:0"}, SocketGroup: "no-such-group"}); err == nil || !strings.Contains(err.Error(), `socket-group "no-such-group": this machine has no such group`) {
		t.Errorf("an unknown group: %v", err)
	}
}

// A configuration is the same with and without socket activation.
func TestAddressesThatTheParentProcessServes(t *testing.T) {
	at := func(network, address string) net.Addr {
		if network == "unix" {
			return &net.UnixAddr{Name: address, Net: network}
		}
		return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address))
	}
	for _, c := range []struct {
		configured string
		inherited  net.Addr
		want       bool
	}{
		{"127.0.0.1:8080", at("tcp", "127.0.0.1:8080"), true},
		{"127.0.0.1:8080", at("tcp", "127.0.0.1:8081"), false},
		{"[::]:443", at("tcp", "[::]:443"), true},
		{":443", at("tcp", "[::]:443"), true},
		{":443", at("tcp", "[::]:80"), false},
		{":443", at("tcp", "[::1]:443"), false},
		{":443", at("tcp", "0.0.0.0:443"), false}, // IPv6 would be missing
		{"unix:/run/peal.sock", at("unix", "/run/peal.sock"), true},
	} {
		if got := server.IsAmong(c.configured, c.inherited); got != c.want {
			t.Errorf("%s, inherited %s: %v", c.configured, c.inherited, got)
		}
	}
}
