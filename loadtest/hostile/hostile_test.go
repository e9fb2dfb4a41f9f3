package hostile

import (
	"bytes"
	"compress/flate"
	"context"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"peal/loadtest/child"
	"peal/scripts/leak"
)

func TestMain(m *testing.M) {
	child.Play(Role)
	os.Exit(leak.Main(m))
}

// sink accepts connections, agrees to everything, and keeps what came.
type sink struct {
	addr string
	seen chan struct{} // a signal, after something came
	mu   sync.Mutex
	got  bytes.Buffer
}

func listen(t *testing.T) *sink {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{addr: l.Addr().String(), seen: make(chan struct{}, 1)}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return s
}

func (s *sink) serve(conn net.Conn) {
	defer conn.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := conn.Read(buffer)
		s.mu.Lock()
		s.got.Write(buffer[:n])
		s.mu.Unlock()
		select {
		case s.seen <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
		switch {
		case bytes.Contains(buffer[:n], []byte("Upgrade: websocket")):
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
		case bytes.Contains(buffer[:n], []byte(" HTTP/1.1\r\n")):
			_, _ = io.WriteString(conn, strings.Repeat("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", bytes.Count(buffer[:n], []byte(" HTTP/1.1\r\n"))))
		}
	}
}

func (s *sink) has(want string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Contains(s.got.Bytes(), []byte(want))
}

// Each kind sends what its name says.
func TestKindsSendWhatTheySay(t *testing.T) {
	want := map[string][]string{
		"last":            {"GET /poll?channel=archive-0&channel=archive-1&", "&last=1000", `"channel":["archive-0",`, `"last":1000}`},
		"earliest":        {"&cursor=earliest"},
		"commands":        {`"command":"subscribe"`, `"command":"unsubscribe"`},
		"foreign-cursors": {`"cursor":"of-another-life"`},
		"bad-json":        {"\x81\x85\x00\x00\x00\x00hello\x81\x85"},
		"pings":           {"\x89\x80\x00\x00\x00\x00\x89\x80"},
		"chunked":         {"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n1\r\nx\r\n"},
		"room":            {"POST /publish?channel=room HTTP/1.1\r\n", "Content-Length: 400\r\n"},
		"unfinished":      {"\x81\xfe" + "\xff\xdc" + "\x00\x00\x00\x00\x00\x00"},
		"unread":          {"GET /ws?channel=unread", "POST /publish?channel=unread"},
		"late-replies":    {"POST /publish?channel=late-"},
		"listings":        {"GET /channels/listing/history?last=1000&limit=1000"},
		"encodings":       {"GET /ws?format=json&channel=", "GET /sse?channel=", "GET /poll?channel=", "\x01\x01\x01"},
		"batch-expansion": {"POST /publish/batch", `{"messages":[{"channel":["expansion-`},
		"idempotency":     {`"idempotency_key":"hostile-`},
		"bans":            {"POST /disconnect", `"for":86400`},
		"presence":        {`"client":"nobody-`, `"info":"iiii`},
		"channels":        {`{"channel":"unused-`},
		"heartbeats":      nil,
		"slow-heads":      {"\r\nX-Slow: ", "\r\nX-Slow: x"},
		"slow-bodies":     {"Content-Length: 60000\r\n\r\n"},
		"slow-frames":     {"\x81\xfe" + "\xea\x60" + "\x00\x00\x00\x00"},
		"half-open":       nil,
		"resets":          {"GET /poll?channel=reset HTTP/1.1\r\n"},
		"zero-windows":    {"GET /sse?channel=windows", "POST /publish?channel=windows"},
		"tiny-windows":    {"GET /sse?channel=windows", "POST /publish?channel=windows"},
		"long-frames":     {"\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00", "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff"},
		"empty-fragments": {"\x01\x80\x00\x00\x00\x00\x00\x80\x00\x00\x00\x00\x00\x80"},
		"closes":          {"\x88\x85\x00\x00\x00\x00\x03\xe8bye\x88"},
		"unmasked":        {"a\x80\x01b"},
		"deflate-bombs":   {"permessage-deflate", "\xc2\xfe", "channel=%24user:bombs"},
		"new-names":       {`"command":"subscribe","channel":"new-`, `"command":"unsubscribe"`},
		"many-channels":   {`"channel":["many-0-0","many-0-1"`},
		"reads":           {"GET /channels/archive-0/history?last=1000", "GET /channels/archive-0/presence"},
		"far-cursors":     {"GET /poll?channel=archive-0", "&cursor=earliest"},
		"header-bombs":    {"X-Bomb: bbbb", "X:\r\nX:\r\n"},
		"slow-tls":        {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03x"},
		"tls-handshakes":  {"\x16\x03\x01"},
		"poll-floods":     {"GET /poll?channel=floods-0&timeout=1 HTTP/1.1\r\n"},
	}
	for _, k := range Kinds() {
		t.Run(k.Name, func(t *testing.T) {
			texts, known := want[k.Name]
			if !known {
				t.Fatal("not in this test")
			}
			s := listen(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			ended := make(chan Tally, 1)
			go func() { // ends with ctx
				tally, err := Run(ctx, Spec{Addr: s.addr, Kinds: []string{k.Name}, Clients: 2, Connections: 4, Source: "127.0.0.66", Sources: 2})
				if err != nil {
					t.Error(err)
				}
				ended <- tally
			}()
			for _, text := range texts {
				for !s.has(text) {
					select {
					case <-s.seen:
					case <-ctx.Done():
						t.Fatalf("did not send %q", text)
					}
				}
			}
			cancel()
			if tally := <-ended; len(texts) > 0 && (tally.Connections == 0 || tally.Sent == 0) {
				t.Errorf("tally %+v", tally)
			}
		})
	}
}

// A neighbour is a process that ends when told, with its tally.
func TestNeighbourEndsWithItsTally(t *testing.T) {
	s := listen(t)
	n, err := Start(t.Context(), Spec{Addr: s.addr, Kinds: []string{"pings", "bans"}, Clients: 4})
	if err != nil {
		t.Fatal(err)
	}
	for !s.has("POST /disconnect") || !s.has("\x89\x80") {
		<-s.seen
	}
	tally, err := n.Stop()
	if err != nil || tally.Sent == 0 || tally.Connections < 2 {
		t.Errorf("tally %+v, error %v", tally, err)
	}
}

func TestUnknownKindIsRefused(t *testing.T) {
	_, err := Run(t.Context(), Spec{Addr: "127.0.0.1:1", Kinds: []string{"nice"}})
	if err == nil || !strings.Contains(err.Error(), "bad-json") {
		t.Errorf("error %v, want one that names the kinds", err)
	}
}

// The bomb fits into a frame and becomes as long as it should.
func TestDeflateBombInflates(t *testing.T) {
	b := deflateBomb()
	if len(b) >= 64<<10 {
		t.Errorf("%d bytes: the server would refuse its length alone", len(b))
	}
	n, err := io.Copy(io.Discard, flate.NewReader(io.MultiReader(bytes.NewReader(b[8:]), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff"))))
	if n != bombParts<<16 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}
