package endtoend_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// wire is a connection whose every byte the test writes itself.
type wire struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

func (p *peal) dial() *wire {
	p.t.Helper()
	conn, err := p.connect()
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		p.t.Fatal(err)
	}
	return &wire{p.t, conn, bufio.NewReader(conn)}
}

func (w *wire) send(s string) *wire {
	w.t.Helper()
	if _, err := io.WriteString(w.conn, s); err != nil {
		w.t.Fatalf("send %.60q: %v", s, err)
	}
	return w
}

// answer reads a response to its end; method is that of the request.
func (w *wire) answer(method string) answer {
	w.t.Helper()
	response, err := http.ReadResponse(w.r, &http.Request{Method: method})
	if err != nil {
		w.t.Fatalf("answer to %s: %v", method, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatalf("body of the answer to %s: %v", method, err)
	}
	return answer{response.StatusCode, response.Header, body, response.Close}
}

// ended checks that the server closes the connection and says nothing more.
func (w *wire) ended(what string) {
	w.t.Helper()
	rest, err := io.ReadAll(w.r)
	if errors.Is(err, syscall.ECONNRESET) {
		err = nil
	}
	if len(rest) > 0 || err != nil {
		w.t.Errorf("%s: want the end of the connection, got %.200q and %v", what, rest, err)
	}
}

const (
	hostLine  = "Host: 127.0.0.1\r\n"
	handshake = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)

func get(path string) string { return "GET " + path + " HTTP/1.1\r\n" + hostLine + "\r\n" }

func post(path, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n%s", path, hostLine, len(body), body)
}

func (w *wire) want(method string, status int) answer {
	w.t.Helper()
	a := w.answer(method)
	if a.status != status {
		w.t.Fatalf("answer to %s: %d %.200s, want %d", method, a.status, a.body, status)
	}
	return a
}

// unmasked reads one short text frame of a server.
func (w *wire) unmasked() string {
	w.t.Helper()
	var head [2]byte
	if _, err := io.ReadFull(w.r, head[:]); err != nil {
		w.t.Fatal(err)
	}
	if head[0] != 0x81 || head[1] > 125 {
		w.t.Fatalf("frame begins %x, want a short text frame", head)
	}
	payload := make([]byte, head[1])
	if _, err := io.ReadFull(w.r, payload); err != nil {
		w.t.Fatal(err)
	}
	return string(payload)
}

// anyFrame reads one frame of a server, up to 64 KiB, and returns its payload.
func (w *wire) anyFrame() string {
	w.t.Helper()
	_, payload := w.frame()
	return payload
}

func (w *wire) frame() (first byte, payload string) {
	w.t.Helper()
	var head [4]byte
	if _, err := io.ReadFull(w.r, head[:2]); err != nil {
		w.t.Fatal(err)
	}
	n := int(head[1])
	if n == 126 {
		if _, err := io.ReadFull(w.r, head[2:4]); err != nil {
			w.t.Fatal(err)
		}
		n = int(head[2])<<8 | int(head[3])
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(w.r, b); err != nil {
		w.t.Fatal(err)
	}
	return head[0], string(b)
}

// readAll reads to the end of the connection.
func readAll(w *wire) string {
	w.t.Helper()
	b, err := io.ReadAll(w.r)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		w.t.Fatal(err)
	}
	return string(b)
}

func TestOneConnectionForEverything(t *testing.T) {
	t.Parallel() // it waits most of the time
	p := start(t)
	before := func() *wire {
		w := p.dial()
		w.send(post("/publish?channel=a", "one")).want("POST", 200)
		if a := w.send(get("/")).want("GET", 200); !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") || !strings.Contains(string(a.body), "Peal") {
			t.Errorf("GET / is %v", a.header)
		}
		a := w.send(get("/poll?channel=a&last=1")).want("GET", 200)
		if got := decode[polled](t, a.body); !slices.Equal(got.texts(), []string{"one"}) {
			t.Errorf("poll: %q", got.texts())
		}
		w.send(get("/nothing")).want("GET", 404)
		w.send(get("/poll?channel=a&timeout=1&format=raw")).want("GET", 204)
		return w
	}

	w := before()
	w.send(get("/sse?channel=a&last=1"))
	response, err := http.ReadResponse(w.r, &http.Request{Method: "GET"})
	if err != nil || response.StatusCode != 200 {
		t.Fatalf("SSE: %v", err)
	}
	s := newEventStream(t, response.Body)
	if e := s.next(); e.data != "one" {
		t.Errorf("SSE begins with %+v", e)
	}
	p.publish("a", "two")
	if e := s.next(); e.data != "two" {
		t.Errorf("SSE goes on with %+v", e)
	}

	w = before()
	w.send("GET /ws?channel=a&last=1 HTTP/1.1\r\n" + hostLine + handshake + "\r\n")
	a := w.want("GET", 101)
	if got := a.header.Get("Sec-WebSocket-Accept"); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" { // RFC 6455 §1.3
		t.Errorf("Sec-WebSocket-Accept is %q", got)
	}
	if got := w.unmasked(); got != "one" {
		t.Errorf("WebSocket begins with %q", got)
	}
	p.publish("a", "three")
	if got := w.unmasked(); got != "three" {
		t.Errorf("WebSocket goes on with %q", got)
	}
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	p := start(t)
	head := "HEAD / HTTP/1.1\r\n" + hostLine + "\r\n"
	batch := `{"messages":[{"channel":"a","data":"batched"}]}`
	chunked := "POST /publish?channel=a HTTP/1.1\r\n" + hostLine + "Transfer-Encoding: chunked\r\n\r\n3\r\nchu\r\n4;x=y\r\nnked\r\n0\r\nTrailer: x\r\n\r\n"
	whole := post("/publish?channel=a", "first") +
		get("/poll?channel=a&last=1") +
		post("/publish/batch", batch) + // answered by a worker
		get("/channels/a/history") + // by another
		head +
		chunked +
		get("/poll?channel=a&last=2&format=raw") +
		get("/nothing") +
		"OPTIONS /publish HTTP/1.1\r\n" + hostLine + "\r\n" +
		post("/publish?channel=late", "wakes nobody before it") +
		get("/poll?channel=late&cursor=earliest") +
		get("/sse?channel=a&cursor=earliest")

	check := func(how string, w *wire) {
		t.Helper()
		w.want("POST", 200)
		if got := decode[polled](t, w.want("GET", 200).body); !slices.Equal(got.texts(), []string{"first"}) {
			t.Errorf("%s: first poll %q", how, got.texts())
		}
		w.want("POST", 200)
		if a := w.want("GET", 200); !strings.Contains(string(a.body), `"batched"`) {
			t.Errorf("%s: history %s", how, a.body)
		}
		if a := w.want("HEAD", 200); len(a.body) != 0 {
			t.Errorf("%s: HEAD has a body", how)
		}
		w.want("POST", 200)
		if a := w.want("GET", 200); string(a.body) != "batched" {
			t.Errorf("%s: raw poll %q", how, a.body)
		}
		w.want("GET", 404)
		w.want("OPTIONS", 204)
		w.want("POST", 200)
		w.want("GET", 200)
		response, err := http.ReadResponse(w.r, &http.Request{Method: "GET"})
		if err != nil || response.StatusCode != 200 {
			t.Fatalf("%s: SSE: %v", how, err)
		}
		s := newEventStream(t, response.Body)
		got := []string{}
		for {
			e := s.next()
			if got = append(got, e.data); e.data == "chunked" {
				break
			}
		}
		if n := len(got); n < 3 || !slices.Equal(got[n-3:], []string{"first", "batched", "chunked"}) {
			t.Errorf("%s: stream %q", how, got)
		}
	}
	check("in one piece", p.dial().send(whole))

	w := p.dial()
	if err := tcp(w.conn).SetNoDelay(true); err != nil {
		t.Fatal(err)
	}
	for i := range len(whole) {
		w.send(whole[i : i+1])
	}
	check("byte by byte", w)
}

