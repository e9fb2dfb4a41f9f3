package webhook

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"peal/server/outbound"
)

// counts are those of an endpoint since the start of this node, and its state of now.
type counts struct {
	delivered, failed, retried, dead atomic.Uint64
	failing                          atomic.Bool
	oldest                           atomic.Int64 // time of the batch that is on its way, 0 for none

	mu   sync.Mutex
	last string // why the last attempt that failed did
}

func (c *counts) setError(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = text
}

// Stat is one endpoint.
type Stat struct {
	Name      string `json:"name"`
	URL       string `json:"url"`       // without its query
	Delivered uint64 `json:"delivered"` // events, by this node since its start
	Failed    uint64 `json:"failed"`    // attempts
	Retried   uint64 `json:"retried"`   // attempts
	Dead      uint64 `json:"dead"`      // events
	Failing   bool   `json:"failing"`   // the last attempt failed
	Reason    string `json:"reason"`    // of the last failure, "" if it does not fail
	Lag       uint64 `json:"lag"`       // entries of the log behind its cursor, wanted or not, while a batch is on its way; else 0
	Age       int64  `json:"age_ms"`    // of the batch that is on its way, 0 for none
	Cursor    string `json:"cursor"`    // "" before its first
	Delivers  bool   `json:"delivers"`  // this node delivers to it
	Node      uint64 `json:"node"`      // that delivers to it, 0 for none or without other nodes
}

// Status is all endpoints.
type Status struct {
	Delivers  bool     `json:"delivers"` // this node does, to any of them
	Webhooks  []Stat   `json:"webhooks"`
	Letters   []Letter `json:"letters"`   // the oldest first, without bodies
	Dropped   uint64   `json:"dropped"`   // dead letters for which there was no room
	Untracked uint64   `json:"untracked"` // times that a channel or member was not reported, because there were too many
}

// Stats are the endpoints without their letters.
func (h *Hooks) Stats() Status {
	s := Status{Dropped: h.dropped.Load(), Untracked: h.look.untracked.Load(), Webhooks: []Stat{}}
	now := h.config.Now().UnixMilli()
	for _, p := range h.endpoints() {
		c := &p.counts
		one := Stat{
			Name: p.Name, URL: outbound.Redacted(p.url), Delivered: c.delivered.Load(), Failed: c.failed.Load(), Retried: c.retried.Load(),
			Dead: c.dead.Load(), Delivers: p.holding.Load() > 0, Node: h.state.lease(p.Name).Node,
		}
		one.Failing = one.Delivers && c.failing.Load()
		s.Delivers = s.Delivers || one.Delivers
		if one.Failing {
			c.mu.Lock()
			one.Reason = c.last
			c.mu.Unlock()
		}
		at, _ := h.state.bounds(p.Name)
		one.Cursor = at.From
		if oldest := c.oldest.Load(); oldest != 0 {
			one.Age = max(0, now-oldest)
			if from, ok := h.resolve(at.From); ok {
				one.Lag = max(h.config.Log.Head(), from) - from
			}
		}
		s.Webhooks = append(s.Webhooks, one)
	}
	return s
}

// Status are the endpoints with their letters.
func (h *Hooks) Status(ctx context.Context) (Status, error) {
	s := h.Stats()
	all, err := h.config.Dead.List(ctx)
	s.Letters = []Letter{}
	s.Letters = append(s.Letters, all...)
	return s, err
}

// ErrNoLetter: there is no such dead letter, or no such webhook.
var ErrNoLetter = errors.New("no dead letter has this webhook and id: peal webhooks lists them")

// Retry sends dead letters of a webhook again, once each and in their order, and forgets those that
// were delivered: the one with that id, or all if it is "". It ends with the first that fails. A webhook that
// is waiting for its next attempt makes it now.
func (h *Hooks) Retry(ctx context.Context, webhook, id string) (sent int, err error) {
	p := h.endpoint(webhook)
	if p == nil {
		return 0, fmt.Errorf("no webhook of the configuration has the name %q", webhook)
	}
	h.kickAll(p)
	all, err := h.config.Dead.List(ctx)
	if err != nil {
		return 0, err
	}
	found := false
	for _, l := range all {
		if l.Webhook != webhook || id != "" && l.ID != id {
			continue
		}
		found = true
		body, err := h.config.Dead.Body(ctx, webhook, l.ID)
		if err != nil {
			return sent, err
		}
		if body == nil { // another node was faster
			continue
		}
		if f := p.once(ctx, l.ID, body, h.config.Now()); f != nil {
			return sent, fmt.Errorf("webhook %q, %s: %w", webhook, l.ID, f)
		}
		sent++
		p.counts.delivered.Add(uint64(l.Events))
		if _, err := h.forget(ctx, webhook, l.ID); err != nil {
			return sent, err
		}
	}
	if !found && id != "" {
		return 0, ErrNoLetter
	}
	return sent, nil
}

// Drop forgets dead letters, as Retry chooses them; also of webhooks that are not configured any more.
func (h *Hooks) Drop(ctx context.Context, webhook, id string) (dropped int, err error) {
	all, err := h.config.Dead.List(ctx)
	if err != nil {
		return 0, err
	}
	for _, l := range all {
		if l.Webhook != webhook || id != "" && l.ID != id {
			continue
		}
		if _, err := h.forget(ctx, webhook, l.ID); err != nil {
			return dropped, err
		}
		dropped++
	}
	if dropped == 0 {
		return 0, ErrNoLetter
	}
	return dropped, nil
}

func (h *Hooks) forget(ctx context.Context, webhook, id string) (bool, error) {
	h.burying.Lock()
	defer h.burying.Unlock()
	return h.config.Dead.Delete(ctx, webhook, id)
}

func (h *Hooks) endpoint(name string) *endpoint {
	for _, p := range h.endpoints() {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// once makes one attempt. There is one at a time.
func (p *endpoint) once(ctx context.Context, id string, body []byte, now time.Time) *failure {
	select {
	case p.sending <- struct{}{}:
		defer func() { <-p.sending }()
	case <-ctx.Done():
		return &failure{what: "another request to it has not ended"}
	}
	return p.post(ctx, id, body, now)
}
