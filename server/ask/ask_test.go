package ask

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"peal/server/outbound"
	"peal/server/refusal"
	"peal/server/share"
)

const secret = "a secret of 24 bytes, at least"

// patience is for what must happen.
const patience = time.Minute

// rig is a client and the backend that it asks.
type rig struct {
	t      *testing.T
	client *Client
	clock  atomic.Int64
	log    bytes.Buffer // read it when nothing is asked any more
	def    Definition

	asked atomic.Int64 // requests
}

func newRig(t *testing.T, backend http.HandlerFunc, set func(*Definition)) *rig {
	t.Helper()
	r := &rig{t: t}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		body, _ := io.ReadAll(q.Body) // so that its context ends with the request
		q.Body = io.NopCloser(bytes.NewReader(body))
		backend(w, q)
	}))
	t.Cleanup(s.Close)
	r.clock.Store(1e18)
	r.client = New(slog.New(slog.NewTextHandler(&r.log, nil)), func() time.Time { return time.Unix(0, r.clock.Load()) })
	t.Cleanup(r.client.Close)
	r.def = Definition{URL: s.URL + "/ask?token=hidden", Secret: secret, On: Actions, AllowPrivate: true, Timeout: patience}
	if set != nil {
		set(&r.def)
	}
	r.use()
	return r
}

func (r *rig) use() {
	r.t.Helper()
	if err := Validate([]Definition{r.def}); err != nil {
		r.t.Fatal(err)
	}
	use, err := r.client.Prepare([]Definition{r.def})
	if err != nil {
		r.t.Fatal(err)
	}
	use()
}

// start asks, unless the answer is known.
func (r *rig) start(q Question) <-chan *Answer {
	got := make(chan *Answer, 2)
	call := r.client.NewCall(&q)
	if a := r.client.Known(call); a != nil {
		got <- a
		return got
	}
	r.client.Ask(call, func(a *Answer) { got <- a })
	return got
}

func (r *rig) wait(got <-chan *Answer) *Answer {
	r.t.Helper()
	select {
	case a := <-got:
		return a
	case <-time.After(patience):
		r.t.Fatal("no answer")
		return nil
	}
}

func (r *rig) ask(q Question) *Answer {
	r.t.Helper()
	return r.wait(r.start(q))
}

func subscribeTo(channel string) Question {
	return Question{Action: Subscribe, Transport: "sse", Channels: []string{channel}, Address: "192.0.2.1"}
}

