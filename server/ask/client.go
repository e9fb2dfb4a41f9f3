package ask

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"peal/server/outbound"
	"peal/server/pattern"
	"peal/server/share"
)

// settings are those in force.
type settings struct {
	Definition
	generation uint64
	secret     []byte
	on         [actions]bool
	patterns   []pattern.Pattern // none: all channels
	headers    []string          // in lower case
	client     *http.Client
}

// Client asks the backend. Any goroutine may use it.
type Client struct {
	// Fixed by New.
	report *slog.Logger
	roots  *x509.CertPool
	now    func() time.Time
	ctx    context.Context // of all requests
	cancel context.CancelFunc

	running sync.WaitGroup // goroutines that ask; not added to behind ended

	settings atomic.Pointer[settings] // nil: Peal does not ask
	counts   counts

	mu      sync.Mutex
	busy    int       // goroutines that ask
	queue   []*asking // that no goroutine has taken
	waiting map[share.Key]int
	joined  map[Key]*asking // under way, of connections and subscriptions
	cache   cache
	warned  time.Time // when a failure was logged last
	silent  int       // failures since then
	ended   bool
}

// asking is a question under way.
type asking struct {
	*Call
	deadline time.Time
	done     []func(*Answer)
}

// New returns a client that asks nothing before Prepare. now is time.Now outside tests.
func New(report *slog.Logger, now func() time.Time) *Client {
	c := &Client{report: report, now: now, waiting: map[share.Key]int{}, joined: map[Key]*asking{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Close ends requests that are under way, whose questions have no answer then, and waits until
// nobody is given one any more by another goroutine.
func (c *Client) Close() {
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.cancel()
	c.running.Wait()
}

// Prepare reads what a definition names, and returns what puts it in force: answers to
// earlier questions do not count then. Definitions are valid; none: Peal does not ask.
func (c *Client) Prepare(all []Definition) (use func(), err error) {
	before := c.settings.Load()
	if len(all) == 0 {
		return func() { c.settings.Store(nil) }, nil
	}
	s := &settings{Definition: all[0].withDefaults(), generation: uint64(c.now().UnixNano())}
	if s.secret, err = outbound.ReadSecret(s.Secret, s.SecretFile); err != nil {
		return nil, fmt.Errorf("ask: %w", err)
	}
	if before != nil && reflect.DeepEqual(before.Definition, s.Definition) && bytes.Equal(before.secret, s.secret) {
		return func() {}, nil
	}
	for _, name := range s.On {
		for a, known := range Actions {
			s.on[a] = s.on[a] || name == known
		}
	}
	for _, text := range s.Channels {
		p, err := pattern.Compile(text)
		if err != nil {
			return nil, fmt.Errorf("ask: channels %q: %w", text, err)
		}
		s.patterns = append(s.patterns, p)
	}
	for _, name := range s.Headers {
		s.headers = append(s.headers, strings.ToLower(name))
	}
	if before != nil {
		s.generation = max(s.generation, before.generation+1)
	}
	s.client = outbound.NewClient(s.Timeout, s.AllowPrivate, s.Concurrency, c.roots)
	return func() {
		c.settings.Store(s)
		c.mu.Lock()
		evicted := c.cache.evicted
		c.cache = cache{evicted: evicted}
		c.mu.Unlock()
	}, nil
}

// IsActive reports whether Peal asks the backend at all.
func (c *Client) IsActive() bool { return c != nil && c.settings.Load() != nil }

// IsOn reports whether Peal asks the backend about an action on any channel.
func (c *Client) IsOn(a Action) bool {
	if c == nil {
		return false
	}
	s := c.settings.Load()
	return s != nil && s.on[a]
}

// Covers reports whether Peal asks the backend about an action on a channel.
func (c *Client) Covers(a Action, channel string) bool {
	if c == nil {
		return false
	}
	s := c.settings.Load()
	return s != nil && s.covers(a, channel)
}

func (s *settings) covers(a Action, channel string) bool {
	if !s.on[a] {
		return false
	}
	for i := range s.patterns {
		if s.patterns[i].Match(channel) {
			return true
		}
	}
	return len(s.patterns) == 0
}

// Headers are the names of the headers of clients that the backend gets, in lower case; nil
// also if Peal does not ask. Nobody may change them.
func (c *Client) Headers() []string {
	if c == nil {
		return nil
	}
	if s := c.settings.Load(); s != nil {
		return s.headers
	}
	return nil
}

// NewCall makes the Call of a question; nil if Peal does not ask any more.
// q is lent.
func (c *Client) NewCall(q *Question) *Call {
	s := c.settings.Load()
	if s == nil {
		return nil
	}
	return newCall(q, s)
}

// Known is the answer to an equal question that still holds, nil for none.
func (c *Client) Known(call *Call) *Answer {
	c.mu.Lock()
	a := c.cache.get(call.Key, c.now())
	c.mu.Unlock()
	if a != nil {
		c.counts.cached.Add(1)
	}
	return a
}

// mostOf is how much of the queue one address may have: a quarter.
func (s *settings) mostOf() int { return max(1, s.Queue/4) }

// Ask asks. done is called once with the answer, on any goroutine, perhaps before Ask returns.
// It does not block.
func (c *Client) Ask(call *Call, done func(*Answer)) {
	s := call.under
	c.mu.Lock()
	if call.action != Publish {
		if other := c.joined[call.Key]; other != nil {
			other.done = append(other.done, done)
			c.counts.joined.Add(1)
			c.mu.Unlock()
			return
		}
	}
	q := &asking{Call: call, deadline: time.Now().Add(s.Timeout), done: []func(*Answer){done}}
	switch {
	case c.ended:
		c.mu.Unlock()
		done(&Answer{Refusal: ErrUnavailable, Failed: true})
		return
	case c.busy < s.Concurrency:
		c.busy++
		c.running.Go(func() { c.work(q) })
	case len(c.queue) >= s.Queue || c.waiting[call.by] >= s.mostOf():
		c.mu.Unlock()
		c.counts.busy.Add(1)
		done(&Answer{Refusal: ErrBusy, Failed: true})
		return
	default:
		c.queue = append(c.queue, q)
		c.waiting[call.by]++
	}
	if call.action != Publish {
		c.joined[call.Key] = q
	}
	c.mu.Unlock()
}

// work asks the question and then what waits, until nothing does.
func (c *Client) work(q *asking) {
	for q != nil {
		c.end(q, c.answer(q))
		q = c.next()
	}
}

// next takes the oldest question from the queue; without one the goroutine is to end.
func (c *Client) next() *asking {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 || c.busy > c.queue[0].under.Concurrency {
		c.busy--
		return nil
	}
	q := c.queue[0]
	c.queue[0] = nil
	if c.queue = c.queue[1:]; len(c.queue) == 0 {
		c.queue = nil // its array has grown with what passed through
	}
	if c.waiting[q.by]--; c.waiting[q.by] == 0 {
		delete(c.waiting, q.by)
	}
	return q
}

// end gives all who wait the answer.
func (c *Client) end(q *asking, a *Answer) {
	c.mu.Lock()
	if c.joined[q.Key] == q {
		delete(c.joined, q.Key)
	}
	if !a.Failed && c.settings.Load() == q.under {
		c.cache.put(q.Key, a, c.now(), q.under.CacheEntries)
	}
	done := q.done
	c.mu.Unlock()
	for _, f := range done {
		f(a)
	}
}

// answer is what the backend says, or what holds without an answer.
func (c *Client) answer(q *asking) *Answer {
	if !time.Now().Before(q.deadline) {
		c.counts.busy.Add(1)
		return &Answer{Refusal: ErrBusy, Failed: true}
	}
	began := time.Now()
	a, err := c.post(q)
	c.counts.nanoseconds.Add(uint64(time.Since(began)))
	switch {
	case err != nil:
		c.counts.failed.Add(1)
		c.warn(q.under, err)
		if q.under.OnError == Allow {
			return &Answer{Failed: true}
		}
		return &Answer{Refusal: ErrUnavailable, Failed: true}
	case a.Refusal != nil:
		c.counts.denied.Add(1)
	default:
		c.counts.allowed.Add(1)
	}
	return a
}

// post sends the request.
func (c *Client) post(q *asking) (*Answer, error) {
	s := q.under
	ctx, cancel := context.WithDeadline(c.ctx, q.deadline)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(q.body))
	if err != nil {
		return nil, fmt.Errorf("the url is not one")
	}
	id, at := "ask_"+rand.Text(), strconv.FormatInt(c.now().Unix(), 10)
	h := r.Header
	h.Set("Content-Type", "application/json")
	h.Set("Accept", "application/json")
	h.Set("User-Agent", "Peal-Ask")
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", at)
	h.Set("Webhook-Signature", outbound.Sign(s.secret, id, at, q.body))
	h["X-Idempotency-Key"] = []string{} // not sent: the transport may repeat it on a connection that had just ended
	response, err := s.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("%s", outbound.Explain(err))
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, mostAnswer+1))
	code := response.StatusCode
	switch {
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return &Answer{Refusal: ErrDenied}, nil
	case code >= 300 && code < 400:
		return nil, fmt.Errorf("it responds with a redirect (%d), which is not followed: set url to the final address", code)
	case code != http.StatusOK:
		return nil, fmt.Errorf("it responds with status %d: it must answer with 200", code)
	case err != nil:
		return nil, fmt.Errorf("%s", outbound.Explain(err))
	case len(body) > mostAnswer:
		return nil, fmt.Errorf("its answer has more than %d bytes", mostAnswer)
	}
	if media, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); media != "application/json" {
		return nil, fmt.Errorf("its answer is no application/json, by its Content-Type")
	}
	ttl := max(s.TTL, 0)
	if q.action == Publish {
		ttl = 0
	}
	return parse(body, q.action, ttl)
}

