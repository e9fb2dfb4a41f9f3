package loadtest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"peal/loadtest/dialect"
)

// longPoller is a server with long polls of its own: a response has the messages of a channel
// from ?since= on, or after 20 ms nothing, and the number after them in its body or in a header.
type longPoller struct {
	mu       sync.Mutex
	messages map[string][]string
	came     chan struct{} // closed by a message
	inHeader bool
	asked    map[string]int // X-Since of the requests, without the number
}

func (p *longPoller) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	channel := r.URL.Query().Get("to")
	if r.Method == "POST" {
		body, _ := io.ReadAll(r.Body) // a cut body is not what the test wants
		p.mu.Lock()
		p.messages[channel] = append(p.messages[channel], string(body))
		close(p.came)
		p.came = make(chan struct{})
		p.mu.Unlock()
		return
	}
	since, _ := strconv.Atoi(r.URL.Query().Get("since")) // "" is 0
	p.mu.Lock()
	if r.Header.Get("X-Since") == r.URL.Query().Get("since") {
		p.asked[channel]++
	}
	came, all := p.came, p.messages[channel]
	p.mu.Unlock()
	if since >= len(all) {
		select {
		case <-came:
		case <-time.After(20 * time.Millisecond):
		}
	}
	p.mu.Lock()
	all = p.messages[channel]
	p.mu.Unlock()
	items := []string{}
	for _, m := range all[since:] {
		text, _ := json.Marshal(m) // a string always marshals
		items = append(items, fmt.Sprintf(`{"text":%s}`, text))
	}
	if p.inHeader {
		w.Header().Set("X-Next", strconv.Itoa(len(all)))
		if len(items) == 0 {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		fmt.Fprintf(w, `{"items":[%s]}`, strings.Join(items, ","))
		return
	}
	fmt.Fprintf(w, `{"next":%d,"items":[%s]}`, len(all), strings.Join(items, ","))
}

func TestLongPollsOfOtherServers(t *testing.T) {
	for _, cursor := range []string{"$.next", `/"next":(\d+)/`, "header:x-next"} {
		p := &longPoller{messages: map[string][]string{}, came: make(chan struct{}), asked: map[string]int{}, inHeader: strings.HasPrefix(cursor, "header")}
		server := httptest.NewServer(p)
		spoken := &dialect.Dialect{Extract: []string{"$.items[*].text"}, Cursor: cursor, Publish: "/in?to={channel}"}
		target, err := ParseTarget(t.Context(), "poll+http://"+server.Listener.Addr().String()+"/out?channel=news&to={channel}&since={cursor}", spoken, dialect.Data{})
		if err != nil {
			t.Fatal(err)
		}
		to, err := target.Publish(t.Context(), "", "", 2)
		if err != nil {
			t.Fatal(err)
		}
		publisher, err := DialPublisher(t.Context(), to)
		if err != nil {
			t.Fatal(err)
		}
		spec := target.Spec(2, 6)
		spec.Header = "X-Since: {cursor}\r\n"
		pool, opened, err := OpenPool(t.Context(), spec)
		if err != nil || opened.Err() != nil {
			t.Fatal(err, opened)
		}
		r, err := Run(t.Context(), pool, publisher, Load{Pacer: Rate(100), Length: 500 * time.Millisecond, Streams: 2, Size: 64, Settle: time.Minute})
		if err != nil || !r.Clean() || r.Delivered != 3*r.Published || r.Published == 0 || r.Closed != 0 || !target.Resumes() {
			t.Errorf("%s: %v, %+v", cursor, err, r)
		}
		p.mu.Lock()
		if p.asked["news-0"] < 3 || len(p.asked) != 2 {
			t.Errorf("%s: requests with the cursor in header and query: %v", cursor, p.asked)
		}
		p.mu.Unlock()
		_ = publisher.Close()
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
		server.Close()
	}
}

func TestLongPollsThatCannotBe(t *testing.T) {
	for want, d := range map[string]dialect.Dialect{
		"a long poll only asks":                                   {Steps: dialect.Steps{{Send: "hello"}}},
		"without send, expect, ping-every, and ping with a reply": {Ping: []string{"ping=pong"}},
		`cursor "next": must be a JSON path`:                      {Cursor: "next"},
	} {
		target, err := ParseTarget(t.Context(), "poll+http://127.0.0.1:1/out?channel=a", &d, dialect.Data{})
		if err == nil {
			_, err = newFleet(target.Spec(1, 1))
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", d, err, want)
		}
	}
}

func TestHeaderFieldIsOfTheFinalResponse(t *testing.T) {
	for response, want := range map[string]string{
		"HTTP/1.1 200 OK\r\nA: b\r\nX-NEXT:  7 \r\n\r\nbody":                       "7",
		"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nx-next:8\r\n\r\n": "8",
		"HTTP/1.1 200 OK\r\nA: b\r\n\r\nX-Next: 9\r\n":                             "",
	} {
		if got := string(headerField([]byte(response), "x-next")); got != want {
			t.Errorf("%q: %q, want %q", response, got, want)
		}
	}
}
