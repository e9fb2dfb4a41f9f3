package webhook_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"peal/server/log"
	"peal/server/log/fake"
	"peal/server/log/memory"
	"peal/server/webhook"
)

// kinds are the events as text, each once.
func (v *receiver) kinds(t *testing.T) (all []string) {
	for _, e := range v.events(t) {
		all = append(all, strings.TrimSpace(fmt.Sprint(e.kind(), " ", e.Channel, " ", e.Data)))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// A channel without a last event is an event of the node where that was found, for endpoints that want it.
func TestCacheMisses(t *testing.T) {
	v := newReceiver(t, nil)
	d := definition(v.URL)
	d.Events, d.Channels = []string{webhook.CacheMiss}, []string{"cache-*"}
	s, c := fake.New(time.Now), &cluster{}
	a := c.node(t, s, nil, d)
	a.ready(t)
	b := c.node(t, s, nil, d)
	for range 50 {
		b.Missed("cache-a")
	}
	b.Missed("other")
	until(t, "a miss", func() bool { return slices.Equal(v.kinds(t), []string{"cache_miss cache-a"}) })
	a.Missed("cache-b")
	until(t, "another", func() bool {
		return slices.Equal(v.kinds(t), []string{"cache_miss cache-a", "cache_miss cache-b"})
	})
}

// Many channels at once are as many events up to a limit; the others are counted.
func TestCacheMissesAreBounded(t *testing.T) {
	v := newReceiver(t, nil)
	d := definition(v.URL)
	d.Events = []string{webhook.CacheMiss}
	c := config(memory.Open(time.Now), d)
	h, err := webhook.New(c) // not running: nothing is taken away
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1500 {
		h.Missed(fmt.Sprint("cache-", i))
	}
	if n := h.Stats().Untracked; n != 500 {
		t.Errorf("%d were not reported, want 500", n)
	}
}

// Only what a client has sent is a client event, whatever its name.
func TestClientEventsAreThoseOfClients(t *testing.T) {
	v := newReceiver(t, nil)
	d := definition(v.URL)
	d.Events = []string{webhook.ClientEvent}
	both := d
	both.Name, both.Events = "both", []string{webhook.ClientEvent, webhook.Publication}
	w := newReceiver(t, nil)
	both.URL = w.URL
	r := start(t, config(memory.Open(time.Now), d, both))
	r.ready(t)
	put := func(event, data string, tags map[string]string) {
		if err := r.log.Append([]*log.Entry{{Channel: "private-a", Event: event, Data: []byte(data), Tags: tags}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	put("client-x", "of a backend", nil)
	put("client-x", "of a client", map[string]string{log.ClientTag: "1"})
	put("x", "none", nil)
	until(t, "three events", func() bool {
		return slices.Equal(w.kinds(t), []string{"client_event private-a of a client", "publication private-a none", "publication private-a of a backend"})
	})
	until(t, "one event", func() bool { return slices.Equal(v.kinds(t), []string{"client_event private-a of a client"}) })
}

// Any node shows and retries dead letters, and has the node that delivers try again.
func TestRetryOnAnyNode(t *testing.T) {
	v := newReceiver(t, nil)
	fails := true
	v.answer = failing(v, &fails)
	d := definition(v.URL)
	d.RetryFor = 20 * time.Millisecond
	s, c := fake.New(time.Now), &cluster{}
	set := func(k *webhook.Config) {
		k.Dead = webhook.Shared{In: k.Log.(log.Collecting).Collection(webhook.LettersName)}
	}
	a := c.node(t, s, set, d)
	a.ready(t)
	b := c.node(t, s, set, d)
	publish(t, a.log, 0, 1)
	letters := func(r *running) int {
		status, err := r.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return len(status.Letters)
	}
	until(t, "a dead letter", func() bool { return letters(a) == 1 })
	if n := letters(b); n != 1 || b.Stats().Delivers {
		t.Fatalf("the other node shows %d letters", n)
	}
	v.mu.Lock()
	fails = false
	v.mu.Unlock()
	if n, err := b.Retry(t.Context(), "shop", ""); n != 1 || err != nil || letters(a) != 0 {
		t.Errorf("retry on the other node: %d, %v", n, err)
	}
	if got := v.numbers(t); got != "0" {
		t.Errorf("got %s", got)
	}

	// One that waits for an hour.
	w := newReceiver(t, nil)
	fails = true
	w.answer = failing(w, &fails)
	d.URL, d.RetryFor, d.Name = w.URL, time.Hour, "slow"
	wait := func(k *webhook.Config) { set(k); k.FirstPause = time.Hour }
	c.gone(a.id())
	c.gone(b.id())
	x := c.node(t, s, wait, d)
	x.ready(t)
	y := c.node(t, s, wait, d)
	publish(t, x.log, 1, 2)
	until(t, "a failure", func() bool { return x.Stats().Webhooks[0].Failed == 1 })
	w.mu.Lock()
	fails = false
	w.mu.Unlock()
	if _, err := y.Retry(t.Context(), "slow", ""); err != nil {
		t.Fatal(err)
	}
	until(t, "the event", func() bool { return x.Stats().Webhooks[0].Delivered == 1 })
}
