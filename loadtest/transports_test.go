package loadtest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// board is a small server of one channel with SSE, polls and publications over
// HTTP, on net/http: enough to check the clients of those.
type board struct {
	mu       sync.Mutex
	messages []string
	news     chan struct{} // closed and renewed with each message
	asked    int           // requests for /
}

func newBoard(t *testing.T) (b *board, addr string) { return newBoardWith(t, nil) }

// newBoardWith is newBoard with another handler of publications, if there is one.
func newBoardWith(t *testing.T, publish http.HandlerFunc) (b *board, addr string) {
	t.Helper()
	b = &board{news: make(chan struct{})}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		b.mu.Lock()
		b.asked++
		b.mu.Unlock()
		_, _ = io.WriteString(w, "hello")
	})
	if publish == nil {
		publish = b.publish
	}
	mux.HandleFunc("POST /publish", publish)
	mux.HandleFunc("GET /poll", b.poll)
	mux.HandleFunc("GET /sse", b.sse)
	server := &http.Server{Handler: mux}
	done := make(chan struct{})
	go func() { _ = server.Serve(listener); close(done) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	return b, listener.Addr().String()
}

func (b *board) publish(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // a cut body ends the connection anyway
	b.mu.Lock()
	defer b.mu.Unlock()
	b.messages = append(b.messages, string(body))
	close(b.news)
	b.news = make(chan struct{})
	fmt.Fprintf(w, `{"cursor":"%d"}`, len(b.messages))
}

// after returns what came after position, or a signal for when something does.
func (b *board) after(position int) ([]string, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.messages[position:], b.news
}

