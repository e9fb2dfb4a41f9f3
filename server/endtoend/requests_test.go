package endtoend_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// message is a publication as all JSON formats have it.
type message struct {
	Channel    string  `json:"channel"`
	Cursor     string  `json:"cursor"`
	Time       int64   `json:"time"`
	Event      string  `json:"event"`
	Data       *string `json:"data"`
	DataBase64 *string `json:"data_base64"`
}

func (m message) text() string {
	if m.Data == nil {
		return ""
	}
	return *m.Data
}

// gap says that something is missing.
type gap struct {
	Channel string `json:"channel"`
	From    string `json:"from"`
	To      string `json:"to"`
	Skipped int    `json:"skipped"`
	Reason  string `json:"reason"`
}

// polled is what a JSON poll answers.
type polled struct {
	Cursor   string    `json:"cursor"`
	Gap      []gap     `json:"gap"`
	Messages []message `json:"messages"`
	RetryMS  int       `json:"retry_ms"`

	Presence []presenceEvent `json:"presence"`
}

func (a polled) texts() []string {
	texts := []string{}
	for _, m := range a.Messages {
		texts = append(texts, m.text())
	}
	return texts
}

// problem is the body of every refusal.
type problem struct {
	Error struct{ Code, Message string }
}

// answer is a response that was read to its end.
type answer struct {
	status  int
	header  http.Header
	body    []byte
	closing bool // it says Connection: close
}

func decode[T any](t testing.TB, b []byte) (v T) {
	t.Helper()
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%v in %q", err, b)
	}
	return v
}

// do sends one request; header lines are "Name: value".
func (p *peal) do(method, path, body string, header ...string) answer {
	p.t.Helper()
	a, err := p.try(method, path, body, header...)
	if err != nil {
		p.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

func (p *peal) try(method, path, body string, header ...string) (answer, error) {
	r, err := http.NewRequest(method, p.url+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Host" {
			r.Host = value
		}
		r.Header.Add(name, value)
	}
	if r.Header["Authorization"] == nil && p.proof != "" {
		r.Header.Set("Authorization", "Bearer "+p.proof)
	}
	response, err := p.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, b, response.Close}, err
}

// publish sends data to the channel as plain text and returns the cursor.
func (p *peal) publish(channel, data string) (cursor string) {
	p.t.Helper()
	return p.publishTo("/publish?channel="+channel, data, "Content-Type: text/plain")
}

func (p *peal) publishTo(path, body string, header ...string) (cursor string) {
	p.t.Helper()
	a := p.do("POST", path, body, header...)
	if a.status != 200 {
		p.t.Fatalf("POST %s: status %d, %s", path, a.status, a.body)
	}
	cursor = decode[struct{ Cursor string }](p.t, a.body).Cursor
	if cursor == "" {
		p.t.Fatalf("POST %s answered without a cursor: %s", path, a.body)
	}
	return cursor
}

// poll asks for JSON.
func (p *peal) poll(query string, header ...string) polled {
	p.t.Helper()
	a := p.do("GET", "/poll?"+query, "", header...)
	if a.status != 200 {
		p.t.Fatalf("GET /poll?%s: status %d, %s", query, a.status, a.body)
	}
	got := decode[polled](p.t, a.body)
	if got.Cursor == "" {
		p.t.Errorf("GET /poll?%s answered without a cursor: %s", query, a.body)
	}
	return got
}

// subscribers asks how many the channel has.
func (p *peal) subscribers(channel string) int {
	p.t.Helper()
	a := p.do("GET", "/channels/"+channel, "")
	return decode[struct{ Subscribers int }](p.t, a.body).Subscribers
}

// awaitSubscribers returns when the channel has n subscribers.
func (p *peal) awaitSubscribers(channel string, n int) {
	p.t.Helper()
	p.await(fmt.Sprintf("channel %s has %d subscribers", channel, n), func() bool {
		return p.subscribers(channel) == n
	})
}

// await asks until yes; asking is a request, which keeps it from spinning.
func (p *peal) await(what string, yes func() bool) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for !yes() {
		if ctx.Err() != nil {
			p.t.Fatalf("waited %v for: %s", patience, what)
		}
	}
}

// event is one event of a stream, as the HTML standard would fire it.
type event struct {
	name string // "message" if the stream names none
	data string
	id   string // last event id
}

// eventStream reads server-sent events by the rules of the HTML standard,
// §9.2.6, and nothing else.
type eventStream struct {
	t      testing.TB
	header http.Header
	retry  string
	lastID string

	body  io.ReadCloser
	lines *bufio.Reader
}

// events opens a stream and waits for its head.
func (p *peal) events(query string, header ...string) *eventStream {
	p.t.Helper()
	return p.eventsAt("/sse?"+query, header...)
}

// eventsAt is events for any path.
func (p *peal) eventsAt(path string, header ...string) *eventStream {
	p.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", p.url+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	// Not the client: its timeout covers the body, which has no end here.
	response, err := p.client.Transport.RoundTrip(r)
	if err != nil {
		p.t.Fatalf("GET %s: %v", path, err)
	}
	p.t.Cleanup(func() { response.Body.Close() })
	if response.StatusCode != 200 || response.Header.Get("Content-Type") != "text/event-stream" {
		p.t.Fatalf("GET %s: %s, Content-Type %q", path, response.Status, response.Header.Get("Content-Type"))
	}
	s := newEventStream(p.t, response.Body)
	s.header = response.Header
	return s
}

func newEventStream(t testing.TB, body io.ReadCloser) *eventStream {
	return &eventStream{t: t, body: body, lines: bufio.NewReader(body)}
}

// opened reads the first block, which must bring an id and fire nothing.
func (s *eventStream) opened() *eventStream {
	s.t.Helper()
	e, fired, err := s.block()
	if err != nil || fired || e.id == "" {
		s.t.Fatalf("the stream begins with %+v (fires: %v, error: %v), want an id that fires nothing", e, fired, err)
	}
	return s
}

// next returns the next event that fires. Heartbeats alone would let it wait for ever.
func (s *eventStream) next() event {
	s.t.Helper()
	impatient := time.AfterFunc(patience, func() { _ = s.body.Close() }) // ends the read
	defer impatient.Stop()
	e, err := s.tryNext()
	if err != nil {
		s.t.Fatalf("event stream: %v", err)
	}
	return e
}

func (s *eventStream) tryNext() (event, error) {
	for {
		e, fired, err := s.block()
		if fired || err != nil {
			return e, err
		}
	}
}

// block reads up to an empty line. A position alone does not count as fired:
// nobody listens for it.
func (s *eventStream) block() (e event, fired bool, err error) {
	var data []string
	for {
		line, err := s.line()
		if err != nil {
			return e, false, err
		}
		if line == "" {
			break
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "data":
			data = append(data, value)
		case "event":
			e.name = value
		case "id":
			s.lastID = value
		case "retry":
			s.retry = value
		}
	}
	e.id, e.data = s.lastID, strings.Join(data, "\n")
	if e.name == "" {
		e.name = "message"
	}
	return e, data != nil && e.name != "peal.cursor", nil
}

func (s *eventStream) line() (string, error) {
	line, err := s.lines.ReadBytes('\n')
	if err != nil {
		if len(bytes.TrimSpace(line)) > 0 {
			return "", fmt.Errorf("%w after %q", io.ErrUnexpectedEOF, line)
		}
		return "", err
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}

func (s *eventStream) close() { _ = s.body.Close() }
