package httpapi_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"peal/loop"
)

func TestEveryRequestWorksByteByByte(t *testing.T) {
	for _, in := range []string{
		get("/"), get("/channels"), get("/poll?timeout=3"), get("/sse"), get("/nothing"),
		post("/publish", "hello"),
		"\r\n" + post("/publish?channel=a", "hello"),
		"POST /publish HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nX: y\r\n\r\n",
		goodHeads[5],
	} {
		h := newHarness(t)
		for cut := range in {
			c := h.call(in[:cut])
			if c.Verdict != loop.More || len(c.Out) > 0 {
				t.Fatalf("%.40q: first %d of %d bytes: verdict %d, out %q", in, cut, len(in), c.Verdict, c.Out)
			}
			if c.Need > len(in) || c.Need != 0 && c.Need <= cut {
				t.Errorf("%.40q: with %d of %d bytes it says that it needs %d", in, cut, len(in), c.Need)
			}
		}
		if got := h.log.take(); got != "" {
			t.Errorf("%.40q: published before its end: %s", in, got)
		}
		if c := h.call(in + "GET /"); c.Verdict == loop.More || c.Used != len(in) {
			t.Errorf("%.40q: whole: verdict %d, used %d, want %d", in, c.Verdict, c.Used, len(in))
		}
	}
}

func TestPipelinedRequestsAreTakenOneAtATime(t *testing.T) {
	h := newHarness(t)
	parts := []struct {
		in   string
		want loop.Verdict
	}{
		{post("/publish", "a"), loop.Reply},
		{get("/"), loop.Reply},
		{post("/publish?channel=x", "b"), loop.Reply},
		{get("/poll"), loop.Park},
		{get("/channels"), loop.Later},
		{"\r\n" + get("/nothing"), loop.Reply},
		{get("/sse"), loop.Stream},
	}
	var all strings.Builder
	for _, p := range parts {
		all.WriteString(p.in)
	}
	rest := all.String()
	for _, p := range parts {
		c := h.call(rest)
		if c.Verdict != p.want || c.Used != len(p.in) {
			t.Fatalf("%.40q: verdict %d used %d, want %d and %d", rest, c.Verdict, c.Used, p.want, len(p.in))
		}
		rest = rest[c.Used:]
	}
	if got := h.log.take(); got != "main: \"a\"\nx: \"b\"" {
		t.Errorf("published: %s", got)
	}
}

func TestOutIsAppendedToWhatIsThere(t *testing.T) {
	h := newHarness(t)
	c := &loop.Call{In: []byte(get("/nothing")), Out: []byte("before")}
	h.front.Request(c)
	if !strings.HasPrefix(string(c.Out), "beforeHTTP/1.1 404") {
		t.Errorf("%.60q", c.Out)
	}
}

func TestEvilRequestsAreAnsweredAndClosed(t *testing.T) {
	h := newHarness(t)
	for _, evil := range evilHeads {
		c := h.call(evil.head)
		resp, body := readAnswer(t, "GET", c.Out)
		if c.Verdict != loop.ReplyClose || resp.StatusCode != evil.status || !resp.Close {
			t.Errorf("%s: verdict %d, %d %s", evil.name, c.Verdict, resp.StatusCode, body)
		}
	}
}

func TestBodiesAreCountedAsTheyCome(t *testing.T) {
	h := newHarness(t)
	check := func(name, in string, status int) {
		t.Helper()
		c := h.call(in)
		if status == 0 {
			if c.Verdict != loop.More {
				t.Errorf("%s: verdict %d, want More", name, c.Verdict)
			}
			return
		}
		resp, body := readAnswer(t, in, c.Out)
		if c.Verdict != loop.ReplyClose || resp.StatusCode != status {
			t.Errorf("%s: verdict %d, %d %s, want %d", name, c.Verdict, resp.StatusCode, body, status)
		}
	}
	length := func(target string, n int) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", target, n)
	}
	const chunked = "POST /publish HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
	check("as long as may be", length("/publish", 65_536), 0)
	check("one byte more", length("/publish", 65_537), 413)
	check("as long as a batch may be", length("/publish/batch", 1<<20), 0)
	check("batch, one byte more", length("/publish/batch", 1<<20+1), 413)
	check("chunk as long as may be", chunked+"10000\r\n", 0)
	check("chunk one byte more", chunked+"10001", 413)
	check("second chunk too much", chunked+"10000\r\n"+strings.Repeat("x", 65_536)+"\r\n1\r\n", 413)
	check("tiny chunks", chunked+strings.Repeat("1\r\nx\r\n", 40_000), 413)
	check("endless size", chunked+"00000000000", 413)
	check("no size", chunked+"\r\n", 400)
	check("size with a sign", chunked+"+5\r\n", 400)
	check("size with 0x", chunked+"0x5\r\n", 400)
	check("size with a space", chunked+"5 \r\n", 400)
	check("bare LF behind the size", chunked+"5\n", 400)
	check("bare CR behind the size", chunked+"5\rx", 400)
	check("bare LF behind an extension", chunked+"5;a\n", 400)
	check("endless extension", chunked+"5;"+strings.Repeat("a", 300), 400)
	check("chunk longer than it says", chunked+"1\r\nxy", 400)
	check("bare LF behind a chunk", chunked+"1\r\nx\n", 400)
	check("bare LF as the end", chunked+"0\r\n\n", 400)
	check("NUL in a trailer", chunked+"0\r\nX: \x00", 400)
	check("endless trailer", chunked+"0\r\n"+strings.Repeat("X: y\r\n", 1000), 431)
	if got := h.log.take(); got != "" {
		t.Errorf("published: %.100s", got)
	}
}

