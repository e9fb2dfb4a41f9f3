package otel_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"peal/server/otel"
)

const patience = 60 * time.Second

// collector keeps what it is sent.
type collector struct {
	*httptest.Server
	mu     sync.Mutex
	bodies []string
	header http.Header
	status int
}

func newCollector(t *testing.T, status int) *collector {
	c := &collector{status: status}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.bodies, c.header = append(c.bodies, r.URL.Path+" "+string(b)), r.Header
		w.WriteHeader(c.status)
	}))
	t.Cleanup(c.Close)
	return c
}

// got is what has come, and the header of the last request.
func (c *collector) got() ([]string, http.Header) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bodies, c.header
}

func run(t *testing.T, c otel.Config) (e *otel.Exporter, stop func()) {
	c.Log = slog.New(slog.DiscardHandler)
	e, err := otel.New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { e.Run(ctx); close(done) }()
	return e, func() { cancel(); <-done }
}

func TestSpansOfAPublication(t *testing.T) {
	c := newCollector(t, 200)
	e, stop := run(t, otel.Config{Endpoint: c.URL, Headers: http.Header{"Authorization": {"Bearer x"}}, Resource: map[string]string{"service.name": "peal"}})
	p := &otel.Publications{To: e, Cursor: func(uint64) string { return "a-7" }, Handed: func(sequence uint64, done func()) {
		if sequence != 7 {
			t.Errorf("fan-out of %d", sequence)
		}
		done()
	}}
	if p.Begin("") != nil || p.Begin("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00") != nil || p.Begin("x") != nil {
		t.Error("what is not sampled has a span")
	}
	s := p.Begin("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	own := s.Traceparent()
	s.Appended()
	s.End(7, "")
	failed := p.Begin("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	failed.End(0, "overloaded")
	stop()
	var got struct {
		ResourceSpans []struct {
			Resource   struct{ Attributes []any }
			ScopeSpans []struct {
				Spans []struct {
					TraceID, SpanID, ParentSpanID, Name, StartTimeUnixNano, EndTimeUnixNano string
					Kind                                                                    int
					Status                                                                  struct {
						Code    int
						Message string
					}
				}
			}
		}
	}
	bodies, header := c.got()
	if len(bodies) != 1 || header.Get("Authorization") != "Bearer x" || header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d requests, %v", len(bodies), header)
	}
	path, body, _ := strings.Cut(bodies[0], " ")
	if err := json.Unmarshal([]byte(body), &got); err != nil || path != "/v1/traces" {
		t.Fatalf("%s: %v", path, err)
	}
	spans := got.ResourceSpans[0].ScopeSpans[0].Spans
	if len(spans) != 4 || len(got.ResourceSpans[0].Resource.Attributes) != 1 {
		t.Fatalf("%s", body)
	}
	publish := spans[0]
	if publish.Name != "publish" || publish.Kind != 2 || publish.TraceID != "0af7651916cd43dd8448eb211c80319c" || publish.ParentSpanID != "b7ad6b7169203331" ||
		own != "00-"+publish.TraceID+"-"+publish.SpanID+"-01" || publish.EndTimeUnixNano < publish.StartTimeUnixNano || publish.Status.Code != 0 {
		t.Errorf("%+v, %s", publish, own)
	}
	for i, name := range []string{"append", "fan-out"} {
		if s := spans[1+i]; s.Name != name || s.ParentSpanID != publish.SpanID || s.TraceID != publish.TraceID {
			t.Errorf("%+v", s)
		}
	}
	if s := spans[3]; s.Status.Code != 2 || s.Status.Message != "overloaded" {
		t.Errorf("%+v", s)
	}
	if s := e.Stats(); s != (otel.Stats{Exported: 4}) {
		t.Errorf("%+v", s)
	}
}

func TestSampling(t *testing.T) {
	e, stop := run(t, otel.Config{Endpoint: "http://127.0.0.1:1"})
	defer stop()
	p := &otel.Publications{To: e, Sample: 0.5, Cursor: func(uint64) string { return "" }}
	n := 0
	for range 1000 {
		if p.Begin("") != nil {
			n++
		}
	}
	if n < 300 || n > 700 {
		t.Errorf("%d of 1000", n)
	}
}

// A collector that does not respond costs nothing but spans.
func TestWhatDoesNotFitIsDropped(t *testing.T) {
	e, err := otel.New(otel.Config{Endpoint: "http://127.0.0.1:1", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for range otel.MostQueued + 10 {
		e.Send(&otel.Span{})
	}
	if s := e.Stats(); s.Dropped != 10 {
		t.Errorf("%+v", s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	e.Run(ctx)
	if s := e.Stats(); s.Failed == 0 || s.Exported != 0 {
		t.Errorf("%+v", s)
	}
}

func TestARefusalIsNotRepeated(t *testing.T) {
	c := newCollector(t, 400)
	e, stop := run(t, otel.Config{Endpoint: c.URL + "/own/path"})
	e.Send(&otel.Span{Name: "x"})
	for end := time.Now().Add(patience); e.Stats().Failed == 0; {
		if time.Now().After(end) {
			t.Fatal("the span is still on its way")
		}
		time.Sleep(time.Millisecond)
	}
	stop()
	if bodies, _ := c.got(); len(bodies) != 1 || !strings.HasPrefix(bodies[0], "/own/path ") {
		t.Errorf("%d requests: %q", len(bodies), bodies)
	}
}

func TestEndpointsAndHeaders(t *testing.T) {
	for text, want := range map[string]string{
		"http://127.0.0.1:4318": "http://127.0.0.1:4318/v1/traces", "https://c.example/": "https://c.example/v1/traces", "https://c.example/otlp/v1/traces": "https://c.example/otlp/v1/traces",
		"grpc://c.example": "", "c.example": "", "http://u:p@c.example": "", "http://c.example?key=1": "", "": "",
	} {
		if got, err := otel.URL(text); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	if h, err := otel.ParseHeaders([]string{"Authorization: Bearer a:b", "", "X-A:1"}); err != nil || h.Get("Authorization") != "Bearer a:b" || h.Get("X-A") != "1" {
		t.Errorf("%v, %v", h, err)
	}
	if _, err := otel.ParseHeaders([]string{"secret"}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}
