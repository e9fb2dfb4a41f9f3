package httpapi_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"peal/loop"
	"peal/server/auth"
	"peal/server/forwarded"
	"peal/server/httpapi"
	"peal/server/rate"
)

// behind is a harness whose connections are those of a proxy at 10.0.0.1.
type behind struct {
	*harness
	proxies *forwarded.Proxies
	access  strings.Builder
	log     strings.Builder
	call_   loop.Call // what is given with each call
}

func newBehind(t *testing.T, change func(*httpapi.Deps)) *behind {
	t.Helper()
	trusted, err := forwarded.Parse([]string{"10.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	b := &behind{harness: newHarness(t)}
	b.proxies = forwarded.NewProxies(trusted, slog.New(slog.NewTextHandler(&b.log, nil)))
	deps := httpapi.Deps{Log: b.harness.log, Hub: b.hub, Door: b.door, Workers: b.workers, Sessions: ids, Proxies: b.proxies, Access: &b.access}
	if change != nil {
		change(&deps)
	}
	b.front = httpapi.New(deps)
	b.call_ = loop.Call{Conn: loop.Ref{Slot: 7, Generation: 1}, Peer: netip.MustParseAddrPort("10.0.0.1:999"), Trusted: true}
	return b
}

// request gives a request with these header lines to the front.
func (b *behind) request(line string, headers ...string) *loop.Call {
	c := b.call_
	c.In = []byte(line + " HTTP/1.1\r\nHost: localhost\r\n" + strings.Join(append(headers, "", ""), "\r\n"))
	b.front.Request(&c)
	return &c
}

func TestTheClientIsWhomTheTrustedProxyNames(t *testing.T) {
	for _, c := range []struct {
		about   string
		headers []string
		client  string // of the access log
		given   string // to the loop
	}{
		{"no header", nil, "10.0.0.1:999", "invalid AddrPort"},
		{"X-Forwarded-For", []string{"X-Forwarded-For: 192.0.2.7"}, "192.0.2.7", "192.0.2.7:0"},
		{"with a port", []string{"x-forwarded-for: 192.0.2.7:4711"}, "192.0.2.7:4711", "192.0.2.7:4711"},
		{"spoofed", []string{"X-Forwarded-For: 198.51.100.1", "X-Forwarded-For: 192.0.2.7, 10.0.0.2"}, "192.0.2.7", "192.0.2.7:0"},
		{"Forwarded", []string{`Forwarded: for="[2001:db8::7]:4711";proto=https`}, "[2001:db8::7]:4711", "[2001:db8::7]:4711"},
		{"IPv6 without a port", []string{"X-Forwarded-For: 2001:db8::7"}, "2001:db8::7", "[2001:db8::7]:0"},
		{"an underscore", []string{"X_Forwarded_For: 192.0.2.7"}, "10.0.0.1:999", "invalid AddrPort"},
		{"malformed, with a forged line of the log", []string{`X-Forwarded-For: 192.0.2.7","status":200,"x":"`}, "10.0.0.1:999", "invalid AddrPort"},
	} {
		b := newBehind(t, nil)
		call := b.request("GET /health", c.headers...)
		if got := call.Client.String(); got != c.given || call.Verdict != loop.Reply {
			t.Errorf("%s: the loop gets %s, verdict %v; want %s", c.about, got, call.Verdict, c.given)
		}
		if want := `"client":"` + c.client + `"`; !strings.Contains(b.access.String(), want) || strings.Count(b.access.String(), "\n") != 1 {
			t.Errorf("%s: the access log has %s, want %s", c.about, b.access.String(), want)
		}
		if b.log.Len() > 0 || b.proxies.Ignored() != 0 {
			t.Errorf("%s: %s", c.about, b.log.String())
		}
	}
}

func TestConflictingHeadersAreRefused(t *testing.T) {
	b := newBehind(t, nil)
	call := b.request("GET /health", "Forwarded: for=198.51.100.1", "X-Forwarded-For: 192.0.2.7")
	if call.Verdict != loop.ReplyClose || !strings.Contains(string(call.Out), " 400 ") || !strings.Contains(string(call.Out), "bad_forwarding") || call.Client.IsValid() {
		t.Errorf("verdict %v, client %v: %s", call.Verdict, call.Client, call.Out)
	}
}

// A stranger's headers change nothing, and a thousand of them write one line.
func TestHeadersOfStrangersAreIgnored(t *testing.T) {
	b := newBehind(t, nil)
	b.call_.Trusted, b.call_.Peer = false, netip.MustParseAddrPort("192.0.2.99:999")
	for range 1000 {
		for _, header := range []string{"X-Forwarded-For: 198.51.100.1\x09evil", "Forwarded: for=198.51.100.1", "X-Forwarded-Proto: https"} {
			if call := b.request("GET /health", header); call.Client.IsValid() || call.Verdict != loop.Reply {
				t.Fatalf("%s: client %v, verdict %v", header, call.Client, call.Verdict)
			}
		}
	}
	if n := strings.Count(b.log.String(), "\n"); n != 1 || b.proxies.Ignored() != 3000 || strings.Contains(b.log.String(), "evil") || !strings.Contains(b.log.String(), "client=192.0.2.99 ") {
		t.Errorf("%d lines, %d ignored: %s", n, b.proxies.Ignored(), b.log.String())
	}
	if strings.Contains(b.access.String(), "198.51.100.1") || !strings.Contains(b.access.String(), `"client":"192.0.2.99:999"`) {
		t.Errorf("the access log has %.200s", b.access.String())
	}

	// Whom a PROXY header has named is a client, which may send what it likes; that is
	// no mistake of the operator's.
	b = newBehind(t, nil)
	b.call_.Trusted, b.call_.Named, b.call_.Peer = false, true, netip.MustParseAddrPort("192.0.2.99:999")
	if call := b.request("GET /health", "X-Forwarded-For: 198.51.100.1"); call.Client.IsValid() || b.log.Len() > 0 || b.proxies.Ignored() != 0 {
		t.Errorf("client %v: %s", call.Client, b.log.String())
	}
}

// What limits shares and rates sees the client: two clients on one connection of the
// proxy have a rate each, and one client on two connections has one.
func TestRatesAreThoseOfTheClient(t *testing.T) {
	now := time.Hour
	b := newBehind(t, func(d *httpapi.Deps) {
		limit, err := rate.Parse("1/m")
		if err != nil {
			t.Fatal(err)
		}
		d.Buckets, d.Rates.Connection = rate.New(rate.Buckets), limit
		d.Monotonic = func() time.Duration { return now }
	})
	publish := func(client string, session uint64, status string) {
		t.Helper()
		b.call_.Session = session
		call := b.request("POST /publish?channel=a&data=x", "Content-Length: 0", "X-Forwarded-For: "+client)
		if !strings.HasPrefix(string(call.Out), "HTTP/1.1 "+status) {
			t.Errorf("%s on %d: %.60s, want %s", client, session, call.Out, status)
		}
	}
	publish("192.0.2.7", 1, "200")
	publish("192.0.2.8", 1, "200")
	publish("192.0.2.7", 2, "429")
	publish("192.0.2.8", 2, "429")
	publish("2001:db8:0:1::1", 1, "200")
	publish("2001:db8:0:1::2", 1, "429") // of the same /64
}

// A client that has as many streams as it may gets no further one through the proxy.
func TestStreamsAreThoseOfTheClient(t *testing.T) {
	b := newBehind(t, func(d *httpapi.Deps) {
		d.AddressFull = func(a netip.Addr) bool { return a == netip.MustParseAddr("192.0.2.7") }
	})
	for _, c := range []struct {
		path, client string
		status, body string
	}{
		{"/sse?channel=a", "192.0.2.7", "200", "retry: "},
		{"/poll?channel=a", "192.0.2.7", "429", "too_many_connections"},
		{"/peal.js", "192.0.2.7", "200", ""},
	} {
		call := b.request("GET "+c.path, "X-Forwarded-For: "+c.client)
		if out := string(call.Out); !strings.HasPrefix(out, "HTTP/1.1 "+c.status) || !strings.Contains(out, c.body) || call.Verdict == loop.Stream {
			t.Errorf("%s of %s: %v, %s", c.path, c.client, call.Verdict, out)
		}
	}
	if call := b.request("GET /sse?channel=a", "X-Forwarded-For: 192.0.2.8"); call.Verdict != loop.Stream {
		t.Errorf("another client: %v, %s", call.Verdict, call.Out)
	}
}

// Over TLS, as the proxy says, a page of the server itself is one of https.
func TestTheProxySaysWhetherTheClientUsesTLS(t *testing.T) {
	for _, c := range []struct {
		origin, proto string
		trusted       bool
		want          loop.Verdict
	}{
		{"https://push.example", "https", true, loop.Reply},
		{"http://push.example", "https", true, loop.ReplyClose},
		{"http://push.example", "http", true, loop.Reply},
		{"http://push.example", "https", false, loop.Reply}, // not known
	} {
		b := newBehind(t, func(d *httpapi.Deps) { d.Policy = &auth.Policy{AnyHost: true} })
		b.call_.Trusted = c.trusted
		call := b.call_
		call.In = fmt.Appendf(nil, "GET /health HTTP/1.1\r\nHost: push.example\r\nOrigin: %s\r\nX-Forwarded-Proto: %s\r\n\r\n", c.origin, c.proto)
		if b.front.Request(&call); call.Verdict != c.want {
			t.Errorf("%+v: %v, %s", c, call.Verdict, call.Out)
		}
	}
	b := newBehind(t, func(d *httpapi.Deps) { d.Policy = &auth.Policy{AnyHost: true} })
	call := loop.Call{Secure: true, In: []byte("GET /health HTTP/1.1\r\nHost: push.example\r\nOrigin: http://push.example\r\n\r\n")}
	if b.front.Request(&call); call.Verdict != loop.ReplyClose {
		t.Errorf("over TLS of our own: %v, %s", call.Verdict, call.Out)
	}
}

// The client of a request whose body comes in pieces is known from its head on.
func TestTheClientIsKnownBeforeTheBody(t *testing.T) {
	b := newBehind(t, nil)
	in := "POST /publish?channel=a HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 192.0.2.7\r\nContent-Length: 5\r\n\r\nhello"
	var partial loop.Partial
	head := strings.Index(in, "\r\n\r\n") + 4
	known := false
	for n := 1; n <= len(in); n++ {
		c := b.call_
		c.In, c.Partial = []byte(in[:n]), &partial
		b.front.Request(&c)
		if c.Client.IsValid() {
			known = true
		}
		switch {
		case n < head && known, n >= head && !known, (n < len(in)) != (c.Verdict == loop.More):
			t.Fatalf("%d bytes: client %v, verdict %v", n, c.Client, c.Verdict)
		case n == len(in) && c.Client.String() != "192.0.2.7:0":
			t.Errorf("client %v", c.Client)
		}
	}
}

func TestAPROXYHeaderOfAStrangerIsABadRequest(t *testing.T) {
	for _, header := range []string{"PROXY TCP4 10.0.0.9 198.51.100.1 4711 443\r\n", "PROXY UNKNOWN\r\n", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\x12\x67\x01\xbb"} {
		b := newBehind(t, nil)
		for range 10 {
			c := loop.Call{Peer: netip.MustParseAddrPort("192.0.2.99:999"), In: []byte(header + get("/health"))}
			b.front.Request(&c)
			resp, body := readAnswer(t, "GET /", c.Out)
			if resp.StatusCode != http.StatusBadRequest || !strings.Contains(body, "untrusted_proxy") || c.Verdict != loop.ReplyClose {
				t.Errorf("%q: %d %s", header, resp.StatusCode, body)
			}
		}
		if n := strings.Count(b.log.String(), "\n"); n != 1 || !strings.Contains(b.log.String(), `header="PROXY protocol"`) {
			t.Errorf("%q: %d lines: %s", header, n, b.log.String())
		}
	}
}

// Plain requests pay nothing, and forwarded ones a little.
func TestForwardedRequestsAllocateLittle(t *testing.T) {
	b := newBehind(t, func(d *httpapi.Deps) { d.Access = nil })
	measure := func(headers string) float64 {
		in := []byte("GET /health HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n")
		c, out := b.call_, make([]byte, 0, 1024)
		return testing.AllocsPerRun(100, func() {
			c.In, c.Out, c.Client = in, out, netip.AddrPort{}
			b.front.Request(&c)
		})
	}
	plain := measure("")
	if n := measure("X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n"); n > plain+1 {
		t.Errorf("%v allocations, %v without the headers", n, plain)
	}
}
