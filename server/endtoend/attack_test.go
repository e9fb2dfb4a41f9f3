package endtoend_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"peal/server"
	"peal/server/token"
)

// startTokens starts a server that needs tokens, which jwt signs with matrixSecret.
func startTokens(t *testing.T, set func(*server.Config)) *guarded {
	t.Helper()
	return startGuarded(t, map[string][]string{"all": {"publish", "subscribe", "history", "presence", "inspect", "disconnect", "revoke"}}, func(c *server.Config) {
		c.Token = token.Config{Secrets: []string{matrixSecret}}
		if set != nil {
			set(c)
		}
	})
}

// A token or key is in no log, response, metric or list, wherever a client puts it and
// whatever becomes of the request.
func TestTokensAreNowhereToBeRead(t *testing.T) {
	dir := t.TempDir()
	key, d := createKey(t, "shop", "publish", "subscribe", "inspect")
	secret, keys, access, admin := filepath.Join(dir, "secret"), filepath.Join(dir, "keys.yaml"), filepath.Join(dir, "access"), filepath.Join(dir, "admin")
	for path, text := range map[string]string{
		secret: matrixSecret,
		keys:   fmt.Sprintf("keys:\n  - {name: shop, digest: %q, allow: [publish, subscribe, inspect]}\n", d.Digest),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o := operate(t, nil, nil, "", "--auth", "token", "--token-secret-file", secret, "--key-file", keys, "--access-log", access, "--admin", "unix:"+admin, "--log-level", "debug")
	good := jwt(matrixSecret, `"sub":"42","peal":{"subscribe":["a"],"publish":["a"]}`)
	forged := jwt("another secret that is 32 bytes long", `"sub":"42"`)
	late := jwt(matrixSecret, `"sub":"42","iat":1700000000,"exp":1700000060`)
	var secrets []string // no part of which may be seen: the signatures, and the middle of the key
	for _, text := range []string{good, forged, late} {
		parts := strings.Split(text, ".")
		secrets = append(secrets, parts[1][:30], parts[2])
	}
	secrets = append(secrets, key[10:40], matrixSecret)
	seen := func(where, text string) {
		t.Helper()
		for _, s := range secrets {
			if strings.Contains(text, s) {
				t.Errorf("%s has a secret: %.400s", where, text)
			}
		}
	}
	for _, proof := range []string{good, forged, late, key} {
		escaped := url.QueryEscape(proof)
		for _, r := range []string{
			"GET /poll?channel=a&cursor=earliest&timeout=1&token=" + escaped,
			"GET /poll?channel=b&token=" + escaped,
			"GET /poll?token=" + escaped,
			"GET /poll?" + escaped,
			"GET /poll?" + escaped + "=1",
			"GET /poll?Token=" + escaped + "&channel=a",
			"GET /poll?%74oken=" + escaped + "&channel=a",
			"GET /poll?channel=a&cursor=" + escaped,
			"GET /poll?channel=a%3Ftoken=" + escaped,
			"GET /poll?channel=a&channel=" + escaped,
			"GET /poll?channel=a&session=" + escaped,
			"GET /poll?channel=a&client=x%3Btoken=" + escaped,
			"GET /poll?channel=a&last=" + escaped,
			"GET /poll?channel=a&format=" + escaped,
			"GET /sse?channel=b&token=" + escaped,
			"HEAD /sse?channel=a&token=" + escaped,
			"GET /ws?channel=a&token=" + escaped, // no handshake
			"GET /?token=" + escaped,
			"GET /peal.js?token=" + escaped,
			"GET /nowhere?token=" + escaped,
			"DELETE /poll?token=" + escaped,
			"OPTIONS /poll?token=" + escaped,
			"GET /channels?prefix=a&token=" + escaped,
			"GET /channels/a/history?token=" + escaped,
			"POST /publish?channel=a&token=" + escaped,
			"POST /publish?token=" + escaped,
			"POST /publish/batch?token=" + escaped,
			"POST /disconnect?client=x&token=" + escaped,
			"POST /revoke?sub=x&token=" + escaped,
			"POST /revoke?jti=y&x=" + escaped,
			"BREW /poll?token=" + escaped + "\x01",
		} {
			for _, lines := range []string{"", bearer(proof) + "\r\n", "Authorization: Basic " + proof + "\r\n", "Cookie: peal_token=" + proof + "\r\nSec-Fetch-Site: same-origin\r\n",
				"Sec-WebSocket-Protocol: peal.v1, peal.token." + proof + "\r\n", "Sec-WebSocket-Protocol: peal.token." + proof + "\r\n" + handshake[:len(handshake)-2] + "\r\n", "Origin: https://evil.example\r\n"} {
				w := o.dial()
				w.send(r + " HTTP/1.1\r\n" + hostLine + "Connection: close\r\n" + lines + "Content-Length: 1\r\n\r\nx")
				_ = endSide(w.conn)
				b, _ := io.ReadAll(w.r) // a reset is as good as an end
				w.conn.Close()
				seen(r[:12]+" "+lines[:min(len(lines), 20)], string(b))
			}
		}
	}
	o.publishTo("/publish?channel=a", "x", bearer(key))
	page := o.do("GET", "/?token="+good, "")
	if page.header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("the page has Referrer-Policy %q", page.header.Get("Referrer-Policy"))
	}
	seen("the list of channels", string(o.do("GET", "/channels", "", bearer(key)).body))
	for _, path := range []string{"/metrics", "/healthz", "/readyz", "/debug/pprof/goroutine?debug=2", "/debug/pprof/cmdline"} {
		if path == "/metrics" || strings.HasPrefix(path, "/debug") {
			seen(path, overSocket(t, admin, "GET", path))
		}
	}
	o.end(syscall.SIGTERM)
	seen("the log", o.said())
	b, err := os.ReadFile(access)
	if err != nil || len(b) == 0 {
		t.Fatalf("the access log: %v, %d bytes", err, len(b))
	}
	seen("the access log", string(b))
}

