package main

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"peal/server"
)

func TestWelcomeHasWhatCanBePasted(t *testing.T) {
	needsKey, secure := false, false
	check := func(want string, addrs ...net.Addr) {
		t.Helper()
		var b strings.Builder
		var endpoints []server.Endpoint
		for _, a := range addrs {
			endpoints = append(endpoints, server.Endpoint{Addr: a, Secure: secure && a.Network() == "tcp"})
		}
		welcome(&b, endpoints, server.Limits{Loops: 2, Connections: 900, Descriptors: 1024}, needsKey)
		got := ""
		for line := range strings.Lines(b.String()) {
			if !strings.HasPrefix(line, "Elsewhere:") { // depends on the machine
				got += line
			}
		}
		want += "Limits:       900 connections (1024 open files), 2 event loops\n"
		if got != want {
			t.Errorf("%v:\n%s\nwant\n%s", addrs, got, want)
		}
	}
	tcp := func(at string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(at)) }
	socket := &net.UnixAddr{Net: "unix", Name: "/run/peal.sock"}
	check("Peal listens on 127.0.0.1:8080, [::1]:8080\nPage:         http://127.0.0.1:8080/\nPublish:      curl -d 'hello' http://127.0.0.1:8080/publish\n",
		tcp("127.0.0.1:8080"), tcp("[::1]:8080"))
	check("Peal listens on 0.0.0.0:80\nPage:         http://localhost:80/\nPublish:      curl -d 'hello' http://localhost:80/publish\n", tcp("0.0.0.0:80"))
	check("Peal listens on [::]:80\nPage:         http://localhost:80/\nPublish:      curl -d 'hello' http://localhost:80/publish\n", tcp("[::]:80"))
	check("Peal listens on unix:/run/peal.sock, [::1]:80\nPage:         http://[::1]:80/\nPublish:      curl -d 'hello' http://[::1]:80/publish\n", socket, tcp("[::1]:80"))
	check("Peal listens on unix:/run/peal.sock\nPublish:      curl --unix-socket '/run/peal.sock' -d 'hello' http://localhost/publish\n", socket)

	needsKey = true
	check("Peal listens on [::1]:80\nPage:         http://[::1]:80/\nPublish:      curl -H \"Authorization: Bearer $PEAL_KEY\" -d 'hello' http://[::1]:80/publish\n", tcp("[::1]:80"))
	check("Peal listens on unix:/run/peal.sock\nPublish:      curl -H \"Authorization: Bearer $PEAL_KEY\" --unix-socket '/run/peal.sock' -d 'hello' http://localhost/publish\n", socket)

	needsKey, secure = false, true
	check("Peal listens on [::]:443\nPage:         https://localhost:443/\nPublish:      curl -d 'hello' https://localhost:443/publish\n", tcp("[::]:443"))
	check("Peal listens on unix:/run/peal.sock, 192.0.2.1:443\nPage:         https://192.0.2.1:443/\nPublish:      curl -d 'hello' https://192.0.2.1:443/publish\n", socket, tcp("192.0.2.1:443"))
}
