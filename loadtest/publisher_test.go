package loadtest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// postings is an HTTP server that notes the bodies posted to it.
type postings struct {
	mu     sync.Mutex
	bodies []string
}

func (p *postings) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	p.mu.Lock()
	defer p.mu.Unlock()
	if strings.HasPrefix(string(body), "refuse") {
		http.Error(w, "not this one", http.StatusTooManyRequests)
		return
	}
	p.bodies = append(p.bodies, r.URL.Path+string(body))
}

// pipelined runs a test with so many requests in flight on each connection.
func pipelined(t *testing.T, test func(t *testing.T, pipeline int)) {
	for _, n := range []int{1, 3, 1000} {
		t.Run(fmt.Sprintf("pipeline=%d", n), func(t *testing.T) { test(t, n) })
	}
}

func publisherTo(t *testing.T, addr string, streams, pipeline int) *Publisher {
	t.Helper()
	p, err := DialPublisher(t.Context(), PublishTarget{Endpoint: Endpoint{Addr: addr}, Streams: streams, Pipeline: pipeline, Path: func(s int) string { return "/" + string(rune('a'+s)) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func TestPublisherKeepsTheOrderOfAStreamAndCountsRefusals(t *testing.T) {
	pipelined(t, func(t *testing.T, pipeline int) {
		at := &postings{}
		server := httptest.NewServer(at)
		defer server.Close()
		p := publisherTo(t, server.Listener.Addr().String(), 2, pipeline)
		want := [2]string{}
		for i := range 200 {
			body := string(rune('A' + i%26))
			if i%50 == 7 {
				body = "refuse"
			} else {
				want[i%2] += body
			}
			p.Queue(i%2, []byte(body))
			if i%3 == 0 {
				p.Flush()
			}
		}
		o := p.Settle(10 * time.Second)
		if o.Refused != 4 || o.Unanswered != 0 || o.Reason == nil || !strings.Contains(o.Reason.Error(), "429") || !strings.Contains(o.Reason.Error(), "not this one") {
			t.Errorf("%+v; want 4 refused, 429", o)
		}
		// Messages 7, 57, 107 and 157 are all of stream b, its 4th, 29th, 54th and 79th.
		if got, want := fmt.Sprint(o.Excused), "[[] [{4 4} {29 29} {54 54} {79 79}]]"; got != want {
			t.Errorf("excused %s, want %s", got, want)
		}
		got := map[byte]string{}
		for _, b := range at.bodies {
			got[b[1]] += b[2:]
		}
		if got['a'] != want[0] || got['b'] != want[1] {
			t.Errorf("stream a %q, want %q; b %q, want %q", got['a'], want[0], got['b'], want[1])
		}
	})
}

// TestPublisherIsNeverHeldUp publishes far more than a socket takes to a server
// that reads nothing.
func TestPublisherIsNeverHeldUp(t *testing.T) {
	pipelined(t, func(t *testing.T, pipeline int) {
		listener, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		p := publisherTo(t, listener.Addr().String(), 1, pipeline)
		const messages = 400
		payload := make([]byte, 64<<10)
		for range messages { // 25 MiB; if one of them waited, the test would not end
			p.Queue(0, payload)
			p.Flush()
		}
		c := p.targets[0].conns[0]
		c.mu.Lock()
		if kept := c.size; kept > publishQueueBytes+2*len(payload) {
			t.Errorf("%d bytes queued, beyond the limit", kept)
		}
		c.mu.Unlock()
		o := p.Settle(50 * time.Millisecond)
		if o.Refused != messages || o.Unanswered == 0 || o.Unanswered == messages || o.Reason == nil || fmt.Sprint(o.Excused) != "[[{1 400}]]" {
			t.Errorf("%+v; want all %d refused, some of them unanswered", o, messages)
		}
	})
}

func TestPublisherConnectsAgainAndCountsWhatWasNotAnswered(t *testing.T) {
	pipelined(t, func(t *testing.T, pipeline int) {
		listener, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		served := make(chan error, 1)
		go func() { // ends with the second connection
			served <- func() error {
				first, err := listener.Accept()
				if err != nil {
					return err
				}
				if _, err := http.ReadRequest(bufio.NewReader(first)); err != nil {
					return err
				}
				first.Close() // without an answer
				second, err := listener.Accept()
				if err != nil {
					return err
				}
				defer second.Close()
				request, err := http.ReadRequest(bufio.NewReader(second))
				if err != nil {
					return err
				}
				_, _ = io.ReadAll(request.Body)
				_, err = io.WriteString(second, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				return err
			}()
		}()
		p := publisherTo(t, listener.Addr().String(), 1, pipeline)
		p.Queue(0, []byte("one"))
		if o := p.Settle(10 * time.Second); o.Refused != 1 || o.Unanswered != 1 || fmt.Sprint(o.Excused) != "[[{1 1}]]" {
			t.Errorf("%+v, want the one that was not answered", o)
		}
		p.Queue(0, []byte("two"))
		if o := p.Settle(10 * time.Second); o.Refused != 0 || o.Reason != nil {
			t.Errorf("%+v, want none since", o)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// TestPublisherDoesNotTakeALateAnswerForAnother gives up on one message and has it
// refused afterwards: that is nothing to the next.
func TestPublisherDoesNotTakeALateAnswerForAnother(t *testing.T) {
	pipelined(t, func(t *testing.T, pipeline int) {
		release := make(chan struct{})
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body) // a cut body ends the connection anyway
			if string(body) == "slow" {
				<-release
				http.Error(w, "too late", http.StatusServiceUnavailable)
			}
		}))
		defer server.Close()
		p := publisherTo(t, server.Listener.Addr().String(), 1, pipeline)
		p.Queue(0, []byte("slow"))
		if o := p.Settle(200 * time.Millisecond); o.Refused != 1 || o.Unanswered != 1 {
			t.Errorf("%+v, want 1 unanswered", o)
		}
		p.Queue(0, []byte("next"))
		close(release)
		if o := p.Settle(10 * time.Second); o.Refused != 0 || o.Reason != nil {
			t.Errorf("%+v, want the next accepted", o)
		}
	})
}
