package endtoend_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"peal/loadtest/redisd"
	"peal/server/webhook"
)

// webhooksOf is what a node shows of its webhooks.
func webhooksOf(t *testing.T, admin string) (s webhook.Status) {
	t.Helper()
	response, err := http.Get("http://" + admin + "/webhooks")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestWebhooksOfNodesOnRedis: three nodes on one Redis deliver to four receivers, of which three fail, hang, and break
// connections. The nodes that have the lease of the first webhook are killed, one after another. Every event comes at
// least once, in order, and a repeat has the same id and body, also from another node. The last node
// shows, and sends again, what another one gave up.
func TestWebhooksOfNodesOnRedis(t *testing.T) {
	r := redisd.For(t, redisd.Options{})
	const hooks = 4
	var receivers []*backend
	text := "node-lease: 1s\nwebhooks:\n"
	for i := range hooks {
		b := newBackend(t)
		n := 0 // under b.mu
		b.answer = func(w http.ResponseWriter, r *http.Request) {
			b.mu.Lock()
			n++
			bad := n%4 == 2
			b.mu.Unlock()
			switch {
			case !bad:
			case i == 1:
				w.WriteHeader(http.StatusInternalServerError)
			case i == 2:
				<-r.Context().Done() // until the timeout of the webhook, or the kill
			case i == 3:
				if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
					c.Close()
				}
			}
		}
		receivers = append(receivers, b)
		text += fmt.Sprintf("  - {name: hook-%d, url: %q, events: [publication], channels: [orders], secret: %s, timeout: 300ms, allow-private: true}\n", i, b.URL, hookSecret)
	}
	gone := newBackend(t)
	gone.answer = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }
	text += fmt.Sprintf("  - {name: gone, url: %q, events: [publication], channels: [lost], secret: %s, retry-for: 1s, allow-private: true}\n", gone.URL, hookSecret)
	file := filepath.Join(t.TempDir(), "peal.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	type one struct {
		*peal
		admin string
	}
	var nodes []one
	for range 3 {
		p, admin := node(t, r, "--config", file)
		nodes = append(nodes, one{p, admin})
	}
	next, sent := 0, []string{}
	put := func(n int) {
		for range n {
			sent = append(sent, fmt.Sprint("n", next))
			nodes[next%len(nodes)].publish("orders", sent[next])
			next++
		}
	}
	texts := func(b *backend) (all []string) {
		for _, e := range b.events() {
			all = append(all, e.Data)
		}
		return all
	}
	nodes[0].await("the positions of all webhooks", func() bool {
		return !slices.ContainsFunc(webhooksOf(t, nodes[0].admin).Webhooks, func(w webhook.Stat) bool { return w.Cursor == "" })
	})
	nodes[0].publish("lost", "x")
	nodes[0].await("a dead letter", func() bool { return len(webhooksOf(t, nodes[0].admin).Letters) == 1 })
	for len(nodes) > 1 {
		put(30)
		at := slices.IndexFunc(nodes, func(n one) bool { return webhooksOf(t, n.admin).Webhooks[0].Delivers })
		if at < 0 { // it is on its way to another node
			time.Sleep(10 * time.Millisecond)
			continue
		}
		nodes[at].await("some of it", func() bool { return len(texts(receivers[0])) > next-20 })
		put(10)
		nodes[at].signal(syscall.SIGKILL)
		nodes[at].exitCode()
		nodes = slices.Delete(nodes, at, at+1)
		put(10)
	}
	last := nodes[0]
	order := func(do, name string) string {
		response, err := http.Post("http://"+last.admin+"/webhooks/"+do+"?webhook="+url.QueryEscape(name), "", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	for i, b := range receivers {
		last.await(fmt.Sprint("the last event at receiver ", i), func() bool { return slices.Contains(texts(b), sent[next-1]) })
		if got := texts(b); !slices.Equal(got, sent) {
			t.Errorf("receiver %d got %v\nwant %v", i, got, sent)
		}
	}
	if s := webhooksOf(t, last.admin); len(s.Letters) != 1 || s.Letters[0].Webhook != "gone" || s.Letters[0].Reason != "it responds with status 503" {
		t.Errorf("dead letters of the last node: %+v", s.Letters)
	}
	gone.mu.Lock()
	gone.answer = nil
	first := gone.all[0]
	gone.mu.Unlock()
	if got := order("retry", "gone"); !strings.HasPrefix(got, "1 dead letters were delivered") {
		t.Errorf("retry: %s", got)
	}
	if all := gone.requests(); all[len(all)-1].body != first.body || all[len(all)-1].header.Get("Webhook-Id") != first.header.Get("Webhook-Id") {
		t.Error("the retry of a dead letter is another request")
	}
}
