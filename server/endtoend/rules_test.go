package endtoend_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// launchWithFile runs the real program with this configuration file.
func launchWithFile(t *testing.T, text string) *peal {
	t.Helper()
	path := filepath.Join(t.TempDir(), "peal.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return launch(t, "--listen", "127.0.0.1:0", "--config", path)
}

func TestRulesOfTheFileHold(t *testing.T) {
	p := launchWithFile(t, `channels:
  - match: "prices.*"
    history-messages: 1
    client-publish: false
  - match: "chat.*"
    message-bytes: 1KiB
    max-subscribers: 1
`)
	for _, data := range []string{"one", "two", "three"} {
		p.publish("prices.eur", data)
		p.publish("other", data)
	}
	if got := p.poll("channel=prices.eur&cursor=earliest").texts(); !slices.Equal(got, []string{"three"}) {
		t.Errorf("prices.eur keeps %q", got)
	}
	if got := p.poll("channel=other&cursor=earliest").texts(); len(got) != 3 {
		t.Errorf("other keeps %q", got)
	}

	s := p.dialSocket("/ws?channel=prices.eur", nil)
	s.send(false, "four")
	if code := s.closed(); code != 4403 {
		t.Errorf("a client that publishes prices is closed with %d", code)
	}

	large := strings.Repeat("x", 1025)
	if a := p.do("POST", "/publish?channel=chat.a", large, "Content-Type: text/plain"); a.status != 413 || decode[problem](t, a.body).Error.Code != "message_too_large" {
		t.Errorf("too large: %d %s", a.status, a.body)
	}
	s = p.dialSocket("/ws?channel=chat.b", nil)
	s.send(false, large)
	if code := s.closed(); code != 1009 {
		t.Errorf("too large by WebSocket: closed with %d", code)
	}

	first := p.dialSocket("/ws?channel=chat.c", nil)
	p.awaitSubscribers("chat.c", 1)
	if code := p.dialSocket("/ws?channel=chat.c", nil).closed(); code != 1013 {
		t.Errorf("the second subscriber is closed with %d", code)
	}
	if a := p.do("GET", "/poll?channel=chat.c", ""); a.status != 429 || a.header.Get("Retry-After") == "" {
		t.Errorf("the second subscriber polls: %d %s", a.status, a.body)
	}
	if a := p.do("GET", "/sse?channel=chat.c", ""); a.status != 200 || !strings.HasPrefix(string(a.body), "retry: ") {
		t.Errorf("the second subscriber's event stream: %d %s", a.status, a.body)
	}
	first.close()
	p.awaitSubscribers("chat.c", 0)
	second := p.dialSocket("/ws?channel=chat.c", nil)
	p.awaitSubscribers("chat.c", 1)
	second.send(false, "there is room again")
	if got := second.next(); got.data != "there is room again" {
		t.Errorf("got %+v", got)
	}
}
