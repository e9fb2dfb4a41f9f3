package server_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"peal/loadtest/redisd"
	"peal/server"
	"peal/server/apikey"
	"peal/server/app"
	"peal/server/cluster"
	"peal/server/log"
	"peal/server/log/fake"
	"peal/server/token"
)

// patience is how long a condition may take to come true: this machine may be busy.
const patience = time.Minute

const nodeSecret = "a secret of tests with 32 bytes or more"

// backendKey allows what needs a key.
var backendKey = func() string {
	key, err := apikey.Create(rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}()

// oneNode is a server over a log that it shares with others.
type oneNode struct {
	*server.Server
	t    *testing.T
	url  string
	stop func()
}

// sharing has a server use a log that others use, too.
type sharing func(server.Config) server.Config

// over is a log in this process.
func over(store *fake.Store) sharing {
	return func(c server.Config) server.Config {
		return server.WithLog(c, func() (log.Engine, error) { return store.Open(), nil })
	}
}

// onEachLog runs a test over a log in this process, and over Redis.
func onEachLog(t *testing.T, test func(t *testing.T, shared sharing)) {
	t.Run("fake", func(t *testing.T) { test(t, over(fake.New(time.Now))) })
	t.Run("redis", func(t *testing.T) {
		url := "redis://" + redisd.For(t, redisd.Options{}).Addr()
		test(t, func(c server.Config) server.Config {
			c.Engine = url
			return c
		})
	})
}

func startNode(t *testing.T, shared sharing, name string) *oneNode {
	t.Helper()
	c := server.Config{Listen: []string{"127.0.0.1:0"}, Admin: "127.0.0.1:0", NodeName: name, Version: "1." + name, Log: slog.New(slog.DiscardHandler)}
	c.Token.Secrets = []string{nodeSecret}
	c.Keys = []apikey.Definition{{Name: "all", Digest: apikey.Digest(backendKey), Allow: []string{"revoke", "history"}}}
	c.HTTP.DisconnectWindow = time.Hour
	s, err := server.New(shared(c))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }() // ends below
	stopped := false
	n := &oneNode{Server: s, t: t, url: "http://" + s.Addrs()[0].String()}
	n.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("node %s: %v", name, err)
		}
	}
	t.Cleanup(n.stop)
	return n
}

