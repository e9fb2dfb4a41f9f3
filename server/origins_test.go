package server_test

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"peal/server"
	"peal/server/auth"
)

// ofEveryTransport is a request of a page on each transport: the status line that
// says that it was admitted.
var ofEveryTransport = map[string]string{
	"GET /ws?channel=a HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n": "HTTP/1.1 101 ",
	"GET /sse?channel=a HTTP/1.1\r\n":                             "HTTP/1.1 200 ",
	"GET /poll?channel=a&cursor=x HTTP/1.1\r\n":                   "HTTP/1.1 200 ",
	"GET /channels HTTP/1.1\r\n":                                  "HTTP/1.1 200 ",
	"GET /channels/a/history HTTP/1.1\r\n":                        "HTTP/1.1 200 ",
	"OPTIONS /publish HTTP/1.1\r\n":                               "HTTP/1.1 204 ",
	"POST /publish?channel=b HTTP/1.1\r\nContent-Length: 0\r\n":   "HTTP/1.1 200 ",
	"POST /disconnect?client=x HTTP/1.1\r\nContent-Length: 0\r\n": "HTTP/1.1 200 ",
}

// statusLine returns the first line of the response to a head with that Origin.
func statusLine(t *testing.T, addr, head, origin string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := fmt.Fprintf(conn, "%sHost: localhost\r\nOrigin: %s\r\n\r\n", head, origin); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatalf("%q from %s: %v", head, origin, err)
	}
	return line
}

// A page is admitted or refused in the same way on every transport, before and
// after a reload of the list.
func TestTheListOfOriginsAppliesToEveryTransport(t *testing.T) {
	c := server.Config{Origins: []string{"https://app.example", "https://*.example.org"}}
	s, url := run(t, c)
	check := func(want bool, origins ...string) {
		t.Helper()
		for _, origin := range origins {
			for head, admitted := range ofEveryTransport {
				expected := "HTTP/1.1 403 "
				if want {
					expected = admitted
				}
				if line := statusLine(t, strings.TrimPrefix(url, "http://"), head, origin); !strings.HasPrefix(line, expected) {
					t.Errorf("%.30q from %s: %q, want %q", head, origin, line, expected)
				}
			}
		}
	}
	check(true, "https://app.example", "https://a.b.example.org")
	check(false, "https://example.org", "http://a.example.org", "https://evil.example", "null", "https://new.example")
	c.Origins = []string{"https://new.example", "null"}
	if err := s.Reload(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	check(true, "https://new.example", "null")
	check(false, "https://app.example", "https://a.b.example.org")
}

func TestEveryFaultOfTheListIsReportedAtOnce(t *testing.T) {
	c := server.Config{Origins: []string{"https://app.example/x", "https://ok.example", "https://*.com"}}
	err := c.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{`config: allow-origin "https://app.example/x": has a path`, `config: allow-origin "https://*.com": would admit the pages of everybody`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %s", err, want)
		}
	}
	if strings.Contains(err.Error(), "ok.example") {
		t.Error(err)
	}
	c.Origins = make([]string, auth.MostOrigins+1)
	for i := range c.Origins {
		c.Origins[i] = fmt.Sprintf("https://n%d.example", i)
	}
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "allow-origin has 1001 origins: at most 1000") {
		t.Errorf("%v", err)
	}
	c.Origins = c.Origins[1:]
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}
