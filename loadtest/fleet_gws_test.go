package loadtest

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lxzan/gws"

	"peal/loadtest/liar"
)

// A worker's fixed cost cancels out of the difference of two pools. Each had
// pings and messages, so that every read loop has used its stack.
func TestGWSConnectionAllocatesLittle(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's memory is not the connection's")
	}
	const few, many, limit = 100, 2100, 6500
	small, large := workerMemory(t, few), workerMemory(t, many)
	if per := (large - small) / (many - few); large <= small || per > limit {
		t.Errorf("%d B resident with %d connections, %d with %d: %d B each, want at most %d", small, few, large, many, per, limit)
	} else {
		t.Logf("%d B resident per connection", per)
	}
}

// workerMemory is what a worker holds with n gws connections that have had
// pings and messages.
func workerMemory(t *testing.T, n int) uint64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	l := liar.StartOdd(t, liar.Oddity{Lie: func(to *liar.Subscriber, _ uint64, message string) {
		to.Ping("?")
		to.Send(message)
	}})
	pool, opened, err := OpenPool(ctx, Spec{Endpoint: Endpoint{Addr: l.Addr}, Kind: GWS, Connections: n})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	}()
	publisher, err := DialPublisher(ctx, PublishTarget{Endpoint: Endpoint{Addr: l.Addr}, WebSocket: true, Path: func(int) string { return "/pub" }})
	if err != nil {
		t.Fatal(err)
	}
	defer publisher.Close()
	r, err := Run(ctx, pool, publisher, Load{Pacer: Rate(10), Length: time.Second, Size: 128, Settle: 20 * time.Second})
	if err != nil || opened.Err() != nil || !r.Clean() || r.Delivered == 0 {
		t.Fatalf("%v, %v, %+v", err, opened.Err(), r.Counts)
	}
	used, err := pool.Usage(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return used[0].Resident
}

// script is a server that answers the handshake and then does as it says.
func script(t *testing.T, handler gws.Event, say func(*gws.Conn)) (addr string) {
	t.Helper()
	return scripted(t, handler, nil, say)
}

// scripted is script with options.
func scripted(t *testing.T, handler gws.Event, option *gws.ServerOption, say func(*gws.Conn)) (addr string) {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	upgrader := gws.NewUpgrader(handler, option)
	ended := make(chan struct{})
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		conn, err := upgrader.Upgrade(w, r)
		if err != nil {
			t.Error(err)
			return
		}
		say(conn)
		conn.ReadLoop()
	})}
	go func() { _ = server.Serve(listener) }() // ends with the listener
	t.Cleanup(func() { <-ended; _ = server.Close() })
	return listener.Addr().String()
}

// openGWS opens one connection to addr in this process, closed by closeAll or at
// the test's end.
func openGWS(t *testing.T, addr string) (f *fleet, closeAll func()) {
	t.Helper()
	f, err := newFleet(Spec{Endpoint: Endpoint{Addr: addr}, Kind: GWS, Connections: 1})
	if err != nil {
		t.Fatal(err)
	}
	closeAll = sync.OnceFunc(f.kind.close)
	t.Cleanup(closeAll)
	if o := f.kind.open(t.Context()); o.Err() != nil {
		t.Fatal(o.Err())
	}
	return f, closeAll
}

// pongs hands on what the client sends.
type pongs struct {
	gws.BuiltinEventHandler
	payloads chan string // of pongs
	closed   chan error
}

func newPongs() *pongs {
	return &pongs{payloads: make(chan string, 1), closed: make(chan error, 1)}
}

func (p *pongs) OnPong(_ *gws.Conn, payload []byte) { p.payloads <- string(payload) }
func (p *pongs) OnClose(_ *gws.Conn, err error)     { p.closed <- err }

func TestGWSConnectionReadsMessagesOfEverySizeAndAnswersPings(t *testing.T) {
	p := newPongs()
	sizes := []int{StampBytes, 125, 126, 511, 512, 513, 70_000, 1 << 20, StampBytes}
	f, closeAll := openGWS(t, script(t, p, func(c *gws.Conn) {
		for i, size := range sizes {
			_ = c.WriteMessage(gws.OpcodeText, AppendMessage(nil, Stamp{Run: 1, Sequence: uint64(i + 1), Scheduled: Now()}, size)) // what is not sent does not arrive
		}
		_ = c.WritePing([]byte("there?"))
	}))
	if got := <-p.payloads; got != "there?" {
		t.Errorf("pong %q, want the ping's payload", got)
	}
	if !f.await([]uint64{uint64(len(sizes))}, nil, 10*time.Second) {
		t.Errorf("%+v, want %d delivered", f.sink.report([]uint64{uint64(len(sizes))}, nil).Counts, len(sizes))
	}
	if r := f.sink.sample(); r.Open != 1 || r.Closed != 0 || r.Foreign != 0 {
		t.Errorf("%+v, want one open", r)
	}
	closeAll()
	if err := <-p.closed; err == nil {
		t.Error("the server saw no end")
	}
}

func TestGWSConnectionThatTheServerEndsIsCounted(t *testing.T) {
	for _, c := range []struct {
		name string
		say  func(*gws.Conn)
	}{
		{"close frame", func(c *gws.Conn) { _ = c.WriteClose(1001, []byte("bye")) }},
		{"end of the stream", func(c *gws.Conn) { _ = c.NetConn().Close() }},
		{"masked frame", func(c *gws.Conn) { _, _ = c.NetConn().Write([]byte{0x81, 0x81, 1, 2, 3, 4, 'x'}) }}, // RFC 6455 §5.1
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			p := newPongs()
			f, _ := openGWS(t, script(t, p, c.say))
			<-p.closed
			// The server's end comes after the client's answer, but for the end of
			// the stream, where the client's may still be on its way.
			for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
				r := f.sink.sample()
				if r.Open == 0 && r.Closed == 1 {
					return
				}
				if time.Now().After(end) {
					t.Fatalf("%d open, %d closed; want 0, 1", r.Open, r.Closed)
				}
			}
		})
	}
}
