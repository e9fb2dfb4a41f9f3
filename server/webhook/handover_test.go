package webhook_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"net/http"
	"testing"
	"time"

	"peal/server/log"
	"peal/server/log/memory"
	"peal/server/webhook"
)

// succeed goes on with r over a log in memory, as another process does.
func succeed(t *testing.T, r *running, c func(l log.Engine) webhook.Config) *running {
	t.Helper()
	r.stop()
	old := r.log.(*memory.Log)
	offered, err := old.Offer()
	if err != nil {
		t.Fatal(err)
	}
	l, err := memory.Succeed(time.Now, offered)
	if err != nil {
		t.Fatal(err)
	}
	h, err := webhook.New(c(l))
	if err != nil {
		t.Fatal(err)
	}
	l.Keep(h)
	paused, err := old.Pause(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.HandOver(t.Context(), func(p *webhook.Part) error {
		var b bytes.Buffer
		var got webhook.Part
		if err := errors.Join(gob.NewEncoder(&b).Encode(p), gob.NewDecoder(&b).Decode(&got)); err != nil {
			return err
		}
		return h.Import(t.Context(), &got)
	}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Prepare(nil, h.Restore), l.CatchUp(paused, nil, h.Restore), old.Release(), l.Begin(log.Tails{h})); err != nil {
		t.Fatal(err)
	}
	h.Begin(l.Head())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { h.Run(ctx); close(done) }() // ends with the test
	t.Cleanup(func() { cancel(); <-done })
	return &running{Hooks: h, log: l, stop: func() { cancel(); <-done }}
}

// A batch that was not delivered is sent again with its ID, and what was published since; nothing is lost, and nothing that was
// delivered comes again.
func TestWebhooksGoOnWithALogInMemory(t *testing.T) {
	v := newReceiver(t, nil)
	fails := false
	v.answer = failing(v, &fails)
	c := func(l log.Engine) webhook.Config { return config(l, definition(v.URL)) }
	r := start(t, c(memory.Open(time.Now)))
	r.ready(t)
	publish(t, r.log, 0, 5)
	until(t, "five are delivered", func() bool { return v.numbers(t) == upTo(5) })
	v.mu.Lock()
	fails = true
	v.mu.Unlock()
	publish(t, r.log, 5, 8)
	until(t, "an attempt fails", func() bool { return len(v.events(t)) > 5 })
	v.mu.Lock()
	before := len(v.all)
	id := v.all[before-1].id()
	v.mu.Unlock()
	publish(t, r.log, 8, 12) // which no batch has yet
	next := succeed(t, r, c)
	publish(t, next.log, 12, 15)
	v.mu.Lock()
	fails = false
	v.mu.Unlock()
	until(t, "all are delivered", func() bool { return v.numbers(t) == upTo(15) }) // repeats have the same body
	again := false
	for _, r := range v.requests()[before:] {
		again = again || r.id() == id
		for _, e := range r.events(t) {
			if e.Type == "gap" || e.Name == "gap" {
				t.Errorf("there is a gap: %+v", e)
			}
		}
	}
	if !again {
		t.Error("the batch that was on its way was not sent again with its ID")
	}
}

func TestDeadLettersAreHandedOver(t *testing.T) {
	v := newReceiver(t, func(_ int, w http.ResponseWriter, _ *http.Request) {})
	c := func(l log.Engine) webhook.Config { return config(l, definition(v.URL)) }
	old := config(memory.Open(time.Now), definition(v.URL))
	dead := webhook.NewMemory()
	for _, id := range []string{"a", "b"} {
		if _, err := dead.Put(t.Context(), webhook.Letter{ID: id, Webhook: "shop", Body: []byte(`{"x":1}`), Reason: "no"}); err != nil {
			t.Fatal(err)
		}
	}
	old.Dead = dead
	r := start(t, old)
	kept := webhook.NewMemory()
	succeed(t, r, func(l log.Engine) webhook.Config {
		k := c(l)
		k.Dead = kept
		return k
	})
	all, err := kept.List(t.Context())
	body, _ := kept.Body(t.Context(), "shop", "b")
	if err != nil || len(all) != 2 || all[0].ID != "a" || all[1].Reason != "no" || string(body) != `{"x":1}` {
		t.Errorf("the successor has %+v, %q, %v", all, body, err)
	}
}
