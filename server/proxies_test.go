package server_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"peal/server"
)

// lines is a log that a test reads while the server writes.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

// trying is a server with proxies to trust, on TCP and a Unix socket.
func trying(t *testing.T, list ...string) (s *server.Server, log *lines) {
	t.Helper()
	return tryingWith(t, nil, list...)
}

func tryingWith(t *testing.T, change func(*server.Config), list ...string) (s *server.Server, log *lines) {
	t.Helper()
	log = &lines{}
	c := server.Config{
		Listen: []string{"127.0.0.1:0", "unix:" + filepath.Join(t.TempDir(), "s")}, TrustedProxies: list,
		Log: slog.New(slog.NewTextHandler(log, nil)), AccessLog: filepath.Join(t.TempDir(), "access"),
	}
	if change != nil {
		change(&c)
	}
	s, err := server.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }() // ends with the test
	t.Cleanup(func() { cancel(); <-ended })
	return s, log
}

// ask sends text on a new connection and returns the first response, and its body.
func ask(t *testing.T, at net.Addr, text string) (status int, body string) {
	t.Helper()
	c, err := net.Dial(at.Network(), at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, err.Error()
	}
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

const script = "GET /peal.js HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

// A header is taken on the listeners of trusted peers, and a bad request on others.
func TestPROXYHeadersOnListeners(t *testing.T) {
	const header = "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n"
	for _, c := range []struct {
		list      string
		tcp, unix int
	}{{"loopback", 200, 400}, {"unix", 400, 200}, {"10.0.0.0/8", 400, 400}} {
		s, log := trying(t, c.list)
		for i, want := range []int{c.tcp, c.unix} {
			if status, body := ask(t, s.Addrs()[i], header+script); status != want || want == 400 && !strings.Contains(body, "untrusted_proxy") {
				t.Errorf("%s, %v: %d %s, want %d", c.list, s.Addrs()[i], status, body, want)
			}
			if status, body := ask(t, s.Addrs()[i], script); status != 200 {
				t.Errorf("%s, %v: without a header %d %s", c.list, s.Addrs()[i], status, body)
			}
		}
		if n := log.count("header=\"PROXY protocol\""); n != 1 {
			t.Errorf("%s: %d lines about what is ignored", c.list, n)
		}
	}
}

// The list changes while the server runs.
func TestTrustedProxiesAreReloaded(t *testing.T) {
	s, log := trying(t)
	reload := func(list ...string) {
		t.Helper()
		if err := s.Reload(t.Context(), server.Config{Listen: []string{"127.0.0.1:0"}, TrustedProxies: list}); err != nil {
			t.Fatal(err)
		}
	}
	conflict := strings.Replace(script, "\r\n\r\n", "\r\nX-Forwarded-For: 192.0.2.7\r\nForwarded: for=192.0.2.8\r\n\r\n", 1)
	check := func(want int) { // 400 only of a trusted proxy
		t.Helper()
		if status, body := ask(t, s.Addrs()[0], conflict); status != want {
			t.Errorf("%d %s, want %d", status, body, want)
		}
	}
	check(200)
	reload("loopback")
	check(400)
	if log.count("restart it") != 1 {
		t.Error("no line says that PROXY headers need a restart")
	}
	if status, body := ask(t, s.Addrs()[0], "PROXY UNKNOWN\r\n"+script); status != 400 {
		t.Errorf("%d %s", status, body)
	}
	reload()
	check(200)
	if err := s.Reload(t.Context(), server.Config{TrustedProxies: []string{"proxy.example"}}); err == nil || !strings.Contains(err.Error(), "trusted-proxies") {
		t.Errorf("a name was accepted: %v", err)
	}
	check(200)
}

func TestTrustedProxiesAreJudgedAtTheStart(t *testing.T) {
	_, err := server.New(server.Config{Listen: []string{"127.0.0.1:0"}, TrustedProxies: []string{"10.0.0.1/8"}})
	if want := "10.0.0.0/8 for the network"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}

// What a trusted proxy sends is counted by its result.
func TestHeadersAreCounted(t *testing.T) {
	s, _ := trying(t, "loopback")
	for range 3 {
		ask(t, s.Addrs()[0], "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n"+script)
	}
	if status, body := ask(t, s.Addrs()[0], "PROXY TCP9\r\n"+script); status != 0 {
		t.Errorf("%d %s, want the end", status, body)
	}
	if got := fmt.Sprintf("%+v", s.ProxyHeaders()); got != "{Headers:3 Malformed:1 Late:0}" {
		t.Error(got)
	}
	plain, _ := trying(t)
	if got := fmt.Sprintf("%+v", plain.ProxyHeaders()); got != "{Headers:0 Malformed:0 Late:0}" {
		t.Error(got)
	}
}

// The limit of an address holds for the clients that a proxy names, and not for the proxy.
func TestClientsOfProxiesAreLimitedByTheirAddress(t *testing.T) {
	s, _ := tryingWith(t, func(c *server.Config) { c.Admission.PerAddress = 2 }, "loopback")
	dial := func(client string) net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", s.Addrs()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		fmt.Fprintf(c, "PROXY TCP4 %s 198.51.100.1 4711 443\r\n%s", client, strings.Replace(script, "Connection: close\r\n", "", 1))
		return c
	}
	served := func(c net.Conn) bool {
		_, err := http.ReadResponse(bufio.NewReader(c), nil)
		return err == nil
	}
	for _, client := range []string{"192.0.2.7", "192.0.2.7", "192.0.2.8", "192.0.2.8"} {
		if !served(dial(client)) {
			t.Errorf("%s is refused", client)
		}
	}
	if served(dial("192.0.2.7")) {
		t.Error("a third connection of one client is served")
	}
	if !served(dial("192.0.2.9")) {
		t.Error("a client behind the same proxy is refused")
	}
}

// A header that does not become whole ends the connection, also in front of TLS or of
// nothing; a connection that has sent nothing waits for longer.
func TestAHeaderThatDoesNotBecomeWhole(t *testing.T) {
	s, log := tryingWith(t, func(c *server.Config) { c.Loop.HeadTimeout = time.Second }, "loopback")
	silent, err := net.Dial("tcp", s.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if status, body := ask(t, s.Addrs()[0], "PROXY TCP4 192.0.2.7 198.51"); status != 0 {
		t.Errorf("%d %s, want the end", status, body)
	}
	if got := s.ProxyHeaders(); got.Late != 1 || log.count("not complete within head-timeout") != 1 {
		t.Errorf("%+v", got)
	}
	fmt.Fprint(silent, script)
	if _, err := http.ReadResponse(bufio.NewReader(silent), nil); err != nil {
		t.Errorf("the silent one: %v", err)
	}
}
