package server_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"peal/server"
	"peal/server/app"
	"peal/server/webhook"
)

// A reload adds webhooks to a server that had none, also those that need to know of channels and members, changes
// and removes them; and an app may come in the same reload. A mistake changes nothing.
func TestWebhooksAreReloaded(t *testing.T) {
	h, other := &heard{}, &heard{}
	backend, moved := httptest.NewServer(h), httptest.NewServer(other)
	t.Cleanup(backend.Close)
	t.Cleanup(moved.Close)
	c := server.Config{Listen: []string{"127.0.0.1:0"}, Log: slog.New(slog.DiscardHandler)}
	s, err := server.New(c)
	if err != nil {
		t.Fatal(err)
	}
	m := &member{t: t, url: "http://" + s.Addrs()[0].String()}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }() // ends below
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	publish := func(data string) {
		t.Helper()
		response, err := http.Post(m.url+"/publish?channel=room", "text/plain", strings.NewReader(data))
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatal(err, response)
		}
		response.Body.Close()
	}
	m.events("channel=before&client=bob") // while nobody asks for changes
	publish("nobody hears it")
	all := webhook.Definition{Name: "all", URL: backend.URL, Events: webhook.Events(), Channels: []string{"*"}, Secret: "123456789012345678901234", AllowPrivate: true}
	c.Webhooks = []webhook.Definition{all}
	if err := s.Reload(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	publish("one")
	m.events("channel=room&client=ann")
	h.wants(t, "publication room one", "channel_occupied before", "member_added before bob", "channel_occupied room", "member_added room ann")

	bad := c
	bad.Webhooks = []webhook.Definition{all, {Name: "x", URL: moved.URL, Events: []string{webhook.Occupied}, App: "1", AllowPrivate: true}}
	if err := s.Reload(t.Context(), bad); err == nil || !strings.Contains(err.Error(), `no app "1"`) {
		t.Errorf("a webhook of an app that is not there: %v", err)
	}
	bad.Apps = []app.Definition{{ID: "1", Key: "the-key", Secret: "the-secret"}}
	if err := s.Reload(t.Context(), bad); err != nil {
		t.Errorf("with its app: %v", err)
	}
	c.Webhooks[0].URL = moved.URL
	if err := s.Reload(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	publish("two")
	other.wants(t, "publication room two")
	if stats := s.WebhookStats(); len(stats.Webhooks) != 1 || stats.Webhooks[0].Name != "all" {
		t.Errorf("webhooks %+v", stats)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if slices.ContainsFunc(h.all, func(line string) bool { return strings.HasSuffix(line, "hears it") || strings.HasSuffix(line, " two") }) {
		t.Errorf("heard %q", h.all)
	}
}
