package loadtest

import (
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/lxzan/gws"
)

// liar is a WebSocket server that does to the messages of its publisher what
// its plan says. Whoever connects to /pub publishes; everybody else receives.
type liar struct {
	gws.BuiltinEventHandler
	addr string
	plan func(subscriber int, sequence uint64, send func())
	wait sync.WaitGroup

	mu    sync.Mutex
	conns []*gws.Conn // receivers
	all   []*gws.Conn
}

// newLiar starts one. plan decides what the subscriber gets for each message:
// calling send once is the truth, never loses it, twice repeats it, and later,
// on the occasion of another message, reorders it.
func newLiar(t *testing.T, plan func(subscriber int, sequence uint64, send func())) *liar {
	t.Helper()
	l := &liar{plan: plan}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.addr = listener.Addr().String()
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

// OnMessage runs for one publisher at a time: the tests have one per liar and
// stream, and mu orders the streams.
func (l *liar) OnMessage(_ *gws.Conn, m *gws.Message) {
	defer m.Close()
	stamp, _ := ParseStamp(m.Bytes())
	payload := append([]byte(nil), m.Bytes()...)
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, c := range l.conns {
		l.plan(i, stamp.Sequence, func() { _ = c.WriteMessage(gws.OpcodeText, payload) }) // a closed one misses it
	}
}