func TestExpectContinueIsInvitedOnce(t *testing.T) {
	h := newHarness(t)
	in := post("/publish", "hi", "Expect: 100-continue\r\n")
	head := in[:len(in)-2]
	c := h.call(head)
	if c.Verdict != loop.More || string(c.Out) != "HTTP/1.1 100 Continue\r\n\r\n" || c.Need != len(in) {
		t.Errorf("verdict %d, need %d, out %q", c.Verdict, c.Need, c.Out)
	}
	c = &loop.Call{In: []byte(head), Continued: true}
	if h.front.Request(c); c.Verdict != loop.More || len(c.Out) > 0 {
		t.Errorf("again: verdict %d, out %q", c.Verdict, c.Out)
	}
	if c = h.call(in); c.Verdict != loop.Reply {
		t.Errorf("whole: verdict %d", c.Verdict)
	}
	for name, c := range map[string]struct {
		in     string
		status int
	}{
		"too large":         {"POST /publish HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 70000\r\n\r\n", 413},
		"other expectation": {"POST /publish HTTP/1.1\r\nHost: localhost\r\nExpect: tea\r\nContent-Length: 7\r\n\r\n", 417},
		"foreign origin":    {"POST /publish HTTP/1.1\r\nHost: localhost\r\nOrigin: http://a.example\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\r\n", 403},
	} {
		if resp, _ := h.answer(c.in); resp.StatusCode != c.status {
			t.Errorf("%s: %d, want %d and no invitation", name, resp.StatusCode, c.status)
		}
	}
}

