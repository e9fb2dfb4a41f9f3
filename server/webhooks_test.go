package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"peal/server"
	"peal/server/ban"
	"peal/server/control"
	"peal/server/log"
	"peal/server/log/fake"
	"peal/server/log/memory"
	"peal/server/revoke"
	"peal/server/webhook"
)

// heard are the events that a backend received, as lines of their type, channel, member, count and data.
type heard struct {
	mu  sync.Mutex
	all []string
}

func (h *heard) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	var body struct {
		Data struct {
			Events []struct {
				Type, Channel, Data string
				User                string      `json:"user_id"`
				Count               json.Number `json:"subscription_count"`
			}
		}
	}
	b, _ := io.ReadAll(r.Body)
	if json.Unmarshal(b, &body) != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range body.Data.Events {
		h.all = append(h.all, strings.Join(strings.Fields(e.Type+" "+e.Channel+" "+e.User+" "+e.Count.String()+" "+e.Data), " "))
	}
}

func (h *heard) wants(t *testing.T, lines ...string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		h.mu.Lock()
		text := "\n" + strings.Join(h.all, "\n") + "\n"
		h.mu.Unlock()
		missing := 0
		for _, line := range lines {
			if !strings.Contains(text, "\n"+line+"\n") {
				missing++
			}
		}
		if missing == 0 {
			return
		}
	}
	t.Fatalf("heard %q, want %q", h.all, lines)
}

// Two nodes of one log: webhooks have the subscribers and the members of both, and when the one that
// delivers ends, the other goes on and reports who is gone.
func TestWebhooksOfTwoNodes(t *testing.T) {
	h := &heard{}
	backend := httptest.NewServer(h)
	t.Cleanup(backend.Close)
	store := fake.New(time.Now)
	type node struct {
		*member
		server *server.Server
	}
	start := func(name string) *node {
		m := &member{t: t, engine: store.Open()}
		c := server.Config{Listen: []string{"127.0.0.1:0"}, NodeName: name, NodeLease: 2 * time.Second, Log: slog.New(slog.DiscardHandler)}
		c.Presence.Grace = 100 * time.Millisecond
		c.Webhooks = []webhook.Definition{{Name: "all", URL: backend.URL, Events: webhook.Events(), Channels: []string{"*"}, Secret: "123456789012345678901234", AllowPrivate: true}}
		s, err := server.New(server.WithLog(c, func() (log.Engine, error) { return m.engine, nil }))
		if err != nil {
			t.Fatal(err)
		}
		m.url = "http://" + s.Addrs()[0].String()
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }() // ends below
		m.stop = sync.OnceFunc(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("node %s: %v", name, err)
			}
		})
		t.Cleanup(m.stop)
		return &node{m, s}
	}
	a, b := start("a"), start("b")
	delivers := func(n *node) bool { return n.server.WebhookStats().Delivers }
	for end := time.Now().Add(time.Minute); !delivers(a) && !delivers(b) && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	if delivers(b) {
		a, b = b, a
	}
	ann := a.events("channel=room&client=ann")
	h.wants(t, "channel_occupied room", "member_added room ann")
	b.events("channel=room&client=bob")
	h.wants(t, "member_added room bob", "subscription_count room 2")
	publish := func(n *node, data string) {
		t.Helper()
		response, err := http.Post(n.url+"/publish?channel=room", "text/plain", strings.NewReader(data))
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatal(err, response)
		}
		response.Body.Close()
	}
	publish(b, "one")
	h.wants(t, "publication room one")
	_ = ann // it ends with its node
	a.stop()
	publish(b, "two")
	h.wants(t, "publication room two", "member_removed room ann", "subscription_count room 1")
	for _, line := range h.all {
		if line == "member_removed room bob" || line == "channel_vacated room" {
			t.Errorf("heard %q, though bob is there", line)
		}
	}
}

// The state of orders is what it was before there were webhooks, until there is something of webhooks.
func TestStatesOfOrdersAndWebhooks(t *testing.T) {
	l := memory.Open(time.Now)
	create := func() (log.State, *control.Control, *webhook.Hooks) {
		quiet := slog.New(slog.DiscardHandler)
		orders := control.New(l, ban.New(10, 10, time.Now), revoke.New(10, time.Hour, time.Now), time.Now, quiet)
		hooks, err := webhook.New(webhook.Config{Log: l, Report: quiet})
		if err != nil {
			t.Fatal(err)
		}
		return server.NewStates(orders, hooks), orders, hooks
	}
	states, orders, hooks := create()
	if states.Save() != nil {
		t.Error("a state of nothing")
	}
	orders.Lost("it was") // raises the floor of tokens
	before := states.Save()
	if !bytes.Equal(before, orders.Save()) || len(before) == 0 {
		t.Errorf("%x, and the orders have %x", before, orders.Save())
	}
	hooks.Restore([]*log.Entry{{Sequence: 7, Kind: log.KindControl, Event: "webhook-batch", Data: []byte(`{"endpoint":"a","from":"1-1","upto":"1-2"}`)}})
	both := states.Save()
	again, orders2, hooks2 := create()
	if err := again.Load(both, 7); err != nil || !bytes.Equal(again.Save(), both) || !bytes.Equal(orders2.Save(), before) || !bytes.Equal(hooks2.Save(), hooks.Save()) {
		t.Errorf("%v: %x became %x", err, both, again.Save())
	}
	if err := again.Load(before, 7); err != nil || !bytes.Equal(again.Save(), before) {
		t.Errorf("%v: a state of a version before became %x", err, again.Save())
	}
	_, orders3, hooks3 := create()
	for _, o := range []*control.Control{orders, orders3} { // with something of the others, and without
		for _, h := range []*webhook.Hooks{hooks, hooks3} {
			saved := server.NewStatesWith(o, h, "", "shop:").Save()
			again, orders4, hooks4 := create()
			if err := again.Load(saved, 7); err != nil || !bytes.Equal(orders4.Save(), o.Save()) || !bytes.Equal(hooks4.Save(), h.Save()) || !slices.Equal(server.Namespaces(again), []string{"", "shop:"}) {
				t.Errorf("%v: %q became %q", err, saved, again.Save())
			}
			for cut := 1; cut < len(saved); cut++ {
				if damaged, _, _ := create(); damaged.Load(saved[:cut], 7) == nil && len(server.Namespaces(damaged)) > 0 {
					t.Errorf("%d of %d bytes were loaded", cut, len(saved))
				}
			}
		}
	}
	for cut := 1; cut < len(both)-1; cut++ {
		if damaged, _, _ := create(); damaged.Load(both[:cut], 7) == nil && !bytes.Equal(both[:cut], both[:1+1+len(before)]) {
			t.Errorf("%d of %d bytes were loaded", cut, len(both))
		}
	}
}
