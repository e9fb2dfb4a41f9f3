package server_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"peal/server"
	"peal/server/apikey"
	"peal/server/log"
	"peal/server/log/fake"
)

// A node that has not read the log for a lease ends the streams of users and refuses them,
// and says so in readiness; everybody else stays. When it has caught up all is as before.
func TestANodeThatHasNotReadForALease(t *testing.T) {
	var later atomic.Int64 // the clock is so far ahead
	now := func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	store := fake.New(now)
	var node *fake.Node
	c := server.Config{Listen: []string{"127.0.0.1:0"}, Admin: "127.0.0.1:0", NodeName: "a", NodeLease: time.Minute, Log: slog.New(slog.DiscardHandler)}
	c.Token.Secrets = []string{nodeSecret}
	c.Keys = []apikey.Definition{{Name: "all", Digest: apikey.Digest(backendKey), Allow: []string{"history"}}}
	s, err := server.New(server.WithClock(server.WithLog(c, func() (log.Engine, error) {
		node = store.Open()
		return node, nil
	}), now))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }() // ends below
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	n := &oneNode{Server: s, t: t, url: "http://" + s.Addrs()[0].String()}
	ready := func() (status int, text string) {
		response, err := http.Get("http://" + s.AdminAddrs()[0].String() + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		b, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(b)
	}
	await := func(what string, done func() bool) {
		t.Helper()
		for limit := time.Now().Add(patience); !done(); time.Sleep(time.Millisecond) {
			if time.Now().After(limit) {
				t.Fatalf("never: %s", what)
			}
		}
	}
	user, anyone := n.stream("channel=room", "Authorization", bearer(t, "ann", "1")), n.stream("channel=room")
	if status, text := ready(); status != 200 {
		t.Fatalf("%d %s", status, text)
	}

	node.Hold()
	later.Store(int64(2 * time.Minute))
	user.ends()
	await("not ready", func() bool { status, _ := ready(); return status == 503 })
	if _, text := ready(); !strings.Contains(text, "the node is behind") || !strings.Contains(text, "node-lease 1m0s") || !strings.Contains(text, "it has read up to sequence ") {
		t.Errorf("readiness says %q", text)
	}
	if status, text := n.do("GET", "/channels/room/history", "", "Authorization", bearer(t, "ann", "1")); status != 503 || !strings.Contains(text, "node_behind") {
		t.Errorf("a user: %d %s", status, text)
	}
	n.stream("channel=room", "Authorization", bearer(t, "ann", "1")).ends() // 200, and come back later
	n.ask("GET", "/channels/room/history", "", "Authorization", "Bearer "+backendKey)
	n.stream("channel=room")

	node.Release()
	await("ready", func() bool { status, _ := ready(); return status == 200 })
	n.ask("POST", "/publish?channel=room", "hello")
	anyone.wants("hello")
	n.stream("channel=room&last=1", "Authorization", bearer(t, "ann", "1")).wants("hello")
}

// A node that was paused has no room for what it reads first, until the streams of users
// have ended: it did not look at its age meanwhile.
func TestANodeThatWasPausedEndsStreamsFirst(t *testing.T) {
	var later atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	f := server.NewFreshness(now, time.Minute)
	room := make(chan struct{}, 1)
	f.OnRoom(func() { room <- struct{}{} })
	if !f.Room(1, 1) {
		t.Fatal("no room before Run")
	}
	f.Look()
	if !f.Room(1, 1) {
		t.Fatal("no room though it is fresh")
	}
	later.Store(int64(2 * time.Minute))
	for range 2 {
		if f.Room(1, 1) || !f.Stale() {
			t.Fatal("room behind a pause, with streams of users")
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // its loops do not run: it waits no longer than that
	f.Clear(ctx)
	select {
	case <-room:
	default:
		t.Error("the engine is not called when they have ended")
	}
	if !f.Room(1, 1) {
		t.Error("no room though they have ended")
	}
}
