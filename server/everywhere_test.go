package server_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"peal/server"
	"peal/server/log"
	"peal/server/log/fake"
)

// member is a server without access control, over a log that it shares.
type member struct {
	t      *testing.T
	url    string
	engine *fake.Node
	stop   func()
}

func startMember(t *testing.T, store *fake.Store, name string) *member {
	t.Helper()
	return startMemberWith(t, store, name, 100*time.Millisecond, time.Second)
}

// startMemberWith is startMember with a grace period of presence and a lease of the node.
func startMemberWith(t *testing.T, store *fake.Store, name string, grace, lease time.Duration) *member {
	t.Helper()
	m := &member{t: t, engine: store.Open()}
	c := server.Config{Listen: []string{"127.0.0.1:0"}, NodeName: name, NodeLease: lease, Log: slog.New(slog.DiscardHandler)}
	c.Presence.Grace = grace
	s, err := server.New(server.WithLog(c, func() (log.Engine, error) { return m.engine, nil }))
	if err != nil {
		t.Fatal(err)
	}
	m.url = "http://" + s.Addrs()[0].String()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }() // ends below
	m.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("node %s: %v", name, err)
		}
		ended <- nil
	}
	t.Cleanup(m.stop)
	return m
}

// get repeats a request until the response has all of the texts.
func (m *member) get(path string, texts ...string) {
	m.t.Helper()
	got := ""
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		r, err := http.NewRequestWithContext(m.t.Context(), "GET", m.url+path, nil)
		if err != nil {
			m.t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			m.t.Fatal(err)
		}
		b, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			m.t.Fatal(err)
		}
		got = string(b)
		missing := false
		for _, text := range texts {
			missing = missing || !strings.Contains(got, text)
		}
		if !missing && !strings.Contains(got, "incomplete") {
			return
		}
	}
	m.t.Fatalf("%s: %s, want %q", path, got, texts)
}

// events is an event stream; its end is that of the test, or leave.
type events struct {
	t     *testing.T
	in    *bufio.Scanner
	leave func()
}

func (m *member) events(query string) *events {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	m.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", m.url+"/sse?"+query, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { response.Body.Close() })
	if response.StatusCode != http.StatusOK {
		m.t.Fatalf("%s: %s", query, response.Status)
	}
	return &events{m.t, bufio.NewScanner(response.Body), cancel}
}

// wants reads up to the next presence event, which must have that text behind the cursor.
func (e *events) wants(text string) {
	e.t.Helper()
	for e.in.Scan() {
		if line := e.in.Text(); strings.Contains(line, `"count":`) {
			if !strings.HasSuffix(line, text) {
				e.t.Fatalf("the event is %s, want %s", line, text)
			}
			return
		}
	}
	e.t.Fatalf("the stream ended: %v", e.in.Err())
}

// TestPresenceIsThatOfAllNodes: members and subscribers of all nodes, on all nodes, through the
// arrival of a node and the silence of another.
func TestPresenceIsThatOfAllNodes(t *testing.T) {
	store := fake.New(time.Now)
	a, b := startMember(t, store, "a"), startMember(t, store, "b")
	b.get("/channels/tea/presence", `"count":0`)
	watch := b.events("channel=tea&presence=1")
	ann := a.events("channel=tea&client=ann&info=x")
	watch.wants(`"count":1,"join":[{"client":"ann","info":"x"}],"leave":[]}`)
	both := b.events("channel=tea&client=ann") // on two nodes: no event
	bob := b.events("channel=tea&client=bob")
	watch.wants(`"count":2,"join":[{"client":"bob"}],"leave":[]}`)
	members := `"members":[{"client":"ann","info":"x"},{"client":"bob"}]`
	c := startMember(t, store, "c")
	for _, m := range []*member{a, b, c} {
		m.get("/channels/tea/presence", `"count":2,"anonymous":1`, members)
		m.get("/channels?prefix=te", `{"channel":"tea","subscribers":4,`)
		m.get("/channels/tea", `"subscribers":4,`)
	}
	both.leave()
	bob.leave()
	watch.wants(`"count":1,"join":[],"leave":[{"client":"bob"}]}`)

	a.engine.Hold() // as if it were killed
	watch.wants(`"count":0,"join":[],"leave":[{"client":"ann"}]}`)
	for _, m := range []*member{b, c} {
		m.get("/channels/tea/presence", `"count":0,"anonymous":1`, `"members":[]`)
		m.get("/channels?prefix=te", `{"channel":"tea","subscribers":1,`)
	}
	a.engine.Release() // it was only silent
	watch.wants(`"count":1,"join":[{"client":"ann","info":"x"}],"leave":[]}`)
	for _, m := range []*member{a, b, c} {
		m.get("/channels/tea/presence", `"count":1,"anonymous":1`)
		m.get("/channels/tea", `"subscribers":2,`)
	}
	a.stop() // its members leave at once, without a lease
	watch.wants(`"count":0,"join":[],"leave":[{"client":"ann"}]}`)
	_ = ann
}

// TestAMoveBetweenNodesIsNoLeave: who comes back on another node within the grace period has not left.
func TestAMoveBetweenNodesIsNoLeave(t *testing.T) {
	store := fake.New(time.Now)
	// Longer than the moves take on a busy machine.
	a, b := startMemberWith(t, store, "a", time.Minute, time.Minute), startMemberWith(t, store, "b", time.Minute, time.Minute)
	a.get("/channels/tea/presence", `"count":0`)
	watch := b.events("channel=tea&presence=1")
	on := a.events("channel=tea&client=ann")
	watch.wants(`"count":1,"join":[{"client":"ann"}],"leave":[]}`)
	for range 3 {
		next := b.events("channel=tea&client=ann") // before the old connection has ended, as far as the server knows
		on.leave()
		on = next
		a, b = b, a
	}
	a.events(fmt.Sprint("channel=tea&client=", "bob"))
	watch.wants(`"count":2,"join":[{"client":"bob"}],"leave":[]}`) // and nothing before it
}