func TestRequestsBehindAParkedPollWait(t *testing.T) {
	t.Parallel() // it waits most of the time
	p := start(t)
	w := p.dial().send(get("/poll?channel=a") + post("/publish?channel=b", "behind") + get("/channels"))
	p.awaitSubscribers("a", 1)
	if got := p.poll("channel=b&timeout=1"); len(got.Messages) > 0 {
		t.Errorf("a request behind a parked poll was served before it: %q", got.texts())
	}
	p.publish("a", "now")
	if got := decode[polled](t, w.want("GET", 200).body); !slices.Equal(got.texts(), []string{"now"}) {
		t.Errorf("poll: %q", got.texts())
	}
	w.want("POST", 200)
	w.want("GET", 200)
	if got := p.poll("channel=b&last=1"); !slices.Equal(got.texts(), []string{"behind"}) {
		t.Errorf("b has %q", got.texts())
	}
}

func TestAClientThatHangsUpIsForgotten(t *testing.T) {
	p := start(t)
	poll := p.dial().send(get("/poll?channel=a"))
	stream := p.dial().send(get("/sse?channel=a"))
	ws := p.dial().send("GET /ws?channel=a HTTP/1.1\r\n" + hostLine + handshake + "\r\n")
	p.awaitSubscribers("a", 3)
	poll.conn.Close()
	p.awaitSubscribers("a", 2)
	stream.conn.Close()
	p.awaitSubscribers("a", 1)
	if err := tcp(ws.conn).SetLinger(0); err != nil { // a reset
		t.Fatal(err)
	}
	ws.conn.Close()
	p.awaitSubscribers("a", 0)
}