// Requests of different clients on one connection, as a proxy sends them, also before the
// responses to those before: each has what it has proven, whether its token is known yet
// or waits for a worker.
func TestPipelinedRequestsOfDifferentClients(t *testing.T) {
	p := startTokens(t, nil)
	for _, channel := range []string{"a", "b", "$user:1", "$user:2"} {
		p.publishTo("/publish?channel="+url.QueryEscape(channel), "in "+channel, bearer(p.keys["all"]), "Content-Type: text/plain")
	}
	for round := range 20 {
		w := p.dial()
		var want []string
		var all strings.Builder
		for i := range 12 {
			sub := 1 + (i+round)%2
			// Tokens differ in each round: most of them are not known.
			proof := jwt(matrixSecret, fmt.Sprintf(`"sub":"%d","jti":"%d-%d","peal":{"subscribe":["%c"]}`, sub, round, i/4, 'a'+sub-1))
			switch i % 4 {
			case 0: // the user's own channel
				fmt.Fprintf(&all, "GET /channels/$me/history HTTP/1.1\r\n%s%s\r\n\r\n", hostLine, bearer(proof))
				want = append(want, fmt.Sprintf(`"data":"in $user:%d"`, sub))
			case 1: // nobody's
				fmt.Fprintf(&all, "GET /channels/$me/history HTTP/1.1\r\n%s\r\n", hostLine)
				want = append(want, `"code":"token_missing"`)
			case 2: // granted to this user only
				fmt.Fprintf(&all, "GET /poll?channel=a&cursor=earliest&timeout=1 HTTP/1.1\r\n%s%s\r\n\r\n", hostLine, bearer(proof))
				want = append(want, map[int]string{1: `"data":"in a"`, 2: `"code":"not_allowed"`}[sub])
			case 3:
				fmt.Fprintf(&all, "GET /channels/$user:2/history HTTP/1.1\r\n%s%s\r\n\r\n", hostLine, bearer(p.keys["all"]))
				want = append(want, `"data":"in $user:2"`)
			}
		}
		w.send(all.String())
		for i, text := range want {
			if a := w.answer("GET"); !strings.Contains(string(a.body), text) {
				t.Fatalf("round %d, response %d: %s, want %s", round, i, a.body, text)
			}
		}
		w.conn.Close()
	}
}

