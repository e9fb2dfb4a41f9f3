package server_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"peal/scripts/testca"
	"peal/server"
	"peal/server/certificate"
	"peal/server/token"
)

func TestFaultsOfTLSAreReportedTogether(t *testing.T) {
	ca, dir := testca.New(t, "CA"), t.TempDir()
	cert, key := ca.Files(dir, "a", testca.Leaf{})
	good := server.TLS{Certs: []string{cert}, Keys: []string{key}}
	for _, c := range []struct {
		config server.Config
		says   []string // nil: it is valid
	}{
		{server.Config{TLS: good, HTTPRedirect: "127.0.0.1:0", ListenPlain: []string{"127.0.0.1:0"}}, nil},
		{server.Config{Admin: "127.0.0.1:0", AdminTLS: server.AdminTLS{Cert: cert, Key: key, ClientCA: ca.File(dir, "ca")}}, nil},
		{server.Config{Admin: "0.0.0.0:0", AdminTLS: server.AdminTLS{Cert: cert, Key: key, ClientCA: ca.File(dir, "ca")}}, nil},
		{server.Config{TLS: server.TLS{ACME: certificate.ACME{Domains: []string{"a.example.org"}, Dir: dir}}}, nil},
		{server.Config{TLS: server.TLS{Certs: []string{cert}}}, []string{"tls-cert has 1 files and tls-key 0"}},
		{server.Config{TLS: server.TLS{Certs: []string{key}, Keys: []string{cert}}}, []string{"may be swapped"}},
		{server.Config{TLS: server.TLS{ACME: certificate.ACME{Domains: []string{"*.example.org"}}}}, []string{"is a wildcard", "acme-dir"}},
		{server.Config{ListenPlain: []string{"127.0.0.1:0"}, HTTPRedirect: "127.0.0.1:0"}, []string{"listen-plain: needs", "http-redirect: needs"}},
		{server.Config{TLS: good, ListenPlain: []string{"0.0.0.0:80", "unix:/x"}}, []string{`listen on "0.0.0.0:80": every client`, "Unix sockets are never encrypted"}},
		{server.Config{TLS: good, Listen: []string{"0.0.0.0:443"}}, []string{"set --auth token"}},
		{server.Config{TLS: good, Listen: []string{"127.0.0.1:1"}, ListenPlain: []string{"127.0.0.1:1"}, HTTPRedirect: "127.0.0.1:1"}, []string{"as --listen and as --listen-plain", "and as --http-redirect"}},
		{server.Config{TLS: good, Listen: []string{"unix:/x"}, HTTPRedirect: "127.0.0.1:0"}, []string{"needs a TCP address in listen"}},
		{server.Config{TLS: good, HTTPRedirect: "unix:/x"}, []string{"must be a TCP address"}},
		{server.Config{Admin: "127.0.0.1:0", AdminTLS: server.AdminTLS{Cert: cert}}, []string{"belong together"}},
		{server.Config{Admin: "unix:/x", AdminTLS: server.AdminTLS{Cert: cert, Key: key}}, []string{"is a Unix socket"}},
		{server.Config{AdminTLS: server.AdminTLS{Cert: cert, Key: key}}, []string{"needs admin"}},
		{server.Config{Admin: "0.0.0.0:0", AdminTLS: server.AdminTLS{Cert: cert, Key: key}}, []string{"set admin-client-ca"}},
		{server.Config{Admin: "127.0.0.1:0", AdminTLS: server.AdminTLS{Cert: key, Key: cert}}, []string{"admin-tls-cert"}},
	} {
		err := c.config.Validate()
		if c.says == nil && err != nil {
			t.Errorf("%+v: %v", c.config.TLS, err)
		}
		for _, part := range c.says {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%v, want an error with %q", err, part)
			}
		}
	}
}

func TestTimesOfTLSReachTheLoops(t *testing.T) {
	for _, c := range []struct{ handshake, record, wantHandshake, wantRecord time.Duration }{
		{0, 0, 10 * time.Second, 30 * time.Second},
		{3 * time.Second, 7 * time.Second, 3 * time.Second, 7 * time.Second},
	} {
		handshake, record := server.TimesOfTLS(server.Config{TLS: server.TLS{HandshakeTimeout: c.handshake, RecordTimeout: c.record}})
		if handshake != c.wantHandshake || record != c.wantRecord {
			t.Errorf("with %s and %s the loops have %s and %s, want %s and %s", c.handshake, c.record, handshake, record, c.wantHandshake, c.wantRecord)
		}
	}
}

// serving runs a server until the end of the test.
func serving(t *testing.T, c server.Config) *server.Server {
	t.Helper()
	c.Log = slog.New(slog.DiscardHandler)
	c.Loop.Loops = 1
	s, err := server.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }() // ends at the end of the test
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