func TestHTTP10(t *testing.T) {
	p := start(t)
	w := p.dial().send("POST /publish?channel=a HTTP/1.0\r\nContent-Length: 3\r\n\r\none")
	w.want("POST", 200)
	w.ended("HTTP/1.0 publish")

	w = p.dial().send("GET /poll?channel=a&last=1 HTTP/1.0\r\n\r\n")
	w.want("GET", 200)
	w.ended("HTTP/1.0 poll")

	w = p.dial().send("GET /channels HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
	if a := w.want("GET", 200); !strings.EqualFold(a.header.Get("Connection"), "keep-alive") {
		t.Errorf("keep-alive of HTTP/1.0 is answered %q", a.header.Get("Connection"))
	}
	w.send("GET /sse?channel=a&last=1 HTTP/1.0\r\n\r\n")
	response, err := http.ReadResponse(w.r, &http.Request{Method: "GET"})
	if err != nil || response.StatusCode != 200 {
		t.Fatalf("SSE: %v", err)
	}
	if e := newEventStream(t, response.Body).next(); e.data != "one" {
		t.Errorf("SSE over HTTP/1.0 brings %+v", e)
	}
}

func TestConnectionCloseIsObeyed(t *testing.T) {
	t.Parallel() // it waits most of the time
	p := start(t)
	for _, path := range []string{"/", "/channels", "/nothing", "/poll?channel=a&timeout=1"} {
		w := p.dial().send("GET " + path + " HTTP/1.1\r\n" + hostLine + "Connection: close\r\n\r\n")
		if a := w.answer("GET"); a.status == 0 {
			t.Error("no answer")
		}
		w.ended("Connection: close, " + path)
	}
}

func TestExpectContinue(t *testing.T) {
	p := start(t)
	expecting := "POST /publish?channel=a HTTP/1.1\r\n" + hostLine + "Expect: 100-continue\r\n"
	w := p.dial().send(expecting + "Content-Length: 5\r\n\r\n")
	w.want("POST", 100)
	w.send("hello").want("POST", 200)
	w.send(expecting+"Transfer-Encoding: chunked\r\n\r\n").want("POST", 100)
	w.send("5\r\nagain\r\n0\r\n\r\n").want("POST", 200)

	// A refusal comes instead of the invitation.
	w.send(expecting+"Content-Length: 99999999\r\n\r\n").want("POST", 413)
	w.ended("too large a body was announced")

	w = p.dial().send("POST /publish HTTP/1.1\r\n" + hostLine + "Expect: a-miracle\r\nContent-Length: 5\r\n\r\n")
	w.want("POST", 417)
	if got := p.poll("channel=a&last=5"); !slices.Equal(got.texts(), []string{"hello", "again"}) {
		t.Errorf("published %q", got.texts())
	}
}

func TestChunkedUpload(t *testing.T) {
	p := start(t)
	r, err := http.NewRequest("POST", p.url+"/publish?channel=a", io.MultiReader(strings.NewReader("not of a "), strings.NewReader("known length")))
	if err != nil {
		t.Fatal(err)
	}
	response, err := p.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if got := p.poll("channel=a&last=1"); !slices.Equal(got.texts(), []string{"not of a known length"}) {
		t.Errorf("published %q", got.texts())
	}
	w := p.dial().send("POST /publish HTTP/1.1\r\n" + hostLine + "Transfer-Encoding: chunked\r\n\r\n10001\r\n" + strings.Repeat("x", 1000))
	w.want("POST", 413)
}

func TestMethodsAndPaths(t *testing.T) {
	t.Parallel() // it waits most of the time
	p := start(t)
	for _, c := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"HEAD", "/", 200, ""},
		{"HEAD", "/channels", 200, ""},
		{"HEAD", "/sse", 200, ""},
		{"HEAD", "/poll?cursor=earliest&timeout=1", 200, ""},
		{"OPTIONS", "/publish", 204, "POST, OPTIONS"},
		{"OPTIONS", "/poll", 204, "GET, HEAD, OPTIONS"},
		{"OPTIONS", "/sse", 204, "GET, HEAD, OPTIONS"},
		{"GET", "/publish", 405, "POST, OPTIONS"},
		{"GET", "/publish/batch", 405, "POST, OPTIONS"},
		{"PUT", "/publish", 405, "POST, OPTIONS"},
		{"DELETE", "/poll", 405, "GET, HEAD, OPTIONS"},
		{"POST", "/sse", 405, "GET, HEAD, OPTIONS"},
		{"POST", "/", 405, "GET, HEAD, OPTIONS"},
		{"POST", "/ws", 405, "GET, OPTIONS"},
		{"GET", "/ws", 426, ""},
		{"GET", "/nothing", 404, ""},
		{"GET", "/channels/", 404, ""},
		{"GET", "/publish/", 404, ""},
		{"GET", "/..%2f", 404, ""},
		{"GET", "/poll?format=xml", 400, ""},
		{"GET", "/poll?last=-1", 400, ""},
		{"GET", "/poll?timeout=soon", 400, ""},
		{"GET", "/sse?channel=$x", 403, ""},
	} {
		a := p.do(c.method, c.path, "", "Origin: http://localhost:3000")
		if a.status != c.status || c.allow != "" && a.header.Get("Allow") != c.allow {
			t.Errorf("%s %s: %d, Allow %q, want %d, %q", c.method, c.path, a.status, a.header.Get("Allow"), c.status, c.allow)
		}
		if c.status >= 400 {
			if said := decode[problem](t, a.body).Error; said.Code == "" || said.Message == "" {
				t.Errorf("%s %s: %s does not say why", c.method, c.path, a.body)
			}
		}
		if c.method == "OPTIONS" && (a.header.Get("Access-Control-Allow-Origin") != "http://localhost:3000" || a.header.Get("Access-Control-Allow-Methods") != c.allow) {
			t.Errorf("preflight %s: %v", c.path, a.header)
		}
	}
	if a := p.do("GET", "/ws", "", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 8", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="); a.status != 426 || a.header.Get("Sec-WebSocket-Version") != "13" {
		t.Errorf("version 8: %d %v, want 426 and the version to use", a.status, a.header)
	}
	if a := p.do("GET", "/ws", "", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: short"); a.status != 400 {
		t.Errorf("bad key: %d", a.status)
	}
}

