package webhook_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"peal/server/log"
	"peal/server/webhook"
)

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// request is one that a receiver got.
type request struct {
	header http.Header
	body   []byte
}

func (r *request) id() string { return r.header.Get("Webhook-Id") }

// told is an event of a body, in either form.
type told struct {
	Type, Name, Channel, Event, ID, Cursor string
	Data                                   string
	User                                   string `json:"user_id"`
	Socket                                 string `json:"socket_id"`
	Count                                  int    `json:"subscription_count"`
	After, Upto                            string
}

func (e told) kind() string { return e.Type + e.Name }

func (r *request) events(t *testing.T) []told {
	t.Helper()
	var body struct {
		Events []told
		Data   struct{ Events []told }
	}
	if err := json.Unmarshal(r.body, &body); err != nil {
		t.Fatalf("%v: %s", err, r.body)
	}
	return append(body.Events, body.Data.Events...)
}

// receiver is a server whose answers a test chooses. nil is 200.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	all    []*request
	answer func(n int, w http.ResponseWriter, r *http.Request)
	take   func(path string, r *request) // called with each, nil for none
	news   chan struct{}
}

func newReceiver(t *testing.T, answer func(n int, w http.ResponseWriter, r *http.Request)) *receiver {
	v := &receiver{answer: answer, news: make(chan struct{}, 1)}
	v.Server = httptest.NewServer(v)
	t.Cleanup(v.Close)
	return v
}

func (v *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // it was cut
	}
	got := &request{r.Header, body}
	v.mu.Lock()
	v.all = append(v.all, got)
	n := len(v.all)
	v.mu.Unlock()
	if v.take != nil {
		v.take(r.URL.Path, got)
	}
	select {
	case v.news <- struct{}{}:
	default:
	}
	if v.answer != nil {
		v.answer(n, w, r)
	}
}

func (v *receiver) requests() []*request {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]*request(nil), v.all...)
}

// events are those of all requests.
func (v *receiver) events(t *testing.T) (all []told) {
	for _, r := range v.requests() {
		all = append(all, r.events(t)...)
	}
	return all
}

// until waits until f is true.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for began := time.Now(); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatalf("waited a minute: %s", what)
		}
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// definition is an endpoint that wants publications of all channels.
func definition(url string) webhook.Definition {
	return webhook.Definition{Name: "shop", URL: url, Events: []string{webhook.Publication}, Channels: []string{"*"}, Secret: secret, AllowPrivate: true}
}

func config(l log.Engine, all ...webhook.Definition) webhook.Config {
	return webhook.Config{
		Endpoints: all, Log: l, Report: quiet(), BatchWait: time.Millisecond, FirstPause: time.Millisecond,
		Every: 2 * time.Millisecond, Vacate: 4 * time.Millisecond, Settle: 4 * time.Millisecond, Spread: time.Hour,
	}
}

// running is Hooks over a log.
type running struct {
	*webhook.Hooks
	log  log.Engine
	stop func() // ends Run; the log is open
}

func start(t *testing.T, c webhook.Config) *running {
	t.Helper()
	h, err := webhook.New(c)
	if err != nil {
		t.Fatal(err)
	}
	c.Log.Keep(h)
	if err := c.Log.Start(log.Tails{h}, h.Restore); err != nil {
		t.Fatal(err)
	}
	h.Begin(c.Log.Head())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { h.Run(ctx); close(done) }()
	r := &running{Hooks: h, log: c.Log}
	r.stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(r.stop)
	return r
}

// ready waits until all endpoints have a cursor: what is published then is an event.
func (r *running) ready(t *testing.T) {
	t.Helper()
	until(t, "a first cursor", func() bool {
		for _, s := range r.Stats().Webhooks {
			if s.Cursor == "" {
				return false
			}
		}
		return true
	})
}

// publish appends messages with the numbers from up to before.
func publish(t *testing.T, l log.Engine, from, before int) {
	t.Helper()
	for i := from; i < before; i++ {
		result := make(chan error, 1)
		err := l.Append([]*log.Entry{{Channel: "orders", Event: "e", Data: fmt.Append(nil, i)}}, func(err error) { result <- err })
		if err == nil {
			err = <-result
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// numbers are the data of publications, repeats of a request left out: those of an id that came before.
func (v *receiver) numbers(t *testing.T) string {
	t.Helper()
	var all []string
	bodies := map[string]string{}
	for _, r := range v.requests() {
		if body, ok := bodies[r.id()]; ok {
			if body != string(r.body) {
				t.Errorf("the repeat of %s has another body: %s, not %s", r.id(), r.body, body)
			}
			continue
		}
		bodies[r.id()] = string(r.body)
		for _, e := range r.events(t) {
			all = append(all, e.Data)
		}
	}
	return strings.Join(all, " ")
}

func upTo(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint(i)
	}
	return strings.Join(all, " ")
}

// failing answers 503 while *fails, which the lock of v guards.
func failing(v *receiver, fails *bool) func(int, http.ResponseWriter, *http.Request) {
	return func(_ int, w http.ResponseWriter, _ *http.Request) {
		v.mu.Lock()
		defer v.mu.Unlock()
		if *fails {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}
}
