package httpapi_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"peal/server/httpapi"
	"peal/server/refusal"
)

// headLimit is the default of Limits.HeadLimit.
const headLimit = 8 << 10

// goodHeads are requests as clients really send them.
var goodHeads = []string{
	"GET / HTTP/1.1\r\nHost: localhost:8080\r\n\r\n",
	"GET / HTTP/1.0\r\n\r\n",
	"GET /poll?channel=a%20b&timeout=5 HTTP/1.1\r\nHost: [::1]:8080\r\nUser-Agent: curl/8\r\nAccept: */*\r\n\r\n",
	"POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n",
	"POST /publish HTTP/1.1\r\nhost:localhost\r\ntransfer-encoding:\tChunked \t\r\nX:\r\n\r\n",
	"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nOrigin: http://localhost\r\n\r\n",
	"GET http://localhost/sse?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
	"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
	"\r\n\r\nGET /sse HTTP/1.1\r\nHost: localhost\r\nCookie: a=\"b\"; c=d\r\nX-Name: J\xc3\xb6rg\r\n\r\n",
	"GET /gr\xc3\xbc\xc3\x9fe HTTP/1.1\r\nHost: localhost\r\n\r\n",
}

func TestCheckAsksForMoreOnEveryPrefix(t *testing.T) {
	for _, whole := range goodHeads {
		var h httpapi.Head
		for cut := range whole {
			if n, err := h.Check([]byte(whole[:cut]), headLimit); n != 0 || err != nil {
				t.Errorf("%.30q: first %d of %d bytes: n=%d err=%v, want 0 and nil", whole, cut, len(whole), n, err)
			}
		}
		if n, err := h.Check([]byte(whole+"GET / HT"), headLimit); n != len(whole) || err != nil {
			t.Errorf("%.30q: n=%d err=%v, want %d and nil", whole, n, err, len(whole))
		}
	}
}

func TestCheckCollectsWhatMatters(t *testing.T) {
	check := func(head, want string) {
		t.Helper()
		var h httpapi.Head
		if _, err := h.Check([]byte(head), headLimit); err != nil {
			t.Errorf("%q: %v", head, err)
		}
		got := fmt.Sprintf("%s %s ?%s host=%s len=%d", h.Method, h.Path, h.Query, h.Host, h.ContentLength)
		for _, f := range []struct {
			name string
			set  bool
		}{{"chunked", h.Chunked}, {"1.1", h.HTTP11}, {"upgrade", h.Upgrade}, {"close", h.Close}, {"continue", h.Continue}, {"expectation", h.Expectation}} {
			if f.set {
				got += " " + f.name
			}
		}
		if got != want {
			t.Errorf("%q:\ngot  %s\nwant %s", head, got, want)
		}
	}
	check(goodHeads[0], "GET / ? host=localhost:8080 len=-1 1.1")
	check(goodHeads[1], "GET / ? host= len=-1 close")
	check(goodHeads[2], "GET /poll ?channel=a%20b&timeout=5 host=[::1]:8080 len=-1 1.1")
	check(goodHeads[3], "POST /publish ? host=localhost len=2 1.1")
	check(goodHeads[4], "POST /publish ? host=localhost len=-1 chunked 1.1")
	check(goodHeads[5], "GET /ws ? host=localhost len=-1 1.1 upgrade")
	check(goodHeads[6], "GET /sse ?x=1 host=localhost len=-1 1.1")
	check("GET http://LOCALHOST?q HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET / ?q host=LOCALHOST len=-1 1.1")
	// RFC 9112 §3.2.2: Host is ignored, in whatever it differs.
	check("GET http://127.0.0.1/x HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n", "GET /x ? host=127.0.0.1 len=-1 1.1")
	check("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", "GET / ? host=a len=-1 1.1")
	check("GET https://[::1]:8080 HTTP/1.0\r\n\r\n", "GET / ? host=[::1]:8080 len=-1 close")
	check("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-Continue\r\n\r\n", "GET / ? host=a len=-1 1.1 close continue")
	check("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\nExpect: 100-continue\r\n\r\n", "GET / ? host= len=-1")
	check("GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", "GET / ? host=a len=-1 1.1 expectation")
}

