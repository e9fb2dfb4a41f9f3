package endtoend_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"peal/server"
)

// streamWriter lets the conformance suite of Durable Streams write: Peal has the part for
// readers only. It creates and appends with Peal's own requests, and passes reads to
// /streams unchanged, except that the format goes with them.
type streamWriter struct {
	p     *peal
	reads http.Handler

	mu      sync.Mutex
	streams map[string]string // content type by path
}

func newStreamWriter(p *peal) *streamWriter {
	to := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL = &url.URL{Scheme: "http", Host: p.addr, Path: "/streams/x", RawPath: r.Out.URL.RawPath, RawQuery: r.Out.URL.RawQuery}
		r.Out.URL.Opaque = "//" + p.addr + "/streams/" + url.PathEscape(r.In.URL.Path)
	}, ModifyResponse: func(r *http.Response) error {
		if r.Header.Get("Content-Type") == "text/plain; charset=utf-8" {
			r.Header.Set("Content-Type", "text/plain") // as the suite has made it
		}
		return nil
	}}
	return &streamWriter{p: p, reads: to, streams: map[string]string{}}
}

func (s *streamWriter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	kind, exists := s.streams[r.URL.Path]
	s.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	switch {
	case r.Method == "PUT":
		if exists {
			w.WriteHeader(200)
			return
		}
		if kind = r.Header.Get("Content-Type"); kind == "" {
			kind = "application/octet-stream"
		}
		s.mu.Lock()
		s.streams[r.URL.Path] = kind
		s.mu.Unlock()
		s.append(r.URL.Path, kind, body)
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Location", "http://"+r.Host+r.URL.Path)
		w.Header().Set("Stream-Next-Offset", s.tail(r.URL.Path))
		w.WriteHeader(201)
	case r.Method == "OPTIONS":
		s.reads.ServeHTTP(w, r)
	case !exists:
		http.Error(w, "no such stream", 404)
	case r.Method == "POST":
		s.append(r.URL.Path, kind, body)
		w.Header().Set("Stream-Next-Offset", s.tail(r.URL.Path))
		w.WriteHeader(204)
	default:
		r.URL.RawQuery += "&timeout=2&format=" + format(kind)
		s.reads.ServeHTTP(w, r)
	}
}

func format(kind string) string {
	switch {
	case strings.HasPrefix(kind, "application/json"):
		return "json"
	case strings.HasPrefix(kind, "text/"):
		return "text"
	}
	return "bytes"
}

func (s *streamWriter) append(path, kind string, body []byte) {
	if len(body) == 0 {
		return
	}
	var messages []json.RawMessage
	for part := range slices.Chunk(body, 60<<10) { // a stream of bytes has no boundaries
		messages = append(messages, part)
	}
	if format(kind) == "json" && body[0] == '[' {
		if err := json.Unmarshal(body, &messages); err != nil {
			s.p.t.Error(err)
		}
	}
	header := "Content-Type: text/plain"
	if format(kind) == "bytes" {
		header = "Content-Type: application/octet-stream"
	}
	for _, m := range messages {
		if a := s.p.do("POST", "/publish?channel="+url.QueryEscape(path), string(m), header); a.status != 200 {
			s.p.t.Errorf("publish: %d %s", a.status, a.body)
		}
	}
}

func (s *streamWriter) tail(path string) string {
	return s.p.do("HEAD", "/streams/"+url.PathEscape(path), "").header.Get("Stream-Next-Offset")
}

