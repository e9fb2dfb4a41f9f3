package endtoend_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"peal/server"
	"peal/server/app"
	"peal/server/webhook"
)

const hookSecret = "a secret of at least 24 bytes"

// hook is one request of a webhook.
type hook struct {
	header http.Header
	body   string
}

// hookEvent is an event in one of the two forms.
type hookEvent struct {
	Type, Name, Channel, Event, Data string
	User                             string `json:"user_id"`
	Count                            int    `json:"subscription_count"`
}

func (e hookEvent) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s%s %s %s%s%s", e.Type, e.Name, e.Channel, e.User, e.Event, e.Data))
}

// backend receives webhooks. answer, if there is one, may fail; it is called under the lock.
type backend struct {
	*httptest.Server
	t      *testing.T
	answer func(w http.ResponseWriter, r *http.Request)

	mu  sync.Mutex
	all []hook
}

func newBackend(t *testing.T) *backend {
	b := &backend{t: t}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // Peal was killed
		}
		b.mu.Lock()
		b.all = append(b.all, hook{r.Header, string(body)})
		answer := b.answer
		b.mu.Unlock()
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(b.Close)
	return b
}

// requests are those that have come.
func (b *backend) requests() []hook {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.all)
}

// events are those of all requests without repeats. A repeat has the body of the first.
func (b *backend) events() (all []hookEvent) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	bodies := map[string]string{}
	for _, h := range b.all {
		id := h.header.Get("Webhook-Id")
		if body, ok := bodies[id]; ok {
			if body != h.body {
				b.t.Fatalf("%s comes with two bodies: %s and %s", id, body, h.body)
			}
			continue
		}
		bodies[id] = h.body
		var parsed struct {
			Events []hookEvent
			Data   struct{ Events []hookEvent }
		}
		if err := json.Unmarshal([]byte(h.body), &parsed); err != nil {
			b.t.Fatal(err)
		}
		all = append(append(all, parsed.Events...), parsed.Data.Events...)
	}
	return all
}

// TestWebhooksAreDeliveredThroughKills: the server is killed and the backend fails in every way, and
// each publication comes at least once, in order, signed, with the same id and body when it is repeated.
func TestWebhooksAreDeliveredThroughKills(t *testing.T) {
	b := newBackend(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0)) // under b.mu, like calm
	calm := false
	b.answer = func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		k := random.IntN(10)
		if calm {
			k = 9
		}
		b.mu.Unlock()
		switch k {
		case 0:
			w.WriteHeader(http.StatusInternalServerError)
		case 1:
			<-r.Context().Done() // until the timeout of the webhook, or the kill
		case 2:
			if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
				c.Close()
			}
		case 3:
			http.Redirect(w, r, "/", http.StatusPermanentRedirect)
		}
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "peal.yaml")
	config := fmt.Sprintf(`webhooks:
  - name: orders
    url: %s/hooks?token=hidden
    events: [publication]
    channels: ["orders.*"]
    secret: %s
    timeout: 300ms
    allow-private: true
`, b.URL, hookSecret)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	flags := []string{"--listen", "127.0.0.1:0", "--config", file, "--log", "file:" + filepath.Join(dir, "log"), "--log-segment-bytes", "64KiB"}
	next, acked := 0, []string{}
	for life := range 5 {
		p := launch(t, flags...)
		if life == 0 { // its cursor is the head of the log when it is first seen
			p.await("the cursor of the webhook", func() bool {
				p.publish("orders.new", "probe")
				return len(b.events()) > 0
			})
		}
		for range 40 {
			text := fmt.Sprint("n", next)
			next++
			p.publish("orders.new", text)
			p.publish("other", text)
			acked = append(acked, text)
		}
		b.mu.Lock()
		more := random.IntN(20)
		b.mu.Unlock()
		seen := len(b.events())
		p.await("some more deliveries", func() bool { n := len(b.events()); return n > seen+more || n >= len(acked) })
		if life < 4 {
			p.signal(syscall.SIGKILL)
			p.exitCode()
			continue
		}
		b.mu.Lock()
		calm = true
		b.mu.Unlock()
		last := acked[len(acked)-1]
		p.await("the last event", func() bool { all := b.events(); return all[len(all)-1].Data == last })
		p.stop()
		if strings.Contains(p.stderr.String(), "hidden") || strings.Contains(p.stderr.String(), hookSecret) {
			t.Error("the server's log has a secret of a webhook")
		}
	}
	var got []string
	for _, e := range b.events() {
		if e.Data != "probe" {
			got = append(got, e.Data)
		}
	}
	if !slices.Equal(got, acked) {
		t.Errorf("got %v\nwant %v", got, acked)
	}
	for _, h := range b.requests() {
		mac := hmac.New(sha256.New, []byte(hookSecret))
		mac.Write([]byte(h.header.Get("Webhook-Id") + "." + h.header.Get("Webhook-Timestamp") + "." + h.body))
		if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); h.header.Get("Webhook-Signature") != want {
			t.Fatalf("signature %q, want %q", h.header.Get("Webhook-Signature"), want)
		}
	}
}