func TestTheQuestionIsSignedJSON(t *testing.T) {
	var body []byte
	var header http.Header
	r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
		body, _ = io.ReadAll(q.Body)
		header = q.Header
		io.WriteString(w, `{"allow":true}`)
	}, nil)
	q := Question{Action: Publish, Transport: "http", Channels: []string{"a<b"}, User: "42", Client: "x", Address: "192.0.2.1", Headers: map[string]string{"cookie": "sid=1"}, Event: "e", Data: []byte(`{"a":"ä"}`)}
	if a := r.ask(q); a.Refusal != nil || a.Rewrite {
		t.Errorf("%+v", a)
	}
	want := `{"action":"publish","transport":"http","channels":["a<b"],"user":"42","client":"x","address":"192.0.2.1","headers":{"cookie":"sid=1"},"event":"e","data":"{\"a\":\"ä\"}"}`
	if string(body) != want {
		t.Errorf("%s, want %s", body, want)
	}
	if got := outbound.Sign([]byte(secret), header.Get("Webhook-Id"), header.Get("Webhook-Timestamp"), body); got != header.Get("Webhook-Signature") || header.Get("Webhook-Timestamp") != "1000000000" {
		t.Errorf("%v", header)
	}
	q.Binary, q.Data = true, []byte{0xff}
	r.ask(q)
	if !strings.Contains(string(body), `"data_base64":"/w=="`) || strings.Contains(string(body), `"data":`) {
		t.Errorf("%s", body)
	}
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		action Action
		body   string
		want   Answer
		fault  string
	}{
		{Subscribe, `{"allow":true}`, Answer{}, ""},
		{Subscribe, ` {"allow": true, "user": "ann", "info": {"a": [1, 2]}, "ttl": 1.5} `, Answer{User: "ann", Info: `{"a":[1,2]}`, HasInfo: true, ttl: 1500 * time.Millisecond}, ""},
		{Connect, `{"allow":true,"info":"text","user":null,"ttl":99999}`, Answer{Info: "text", HasInfo: true, ttl: time.Hour}, ""},
		{Publish, `{"allow":true,"data":"té\u0020xt"}`, Answer{Rewrite: true, Data: []byte("té xt")}, ""},
		{Publish, `{"allow":true,"data":{"a": 1}}`, Answer{Rewrite: true, Data: []byte(`{"a":1}`)}, ""},
		{Publish, `{"allow":true,"data":null}`, Answer{}, ""},
		{Publish, `{"allow":true,"data":""}`, Answer{Rewrite: true, Data: []byte{}}, ""},
		{Publish, `{"allow":true,"data_base64":"/w=="}`, Answer{Rewrite: true, Data: []byte{0xff}, Binary: true}, ""},
		{Publish, `{"allow":false,"data":"x","reason":"no"}`, Answer{Refusal: denied("no")}, ""},
		{Connect, `{"allow":false,"ttl":0}`, Answer{Refusal: ErrDenied}, ""},
		{Connect, `{}`, Answer{}, `no "allow"`},
		{Connect, `{"allow":"true"}`, Answer{}, `no "allow"`},
		{Connect, `{"allow":1}`, Answer{}, `no "allow"`},
		{Connect, `{"Allow":true}`, Answer{}, `no "allow"`},
		{Connect, `{"allow":true,"allow":false}`, Answer{}, "not JSON"},
		{Connect, `{"allow":true}}`, Answer{}, "not JSON"},
		{Connect, `{"allow":true`, Answer{}, "not JSON"},
		{Connect, "", Answer{}, "not JSON"},
		{Connect, `[true]`, Answer{}, "no JSON object"},
		{Connect, `true`, Answer{}, "no JSON object"},
		{Connect, `{"allow":true,"allowed":true}`, Answer{}, `unknown member "allowed"`},
		{Subscribe, `{"allow":true,"data":"x"}`, Answer{}, `unknown member "data"`},
		{Publish, `{"allow":true,"user":"x"}`, Answer{}, `unknown member "user"`},
		{Publish, `{"allow":true,"data":"x","data_base64":""}`, Answer{}, "both data and data_base64"},
		{Publish, `{"allow":true,"data_base64":"*"}`, Answer{}, "not base64"},
		{Publish, `{"allow":true,"data_base64":1}`, Answer{}, "no string"},
		{Subscribe, `{"allow":true,"user":7}`, Answer{}, "user is no string"},
		{Subscribe, `{"allow":true,"user":"a\u0000"}`, Answer{}, "not printable"},
		{Subscribe, `{"allow":true,"user":"` + strings.Repeat("u", 201) + `"}`, Answer{}, "more than 200"},
		{Subscribe, `{"allow":true,"info":"` + strings.Repeat("u", 1025) + `"}`, Answer{}, "more than 1024"},
		{Subscribe, `{"allow":false,"reason":"` + strings.Repeat("u", 81) + `"}`, Answer{}, "more than 80"},
		{Subscribe, `{"allow":true,"ttl":-1}`, Answer{}, "ttl"},
		{Subscribe, `{"allow":true,"ttl":"1"}`, Answer{}, "ttl"},
	} {
		a, err := parse([]byte(c.body), c.action, 0)
		if c.fault != "" {
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%s: %v, want %q", c.body, err, c.fault)
			}
			continue
		}
		if err != nil || fmt.Sprintf("%+v", flat(a)) != fmt.Sprintf("%+v", flat(&c.want)) {
			t.Errorf("%s: %+v, %v", c.body, a, err)
		}
	}
}

// flat has values in place of pointers.
func flat(a *Answer) any {
	r := refusal.Error{}
	if a.Refusal != nil {
		r = *a.Refusal
	}
	b := *a
	b.Refusal = nil
	return []any{r, b}
}

