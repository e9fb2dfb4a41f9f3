// Package otel exports spans by OTLP over HTTP, with JSON (OpenTelemetry Protocol 1.x, "JSON Protobuf
// Encoding": https://opentelemetry.io/docs/specs/otlp/).
//
//   - Span: an interval of the life of a publication.
//   - Exporter: a bounded queue of spans, and the goroutine that sends them in batches. Adding one never
//     blocks; what does not fit is dropped and counted.
//
// Any goroutine may call Send; Run belongs to one.
package otel

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Limits of the queue and of one request.
const (
	MostQueued  = 4096
	mostBatch   = 512
	sendEvery   = time.Second
	sendTimeout = 10 * time.Second
	attempts    = 3
	answerBytes = 4 << 10
)

// Kind is that of a span.
type Kind int

const (
	Internal Kind = 1
	Server   Kind = 2
	Producer Kind = 4
)

// Span is an interval that has ended.
type Span struct {
	Name       string
	Kind       Kind
	Trace      [16]byte
	ID         [8]byte
	Parent     [8]byte // zero: none
	Start, End time.Time
	Attributes map[string]string
	Error      string // "" for none
}

// Config is where spans go.
type Config struct {
	Endpoint string      // http or https URL of a collector; without a path, its path is /v1/traces
	Headers  http.Header // with each request: they may be secrets
	Resource map[string]string
	Log      *slog.Logger
}

// Exporter sends spans.
type Exporter struct {
	url      string
	headers  http.Header
	resource []attribute
	log      *slog.Logger
	client   http.Client
	queue    chan *Span
	wait     func(ctx context.Context, d time.Duration)

	exported, dropped, failed atomic.Uint64
}

// Stats are counters.
type Stats struct {
	Exported uint64 // spans that the collector has accepted
	Dropped  uint64 // spans for which there was no room
	Failed   uint64 // spans that could not be sent
}

// New returns an exporter; Run must follow.
func New(c Config) (*Exporter, error) {
	at, err := URL(c.Endpoint)
	if err != nil {
		return nil, err
	}
	return &Exporter{
		url: at, headers: c.Headers, resource: attributesOf(c.Resource), log: c.Log,
		client: http.Client{Timeout: sendTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		queue:  make(chan *Span, MostQueued),
		wait: func(ctx context.Context, d time.Duration) {
			select {
			case <-time.After(d):
			case <-ctx.Done():
			}
		},
	}, nil
}

// URL is where the spans for an endpoint go.
func URL(endpoint string) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("otlp-endpoint must be an http or https URL without a user and a query, as in http://127.0.0.1:4318; put secrets into otlp-headers-file")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/traces"
	}
	return u.String(), nil
}

// Send queues a span, or drops it.
func (e *Exporter) Send(s *Span) {
	select {
	case e.queue <- s:
	default:
		e.dropped.Add(1)
	}
}

// Stats tells about what was sent.
func (e *Exporter) Stats() Stats {
	return Stats{e.exported.Load(), e.dropped.Load(), e.failed.Load()}
}

// Run sends spans until ctx ends, and then, once, what is left.
func (e *Exporter) Run(ctx context.Context) {
	tick := time.NewTicker(sendEvery)
	defer tick.Stop()
	var batch []*Span
	for {
		select {
		case s := <-e.queue:
			if batch = append(batch, s); len(batch) < mostBatch {
				continue
			}
		case <-tick.C:
		case <-ctx.Done():
			for len(e.queue) > 0 && len(batch) < mostBatch {
				batch = append(batch, <-e.queue)
			}
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			e.export(last, batch, 1)
			cancel()
			return
		}
		e.export(ctx, batch, attempts)
		batch = batch[:0]
	}
}

