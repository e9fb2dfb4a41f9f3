package redis_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"peal/loadtest/redisd"
	"peal/server/log/conform"
	"peal/server/log/distributed"
	"peal/server/log/redis"
)

// durable has every entry on the disk before it is acknowledged.
var durable = redisd.Options{AppendOnly: true, AppendFsync: "always"}

// wait is how long a batch waits in tests for a store that is away.
const wait = time.Second

func config() redis.Config {
	return redis.Config{Config: distributed.Config{Wait: wait, Window: time.Minute}}
}

func open(t *testing.T, url string, c redis.Config) *redis.Log {
	t.Helper()
	l, err := redis.Open(url, c, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// site is a server with a proxy in front of each node.
type site struct {
	server  *redisd.Server
	proxies []*redisd.Proxy
	nodes   []*conform.Node
}

// newSite starts so many nodes, each with a proxy of its own, on a server.
func newSite(t *testing.T, server *redisd.Server, nodes int) *site {
	t.Helper()
	s := &site{server: server}
	for range nodes {
		p := redisd.ProxyFor(t, server.Addr())
		s.proxies = append(s.proxies, p)
		s.nodes = append(s.nodes, conform.Start(t, open(t, server.URLVia(p.Addr()), config())))
	}
	return s
}

// each does something with every proxy.
func (s *site) each(do func(*redisd.Proxy)) {
	for _, p := range s.proxies {
		do(p)
	}
}

func (s *site) goOn(t *testing.T) {
	t.Helper()
	for _, p := range s.proxies {
		must(t, p.Go())
	}
}

// well waits until all nodes can append and have read everything.
func (s *site) well(t *testing.T) {
	t.Helper()
	for _, n := range s.nodes {
		conform.Until(t, "the node is well", func() bool { return n.Failing() == nil })
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// do sends a command to the server.
func do(t *testing.T, s *redisd.Server, args ...string) any {
	t.Helper()
	reply, err := s.Do(context.Background(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

// told fails the test unless the nodes were told of a loss, or of none.
func told(t *testing.T, want bool, nodes ...*conform.Node) {
	t.Helper()
	for i, n := range nodes {
		if losses := n.Tail.Losses(); len(losses) > 0 != want {
			t.Errorf("node %d was told of the losses %v", i, losses)
		}
	}
}

// lines keeps what is logged.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lines) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