// asked is the response to a request, on a connection of its own.
func asked(t *testing.T, config *tls.Config, r *http.Request) (*http.Response, error) {
	t.Helper()
	client := &http.Client{
		Transport:     &http.Transport{TLSClientConfig: config, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(r)
	if err == nil {
		_, _ = io.Copy(io.Discard, response.Body) // the status is what counts
		response.Body.Close()
	}
	return response, err
}

func request(t *testing.T, method, url, host string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	return r
}

func TestHTTPIsRedirected(t *testing.T) {
	ca, dir := testca.New(t, "CA"), t.TempDir()
	cert, key := ca.Files(dir, "a", testca.Leaf{Names: []string{"push.example.org", "*.wild.example"}})
	s := serving(t, server.Config{
		Listen: []string{"unix:" + dir + "/socket", "127.0.0.1:0"}, ListenPlain: []string{"127.0.0.1:0"}, HTTPRedirect: "127.0.0.1:0",
		TLS: server.TLS{Certs: []string{cert}, Keys: []string{key}},
	})
	port := s.Addrs()[1].(*net.TCPAddr).Port
	if e := s.Endpoints(); len(e) != 3 || e[0].Secure || !e[1].Secure || e[2].Secure {
		t.Errorf("endpoints: %+v", e)
	}
	at := "http://" + s.RedirectAddrs()[0].String()
	to := func(host, path string) string { return "https://" + net.JoinHostPort(host, strconv.Itoa(port)) + path }
	for _, c := range []struct {
		method, path, host, want string // "": refused
		status                   int
	}{
		{"GET", "/", "push.example.org", to("push.example.org", "/"), 308},
		{"GET", "/sse?channel=a%20b&x=%0d", "PUSH.example.org:80", to("PUSH.example.org", "/sse?channel=a%20b&x=%0d"), 308},
		{"POST", "/publish?channel=a", "a.wild.example", to("a.wild.example", "/publish?channel=a"), 308},
		{"GET", "//evil.example/x", "push.example.org", to("push.example.org", "//evil.example/x"), 308},
		{"GET", "/", "127.0.0.1:80", to("127.0.0.1", "/"), 308},
		{"GET", "/", "[::1]:80", to("::1", "/"), 308},
		{"GET", "/", "localhost", to("localhost", "/"), 308},
		{"GET", "/", "evil.example", "", 421},
		{"GET", "/", "push.example.org.evil.example", "", 421},
		{"GET", "/.well-known/acme-challenge/x", "push.example.org", to("push.example.org", "/.well-known/acme-challenge/x"), 308}, // no acme
	} {
		response, err := asked(t, nil, request(t, c.method, at+c.path, c.host))
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		if response.StatusCode != c.status || response.Header.Get("Location") != c.want || !response.Close {
			t.Errorf("%+v: %d to %q, the connection ends: %v", c, response.StatusCode, response.Header.Get("Location"), response.Close)
		}
	}
	// What no client of net/http sends.
	for _, head := range []string{"OPTIONS * HTTP/1.1\r\nHost: push.example.org\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"} {
		c, err := net.Dial("tcp", s.RedirectAddrs()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, head)
		answer, _ := io.ReadAll(c)
		c.Close()
		if text := string(answer); !strings.HasPrefix(text, "HTTP/1.1 4") && !strings.HasPrefix(text, "HTTP/1.0 4") {
			t.Errorf("%q: %q", head, text)
		}
	}
	// The addresses speak what they are to speak.
	trusting := &tls.Config{RootCAs: ca.Pool, ServerName: "push.example.org"}
	for url, status := range map[string]int{"https://" + s.Addrs()[1].String(): 200, "http://" + s.Addrs()[2].String(): 200} {
		if response, err := asked(t, trusting, request(t, "GET", url+"/channels", "")); err != nil || response.StatusCode != status {
			t.Errorf("%s: %v, %v", url, response, err)
		}
	}
	if response, err := asked(t, nil, request(t, "GET", "http://"+s.Addrs()[1].String()+"/channels", "")); err == nil && response.StatusCode == 200 {
		t.Error("the address with TLS responds to http")
	}
}

func TestAdminWithClientCertificates(t *testing.T) {
	ca, dir := testca.New(t, "CA"), t.TempDir()
	cert, key := ca.Files(dir, "admin", testca.Leaf{})
	s := serving(t, server.Config{Listen: []string{"127.0.0.1:0"}, Admin: "127.0.0.1:0", AdminTLS: server.AdminTLS{Cert: cert, Key: key, ClientCA: ca.File(dir, "ca")}})
	own, ownKey := ca.Sign(testca.Leaf{Client: true, Names: []string{"operator"}})
	pair, err := tls.X509KeyPair(own, ownKey)
	if err != nil {
		t.Fatal(err)
	}
	url := "https://" + s.AdminAddrs()[0].String() + "/metrics"
	if response, err := asked(t, &tls.Config{RootCAs: ca.Pool, Certificates: []tls.Certificate{pair}}, request(t, "GET", url, "")); err != nil || response.StatusCode != 200 {
		t.Errorf("with a certificate: %v, %v", response, err)
	}
	if response, err := asked(t, &tls.Config{RootCAs: ca.Pool}, request(t, "GET", url, "")); err == nil {
		t.Errorf("without a certificate: %v", response)
	}
	if response, err := asked(t, nil, request(t, "GET", strings.Replace(url, "https", "http", 1), "")); err == nil && response.StatusCode == 200 {
		t.Error("without TLS the metrics are shown")
	}
}

// A reload that cannot turn TLS off changes nothing else: what is accepted as a token stays.
func TestReloadThatFailsForTLSKeepsTokens(t *testing.T) {
	ca := testca.New(t, "CA")
	cert, key := ca.Files(t.TempDir(), "a", testca.Leaf{})
	secret := strings.Repeat("s", 32)
	c := server.Config{Listen: []string{"127.0.0.1:0"}, TLS: server.TLS{Certs: []string{cert}, Keys: []string{key}}}
	c.Token.Secrets = []string{secret}
	s := serving(t, c)
	text, err := token.Sign(secret, token.Claims{Subject: "u", Issued: time.Now().Add(time.Second), Lifetime: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool, ServerName: "localhost"}, DisableKeepAlives: true}}
	check := func(when string) {
		t.Helper()
		r, err := client.Get("https://" + s.Addrs()[0].String() + "/poll?timeout=1&token=" + text)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		if r.StatusCode != 200 {
			t.Errorf("%s: %s", when, r.Status)
		}
	}
	check("before")
	for name, change := range map[string]func(*server.Config){
		"TLS is turned off": func(c *server.Config) { c.TLS = server.TLS{} },
		"TLS of the admin listener is turned on": func(c *server.Config) {
			c.Admin, c.AdminTLS = "127.0.0.1:1", server.AdminTLS{Cert: cert, Key: key}
		},
	} {
		next := c
		next.Token.Secrets = []string{strings.Repeat("t", 32)}
		change(&next)
		if err := s.Reload(t.Context(), next); err == nil || !strings.Contains(err.Error(), "restart") {
			t.Errorf("%s: %v", name, err)
		}
		check(name)
	}
}

func TestReloadOfCertificates(t *testing.T) {
	ca, dir := testca.New(t, "CA"), t.TempDir()
	cert, key := ca.Files(dir, "a", testca.Leaf{})
	other, otherKey := ca.Files(dir, "b", testca.Leaf{})
	c := server.Config{Listen: []string{"127.0.0.1:0"}, TLS: server.TLS{Certs: []string{cert}, Keys: []string{key}}}
	s := serving(t, c)
	serial := func() string {
		t.Helper()
		conn, err := tls.Dial("tcp", s.Addrs()[0].String(), &tls.Config{RootCAs: ca.Pool, ServerName: "localhost"})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	old := serial()
	broken := c
	broken.TLS.Keys = []string{otherKey}
	if err := s.Reload(t.Context(), broken); err == nil || !strings.Contains(err.Error(), "is not the key of") || serial() != old {
		t.Errorf("a pair that does not fit: %v", err)
	}
	without := c
	without.TLS = server.TLS{}
	if err := s.Reload(t.Context(), without); err == nil || !strings.Contains(err.Error(), "restart") || serial() != old {
		t.Errorf("TLS is turned off: %v", err)
	}
	c.TLS = server.TLS{Certs: []string{other}, Keys: []string{otherKey}}
	if err := s.Reload(t.Context(), c); err != nil || serial() == old {
		t.Errorf("another pair: %v", err)
	}
	if st := s.TLSStats(); st.Connections.Full < 3 || len(st.Certificates.Certificates) != 1 {
		t.Errorf("stats: %+v", st)
	}
}

// A stranger whose handshake with the operator's listener fails cannot fill the log.
func TestHandshakesWithTheOperatorAreForDebugging(t *testing.T) {
	var text bytes.Buffer
	w := server.OperatorErrors(slog.New(slog.NewTextHandler(&text, nil)))
	fmt.Fprintln(w, "http: TLS handshake error from 192.0.2.1:4711: tls: client didn't provide a certificate")
	if text.Len() != 0 {
		t.Errorf("a line: %s", &text)
	}
	fmt.Fprintln(w, "http: panic serving 192.0.2.1:4711: oh")
	if !strings.Contains(text.String(), "level=WARN") || !strings.Contains(text.String(), "panic serving") {
		t.Errorf("no line about a panic: %s", &text)
	}
}