// evilHeads are those by which servers and proxies were deceived before. Each
// is refused at the byte that shows it: the head is never finished.
var evilHeads = []struct {
	name, head string
	status     int
}{
	{"bare LF after the request line", "GET / HTTP/1.1\n", 400},
	{"bare LF in a header", "GET / HTTP/1.1\r\nHost: a\n", 400},
	{"bare LF as the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", 400},
	{"bare LF first", "\n", 400},
	{"bare CR in the request line", "GET / HTTP/1.1\rX", 400},
	{"bare CR in a value", "GET / HTTP/1.1\r\nHost: a\rb", 400},
	{"bare CR as the end", "GET / HTTP/1.1\r\nHost: a\r\n\rX", 400},
	{"bare CR first", "\rG", 400},
	{"empty lines for ever", strings.Repeat("\r\n", 20), 400},
	{"folded line", "GET / HTTP/1.1\r\nHost: a\r\n b", 400},
	{"folded line by tab", "GET / HTTP/1.1\r\nHost: a\r\n\tb", 400},
	{"folded first line", "GET / HTTP/1.1\r\n Host: a", 400},
	{"space before the colon", "GET / HTTP/1.1\r\nHost : a", 400},
	{"tab before the colon", "GET / HTTP/1.1\r\nContent-Length\t: 5", 400},
	{"empty name", "GET / HTTP/1.1\r\n: a", 400},
	{"no colon", "GET / HTTP/1.1\r\nHost\r\n", 400},
	{"name beyond ASCII", "GET / HTTP/1.1\r\nH\xc3\xb6st: a", 400},
	{"name in quotes", "GET / HTTP/1.1\r\n\"Host\": a", 400},
	{"NUL in a name", "GET / HTTP/1.1\r\nHo\x00st: a", 400},
	{"NUL in a value", "GET / HTTP/1.1\r\nX: a\x00b", 400},
	{"control character in a value", "GET / HTTP/1.1\r\nX: a\x0bb", 400},
	{"DEL in a value", "GET / HTTP/1.1\r\nX: a\x7fb", 400},
	{"NUL in the target", "GET /\x00 HTTP/1.1", 400},
	{"control character in the target", "GET /\x01 HTTP/1.1", 400},
	{"fragment in the target", "GET /#x HTTP/1.1", 400},
	{"relative target", "GET foo HTTP/1.1", 400},
	{"no target", "GET  HTTP/1.1", 400},
	{"star for GET", "GET * HTTP/1.1", 400},
	{"authority form", "CONNECT a:80 HTTP/1.1", 400},
	{"ftp target", "GET ftp://a/ HTTP/1.1", 400},
	{"absolute target without host", "GET http:///x HTTP/1.1", 400},
	{"two spaces before the version", "GET /  HTTP/1.1", 400},
	{"space behind the version", "GET / HTTP/1.1 \r\n", 400},
	{"HTTP/0.9", "GET /\r\n", 400},
	{"lower-case version", "GET / http/1.1", 400},
	{"version of two digits", "GET / HTTP/1.10", 400},
	{"version without a digit", "GET / HTTP/1.#", 400},
	{"version that begins without a digit", "GET / HTTP/#.1", 400},
	{"HTTP/2 preface", "OPTIONS * HTTP/2.0\r\n\r\n", 505},
	{"HTTP/1.2", "GET / HTTP/1.2\r\n", 505},
	{"TLS", "\x16\x03\x01\x02\x00", 400},
	{"method with a bracket", "GE(T / HTTP/1.1", 400},
	{"leading space", " GET / HTTP/1.1", 400},
	{"endless method", strings.Repeat("A", 40), 400},
	{"no Host", "GET / HTTP/1.1\r\n\r\n", 400},
	{"empty Host", "GET / HTTP/1.1\r\nHost: \r\n", 400},
	{"two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n", 400},
	{"two equal Hosts", "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n", 400},
	{"list of Hosts", "GET / HTTP/1.1\r\nHost: a, b\r\n", 400},
	{"user in Host", "GET / HTTP/1.1\r\nHost: u@a\r\n", 400},
	{"path in Host", "GET / HTTP/1.1\r\nHost: a/b\r\n", 400},
	{"absolute target without a Host", "GET http://a/ HTTP/1.1\r\n\r\n", 400},
	{"absolute target and a bad Host", "GET http://a/ HTTP/1.1\r\nHost: u@a\r\n", 400},
	{"absolute target with a port alone", "GET http://:80/ HTTP/1.1", 400},
	{"Host with a port alone", "GET / HTTP/1.1\r\nHost: :80\r\n", 400},
	{"user in the target", "GET http://b@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"two Origins", "GET / HTTP/1.1\r\nOrigin: http://a\r\nOrigin: http://a\r\n", 400},
	{"Content-Length and Transfer-Encoding", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
	{"the other way round", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400},
	{"differing lengths", "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n", 400},
	{"equal lengths", "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n", 400},
	{"list of lengths", "POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n", 400},
	{"length with a plus", "POST / HTTP/1.1\r\nContent-Length: +5\r\n", 400},
	{"length with a minus", "POST / HTTP/1.1\r\nContent-Length: -5\r\n", 400},
	{"length with a space", "POST / HTTP/1.1\r\nContent-Length: 5 5\r\n", 400},
	{"hexadecimal length", "POST / HTTP/1.1\r\nContent-Length: 0x5\r\n", 400},
	{"empty length", "POST / HTTP/1.1\r\nContent-Length:\r\n", 400},
	{"enormous length", "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n", 400},
	{"gzip coding", "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n", 400},
	{"identity coding", "POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\n", 400},
	{"coding twice", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400},
	{"coding disguised", "POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n", 400},
	{"coding with a parameter", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked;q=1\r\n", 400},
	{"chunked in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
	{"endless target", "GET /" + strings.Repeat("a", 9000), 414},
	{"endless value", "GET / HTTP/1.1\r\nX: " + strings.Repeat("a", 9000), 431},
	{"endless name", "GET / HTTP/1.1\r\n" + strings.Repeat("a", 9000), 431},
	{"many headers", "GET / HTTP/1.1\r\n" + strings.Repeat("a:\r\n", 101), 431},
}

func TestCheckRefusesEvilHeadsAtOnce(t *testing.T) {
	for _, evil := range evilHeads {
		var h httpapi.Head
		n, err := h.Check([]byte(evil.head), headLimit)
		var e *refusal.Error
		if n != 0 || !errors.As(err, &e) || e.Status != evil.status {
			t.Errorf("%s: n=%d err=%v, want an error with status %d", evil.name, n, err, evil.status)
			continue
		}
		step := 1 + len(evil.head)/1000
		for cut := 0; cut < len(evil.head); cut += step { // no prefix has an error of its own
			_, err := h.Check([]byte(evil.head[:cut]), headLimit)
			if err != nil && err != error(e) {
				t.Errorf("%s: first %d bytes: %v, whole: %v", evil.name, cut, err, e)
			}
		}
	}
}

func TestCheckTakesAHeadOfExactlyTheLimit(t *testing.T) {
	const frame = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n"
	pad := strings.Repeat("x", headLimit-len(frame))
	var h httpapi.Head
	head := strings.Replace(frame, "X: ", "X: "+pad, 1)
	if n, err := h.Check([]byte(head+"more"), headLimit); n != headLimit || err != nil {
		t.Errorf("n=%d err=%v", n, err)
	}
	head = strings.Replace(frame, "X: ", "X: x"+pad, 1)
	if n, err := h.Check([]byte(head+"more"), headLimit); n != 0 || err == nil {
		t.Errorf("one byte more: n=%d err=%v", n, err)
	}
}

// plainFields are those that plain heads may have.
var plainFields = []string{
	"accept", "accept-encoding", "accept-language", "authorization", "cache-control", "connection", "content-length", "content-type", "host", "origin", "pragma", "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site",
	"sec-websocket-extensions", "sec-websocket-key", "sec-websocket-protocol", "sec-websocket-version", "upgrade", "user-agent",
}

// samePlain compares what is kept of a plain head with what fasthttp has found in it.
func samePlain(h *httpapi.Head, header *fasthttp.RequestHeader) error {
	fields, twice := map[string]int{}, false
	plain := true
	for key := range header.All() {
		name := strings.ToLower(string(key))
		fields[name]++
		plain = plain && slices.Contains(plainFields, name)
		once := name == "authorization" || strings.HasPrefix(name, "sec-websocket-")
		twice = twice || once && fields[name] > 1 // fasthttp keeps one Content-Type
	}
	if h.Plain && (!plain || twice) {
		return fmt.Errorf("plain, with the fields %v", fields)
	}
	if !h.Plain {
		return nil // then only fasthttp is asked
	}
	if !bytes.Equal(h.ContentType, header.ContentType()) || !bytes.Equal(h.Authorization, header.Peek("Authorization")) {
		return fmt.Errorf("Content-Type %q, Authorization %q; fasthttp %q, %q", h.ContentType, h.Authorization, header.ContentType(), header.Peek("Authorization"))
	}
	for name, value := range map[string][]byte{
		"Sec-WebSocket-Key": h.Socket.Key, "Sec-WebSocket-Version": h.Socket.Version,
		"Sec-WebSocket-Protocol": h.Socket.Protocols, "Sec-WebSocket-Extensions": h.Socket.Extensions,
	} {
		if !bytes.Equal(value, header.Peek(name)) {
			return fmt.Errorf("%s %q, fasthttp %q", name, value, header.Peek(name))
		}
	}
	name, only := httpapi.OnlyChannel(h.Query)
	var query fasthttp.Args
	query.ParseBytes(h.Query)
	if only && (query.Len() != 1 || !query.Has("channel") || !bytes.Equal(query.Peek("channel"), name)) {
		return fmt.Errorf("OnlyChannel finds only the channel %[2]q in the query %[1]q; fasthttp finds %[3]q", h.Query, name, query.String())
	}
	return nil
}

func TestPlainHeads(t *testing.T) {
	const line = "POST /publish?channel=a HTTP/1.1\r\nHost: a\r\n"
	for fields, plain := range map[string]bool{
		"": true,
		"Content-Length: 3\r\nUser-Agent: x\r\nACCEPT: */*\r\nAccept-Encoding: gzip\r\nConnection: keep-alive\r\ncontent-type: text/plain\r\nAuthorization: Bearer x\r\n": true,
		"Content-Type:\r\nAuthorization:\r\n":                true,
		"Connection: close, x\r\nConnection: keep-alive\r\n": true,
		"Content-Type: a\r\nContent-Type: a\r\n":             false,
		"Authorization: a\r\nauthorization:\r\n":             false,
		"Transfer-Encoding: chunked\r\n":                     false,
		"Trailer: x\r\n":                                     false,
		"Idempotency-Key: x\r\n":                             false,
		"Cookie: x=y\r\n":                                    false,
		"X-Forwarded-For: 192.0.2.1\r\n":                     false,
		"Expect: x\r\n":                                      false,
		"Upgrade: websocket\r\nConnection: Upgrade\r\nPragma: no-cache\r\nCache-Control: no-cache\r\nOrigin: http://a\r\nSec-Fetch-Site: none\r\nSec-Fetch-Mode: websocket\r\nSec-Fetch-Dest: empty\r\nAccept-Language: en\r\n" +
			"Sec-WebSocket-Key: a\r\nSec-WebSocket-Version:\r\nsec-websocket-protocol: x, y\r\nSec-WebSocket-Extensions: z\r\n": true,
		"Sec-WebSocket-Protocol: a\r\nsec-websocket-protocol: b\r\n": false,
		"Sec-WebSocket-Key:\r\nSec-WebSocket-Key: b\r\n":             false,
	} {
		var h httpapi.Head
		head := []byte(line + fields + "\r\n")
		if n, err := h.Check(head, headLimit); n != len(head) || err != nil {
			t.Errorf("%q: n=%d err=%v", fields, n, err)
			continue
		}
		var header fasthttp.RequestHeader
		if err := header.Read(bufio.NewReader(bytes.NewReader(head))); err != nil {
			if plain {
				t.Errorf("%q: %v", fields, err)
			}
			continue
		}
		if h.Plain != plain {
			t.Errorf("%q: plain %v, want %v", fields, h.Plain, plain)
		}
		if err := samePlain(&h, &header); err != nil {
			t.Errorf("%q: %v", fields, err)
		}
	}
	for query, want := range map[string]bool{
		"channel=a": true, "channel=": true, "channel=a=b;c": true, "channel=\xc3\xa9": true,
		"": false, "channel": false, "Channel=a": false, "channel=a&": false, "channel=a%20": false, "channel=a+b": false, "channel=a&channel=b": false, "channel[]=a": false,
	} {
		if _, only := httpapi.OnlyChannel([]byte(query)); only != want {
			t.Errorf("%q: %v, want %v", query, only, want)
		}
	}
}

// FuzzHead compares the check with fasthttp's parser: what the check accepts
// must mean the same to both, and its verdict must not depend on what follows
// or on how the bytes come in.
func FuzzHead(f *testing.F) {
	for _, head := range goodHeads {
		f.Add([]byte(head))
	}
	for _, evil := range evilHeads {
		if len(evil.head) < 200 {
			f.Add([]byte(evil.head))
		}
	}
	f.Add([]byte("0 http://0 HTTP/1.1\r\nHost:1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var h, again httpapi.Head
		n, err := h.Check(b, headLimit)
		if n > 0 && err != nil || n > len(b) {
			t.Fatalf("n=%d of %d with err=%v", n, len(b), err)
		}
		if n == 0 {
			if err == nil && len(b) > 0 { // then no prefix may have been refused
				if _, err := again.Check(b[:len(b)-1], headLimit); err != nil {
					t.Fatalf("refused earlier: %v", err)
				}
			}
			return
		}
		if m, err := again.Check(b[:n], headLimit); m != n || err != nil {
			t.Fatalf("alone: n=%d err=%v, with more behind it: n=%d", m, err, n)
		}
		if m, err := again.Check(b[:n-1], headLimit); m != 0 || err != nil {
			t.Fatalf("one byte less: n=%d err=%v", m, err)
		}
		var header fasthttp.RequestHeader
		if err := header.Read(bufio.NewReaderSize(bytes.NewReader(b[h.Start:n]), headLimit)); err != nil {
			if bytes.Contains(bytes.ToLower(b[:n]), []byte("trailer")) {
				return // fasthttp looks into Trailer, which we ignore: Request answers 400
			}
			t.Fatalf("%q: accepted, but fasthttp says %v", b[:n], err)
		}
		if !bytes.Equal(header.Method(), h.Method) || !bytes.Equal(header.RequestURI(), h.Target) {
			t.Errorf("%q %q, fasthttp %q %q", h.Method, h.Target, header.Method(), header.RequestURI())
		}
		// fasthttp leaves the authority of an absolute target to Request.
		if _, authority, absolute := bytes.Cut(h.Target, []byte("://")); absolute && h.Target[0] != '/' {
			if !bytes.HasPrefix(authority, h.Host) || len(h.Host) == 0 {
				t.Errorf("host %q of the target %q", h.Host, h.Target)
			}
		} else if !bytes.Equal(header.Host(), h.Host) && h.HTTP11 {
			t.Errorf("host %q, fasthttp %q", h.Host, header.Host())
		}
		want := h.ContentLength
		if h.Chunked {
			want = -1
		} else if want < 0 {
			want = -2 // fasthttp's word for none
		}
		if got := header.ContentLength(); got != want && !(want == -2 && got == 0) {
			t.Errorf("%q: content length %d, fasthttp %d", b[:n], want, got)
		}
		if header.ConnectionClose() != h.Close {
			t.Errorf("%q: close %v, fasthttp %v", b[:n], h.Close, header.ConnectionClose())
		}
		if err := samePlain(&h, &header); err != nil {
			t.Errorf("%q: %v", b[:n], err)
		}
	})
}