// TestWebhooksOfAnApp: what happens on channels of an app, in the form of the Pusher protocol.
func TestWebhooksOfAnApp(t *testing.T) {
	b := newBackend(t)
	p := startWith(t, func(c *server.Config) {
		c.Apps = []app.Definition{{ID: "1", Key: "the-key", Secret: "the-secret", Namespace: "shop:"}}
		c.Webhooks = []webhook.Definition{{Name: "shop", URL: b.URL, Events: webhook.Events(), Channels: []string{"*"}, App: "1", AllowPrivate: true}}
	})
	has := func(want ...string) {
		t.Helper()
		p.await(fmt.Sprint("the events ", want), func() bool {
			var all []string
			for _, e := range b.events() {
				all = append(all, e.String())
			}
			return !slices.ContainsFunc(want, func(w string) bool { return !slices.Contains(all, w) })
		})
	}
	c := p.dialSocket("/app/the-key?protocol=7", nil)
	c.send(false, `{"event":"pusher:subscribe","data":{"channel":"cache-news"}}`)
	has("cache_miss cache-news")
	hello := decode[struct{ Data string }](t, []byte(c.next().data))
	socket := decode[struct {
		ID string `json:"socket_id"`
	}](t, []byte(hello.Data)).ID
	mac := hmac.New(sha256.New, []byte("the-secret"))
	mac.Write([]byte(socket + ":private-room"))
	c.send(false, `{"event":"pusher:subscribe","data":{"channel":"private-room","auth":"the-key:`+hex.EncodeToString(mac.Sum(nil))+`"}}`)
	c.send(false, `{"event":"client-typing","channel":"private-room","data":"hi"}`)
	has("client_event private-room client-typinghi")
	c.close()
	a := p.dialSocket("/ws?channel=shop:room&client=ann", nil)
	p.dialSocket("/ws?channel=elsewhere&client=eve", nil)
	has("channel_occupied room", "member_added room ann", "subscription_count room")
	p.publishTo("/publish?channel=shop:room&event=client-typing", "hello")
	p.publishTo("/publish?channel=shop:room&event=sold", "7")
	has("publication room client-typinghello", "publication room sold7") // not of a client
	a.close()
	has("channel_vacated room", "member_removed room ann")
	for _, e := range b.events() {
		if e.Channel != "room" && e.Channel != "private-room" && e.Channel != "cache-news" {
			t.Errorf("an event of a channel of others: %v", e)
		}
	}
	for _, h := range b.requests() {
		mac := hmac.New(sha256.New, []byte("the-secret"))
		mac.Write([]byte(h.body))
		if h.header.Get("X-Pusher-Key") != "the-key" || h.header.Get("X-Pusher-Signature") != hex.EncodeToString(mac.Sum(nil)) || !strings.HasPrefix(h.body, `{"time_ms":`) {
			t.Fatalf("%v %s", h.header, h.body)
		}
	}
}

// TestTheReceiverOfTheDocument: the PHP of docs/webhooks.md takes what Peal signs, and nothing else.
func TestTheReceiverOfTheDocument(t *testing.T) {
	tool(t, "php")
	names, dir := unpack(t, "docs/webhooks.md")
	if !slices.Contains(names, "receive.php") {
		t.Fatalf("docs/webhooks.md has %q", names)
	}
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	t.Setenv("PEAL_WEBHOOK_SECRET", secret)
	d := &phpPage{t: t, dir: dir}
	backend := d.serve(dir)
	p := startWith(t, func(c *server.Config) {
		c.Webhooks = []webhook.Definition{{Name: "php", URL: backend.url + "/receive.php", Events: []string{webhook.Publication}, Channels: []string{"*"}, Secret: secret, AllowPrivate: true}}
	})
	p.await("a delivery", func() bool {
		p.publish("orders", "x")
		return p.server.WebhookStats().Webhooks[0].Delivered > 0
	})
	if s := p.server.WebhookStats().Webhooks[0]; s.Failed != 0 {
		t.Errorf("%+v", s)
	}
	if a := backend.do("POST", "/receive.php", `{"data":{"events":[]}}`); a.status != 401 {
		t.Errorf("a request without a signature: %d", a.status)
	}
}
