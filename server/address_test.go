package server_test

import (
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
	check("10.0.0.1:8080", "everybody who reaches this address could", "127.0.0.1:8080")
	check("0", "1 to 65535", "127.0.0.1:0")
	check("65536", "1 to 65535")
	check("127.0.0.1:65536", "0 to 65535")
	check("127.0.0.1", "host:port", "a port alone")
	check("", "host:port")
	check("unix:", "path")
}