// export sends a batch, and repeats what the collector cannot take at the moment.
func (e *Exporter) export(ctx context.Context, batch []*Span, attempts int) {
	if len(batch) == 0 {
		return
	}
	body, err := json.Marshal(e.request(batch))
	for n := 0; err == nil && n < attempts; n++ {
		var again bool
		if again, err = e.post(ctx, body); err == nil {
			e.exported.Add(uint64(len(batch)))
			return
		}
		if !again || n+1 == attempts {
			break
		}
		e.wait(ctx, time.Second<<n)
		if ctx.Err() != nil {
			break
		}
		err = nil
	}
	if e.failed.Add(uint64(len(batch))) == uint64(len(batch)) { // the first time; then the metric says it
		e.log.Warn("spans could not be sent to otlp-endpoint: check the collector, and peal_otlp_failed_total", "error", err)
	}
}

// post sends one request. again reports whether it may be repeated.
func (e *Exporter) post(ctx context.Context, body []byte) (again bool, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	for name, values := range e.headers {
		r.Header[name] = values
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := e.client.Do(r)
	if err != nil {
		return true, err
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, answerBytes)) // for the connection to be used again
	switch code := response.StatusCode; {
	case code >= 200 && code < 300:
		return false, nil
	case code == 429 || code == 502 || code == 503 || code == 504:
		return true, fmt.Errorf("the collector responds with %s", response.Status)
	}
	return false, fmt.Errorf("the collector responds with %s", response.Status)
}

// The request as the protocol has it: ids in hexadecimal, times as strings of nanoseconds.
type (
	request struct {
		ResourceSpans []resourceSpans `json:"resourceSpans"`
	}
	resourceSpans struct {
		Resource   resource     `json:"resource"`
		ScopeSpans []scopeSpans `json:"scopeSpans"`
	}
	resource struct {
		Attributes []attribute `json:"attributes"`
	}
	scopeSpans struct {
		Scope scope  `json:"scope"`
		Spans []span `json:"spans"`
	}
	scope struct {
		Name string `json:"name"`
	}
	span struct {
		TraceID    string      `json:"traceId"`
		SpanID     string      `json:"spanId"`
		ParentID   string      `json:"parentSpanId,omitempty"`
		Name       string      `json:"name"`
		Kind       Kind        `json:"kind"`
		Start      string      `json:"startTimeUnixNano"`
		End        string      `json:"endTimeUnixNano"`
		Attributes []attribute `json:"attributes,omitempty"`
		Status     *status     `json:"status,omitempty"`
	}
	status struct {
		Code    int    `json:"code"`
		Message string `json:"message,omitempty"`
	}
	attribute struct {
		Key   string `json:"key"`
		Value value  `json:"value"`
	}
	value struct {
		String string `json:"stringValue"`
	}
)

const statusError = 2

func (e *Exporter) request(batch []*Span) request {
	spans := make([]span, 0, len(batch))
	for _, s := range batch {
		one := span{
			TraceID: hex.EncodeToString(s.Trace[:]), SpanID: hex.EncodeToString(s.ID[:]), Name: s.Name, Kind: s.Kind,
			Start: nanoseconds(s.Start), End: nanoseconds(s.End), Attributes: attributesOf(s.Attributes),
		}
		if s.Parent != [8]byte{} {
			one.ParentID = hex.EncodeToString(s.Parent[:])
		}
		if s.Error != "" {
			one.Status = &status{statusError, s.Error}
		}
		spans = append(spans, one)
	}
	return request{[]resourceSpans{{resource{e.resource}, []scopeSpans{{scope{"peal"}, spans}}}}}
}

func nanoseconds(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }

func attributesOf(m map[string]string) (all []attribute) {
	for _, key := range sortedKeys(m) {
		all = append(all, attribute{key, value{m[key]}})
	}
	return all
}

// ParseHeaders reads lines "name: value".
func ParseHeaders(lines []string) (http.Header, error) {
	h := http.Header{}
	for i, line := range lines {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, text, ok := strings.Cut(line, ":")
		name = strings.TrimSpace(name)
		if !ok || name == "" || strings.ContainsAny(name, " \t\r\n") || strings.ContainsAny(text, "\r\n") {
			return nil, fmt.Errorf("header %d is not of the form Name: value", i+1) // it may be a secret
		}
		h.Add(name, strings.TrimSpace(text))
	}
	return h, nil
}
