package server_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"peal/loop"
	"peal/scripts/testca"
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
		conn.SetDeadline(time.Now().Add(time.Minute))
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
	for deadline := time.Now().Add(time.Minute); ; {
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

// Over TLS a refusal comes behind the handshake, and beyond the budget the connection ends before it.
// Clients that never finish the handshake leave nothing behind.
func TestRefusalsOverTLS(t *testing.T) {
	ca, dir := testca.New(t, "CA"), t.TempDir()
	cert, key := ca.Files(dir, "a", testca.Leaf{})
	c := server.Config{Listen: []string{"127.0.0.1:0"}, TLS: server.TLS{Certs: []string{cert}, Keys: []string{key}}}
	c.Loop.MaxConnections = 1
	s := serving(t, c)
	trust := &tls.Config{RootCAs: ca.Pool, ServerName: "localhost"}
	url := "https://" + s.Addrs()[0].String()
	held, err := tls.Dial("tcp", s.Addrs()[0].String(), trust)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()

	for path, want := range map[string]int{"/channels": 503, "/poll?channel=a": 429, "/sse?channel=a": 200} {
		response, err := asked(t, trust, request(t, "GET", url+path, "localhost"))
		if err != nil || response.StatusCode != want || want != 200 && response.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %v, %v, want %d", path, response, err, want)
		}
	}
	for _, first := range []string{"", "\x16\x03\x01", "GET / HTTP/1.1\r\n\r\n"} { // no handshake, half of one, none at all
		conn, err := net.Dial("tcp", s.Addrs()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, first)
		conn.Close()
	}
	stats := func() loop.Stats {
		t.Helper()
		all, err := s.LoopStats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return all[0]
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		st := stats()
		if st.Connections == 1 && st.Admission.Open == 0 && st.Refused == 6 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d connections, %d refusals under way, %d refused, want 1, 0 and 6", st.Connections, st.Admission.Open, st.Refused)
		}
	}

	next := c
	next.Admission.Refusals = rate.Off
	if err := s.Reload(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if conn, err := tls.Dial("tcp", s.Addrs()[0].String(), trust); err == nil {
		conn.Close()
		t.Error("without a budget a handshake was finished")
	}
}