// Whatever the backend does instead of answering, the client is refused, or treated as
// without it if the operator says so.
func TestWithoutAnAnswer(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		t.Error("the redirect was followed")
		io.WriteString(w, `{"allow":true}`)
	}))
	defer elsewhere.Close()
	for name, c := range map[string]struct {
		backend http.HandlerFunc
		reason  string
	}{
		"500": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); io.WriteString(w, `{"allow":true}`) }, "status 500"},
		"204": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, "status 204"},
		"redirect": {func(w http.ResponseWriter, q *http.Request) {
			http.Redirect(w, q, elsewhere.URL, http.StatusTemporaryRedirect)
		}, "a redirect (307), which is not followed"},
		"hang": {func(_ http.ResponseWriter, q *http.Request) { <-q.Context().Done() }, "did not respond in time"},
		"slow body": {func(w http.ResponseWriter, q *http.Request) {
			io.WriteString(w, `{"allow":`)
			w.(http.Flusher).Flush()
			<-q.Context().Done()
		}, "deadline exceeded"},
		"large": {func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"allow":true}`+strings.Repeat(" ", mostAnswer))
		}, "more than 524288 bytes"},
		"no JSON": {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `<html>`) }, "not JSON"},
		"type": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, `{"allow":true}`)
		}, "no application/json"},
		"cut off": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
	} {
		for onError, want := range map[string]*refusal.Error{Deny: ErrUnavailable, Allow: nil} {
			r := newRig(t, c.backend, func(d *Definition) {
				d.OnError = onError
				if c.reason == "did not respond in time" || name == "slow body" {
					d.Timeout = 100 * time.Millisecond
				}
			})
			for range 2 { // nothing of it is remembered
				if a := r.ask(subscribeTo("a")); a.Refusal != want || !a.Failed {
					t.Errorf("%s, on-error %s: %+v", name, onError, a)
				}
			}
			if n := r.client.Stats(); n.Failed != 2 || n.Answers != 0 {
				t.Errorf("%s: %+v", name, n)
			}
			if text := r.log.String(); strings.Count(text, "level=WARN") != 1 || !strings.Contains(text, c.reason) && name != "slow body" || strings.Contains(text, "hidden") || strings.Contains(text, secret) {
				t.Errorf("%s: the log has %s", name, text)
			}
		}
	}
}

func TestADenialByStatus(t *testing.T) {
	for _, status := range []int{401, 403} {
		r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }, func(d *Definition) { d.OnError = Allow })
		if a := r.ask(subscribeTo("a")); a.Refusal != ErrDenied {
			t.Errorf("%d: %+v", status, a)
		}
	}
}

// A backend of this machine is not reached unless that is allowed, and one that is down is not there.
func TestPrivateAddressesAreNotAsked(t *testing.T) {
	r := newRig(t, func(http.ResponseWriter, *http.Request) { t.Error("it was reached") }, nil)
	r.def.AllowPrivate, r.def.URL = false, strings.Replace(r.def.URL, "http:", "https:", 1)
	r.use()
	if a := r.ask(subscribeTo("a")); a.Refusal != ErrUnavailable || !strings.Contains(r.log.String(), "is not public: set allow-private") {
		t.Errorf("%+v, %s", a, r.log.String())
	}
}

func TestAnswersAreRememberedUntilTheyExpire(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, q *http.Request) {
		var one struct{ Channels []string }
		_ = json.NewDecoder(q.Body).Decode(&one)
		switch one.Channels[0] {
		case "short":
			io.WriteString(w, `{"allow":true,"ttl":1}`)
		case "never":
			io.WriteString(w, `{"allow":true,"ttl":0}`)
		case "deny":
			io.WriteString(w, `{"allow":false}`)
		default:
			io.WriteString(w, `{"allow":true,"user":"ann"}`)
		}
	}, func(d *Definition) { d.CacheEntries = 3 })
	asks := func(what string, q Question, want int64) {
		t.Helper()
		before := r.asked.Load()
		r.ask(q)
		if n := r.asked.Load() - before; n != want {
			t.Errorf("%s: %d requests, want %d", what, n, want)
		}
	}
	asks("new", subscribeTo("a"), 1)
	asks("equal", subscribeTo("a"), 0)
	if a := r.ask(subscribeTo("a")); a.User != "ann" {
		t.Errorf("%+v", a)
	}
	other := subscribeTo("a")
	other.Address = "192.0.2.2"
	asks("another address", other, 1)
	connect := subscribeTo("a")
	connect.Action = Connect
	asks("another action", connect, 1)
	asks("with ttl", subscribeTo("short"), 1) // the fourth: the first is forgotten
	asks("with ttl again", subscribeTo("short"), 0)
	asks("forgotten", subscribeTo("a"), 1)
	if n := r.client.Stats(); n.Evicted != 2 || n.Answers != 3 || n.Cached != 3 {
		t.Errorf("%+v", n)
	}
	r.clock.Add(int64(time.Second))
	asks("expired", subscribeTo("short"), 1)
	asks("not expired", subscribeTo("a"), 0)
	r.clock.Add(int64(DefaultTTL))
	asks("expired by the default", subscribeTo("a"), 1)
	asks("ttl 0", subscribeTo("never"), 1)
	asks("ttl 0 again", subscribeTo("never"), 1)
	asks("denied", subscribeTo("deny"), 1)
	asks("denied again", subscribeTo("deny"), 0)
	asks("publication", Question{Action: Publish, Channels: []string{"a"}}, 1)
	asks("equal publication", Question{Action: Publish, Channels: []string{"a"}}, 1)
	asks("publication with ttl", Question{Action: Publish, Channels: []string{"short"}}, 1)
	asks("equal publication with ttl", Question{Action: Publish, Channels: []string{"short"}}, 0)

	r.use() // the same
	asks("the same configuration", subscribeTo("a"), 0)
	r.def.Timeout /= 2
	r.use()
	asks("another configuration", subscribeTo("a"), 1)
}

// At most Concurrency requests are under way, at most Queue questions wait, of one address a
// quarter, and equal questions are one.
func TestTheQueueIsBounded(t *testing.T) {
	hold, under := make(chan struct{}), atomic.Int64{}
	var most atomic.Int64
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		n := under.Add(1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		<-hold
		under.Add(-1)
		io.WriteString(w, `{"allow":true}`)
	}, func(d *Definition) { d.Concurrency, d.Queue, d.OnError = 2, 8, Allow })
	q := func(i int, by share.Key) Question {
		one := subscribeTo(fmt.Sprint(i))
		one.By = by
		return one
	}
	var open []<-chan *Answer
	refused := 0
	for i := range 2 + 8 { // of address 0 two are asked and two wait; of 1 two of four have room, and of 2 two
		got := r.start(q(i, share.Key(i/4)))
		select {
		case a := <-got: // in the call
			if a.Refusal != ErrBusy {
				t.Errorf("%+v", a)
			}
			refused++
		default:
			open = append(open, got)
		}
	}
	if n := r.client.Stats(); refused != 2 || n.Waiting != 6 || n.Asking != 2 || n.Busy != 2 {
		t.Errorf("%d refused, %+v", refused, n)
	}
	for i := 10; i < 12; i++ {
		open = append(open, r.start(q(i, share.Key(i))))
	}
	if a := r.ask(q(20, 20)); a.Refusal != ErrBusy || !a.Failed {
		t.Errorf("the queue is full: %+v, also with on-error: allow", a)
	}
	open = append(open, r.start(q(0, 0)))
	if n := r.client.Stats(); n.Joined != 1 {
		t.Errorf("%+v", n)
	}
	for end := time.Now().Add(patience); under.Load() < 2 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	close(hold)
	for _, got := range open {
		if a := r.wait(got); a.Refusal != nil {
			t.Errorf("%+v", a)
		}
	}
	for end := time.Now().Add(patience); r.client.Stats().Asking > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if n := r.client.Stats(); n.Waiting != 0 || n.Allowed != 10 || most.Load() != 2 {
		t.Errorf("%+v, at most %d at a time", n, most.Load())
	}
	r.client.mu.Lock()
	defer r.client.mu.Unlock()
	if len(r.client.waiting) != 0 || len(r.client.joined) != 0 {
		t.Errorf("left: %v %v", r.client.waiting, r.client.joined)
	}
}

// A question whose time passes in the queue is refused, whatever on-error says.
func TestAQuestionThatIsLateIsNotAsked(t *testing.T) {
	r := newRig(t, func(_ http.ResponseWriter, q *http.Request) { <-q.Context().Done() }, func(d *Definition) {
		d.Concurrency, d.Timeout, d.OnError = 1, 100*time.Millisecond, Allow
	})
	first, second := r.start(subscribeTo("a")), r.start(subscribeTo("b"))
	if a := r.wait(first); a.Refusal != nil || !a.Failed {
		t.Errorf("the first: %+v", a)
	}
	if a := r.wait(second); a.Refusal != ErrBusy || r.asked.Load() != 1 {
		t.Errorf("the second: %+v, %d requests", a, r.asked.Load())
	}
}

// The end of the server ends what is asked.
func TestClose(t *testing.T) {
	r := newRig(t, func(_ http.ResponseWriter, q *http.Request) { <-q.Context().Done() }, func(d *Definition) { d.Concurrency = 1 })
	first, second := r.start(subscribeTo("a")), r.start(subscribeTo("b"))
	r.client.Close()
	for _, got := range []<-chan *Answer{first, second, r.start(subscribeTo("c"))} {
		if a := r.wait(got); a.Refusal != ErrUnavailable {
			t.Errorf("%+v", a)
		}
	}
}

// Any goroutine may ask, and the configuration may change meanwhile.
func TestManyAtOnce(t *testing.T) {
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"allow":true}`) }, func(d *Definition) { d.Queue, d.Concurrency = 10_000, 4 })
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for j := range 50 {
				q := subscribeTo(fmt.Sprint(i%2, j%10))
				q.By = share.Key(i)
				if a := r.ask(q); a.Refusal != nil {
					t.Errorf("%+v", a.Refusal)
				}
			}
		})
	}
	for range 5 {
		r.def.CacheEntries++
		r.use()
	}
	all.Wait()
}