// What a sub may be made of stays a name: it matches nothing else and reaches no other
// channel.
func TestOddNamesOfUsers(t *testing.T) {
	p := startTokens(t, nil)
	p.publishTo("/publish?user=42", "for 42", bearer(p.keys["all"]), "Content-Type: text/plain")
	for _, sub := range []string{"*", "4*", "$me", "$user:42", "42 ", " 42", "4/2", "../42", "42?channel=$user:42", "%34%32", "\\u0034\\u0032x", "𝟜𝟚", "42&", strings.Repeat("x", 194)} {
		proof := bearer(jwt(matrixSecret, fmt.Sprintf(`"sub":"%s"`, sub)))
		if a := p.do("GET", "/channels/$user:42/history", "", proof); a.status != 403 {
			t.Errorf("sub %q reads the channel of 42: %d %s", sub, a.status, a.body)
		}
		a := p.do("GET", "/channels/$me/history", "", proof)
		if a.status != 200 || bytes.Contains(a.body, []byte("for 42")) {
			t.Errorf("sub %q: $me is %d %s", sub, a.status, a.body)
		}
	}
	for _, sub := range []string{"", strings.Repeat("x", 195), "a\\u0000b", "a\\nb", "a\\u200bb"} {
		if a := p.do("GET", "/channels/$me/history", "", bearer(jwt(matrixSecret, fmt.Sprintf(`"sub":"%s"`, sub)))); a.status != 401 {
			t.Errorf("sub %q: %d %s", sub, a.status, a.body)
		}
	}
}

// Thousands of clients with tokens that are not known come at once, and most of them
// misbehave while they wait: they reset the connection, end their side, send more, or
// have a token that is none. The others get what they are granted, and a neighbour with
// a known token never waits for them.
func TestAStormOfUnknownTokens(t *testing.T) {
	p := startTokens(t, func(c *server.Config) {
		c.TokenWorkers = 1
		c.AddressShare = 100
	})
	p.publishTo("/publish?channel=a", "here", bearer(p.keys["all"]), "Content-Type: text/plain")
	neighbour := p.dialSocket("/ws?channel=a", http.Header{"Authorization": {"Bearer " + jwt(matrixSecret, `"sub":"n","peal":{"subscribe":["a"]}`)}})
	const clients = 600
	var served, refused, wrong atomic.Int64
	var storm sync.WaitGroup
	for i := range clients {
		storm.Go(func() {
			conn, err := p.connect()
			if err != nil {
				wrong.Add(1)
				return
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(patience))
			proof := jwt(matrixSecret, fmt.Sprintf(`"sub":"%d","peal":{"subscribe":["a"]}`, i))
			if i%6 == 4 {
				proof = proof[:len(proof)-4] + "AAAA"
			}
			request := "GET /poll?channel=a&cursor=earliest HTTP/1.1\r\n" + hostLine + bearer(proof) + "\r\n\r\n"
			_, _ = io.WriteString(conn, request) // reading finds out
			switch i % 6 {
			case 0: // leaves
				_ = tcp(conn).SetLinger(0)
				return
			case 1: // ends its side
				_ = endSide(conn)
			case 2: // sends more than a connection that waits may have unread
				go func() { // ends with the connection
					_, _ = io.WriteString(conn, strings.Repeat("GET /channels HTTP/1.1\r\n"+hostLine+"\r\n", 64<<10/60))
				}()
			}
			answer := make([]byte, 12)
			if _, err := io.ReadFull(conn, answer); err != nil {
				wrong.Add(1)
				return
			}
			switch want := map[bool]string{true: "HTTP/1.1 401", false: "HTTP/1.1 200"}[i%6 == 4]; {
			case string(answer) != want:
				wrong.Add(1)
			case i%6 == 4:
				refused.Add(1)
			default:
				served.Add(1)
			}
		})
	}
	for i := range 20 {
		p.publishTo("/publish?channel=a", fmt.Sprint("meanwhile ", i), bearer(p.keys["all"]), "Content-Type: text/plain")
		if got := neighbour.next().data; got != fmt.Sprint("meanwhile ", i) {
			t.Errorf("the neighbour received %q", got)
		}
	}
	storm.Wait()
	if s, r, w := served.Load(), refused.Load(), wrong.Load(); s != clients*4/6 || r != clients/6 || w != 0 {
		t.Errorf("%d served, %d refused, %d wrong, want %d, %d, 0", s, r, w, clients*4/6, clients/6)
	}
	p.await("no connection of the storm is left", func() bool {
		a := p.do("GET", "/channels/a", "", bearer(p.keys["all"]))
		return decode[struct{ Subscribers int }](t, a.body).Subscribers == 1
	})
}