// warnEvery is how often failures are logged.
const warnEvery = 10 * time.Second

func (c *Client) warn(s *settings, err error) {
	c.mu.Lock()
	c.silent++
	n, now := c.silent, time.Now()
	if c.ended || now.Sub(c.warned) < warnEvery {
		c.mu.Unlock()
		return
	}
	c.warned, c.silent = now, 0
	c.mu.Unlock()
	c.report.Warn("asking the backend failed: clients are refused, unless on-error is allow", "url", outbound.Redacted(s.URL), "reason", err.Error(), "failures", n, "on-error", s.OnError)
}

// counts are those since the start.
type counts struct {
	allowed, denied, failed, busy, cached, joined, nanoseconds atomic.Uint64
}

// Stats is what was counted since the start, and what is now.
type Stats struct {
	Allowed, Denied, Failed, Busy, Cached, Joined, Evicted uint64

	Seconds float64 // of all requests together
	Asking  int     // requests under way
	Waiting int     // questions in the queue
	Answers int     // in the cache, expired ones too
}

// Stats are those of now.
func (c *Client) Stats() Stats {
	n := &c.counts
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{
		Allowed: n.allowed.Load(), Denied: n.denied.Load(), Failed: n.failed.Load(), Busy: n.busy.Load(), Cached: n.cached.Load(), Joined: n.joined.Load(),
		Evicted: c.cache.evicted, Seconds: time.Duration(n.nanoseconds.Load()).Seconds(), Asking: c.busy, Waiting: len(c.queue), Answers: len(c.cache.answers),
	}
}