func TestTooLarge(t *testing.T) {
	p := start(t)
	w := p.dial().send("GET /poll?channel=" + strings.Repeat("x", 9000))
	w.want("GET", 414)
	w.ended("a long target")

	w = p.dial().send("GET / HTTP/1.1\r\n" + hostLine + "Cookie: " + strings.Repeat("x", 9000))
	w.want("GET", 431)
	w.ended("a long header")

	w = p.dial().send("GET / HTTP/1.1\r\n" + hostLine + strings.Repeat("A: b\r\n", 200))
	w.want("GET", 431)
	w.ended("many headers")

	w = p.dial().send("POST /publish HTTP/1.1\r\n" + hostLine + "Content-Length: 65537\r\n\r\n")
	w.want("POST", 413)
	w.ended("a large body")

	w = p.dial().send("POST /publish/batch HTTP/1.1\r\n" + hostLine + "Content-Length: 1048577\r\n\r\n")
	w.want("POST", 413)
	w.ended("a large batch")
}

func TestForeignHostsAndOriginsAreRefused(t *testing.T) {
	p := start(t)
	_, port, _ := net.SplitHostPort(p.addr)
	for _, c := range []struct {
		header string
		status int
	}{
		{"Host: evil.example", 403},
		{"Host: localhost.evil.example", 403},
		{"Host: 127.0.0.1.evil.example:" + port, 403},
		{"Host: localhost:" + port, 200},
		{"Host: LocalHost", 200},
		{"Host: [::1]:" + port, 200},
		{"Host: 192.168.1.2", 200}, // an address cannot be rebound
		{"Origin: https://evil.example", 403},
		{"Origin: null", 403},
		{"Origin: http://localhost.evil.example", 403},
		{"Origin: http://127.0.0.1.evil.example", 403},
		{"Origin: file://", 403},
		{"Origin: http://localhost:3000", 200},
		{"Origin: https://app.localhost", 200},
		{"Origin: http://127.0.0.1:5173", 200},
		{"Origin: http://[::1]:8080", 200},
	} {
		for _, path := range []string{"/", "/channels", "/poll?cursor=earliest"} {
			if path != "/" {
				p.publish("main", "x")
			}
			a := p.do("GET", path, "", c.header)
			if a.status != c.status {
				t.Errorf("GET %s with %s: %d, want %d", path, c.header, a.status, c.status)
			}
			if a.status == 403 && decode[problem](t, a.body).Error.Message == "" {
				t.Errorf("%s: %s does not say why", c.header, a.body)
			}
		}
	}
	// No page may publish by a form, which needs no preflight.
	if a := p.do("POST", "/publish?channel=csrf", "x", "Origin: https://evil.example"); a.status != 403 {
		t.Errorf("publish by a foreign page: %d", a.status)
	}
	if a := p.do("GET", "/channels/csrf", ""); !strings.Contains(string(a.body), `"messages":0`) {
		t.Errorf("it was published: %s", a.body)
	}
	// A foreign page's WebSocket is refused too; there no CORS would help.
	if _, response, err := p.tryDialSocket("/ws", http.Header{"Origin": {"https://evil.example"}}); err == nil || response == nil || response.StatusCode != 403 {
		t.Errorf("WebSocket of a foreign page: %v", err)
	}
	if _, response, err := p.tryDialSocket("/ws", http.Header{"Host": {"evil.example"}}); err == nil || response == nil || response.StatusCode != 403 {
		t.Errorf("WebSocket to a foreign host: %v", err)
	}
	if a := p.do("OPTIONS", "/publish", "", "Origin: https://evil.example", "Access-Control-Request-Method: POST"); a.status != 403 {
		t.Errorf("preflight of a foreign page: %d", a.status)
	}
}