func TestForeignHostsAndOriginsAreTurnedAway(t *testing.T) {
	h := newHarness(t)
	check := func(status int, headers string) {
		t.Helper()
		resp, body := h.answer("GET /nothing HTTP/1.1\r\n" + headers + "\r\n")
		if resp.StatusCode != status {
			t.Errorf("%q: %d %s, want %d", headers, resp.StatusCode, body, status)
		}
	}
	check(404, "Host: localhost:8080\r\n")
	check(404, "Host: 192.168.1.5\r\nOrigin: http://localhost:3000\r\n")
	check(403, "Host: attacker.example\r\n")
	check(403, "Host: localhost\r\nOrigin: https://attacker.example\r\n")
	check(403, "Host: localhost\r\nOrigin: null\r\n")
	check(403, "Host: localhost\r\nOrigin:\r\n")
	for target, status := range map[string]int{ // the authority of an absolute target counts, and Host does not
		"http://attacker.example/nothing": 403, "http://127.0.0.1:8080/nothing": 404,
	} {
		for _, host := range []string{"localhost", "127.0.0.1:8080", "attacker.example"} {
			if resp, body := h.answer("GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n"); resp.StatusCode != status {
				t.Errorf("%s with Host: %s: %d %s, want %d", target, host, resp.StatusCode, body, status)
			}
		}
	}
	c := h.call("GET /ws HTTP/1.1\r\nHost: localhost\r\nOrigin: http://attacker.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
	if resp, _ := readAnswer(t, "GET", c.Out); resp.StatusCode != 403 || c.Verdict != loop.ReplyClose {
		t.Errorf("WebSocket: %d, verdict %d", resp.StatusCode, c.Verdict)
	}
}

// U+200C is part of Persian spelling, U+200D of emoji and Indic scripts.
func TestJoinersAreLegalInNames(t *testing.T) {
	h := newHarness(t)
	for _, name := range []string{"می\u200cشود", "👨\u200d👩\u200d👧", "ക്\u200d"} {
		escaped := url.QueryEscape(name)
		if resp, body := h.answer(post("/publish?channel="+escaped, "x")); resp.StatusCode != 200 {
			t.Errorf("%q: %d %s", name, resp.StatusCode, body)
		}
		if resp, body := h.answer(get("/channels/" + url.PathEscape(name))); resp.StatusCode != 200 {
			t.Errorf("path %q: %d %s", name, resp.StatusCode, body)
		}
		if c := h.call(get("/poll?channel=" + escaped + "&client=" + escaped)); c.Verdict != loop.Park || c.Sub.Channels[0] != name {
			t.Errorf("poll %q: %q", name, c.Out)
		}
	}
	for _, name := range []string{"%E2%80%8B", "%E2%80%8E", "%E2%80%AE", "%EF%BB%BF", "%C2%AD"} { // other invisible ones
		if resp, body := h.answer(post("/publish?channel=a"+name, "x")); resp.StatusCode != 400 {
			t.Errorf("%s: %d %s, want 400", name, resp.StatusCode, body)
		}
	}
}

func TestRoutes(t *testing.T) {
	h := newHarness(t)
	check := func(method, target string, status int, allow string) {
		t.Helper()
		resp, body := h.answer(method + " " + target + " HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if resp.StatusCode != status || resp.Header.Get("Allow") != allow {
			t.Errorf("%s %s: %d Allow %q %s, want %d %q", method, target, resp.StatusCode, resp.Header.Get("Allow"), body, status, allow)
		}
		if resp.Header.Get("Access-Control-Allow-Origin") != "" || resp.Header.Get("Vary") != "Origin" || resp.Header.Get("Date") == "" {
			t.Errorf("%s %s: %v", method, target, resp.Header)
		}
		if status >= 400 && !strings.HasPrefix(body, `{"error":{"code":"`) && method != "HEAD" {
			t.Errorf("%s %s: %s", method, target, body)
		}
	}
	const reading, writing = "GET, HEAD, OPTIONS", "POST, OPTIONS"
	for _, target := range []string{"/", "/sse", "/poll", "/channels", "/channels/a", "/channels/a/history", "/channels/a/presence"} {
		check("OPTIONS", target, 204, reading)
		check("POST", target, 405, reading)
		check("DELETE", target, 405, reading)
	}
	for _, target := range []string{"/publish", "/publish/batch", "/disconnect"} {
		check("OPTIONS", target, 204, writing)
		check("GET", target, 405, writing)
		check("HEAD", target, 405, writing)
	}
	check("OPTIONS", "/ws", 204, "GET, OPTIONS")
	check("OPTIONS", "*", 204, "GET, HEAD, POST, OPTIONS")
	check("GET", "/", 200, "")
	check("HEAD", "/", 200, "")
	check("GET", "/ws", 426, "")
	for _, target := range []string{"/nothing", "/sse/", "/channels/", "/channels//history", "/channels//presence", "/channels/a/b", "/disconnect/", "/publish/", "/Publish", "/../publish", "//publish", "/%70ublish"} {
		check("GET", target, 404, "")
		check("HEAD", target, 404, "")
	}
}

func TestConnectionsStayOrEndAsAsked(t *testing.T) {
	h := newHarness(t)
	check := func(in string, want loop.Verdict, header string) {
		t.Helper()
		c := h.call(in)
		resp, _ := readAnswer(t, in, c.Out)
		got := resp.Header.Get("Connection")
		if resp.Close { // net/http takes that header away
			got = "close"
		}
		if c.Verdict != want || got != header {
			t.Errorf("%q: verdict %d, Connection %q; want %d, %q", in, c.Verdict, got, want, header)
		}
	}
	check("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n", loop.Reply, "")
	check("GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: Close\r\n\r\n", loop.ReplyClose, "close")
	check("GET /x HTTP/1.0\r\n\r\n", loop.ReplyClose, "close")
	check("GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", loop.Reply, "keep-alive")
	c := &loop.Call{In: []byte(get("/x")), Draining: true}
	if h.front.Request(c); c.Verdict != loop.ReplyClose || !strings.Contains(string(c.Out), "Connection: close\r\n") {
		t.Errorf("draining: verdict %d, %q", c.Verdict, c.Out)
	}
}

func TestScriptsOfTheClient(t *testing.T) {
	h := newHarness(t)
	for _, path := range []string{"/peal.js", "/peal-presence.js", "/peal-share.js"} {
		resp, body := h.answer(get(path))
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/javascript; charset=utf-8" || !strings.Contains(body, "Peal") {
			t.Errorf("%s: %d %v %.80q", path, resp.StatusCode, resp.Header, body)
		}
		if len(body) > 20<<10 || resp.Header.Get("Cross-Origin-Resource-Policy") != "cross-origin" {
			t.Errorf("%s: %d bytes, %v", path, len(body), resp.Header)
		}
	}
	if resp, _ := h.answer(strings.Replace(get("/peal.js"), "GET", "POST", 1)); resp.StatusCode != 405 {
		t.Errorf("POST: %d", resp.StatusCode)
	}
}

func TestPageIsWholeAndGuarded(t *testing.T) {
	h := newHarness(t)
	resp, body := h.answer(get("/"))
	if !strings.HasPrefix(body, "<!doctype html>") || strings.Contains(body, "/*style*/") || strings.Contains(body, "/*script*/") {
		t.Errorf("%.200s", body)
	}
	if n := strings.Count(body, "</script>"); n != 2 || strings.Contains(body, "/*client*/") {
		t.Errorf("%d ends of scripts, want those of the client and of the page", n)
	}
	for _, external := range []string{`src="http`, `href="http`, "@import", "url("} {
		if strings.Contains(body, external) {
			t.Errorf("loads something else: %s", external)
		}
	}
	policy := resp.Header.Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q", policy)
	}
	if resp.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("%v", resp.Header)
	}
}
