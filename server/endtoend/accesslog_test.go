package endtoend_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"peal/server"
)

// With an access log each request has one line, whenever its response comes, with
// the client's address and without secrets.
func TestAccessLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	p := startWith(t, func(c *server.Config) {
		c.AccessLog, c.Engine = path, "file:"+filepath.Join(t.TempDir(), "log")
	})
	cursor := p.publish("a", "x")
	p.do("GET", "/channels/a/history?token=secret&limit=5", "", "User-Agent: tester/1 \"quoted\"")
	p.do("POST", "/publish/batch", `{"messages":[{"channel":"a","data":"y"}]}`)
	p.do("GET", "/poll?channel=a&cursor="+cursor, "")
	p.do("GET", "/nowhere?x", "")
	p.do("GET", "/channels/a", "")
	p.events("channel=a&authorization=Bearer%20secret").opened()
	for _, query := range []string{
		"channel=b?token=secret", "channel=b;token=secret", "channel=b%26token=secret", "channel=b%3ftoken%3dsecret", "channel=b%2526token%253Dsecret",
		"channel=b&secret", "secret", "cursor=1-1=secret&channel=b", "channel[]=b%3Bsecret", "channel=b&client=ann%23secret",
	} {
		p.do("GET", "/channels?limit=1&"+query, "")
	}
	p.dialSocket("/ws?channel=a", nil)
	c, err := p.connect() // leaves while it polls
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(c, "GET /poll?channel=gone HTTP/1.1\r\nHost: localhost\r\n\r\n")
	p.awaitSubscribers("gone", 1)
	tcp(c).SetLinger(0)
	tcp(c).Close() // without a word of TLS
	p.awaitSubscribers("gone", 0)
	p.stop()

	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(b), "secret") {
		t.Errorf("the access log has a secret: %s", b)
	}
	count := map[string]int{}
	for line := range strings.Lines(string(b)) {
		var one struct {
			Time, Client, Method, Path, Agent string
			Status, Bytes                     int
			Session                           uint64
			Cursor                            string
			Seconds                           float64
		}
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		if a, err := netip.ParseAddrPort(one.Client); err != nil || !a.Addr().IsLoopback() {
			t.Errorf("client %q in %s", one.Client, line)
		}
		if single := strings.HasPrefix(one.Path, "/publish?"); one.Session == 0 || single && one.Cursor != cursor || !single && one.Cursor != "" && !strings.HasPrefix(one.Path, "/poll") {
			t.Errorf("session and cursor: %s", line)
		}
		if one.Time == "" || one.Seconds < 0 || one.Status == 200 && one.Bytes == 0 {
			t.Errorf("incomplete: %s", line)
		}
		name, _, _ := strings.Cut(one.Path, "&cursor=")
		count[fmt.Sprint(one.Method, " ", name, " ", one.Status)]++
		if strings.Contains(one.Path, "history") && one.Agent != `tester/1 "quoted"` {
			t.Errorf("agent %q", one.Agent)
		}
	}
	for _, want := range []string{
		"POST /publish?channel=a 200", "GET /channels/a/history?token=-&limit=5 200", "POST /publish/batch 200", "GET /poll?channel=a 200",
		"GET /nowhere?- 404", "GET /channels/a 200", "GET /sse?channel=a&authorization=- 200", "GET /ws?channel=a 101", "GET /poll?channel=gone 499",
	} {
		if count[want] != 1 {
			t.Errorf("%d lines of %q, want 1:\n%s", count[want], want, b)
		}
	}
}