func (b *board) start(r *http.Request) int {
	for _, cursor := range []string{r.Header.Get("Last-Event-ID"), r.FormValue("cursor")} {
		if at, err := strconv.Atoi(cursor); err == nil {
			return at
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.messages)
}

func (b *board) poll(w http.ResponseWriter, r *http.Request) {
	type publication struct {
		Channel string `json:"channel"`
		Cursor  string `json:"cursor"`
		Data    string `json:"data"`
	}
	at := b.start(r)
	for {
		messages, news := b.after(at)
		if len(messages) == 0 {
			select {
			case <-news:
				continue
			case <-r.Context().Done():
				return
			}
		}
		var answer struct {
			Cursor   string        `json:"cursor"`
			Messages []publication `json:"messages"`
		}
		if r.FormValue("format") == "raw" {
			w.Header().Set("Peal-Cursor", strconv.Itoa(at+1))
			_, _ = io.WriteString(w, messages[0])
			return
		}
		for _, m := range messages {
			at++
			answer.Messages = append(answer.Messages, publication{"c0", strconv.Itoa(at), m})
		}
		answer.Cursor = strconv.Itoa(at)
		body, err := json.Marshal(answer)
		if err != nil {
			panic(err) // strings always marshal
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
		return
	}
}

func (b *board) sse(w http.ResponseWriter, r *http.Request) {
	at := b.start(r)
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprintf(w, "id: %d\n\n", at)
	for {
		_ = http.NewResponseController(w).Flush()
		messages, news := b.after(at)
		for _, m := range messages {
			at++
			if r.FormValue("format") == "json" {
				m = fmt.Sprintf(`{"channel":"c0","cursor":"%d","data":%q}`, at, m)
			}
			fmt.Fprintf(w, ": a comment\nid: %d\ndata: %s\n\n", at, m)
		}
		if len(messages) == 0 {
			select {
			case <-news:
			case <-r.Context().Done():
				return
			}
		}
	}
}

func TestSSEAndPollSubscribersGetEverythingOnce(t *testing.T) {
	for _, way := range []struct {
		Transport
		Format
	}{{SSE, ""}, {SSE, JSON}, {Poll, ""}, {Poll, Raw}} {
		t.Run(fmt.Sprintf("transport=%s/format=%s", way.Transport, way.Format), func(t *testing.T) {
			const connections = 20
			b, addr := newBoard(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			pool, opened, err := OpenPool(ctx, Spec{Endpoint: Endpoint{Addr: addr}, Transport: way.Transport, Format: way.Format, Connections: connections, Channels: 1,
				Requests: []string{"/", "/"}, Cursor: "0"}, LoopbackSources...)
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			if err := opened.Err(); err != nil {
				t.Fatal(err)
			}
			b.mu.Lock()
			if b.asked != 2*connections {
				t.Errorf("%d preliminary requests arrived, want %d", b.asked, 2*connections)
			}
			b.mu.Unlock()
			publisher, err := DialPublisher(ctx, PublishTarget{Endpoint: Endpoint{Addr: addr}, Path: PublishPath("c")})
			if err != nil {
				t.Fatal(err)
			}
			defer publisher.Close()
			const inFlight = 3
			r, err := Run(ctx, pool, publisher, Load{InFlight: inFlight, Length: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			if !r.Clean() || !r.Complete || r.Delivered != connections*r.Published || r.Published <= inFlight {
				t.Errorf("%d published, %+v", r.Published, r.Counts)
			}
			// A message, its head and its cursor at least; polls ask each time.
			if least := r.Delivered * (StampBytes + 10); r.Traffic.Read < least || (r.Traffic.Written > 0) != (way.Transport == Poll) {
				t.Errorf("%+v for %d messages of %d bytes", r.Traffic, r.Delivered, StampBytes)
			}
			if answer, err := publisher.Publish(0, []byte("x")); err != nil || !strings.Contains(string(answer), "cursor") {
				t.Errorf("answer %q, %v", answer, err)
			}
		})
	}
}

func TestFloodCountsAllPublications(t *testing.T) {
	b, addr := newBoard(t)
	pool := openPool(t, Spec{Endpoint: Endpoint{Addr: addr}, Transport: SSE, Connections: 1, Channels: 8})
	defer pool.Close()
	r, err := Flood(t.Context(), pool, FloodLoad{Addr: addr, Path: PublishPath("c"), Connections: 4, Streams: 8, Size: 64, Length: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !r.Clean() || r.Published != uint64(len(b.messages)) || r.Delivered != r.Published || r.Published < 8 {
		t.Errorf("%d published, %d arrived, %+v", r.Published, len(b.messages), r.Counts)
	}
}

func TestFloodEndsAfterSoManyMessages(t *testing.T) {
	_, addr := newBoard(t)
	pool := openPool(t, Spec{Endpoint: Endpoint{Addr: addr}, Transport: SSE, Connections: 1, Channels: 8})
	defer pool.Close()
	r, err := Flood(t.Context(), pool, FloodLoad{Addr: addr, Path: PublishPath("c"), Connections: 4, Streams: 8, Size: 64, Length: time.Minute, Messages: 50})
	if err != nil || !r.Clean() || r.Published != 50 || r.Delivered != 50 {
		t.Errorf("%d published, %d delivered, want 50; %v", r.Published, r.Delivered, err)
	}
}

func TestFloodPublishesOnAUnixSocket(t *testing.T) {
	b, addr := newBoard(t)
	path := filepath.Join(t.TempDir(), "board.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var hosts sync.Map
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hosts.Store(r.Host, true)
		b.publish(w, r)
	})}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }() // ends with the server
	pool := openPool(t, Spec{Endpoint: Endpoint{Addr: addr}, Transport: SSE, Connections: 1, Channels: 8})
	defer pool.Close()
	r, err := Flood(t.Context(), pool, FloodLoad{Addr: "unix:" + path, Host: addr, Path: PublishPath("c"), Connections: 4, Streams: 8, Size: 64, Length: time.Minute, Messages: 50})
	if err != nil || !r.Clean() || r.Published != 50 || r.Delivered != 50 {
		t.Errorf("%d published, %d delivered, want 50; %v", r.Published, r.Delivered, err)
	}
	if _, named := hosts.Load(addr); !named {
		t.Errorf("no request has the host %s", addr)
	}
	server.Close()
	<-ended
}

func TestPublisherReportsARefusal(t *testing.T) {
	_, addr := newBoard(t)
	p, err := DialPublisher(t.Context(), PublishTarget{Endpoint: Endpoint{Addr: addr}, Path: func(int) string { return "/nowhere" }})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := p.Publish(0, []byte("x")); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("%v, want a 404", err)
	}
}

// openPool opens all connections of spec; the caller closes them.
func openPool(t *testing.T, spec Spec) *Pool {
	t.Helper()
	pool, opened, err := OpenPool(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := opened.Err(); err != nil {
		pool.Close()
		t.Fatal(err)
	}
	return pool
}
