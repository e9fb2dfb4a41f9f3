package server_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"peal/server"
	"peal/server/rate"
)

// An IPv6 /64 is one client, whatever addresses of it connect. The limits change while the server runs.
func TestNetworkOfACustomerIsOneAddress(t *testing.T) {
	c := server.Config{TrustedProxies: []string{"loopback"}, Admission: server.Admission{PerAddress: 2}}
	s, _ := run(t, c)
	dial := func(client string) net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", s.Addrs()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprintf(conn, "PROXY TCP6 %s 2001:db8:ffff::1 4711 443\r\nGET /peal.js HTTP/1.1\r\nHost: localhost\r\n\r\n", client)
		return conn
	}
	served := func(client string, want bool) net.Conn {
		t.Helper()
		conn := dial(client)
		if _, err := http.ReadResponse(bufio.NewReader(conn), nil); (err == nil) != want {
			t.Errorf("%s: served is %v, want %v", client, err == nil, want)
		}
		return conn
	}
	first := served("2001:db8:1:2::1", true)
	served("2001:db8:1:2:ffff::9", true)
	served("2001:db8:1:2::3", false)
	served("2001:db8:1:3::1", true)

	next := c
	next.Admission.PerAddress = 3
	if err := s.Reload(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	served("2001:db8:1:2::4", true)
	served("2001:db8:1:2::5", false)
	first.Close()
	for deadline := time.Now().Add(20 * time.Second); ; {
		conn := dial("2001:db8:1:2::6")
		if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
			break // its place is free
		}
		if time.Now().After(deadline) {
			t.Fatal("a connection that has ended is still counted")
		}
	}

	next.Admission.AddressRate = rate.Limit{Count: 1, Per: time.Minute, Burst: 1}
	if err := s.Reload(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	served("2001:db8:1:9::1", true).Close()
	served("2001:db8:1:9::2", false)
}

// Beyond max-connections the clients of each transport learn when to come back.
func TestFullServerRefusesInTheFormOfTheTransport(t *testing.T) {
	c := server.Config{}
	c.Loop.MaxConnections = 1
	_, url := run(t, c)
	stream, err := client.Get(url + "/sse?channel=a")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	check := func(path string, status int, want string) {
		t.Helper()
		response, err := client.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		b, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != status || !strings.Contains(string(b), want) {
			t.Errorf("%s: %d %q, %v, want %d with %q", path, response.StatusCode, b, err, status, want)
		}
		if status != 200 && response.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", path)
		}
	}
	for range 5 {
		check("/sse?channel=a", 200, "retry: ")
		check("/poll?channel=a", 429, "too_many_connections")
		check("/channels", 503, "too_many_connections")
	}
}