// do sends a request, whose head may have a token and a key of idempotency.
func (n *oneNode) do(method, path, body string, head ...string) (status int, text string) {
	n.t.Helper()
	r, err := http.NewRequestWithContext(n.t.Context(), method, n.url+path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	for i := 0; i+1 < len(head); i += 2 {
		r.Header.Set(head[i], head[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		n.t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return response.StatusCode, string(b)
}

// ask is do for a request that must succeed.
func (n *oneNode) ask(method, path, body string, head ...string) string {
	n.t.Helper()
	status, text := n.do(method, path, body, head...)
	if status != http.StatusOK {
		n.t.Fatalf("%s %s: %d %s", method, path, status, text)
	}
	return text
}

// becomes repeats a request until it has that status: a node reads what another has done a moment later.
func (n *oneNode) becomes(want int, method, path string, head ...string) {
	n.t.Helper()
	status, text := 0, ""
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if status, text = n.do(method, path, "", head...); status == want {
			return
		}
	}
	n.t.Errorf("%s %s: %d %s, want %d", method, path, status, text, want)
}

// cursor is that of the response to a publication.
func cursor(t *testing.T, response string) string {
	t.Helper()
	var got struct{ Cursor string }
	if err := json.Unmarshal([]byte(response), &got); err != nil || got.Cursor == "" {
		t.Fatalf("%s: %v", response, err)
	}
	return got.Cursor
}

// stream is an event stream.
type stream struct {
	t    *testing.T
	body io.ReadCloser
	in   *bufio.Reader
}

func (n *oneNode) stream(query string, head ...string) *stream {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	n.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", n.url+"/sse?"+query, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	for i := 0; i+1 < len(head); i += 2 {
		r.Header.Set(head[i], head[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { response.Body.Close() })
	if response.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(response.Body)
		n.t.Fatalf("/sse?%s: %d %s", query, response.StatusCode, b)
	}
	return &stream{n.t, response.Body, bufio.NewReader(response.Body)}
}

// wants reads until a line has the text.
func (s *stream) wants(text string) {
	s.t.Helper()
	for {
		line, err := s.in.ReadString('\n')
		if err != nil {
			s.t.Fatalf("the stream ended before %q: %v", text, err)
		}
		if strings.Contains(line, text) {
			return
		}
	}
}

// ends reads to the end, which must be one of the server.
func (s *stream) ends() {
	s.t.Helper()
	if _, err := io.Copy(io.Discard, s.in); err != nil {
		s.t.Fatalf("the stream did not end: %v", err)
	}
}

func bearer(t *testing.T, sub, jti string) string {
	t.Helper()
	text, err := token.Sign(nodeSecret, token.Claims{Subject: sub, ID: jti, Subscribe: []string{"room"}, Issued: time.Now().Add(-time.Minute), Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return "Bearer " + text
}

func TestMessagesReachAllNodes(t *testing.T) { onEachLog(t, messagesReachAllNodes) }

func messagesReachAllNodes(t *testing.T, shared sharing) {
	a, b := startNode(t, shared, "a"), startNode(t, shared, "b")
	room := b.stream("channel=room")
	own := b.stream("channel=$me", "Authorization", bearer(t, "42", "j"))
	first := cursor(t, a.ask("POST", "/publish?channel=room", "one"))
	a.ask("POST", "/publish?user=42", "for 42")
	a.ask("POST", "/publish?user=43", "for 43")
	a.ask("POST", "/publish?user=42", "again for 42")
	b.ask("POST", "/publish?channel=room", "two")
	room.wants("one")
	room.wants("two")
	own.wants("for 42")
	own.wants("again for 42") // and nothing of 43 before it:
	if text := b.ask("GET", "/channels/$user:42/history", "", "Authorization", "Bearer "+backendKey); strings.Contains(text, "for 43") || !strings.Contains(text, "again for 42") {
		t.Errorf("history of user 42: %s", text)
	}
	a.stream("channel=room&cursor=" + first).wants("two")
	b.stream("channel=room&cursor=" + first).wants("two")
}

func TestDisconnectEndsConnectionsOfAllNodes(t *testing.T) {
	onEachLog(t, disconnectEndsConnectionsOfAllNodes)
}

func disconnectEndsConnectionsOfAllNodes(t *testing.T, shared sharing) {
	a, b := startNode(t, shared, "a"), startNode(t, shared, "b")
	ann, bob := b.stream("channel=room&client=ann"), b.stream("channel=room&client=bob")
	user := b.stream("channel=room", "Authorization", bearer(t, "ann", "j"))
	a.ask("POST", "/disconnect?client=ann", "")
	ann.ends()
	user.ends()
	for _, n := range []*oneNode{a, b} {
		n.becomes(http.StatusGone, "GET", "/poll?channel=room&client=ann&timeout=0")
	}
	b.ask("POST", "/disconnect?client=ann&for=0", "") // and back in, by the other node
	a.becomes(http.StatusOK, "GET", "/poll?channel=room&client=ann&timeout=0")
	again := a.stream("channel=room&client=ann")
	b.ask("POST", "/disconnect?client=ann&for=0", "")
	again.ends()
	a.ask("POST", "/publish?channel=room", "still there")
	bob.wants("still there")
}

// Clients that are not kept away, because there is no room for them, are disconnected on all
// nodes all the same.
func TestDisconnectWithoutRoomEndsConnectionsOfAllNodes(t *testing.T) {
	store := fake.New(time.Now)
	a, b := startNode(t, over(store), "a"), startNode(t, over(store), "b")
	var query []string
	for i := range 1000 {
		query = append(query, fmt.Sprintf("client=c%d", i))
	}
	for round := range 51 { // 50,000 are the share of an address
		for i := range query {
			query[i] = fmt.Sprintf("client=c%d", round*1000+i)
		}
		a.ask("POST", "/disconnect", strings.Join(query, "&"), "Content-Type", "application/x-www-form-urlencoded")
	}
	ann := b.stream("channel=room&client=ann")
	if text := a.ask("POST", "/disconnect?client=ann", ""); !strings.Contains(text, `"not_kept_away":["ann"]`) {
		t.Fatal(text)
	}
	ann.ends()
}

func TestRevokeEndsConnectionsOfAllNodes(t *testing.T) { onEachLog(t, revokeEndsConnectionsOfAllNodes) }

func revokeEndsConnectionsOfAllNodes(t *testing.T, shared sharing) {
	a, b := startNode(t, shared, "a"), startNode(t, shared, "b")
	one, other := bearer(t, "ann", "one"), bearer(t, "ann", "other")
	first, second := b.stream("channel=room", "Authorization", one), b.stream("channel=room", "Authorization", other)
	a.ask("POST", "/revoke?jti=one", "", "Authorization", "Bearer "+backendKey)
	first.ends()
	for _, n := range []*oneNode{a, b} {
		n.becomes(http.StatusUnauthorized, "GET", "/poll?channel=room&timeout=0", "Authorization", one)
	}
	a.ask("POST", "/publish?channel=room", "still there")
	second.wants("still there")
	b.ask("POST", "/revoke?sub=ann", "", "Authorization", "Bearer "+backendKey)
	second.ends()
	a.becomes(http.StatusUnauthorized, "GET", "/poll?channel=room&timeout=0", "Authorization", other)
}

func TestRepeatOnAnotherNodeIsTheSameMessage(t *testing.T) {
	onEachLog(t, repeatOnAnotherNodeIsTheSameMessage)
}

func repeatOnAnotherNodeIsTheSameMessage(t *testing.T, shared sharing) {
	a, b := startNode(t, shared, "a"), startNode(t, shared, "b")
	first := cursor(t, a.ask("POST", "/publish?channel=room&channel=hall", "paid", "Idempotency-Key", "k1"))
	if got := cursor(t, b.ask("POST", "/publish?channel=room&channel=hall", "paid", "Idempotency-Key", "k1")); got != first {
		t.Errorf("the repeat has the cursor %s, the first %s", got, first)
	}
	if status, text := b.do("POST", "/publish?channel=hall", "not paid", "Idempotency-Key", "k1"); status != http.StatusUnprocessableEntity {
		t.Errorf("another message with that key: %d %s", status, text)
	}
	c := startNode(t, shared, "c") // it reads them from the log
	if got := cursor(t, c.ask("POST", "/publish?channel=room&channel=hall", "paid", "Idempotency-Key", "k1")); got != first {
		t.Errorf("the repeat on a new node has the cursor %s, the first %s", got, first)
	}
	if text := c.ask("GET", "/channels/room/history", ""); strings.Count(text, "paid") != 1 {
		t.Errorf("published more than once: %s", text)
	}
}

// Orders outlast the entries that they were given in.
func TestStateOfOrdersIsWhole(t *testing.T) {
	store := fake.New(time.Now)
	a := startNode(t, over(store), "a")
	proof := bearer(t, "ann", "one")
	a.ask("POST", "/disconnect?client=bob", "")
	a.ask("POST", "/revoke?jti=one", "", "Authorization", "Bearer "+backendKey)
	store.Trim(a.LogHead())
	b := startNode(t, over(store), "b")
	a.stop()
	if status, text := b.do("GET", "/poll?channel=room&client=bob&timeout=0", ""); status != http.StatusGone {
		t.Errorf("bob comes back: %d %s", status, text)
	}
	if status, text := b.do("GET", "/poll?channel=room&timeout=0", "", "Authorization", proof); status != http.StatusUnauthorized {
		t.Errorf("a revoked token: %d %s", status, text)
	}
}

// A node is known before it serves, and one that has ended is known to have left.
func TestNodesKnowOneAnother(t *testing.T) {
	store := fake.New(time.Now)
	a, b := startNode(t, over(store), "a"), startNode(t, over(store), "b")
	known := func(n *oneNode) string {
		var all []string
		for _, one := range n.ClusterStatus().Nodes {
			all = append(all, one.Name+" "+one.Version+" "+one.State)
		}
		return strings.Join(all, ", ")
	}
	for _, n := range []*oneNode{a, b} {
		if got, want := known(n), "a 1.a live, b 1.b live"; got != want {
			t.Errorf("known are %q, want %q", got, want)
		}
	}
	b.stream("channel=room")
	response, err := http.Get("http://" + b.AdminAddrs()[0].String() + "/cluster")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var status cluster.Status
	if err := json.NewDecoder(response.Body).Decode(&status); err != nil || len(status.Nodes) != 2 || !status.Nodes[1].Self || status.Nodes[1].Connections < 1 {
		t.Errorf("/cluster responds with %+v, %v", status, err)
	}
	b.stop()
	if got, want := known(a), "a 1.a live, b 1.b left"; got != want {
		t.Errorf("known are %q, want %q", got, want)
	}
	if s := a.ClusterStatus(); !s.Log.Shared || s.Log.Engine != "memory" || s.Log.Head != a.LogHead() || s.Log.Failing != "" {
		t.Errorf("the log: %+v", s.Log)
	}
	store.Fail(log.ErrUnavailable)
	if got := a.ClusterStatus().Log.Failing; got != log.ErrUnavailable.Error() {
		t.Errorf("failing: %q", got)
	}
	a.stop() // and does not wait for the log
}

// The number of an app's connections is that of all nodes.
func TestConnectionsOfAnAppAreThoseOfAllNodes(t *testing.T) {
	store := fake.New(time.Now)
	withApp := func(c server.Config) server.Config {
		c.App = "7:app-key:an-app-secret-of-tests"
		return over(store)(c)
	}
	a, b := startNode(t, withApp, "a"), startNode(t, withApp, "b")
	connect := func(n *oneNode, times int) {
		for range times {
			conn, err := net.Dial("tcp", n.Addrs()[0].String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			fmt.Fprintf(conn, "GET /app/app-key?protocol=7 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
			_ = conn.SetReadDeadline(time.Now().Add(patience))
			if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, " 101 ") {
				t.Fatalf("%q, %v", line, err)
			}
		}
	}
	connect(a, 1)
	connect(b, 2)
	apps, err := app.New([]app.Definition{{ID: "7", Key: "app-key", Secret: "an-app-secret-of-tests"}}, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []*oneNode{a, b} {
		got := ""
		for end := time.Now().Add(patience); got != `{"connections":3}` && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			query, err := apps.ByID("7").Sign(app.Request{Method: "GET", Path: "/apps/7/connections"}, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			got = n.ask("GET", "/apps/7/connections?"+query, "")
		}
		if got != `{"connections":3}` {
			t.Errorf("%s, want 3 connections", got)
		}
	}
}

func TestNodeSettingsAreChecked(t *testing.T) {
	for want, c := range map[string]server.Config{
		`config: node-name "a\nb": must be at most 128 bytes of printable text, as in peal-1`: {NodeName: "a\nb"},
		`config: node-lease 1ms: must be from 1s to 10m0s`:                                    {NodeLease: time.Millisecond},
		"": {NodeName: "node 1", NodeLease: time.Second},
	} {
		got := ""
		if err := c.Validate(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	s, _ := run(t, server.Config{Version: "1.2"})
	if status := s.ClusterStatus(); len(status.Nodes) != 1 || status.Nodes[0].Name == "" || status.Nodes[0].State != "live" || status.Log.Shared {
		t.Errorf("a server with a log of its own: %+v", status)
	}
}