func TestDurableStreamsConformance(t *testing.T) {
	const suite = "testdata/durable/node_modules/@durable-streams/server-conformance-tests"
	if _, err := os.Stat(suite); err != nil {
		lacking(t, "run npm ci in server/endtoend/testdata/durable")
	}
	// Offsets are those of the whole log, so what one test publishes moves the tail that
	// another one compares: the suite runs one test at a time.
	p := startWith(t, func(c *server.Config) { c.Origins = []string{"https://example.com"} })
	front := httptest.NewServer(newStreamWriter(p))
	defer front.Close()
	report := filepath.Join(t.TempDir(), "report.json")
	ctx, cancel := context.WithTimeout(t.Context(), 5*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node_modules/.bin/vitest", "run", "--reporter=json", "--testTimeout=60000", "--outputFile="+report, "-t", readerTests, "readers.test.mjs")
	cmd.Dir = "testdata/durable"
	cmd.Env = append(os.Environ(), "PEAL_URL="+front.URL)
	out, err := cmd.CombinedOutput()
	b, readErr := os.ReadFile(report)
	if readErr != nil {
		t.Fatalf("%v, %v:\n%s", err, readErr, out)
	}
	var got struct {
		TestResults []struct {
			AssertionResults []struct {
				Status, FullName string
				FailureMessages  []string
			}
		}
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	passed, failed := 0, map[string]bool{}
	for _, file := range got.TestResults {
		for _, a := range file.AssertionResults {
			switch a.Status {
			case "passed":
				passed++
			case "failed":
				failed[a.FullName] = true
				if !slices.Contains(aboutWriting, a.FullName) {
					t.Errorf("%s: %.300q", a.FullName, a.FailureMessages)
				}
			}
		}
	}
	for _, name := range aboutWriting {
		if !failed[name] {
			t.Errorf("%s passes, or is no longer there: take it from the list", name)
		}
	}
	if passed < 115 {
		t.Errorf("%d tests passed, of 117:\n%s", passed, out)
	}
}

// aboutWriting are tests of these groups that need a server that creates, changes or deletes
// streams: Peal has no such requests, and streamWriter stands in for the simplest ones.
var aboutWriting = []string{
	"HTTP Protocol should return 409 on PUT with different config",
	"HTTP Protocol should return 409 on content-type mismatch",
	"HTTP Protocol should return 204 on successful DELETE",
	"HTTP Protocol should enforce sequence ordering",
	`HTTP Protocol should enforce lexicographic seq ordering ("2" then "10" rejects)`,
	"HTTP Protocol should reject duplicate seq values",
	"Browser Security Headers should include X-Content-Type-Options: nosniff on PUT responses",
	"Browser Security Headers should include X-Content-Type-Options: nosniff on POST responses",
	"Protocol Edge Cases should reject empty POST body with 400",
	"Protocol Edge Cases should enforce case-sensitive seq ordering",
	"Protocol Edge Cases should reject missing Content-Type on POST",
	"HEAD Metadata Edge Cases should return TTL metadata if configured",
	"JSON Mode should reject POST with empty array body",
	"JSON Mode should reject invalid JSON with 400",
	"JSON Mode should reject empty JSON arrays with 400",
}

// readerTests are the groups of the suite that are about reading.
const readerTests = "^(?!Fork).*(Read Operations|Long-Poll|HTTP Protocol|Browser Security|HEAD Metadata|Offset Validation|Protocol Edge|Caching|Chunking|Read-Your-Writes|SSE Mode|JSON Mode|Byte-Exactness|Immutability)"

// part reads a part of a stream.
func (p *peal) part(channel, query string, header ...string) (a answer, next string) {
	p.t.Helper()
	a = p.do("GET", "/streams/"+url.PathEscape(channel)+query, "", header...)
	return a, a.header.Get("Stream-Next-Offset")
}

// What no longer is retained is 410 in every mode, and never left out silently.
func TestAnOffsetThatIsNoLongerRetained(t *testing.T) {
	p := launch(t, "--listen", "127.0.0.1:0", "--history-messages", "3")
	p.publish("a", "0")
	_, first := p.part("a", "")
	for i := range 3 {
		p.publish("a", strings.Repeat("1", i+1))
	}
	if a, _ := p.part("a", "?offset="+first); a.status != 200 || string(a.body) != "[1,11,111]" {
		t.Errorf("all is retained: %d %s", a.status, a.body)
	}
	p.publish("a", "2") // now the first one of those is not
	for _, query := range []string{"", "&live=long-poll", "&live=sse"} {
		for name, offset := range map[string]string{"dropped": first, "of another server": "0000000000000001_1z141z4"} {
			a, _ := p.part("a", "?offset="+offset+query)
			if code := decode[problem](t, a.body).Error.Code; a.status != 410 || code != "offset_gone" {
				t.Errorf("%s, %q: %d %s", name, query, a.status, a.body)
			}
		}
	}
	if a, _ := p.part("a", "?offset=-1"); string(a.body) != "[11,111,2]" {
		t.Errorf("from the beginning: %s", a.body)
	}
}

// A reader that follows by turns and modes has everything once.
func TestStreamIsReadByTurns(t *testing.T) {
	p := start(t)
	var read []string
	next := durableBeginning
	take := func(a answer) {
		t.Helper()
		if a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		for _, m := range decode[[]json.RawMessage](t, a.body) {
			read = append(read, string(m))
		}
		next = a.header.Get("Stream-Next-Offset")
	}
	var want []string
	for i := range 30 {
		text := fmt.Sprint(i)
		want = append(want, text)
		p.publish("a", text)
		p.publish("b", "other")
		switch i % 3 {
		case 0:
			a, _ := p.part("a", "?offset="+next)
			take(a)
		case 1:
			a, _ := p.part("a", "?live=long-poll&offset="+next)
			take(a)
		}
	}
	a, _ := p.part("a", "?offset="+next)
	take(a)
	if !slices.Equal(read, want) {
		t.Errorf("read %v", read)
	}
	if a, after := p.part("a", "?live=long-poll&timeout=100ms&offset="+next); a.status != 204 || after < next {
		t.Errorf("at the end: %d, %s after %s", a.status, after, next)
	}
}

const durableBeginning = "-1"

// More than what is sent at once with the head comes as it does to every stream, and then
// the word that nothing follows.
func TestEventsOfALongStream(t *testing.T) {
	p := start(t)
	const messages = 500
	for i := range messages {
		p.publish("a", fmt.Sprint(i))
	}
	s := p.eventsAt("/streams/a?offset=-1&live=sse")
	var control struct {
		StreamNextOffset, StreamCursor string
		UpToDate                       bool
	}
	offsets := []string{}
	for i := 0; i < messages; {
		switch e := s.next(); e.name {
		case "data":
			if e.data != fmt.Sprintf("[%d]", i) {
				t.Fatalf("message %d is %s", i, e.data)
			}
			i++
		case "control":
			if control.UpToDate {
				t.Fatalf("up to date before message %d", i)
			}
			control = decode[struct {
				StreamNextOffset, StreamCursor string
				UpToDate                       bool
			}](t, []byte(e.data))
			offsets = append(offsets, control.StreamNextOffset)
		}
	}
	if !slices.IsSorted(offsets) || len(offsets) < messages-1 {
		t.Errorf("%d offsets, sorted: %v", len(offsets), slices.IsSorted(offsets))
	}
	for !control.UpToDate {
		e := s.next()
		if e.name != "control" {
			t.Fatalf("%+v, want that nothing follows", e)
		}
		_ = json.Unmarshal([]byte(e.data), &control)
	}
	p.publish("a", `"more"`)
	if e := s.next(); e.name != "data" || e.data != `["more"]` {
		t.Errorf("%+v", e)
	}
}

func TestBadStreamRequests(t *testing.T) {
	p := start(t)
	for query, want := range map[string]string{
		"?offset=":                            "bad_offset",
		"?offset=1z-1":                        "bad_offset",
		"?offset=-1&offset=-1":                "bad_offset",
		"?live=sse":                           "bad_offset",
		"?live=long-poll":                     "bad_offset",
		"?live=websocket&offset=-1":           "bad_live",
		"?format=xml":                         "bad_format",
		"?live=long-poll&offset=-1&timeout=x": "bad_timeout",
	} {
		a, _ := p.part("a", query)
		if code := decode[problem](t, a.body).Error.Code; a.status != 400 || code != want {
			t.Errorf("%s: %d %s, want %s", query, a.status, a.body, want)
		}
	}
	if a := p.do("POST", "/streams/a", "x"); a.status != 405 || a.header.Get("Allow") != "GET, HEAD, OPTIONS" {
		t.Errorf("POST: %d, Allow %q", a.status, a.header.Get("Allow"))
	}
	if a, _ := p.part("$presence:a", ""); a.status != 403 {
		t.Errorf("a channel of the server: %d %s", a.status, a.body)
	}
}
