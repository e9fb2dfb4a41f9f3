package server_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"peal/server"
	"peal/server/apikey"
	"peal/server/log"
	"peal/server/log/fake"
)

// mercureHub is a node that lists subscriptions, seen by a backend with a key.
type mercureHub struct {
	t      *testing.T
	url    string
	engine *fake.Node
}

func startMercureHub(t *testing.T, store *fake.Store, name string) *mercureHub {
	t.Helper()
	h := &mercureHub{t: t, engine: store.Open()}
	c := server.Config{Listen: []string{"127.0.0.1:0"}, NodeName: name, NodeLease: time.Second, Log: slog.New(slog.DiscardHandler)}
	c.Keys = []apikey.Definition{{Name: "all", Digest: apikey.Digest(backendKey), Allow: []string{"subscribe", "history"}}}
	c.Mercure.Anonymous, c.Mercure.Subscriptions = true, 100
	s, err := server.New(server.WithLog(c, func() (log.Engine, error) { return h.engine, nil }))
	if err != nil {
		t.Fatal(err)
	}
	h.url = "http://" + s.Addrs()[0].String() + "/.well-known/mercure"
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }() // ends below
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("node %s: %v", name, err)
		}
	})
	return h
}

// get sends a request, until the end of the test.
func (h *mercureHub) get(path, key string) io.Reader {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	h.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", h.url+path, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { response.Body.Close() })
	if response.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(response.Body)
		h.t.Fatalf("%s: %s %s", path, response.Status, b)
	}
	return response.Body
}

// lists repeats a request for the subscriptions to the topic news until there are so many.
func (h *mercureHub) lists(want int) {
	h.t.Helper()
	got := ""
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		b, err := io.ReadAll(h.get("/subscriptions/news", backendKey))
		if err != nil {
			h.t.Fatal(err)
		}
		if got = string(b); strings.Count(got, `"active":true`) == want {
			return
		}
	}
	h.t.Fatalf("%s, want %d", got, want)
}

// TestMercureSubscriptionsAreThoseOfAllNodes: on all nodes, through the arrival of a node, and the silence of another, whose
// subscriptions end, and begin again when it is there.
func TestMercureSubscriptionsAreThoseOfAllNodes(t *testing.T) {
	store := fake.New(time.Now)
	a, b := startMercureHub(t, store, "a"), startMercureHub(t, store, "b")
	events := bufio.NewScanner(b.get("?topic="+url.QueryEscape("/.well-known/mercure/subscriptions/news{/subscriber}"), backendKey))
	wants := func(text string) {
		t.Helper()
		for events.Scan() {
			if line := events.Text(); strings.Contains(line, `"type":"Subscription"`) {
				if !strings.Contains(line, text) {
					t.Fatalf("the event is %s, want %s", line, text)
				}
				return
			}
		}
		t.Fatalf("the stream ended: %v", events.Err())
	}
	a.get("?topic=news", "")
	wants(`"active":true`)
	a.lists(1)
	b.lists(1)
	c := startMercureHub(t, store, "c")
	c.lists(1)

	a.engine.Hold() // as if it were killed
	wants(`"active":false`)
	b.lists(0)
	c.lists(0)
	a.engine.Release() // it was only silent
	wants(`"active":true`)
	for _, h := range []*mercureHub{a, b, c} {
		h.lists(1)
	}
}
