package httpapi_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"peal/loop"
	"peal/loop/admit"
)

// Each transport gets the refusal in a form after which its clients come back.
func TestConnectionsAreRefusedInTheFormOfTheirTransport(t *testing.T) {
	h := newHarness(t)
	refuse := func(in string, why admit.Reason) string {
		t.Helper()
		c := &loop.Call{In: []byte(in), Conn: loop.Ref{Slot: 7, Generation: 1}, Refusal: loop.Refusal{Reason: why, Retry: 6500 * time.Millisecond}}
		h.front.Request(c)
		if c.Verdict != loop.ReplyClose || c.Used != len(in) || c.Sub != nil {
			t.Errorf("%.30q: verdict %d, used %d of %d, subscription %v", in, c.Verdict, c.Used, len(in), c.Sub)
		}
		return string(c.Out)
	}
	check := func(in string, why admit.Reason, want ...string) {
		t.Helper()
		out := refuse(in, why)
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("%.30q for %s: %q lacks %q", in, why, out, w)
			}
		}
	}
	const host = " HTTP/1.1\r\nHost: localhost\r\n"
	upgrade := host + "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

	check("GET /sse?channel=a"+host+"\r\n", admit.Full, "HTTP/1.1 200 OK\r\n", "text/event-stream", "retry: 6500\n", "Connection: close\r\n")
	check("GET /sse?channel=a"+host+"\r\n", admit.AddressRate, "HTTP/1.1 200 OK\r\n", "retry: 6500\n")
	check("GET /poll?channel=a"+host+"\r\n", admit.Full, "HTTP/1.1 429 ", "Retry-After: 7\r\n", `"too_many_connections"`, "max-connections", "Connection: close")
	check("GET /poll?channel=a"+host+"\r\n", admit.Address, "HTTP/1.1 429 ", "max-connections-per-address")
	check("POST /publish"+host+"Content-Length: 1000000\r\n\r\nx", admit.Full, "HTTP/1.1 503 ", "Retry-After: 7\r\n") // its body is not waited for
	check("POST /publish"+host+"\r\n", admit.Address, "HTTP/1.1 429 ", "Retry-After: 7\r\n")
	check("POST /publish"+host+"\r\n", admit.Memory, "HTTP/1.1 503 ", "memory_full", "memory-limit")
	check("HEAD /sse"+host+"\r\n", admit.Full, "HTTP/1.1 503 ")
	check("GET /nothing"+host+"\r\n", admit.Full, "HTTP/1.1 503 ")
	check("GET /ws"+host+"\r\n", admit.Full, "HTTP/1.1 503 ") // no handshake
	check("GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n\r\n", admit.Full, "HTTP/1.1 503 ", "Access-Control-Allow-Origin: http://localhost")
	check("GET /ws HTTP/1.1\r\nHost: evil.example\r\n\r\n", admit.Full, "HTTP/1.1 403 ") // what comes before everything else still does

	for path, why := range map[string]admit.Reason{"/ws?channel=a": admit.Full, "/": admit.AddressRate} {
		code := []byte{1013 >> 8, 1013 & 0xFF}
		if why == admit.AddressRate {
			code = []byte{4429 >> 8, 4429 & 0xFF}
		}
		out := refuse("GET "+path+upgrade+"\r\n", why)
		head, frame, _ := strings.Cut(out, "\r\n\r\n")
		if !strings.HasPrefix(head, "HTTP/1.1 101 ") || len(frame) < 4 || frame[0] != 0x88 || !bytes.HasPrefix([]byte(frame[2:]), code) {
			t.Errorf("%s for %s: %q", path, why, out)
		}
		if !strings.HasSuffix(frame, "; retry in 6500 ms") { // whole, and with the time that clients obey
			t.Errorf("%s for %s: %q", path, why, frame)
		}
	}
	if n := h.front.Stats().Refusals["too_many_connections"]; n != 12 {
		t.Errorf("%d refusals were counted", n)
	}

	c := &loop.Call{In: []byte("GET /sse HTTP/1.1\r\nHost: loc"), Refusal: loop.Refusal{Reason: admit.Full}}
	if h.front.Request(c); c.Verdict != loop.More {
		t.Errorf("half a head: verdict %d, want that the rest is waited for", c.Verdict)
	}
}
