package liar

import (
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"

	"github.com/lxzan/gws"
)

// Plan decides what a subscriber (0, 1, … as they connected) gets of the message
// with a sequence. It runs under the server's lock.
type Plan func(subscriber int, sequence uint64, send func())

// Truth delivers everything.
func Truth(_ int, _ uint64, send func()) { send() }

// Server misbehaves according to its plan.
type Server struct {
	gws.BuiltinEventHandler

	// Addr is where it listens.
	Addr string

	plan Plan
	wait sync.WaitGroup

	mu    sync.Mutex
	conns []*gws.Conn // receivers
	all   []*gws.Conn
}

// Start starts one, which ends with the test.
func Start(t testing.TB, plan Plan) *Server {
	t.Helper()
	l := &Server{plan: plan}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Addr = listener.Addr().String()
	upgrader := gws.NewUpgrader(l, nil)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r)
		if err != nil {
			return
		}
		l.mu.Lock()
		l.all = append(l.all, conn)
		if r.URL.Path != "/pub" {
			l.conns = append(l.conns, conn)
		}
		l.mu.Unlock()
		l.wait.Go(conn.ReadLoop)
	})}
	l.wait.Go(func() { _ = server.Serve(listener) }) // ends with ErrServerClosed
	t.Cleanup(func() {
		_ = server.Close()
		l.mu.Lock()
		for _, c := range l.all {
			_ = c.NetConn().Close()
		}
		l.mu.Unlock()
		l.wait.Wait()
	})
	return l
}

// Where the sequence stands in a message: see loadtest.Stamp. The liar reads it
// for itself, so that a fault there cannot hide here.
const (
	sequenceAt  = 11
	sequenceEnd = 21
)

// OnMessage runs for one publisher at a time: the tests have one per server and
// stream, and mu orders the streams.
func (l *Server) OnMessage(_ *gws.Conn, m *gws.Message) {
	defer m.Close()
	payload := append([]byte(nil), m.Bytes()...)
	if len(payload) < sequenceEnd {
		return
	}
	sequence, err := strconv.ParseUint(string(payload[sequenceAt:sequenceEnd]), 16, 64)
	if err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, c := range l.conns {
		l.plan(i, sequence, func() { _ = c.WriteMessage(gws.OpcodeText, payload) }) // a closed one misses it
	}
}

// Ping pings a subscriber. Plans may call it.
func (l *Server) Ping(subscriber int) {
	_ = l.conns[subscriber].WritePing([]byte("?")) // a closed one misses it
}

// HangUp closes the connection of a subscriber. Plans may call it.
func (l *Server) HangUp(subscriber int) {
	_ = l.conns[subscriber].NetConn().Close() // its reader ends
}