// TestSmugglingIsRefused sends requests whose end, or addressee, two servers
// could see differently. Behind each stands a publication: it must never be
// taken for a request of its own.
func TestSmugglingIsRefused(t *testing.T) {
	p := start(t)
	smuggled := post("/publish?channel=smuggled", "x")
	head := "POST /publish?channel=cover HTTP/1.1\r\n"
	for _, c := range []struct{ name, request string }{
		{"length and chunked", head + hostLine + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{"chunked and length", head + hostLine + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"},
		{"two lengths", head + hostLine + "Content-Length: 0\r\nContent-Length: 5\r\n\r\n"},
		{"two equal lengths", head + hostLine + "Content-Length: 0\r\nContent-Length: 0\r\n\r\n"},
		{"list of lengths", head + hostLine + "Content-Length: 0, 0\r\n\r\n"},
		{"signed length", head + hostLine + "Content-Length: +0\r\n\r\n"},
		{"hexadecimal length", head + hostLine + "Content-Length: 0x0\r\n\r\n"},
		{"empty length", head + hostLine + "Content-Length: \r\n\r\n"},
		{"huge length", head + hostLine + "Content-Length: 18446744073709551616\r\n\r\n"},
		{"unknown coding", head + hostLine + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"},
		{"coding list", head + hostLine + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"},
		{"two codings", head + hostLine + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{"coding with a vertical tab", head + hostLine + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"},
		{"chunked HTTP/1.0", "POST /publish?channel=cover HTTP/1.0\r\n" + hostLine + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{"folded line", head + hostLine + "X: a\r\n Content-Length: 5\r\n\r\n"},
		{"space before the colon", head + hostLine + "Content-Length : 0\r\n\r\n"},
		{"space before the name", head + " " + hostLine + "\r\n"},
		{"bare LF", head + hostLine + "X: a\nContent-Length: 0\r\n\r\n"},
		{"bare CR", head + hostLine + "X: a\rContent-Length: 5\r\n\r\n"},
		{"bare LF at the end", head + hostLine + "Content-Length: 0\n\n"},
		{"NUL in a value", head + hostLine + "X: a\x00b\r\n\r\n"},
		{"two hosts", head + hostLine + hostLine + "\r\n"},
		{"no host", head + "\r\n"},
		{"empty host", head + "Host: \r\n\r\n"},
		{"host with a path", head + "Host: 127.0.0.1/x\r\n\r\n"},
		{"user before the authority", "POST http://u@localhost/publish?channel=cover HTTP/1.1\r\n" + hostLine + "\r\n"},
		{"authority without a host", "POST http://:80/publish?channel=cover HTTP/1.1\r\n" + hostLine + "\r\n"},
		{"space in the target", "POST /publish?channel=co ver HTTP/1.1\r\n" + hostLine + "\r\n"},
		{"control byte in the target", "POST /publish?channel=co\x01ver HTTP/1.1\r\n" + hostLine + "\r\n"},
		{"two spaces", "POST  /publish HTTP/1.1\r\n" + hostLine + "\r\n"},
		{"lower-case version", "POST /publish http/1.1\r\n" + hostLine + "\r\n"},
		{"chunk size 0x0", head + hostLine + "Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n"},
		{"chunk size with a sign", head + hostLine + "Transfer-Encoding: chunked\r\n\r\n+0\r\n\r\n"},
		{"chunk size with a space", head + hostLine + "Transfer-Encoding: chunked\r\n\r\n0 \r\n\r\n"},
		{"chunk size of too many digits", head + hostLine + "Transfer-Encoding: chunked\r\n\r\n000000002\r\nhi\r\n0\r\n\r\n"},
		{"chunk without its end", head + hostLine + "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n"},
		{"chunk size and bare LF", head + hostLine + "Transfer-Encoding: chunked\r\n\r\n0\n\r\n"},
		{"LF in a chunk extension", head + hostLine + "Transfer-Encoding: chunked\r\n\r\n0;a\nb\r\n\r\n"},
	} {
		w := p.dial().send(c.request + smuggled)
		if a := w.answer("POST"); a.status != 400 && a.status != 413 || !a.closing {
			t.Errorf("%s: %d, Connection: close said: %v, want 400 and yes", c.name, a.status, a.closing)
			continue
		}
		w.ended(c.name)
	}
	w := p.dial().send("GET / HTTP/2.0\r\n" + hostLine + "\r\n" + smuggled)
	w.want("GET", 505)
	w.ended("HTTP/2.0")
	w = p.dial().send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	if a := w.answer("GET"); a.status != 400 && a.status != 505 {
		t.Errorf("the preface of HTTP/2: %d", a.status)
	}
	for _, channel := range []string{"smuggled", "cover"} {
		if a := p.do("GET", "/channels/"+channel, ""); !strings.Contains(string(a.body), `"messages":0`) {
			t.Errorf("published all the same: %s", a.body)
		}
	}
}
