package loadtest

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestBackoffGrowsToItsMaximum(t *testing.T) {
	b, err := ParseBackoff("100ms..5s")
	if err != nil {
		t.Fatal(err)
	}
	check := func(attempt uint8, first, want time.Duration) {
		t.Helper()
		for range 100 {
			if got := b.delay(attempt, first); got > want || got < want/2 {
				t.Fatalf("attempt %d: %v; want %v less at most a half", attempt, got, want)
			}
		}
	}
	check(0, 0, 100*time.Millisecond)
	check(3, 0, 800*time.Millisecond)
	check(200, 0, 5*time.Second)
	check(0, time.Second, time.Second) // the server's wish
	check(9, 7*time.Second, 7*time.Second)
	if got := (*Backoff)(nil).delay(9, time.Hour); got != retryAfter {
		t.Errorf("%v without a backoff", got)
	}
	if b, err = ParseBackoff("1s..1s,1,0"); err != nil || b.delay(7, 0) != time.Second {
		t.Errorf("%+v, %v", b, err)
	}
	for _, bad := range []string{"", "1s", "1s..", "..1s", "2s..1s", "0s..1s", "1s..2s,0.5", "1s..2s,2,2", "1s..2s,2,0,1", "1s..2s,x", "1s..2s,NaN"} {
		if b, err := ParseBackoff(bad); err == nil {
			t.Errorf("%q was read as %+v", bad, b)
		}
	}
}

// sayings is a server whose connections, one after another, say something and end.
func sayings(t *testing.T, texts ...string) (addr string, connections *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended, n := make(chan struct{}), new(atomic.Int32)
	go func() { // ends with l
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if i := int(n.Add(1)); i > len(texts) {
				t.Errorf("connection %d of %d", i, len(texts))
			} else if q, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				sum := sha1.Sum([]byte(q.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
				_, _ = io.WriteString(conn, strings.ReplaceAll(texts[i-1], leanAccept, base64.StdEncoding.EncodeToString(sum[:]))) // the client sees it missing
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-ended })
	return l.Addr().String(), n
}

func TestSubscribersComeBackUntilTheyMustNot(t *testing.T) {
	const (
		stream = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nretry: 1\n\n"
		busy   = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
		socket = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + leanAccept + "\r\n\r\n"
	)
	status := func(text string) string { return strings.Replace(busy, "503 Service Unavailable", text, 1) }
	type from struct {
		transport Transport
		texts     []string
		closed    int
		back      int64
	}
	cases := map[string]from{
		"204":                 {SSE, []string{stream, busy, stream, "", status("204 No Content")}, 2, 1},
		"a Peal's 403":        {SSE, []string{stream, stream, stream, status("403 Forbidden")}, 3, 2},
		"a Peal's 4401":       {WebSocket, []string{socket + "\x88\x02\x03\xf5", busy, socket, socket + "\x88\x02\x11\x31"}, 3, 2},
		"a close with a time": {WebSocket, []string{socket + "\x88\x15\x11\x4drate; retry in 3 ms", socket + "\x88\x02\x11\x31"}, 2, 1},
		"at the beginning":    {SSE, []string{busy, busy, status("204 No Content")}, 0, 0},
		"gws, a status":       {WebSocket, []string{busy, socket, socket, busy, socket + "\x88\x02\x03\xf5", status("403 Forbidden")}, 3, 2},
	}
	for name, c := range maps.Collect(maps.All(cases)) {
		if c.transport == WebSocket {
			cases["gws, "+strings.TrimPrefix(name, "gws, ")] = c
		}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			addr, connections := sayings(t, c.texts...)
			to := Target{Endpoint: Endpoint{Addr: addr}, Transport: c.transport, Path: "/" + string(c.transport)}
			spec := to.Spec(1, 1)
			if strings.HasPrefix(name, "gws") {
				spec.Kind = GWS
			}
			to.Reconnect(&spec, Backoff{First: time.Millisecond, Max: 4 * time.Millisecond, Factor: 2, Jitter: 0.5})
			f, _ := openFleet(t, spec)
			waitFor(t, f, func(r Received) bool { return int(connections.Load()) == len(c.texts) && r.Closed == c.closed })
			r := f.sink.sample()
			if r.Returned == nil {
				r.Returned = NewLatency()
			}
			if r.Returned.Count() != c.back || r.Open != 0 {
				t.Errorf("%d came back, %d open; want %d, 0", r.Returned.Count(), r.Open, c.back)
			}
		})
	}
}

func TestCloseReasonsNameATime(t *testing.T) {
	for reason, want := range map[string]time.Duration{
		"draining: the server is going away; retry in 2731 ms": 2731 * time.Millisecond,
		"too_many_connections: x; retry in 1 ms":               time.Millisecond,
		"":                                                     0, "retry in 5 ms": 0, "x; retry in 5 s": 0, "x; retry in  ms": 0, "x; retry in -1 ms": 0, "x; retry in 5 ms.": 0,
	} {
		if got := closeRetry([]byte(reason)); got != want {
			t.Errorf("%q: %v, want %v", reason, got, want)
		}
	}
	b := &Backoff{First: time.Second, Max: time.Second, Factor: 2}
	c := &leanConn{}
	if c.comeBackIn(b, 0); c.wire != nil {
		t.Error("no time was kept as one")
	}
	if c.comeBackIn(b, 7*time.Second); b.delay(0, c.wire.retry) != 7*time.Second {
		t.Errorf("%v kept, want 7 s", c.wire.retry)
	}
}
