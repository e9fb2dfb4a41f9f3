package endtoend_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"peal/server"
	"peal/server/apikey"
	"peal/server/ask"
)

// askedFor is a question that the backend of a test was asked.
type askedFor struct {
	Action, Transport, User, Client, Address, Event, Data string

	Channels []string
	Headers  map[string]string
}

// asked is a backend that answers by the end of the name of a channel, or, about a connection,
// by the header X-Case.
type asked struct {
	*httptest.Server
	hold chan struct{} // "held" waits for it to be closed

	mu   sync.Mutex
	all  []askedFor
	open int // requests that are held
}

func newAsked(t testing.TB) *asked {
	b := &asked{hold: make(chan struct{})}
	b.Server = httptest.NewServer(http.HandlerFunc(b.answer))
	t.Cleanup(b.Close)
	return b
}

func (b *asked) answer(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var q askedFor
	if err := json.Unmarshal(body, &q); err != nil || r.Header.Get("Webhook-Signature") == "" {
		http.Error(w, "no question", 400)
		return
	}
	b.mu.Lock()
	b.all = append(b.all, q)
	b.mu.Unlock()
	how := q.Headers["x-case"]
	if q.Action != "connect" {
		how = q.Channels[0][strings.LastIndex(q.Channels[0], "-")+1:]
	}
	w.Header().Set("Content-Type", "application/json")
	switch how {
	case "deny":
		io.WriteString(w, `{"allow":false,"reason":"not yours"}`)
	case "500":
		http.Error(w, "broken", 500)
	case "hang":
		<-r.Context().Done()
	case "held":
		b.mu.Lock()
		b.open++
		b.mu.Unlock()
		<-b.hold
		io.WriteString(w, `{"allow":true}`)
	case "redirect":
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	case "json":
		io.WriteString(w, `{"allow":true`)
	case "large":
		fmt.Fprintf(w, `{"allow":true,"reason":%q}`, strings.Repeat("x", 1<<20))
	case "rewrite":
		if q.Action == "publish" {
			io.WriteString(w, `{"allow":true,"data":{"rewritten": true}}`)
			return
		}
		io.WriteString(w, `{"allow":true,"user":"ann","info":{"age":7}}`)
	default:
		io.WriteString(w, `{"allow":true}`)
	}
}

// last is the newest question of an action.
func (b *asked) last(action string) (q askedFor) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, one := range b.all {
		if one.Action == action {
			q = one
		}
	}
	return q
}

func (b *asked) held() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open
}

// startAsking starts a server that asks b, with all dialects, and a key of a backend.
func startAsking(t testing.TB, b *asked, set func(d *ask.Definition)) *hub {
	t.Helper()
	key, d := createKey(t, "backend", "publish", "subscribe", "presence", "inspect", "history")
	h := startHub(t, func(c *server.Config) {
		c.App = appID + ":" + appKey + ":" + appSecret
		c.Keys = []apikey.Definition{d}
		c.Ask = []ask.Definition{{
			URL: b.URL, Secret: strings.Repeat("s", 24), On: []string{"connect", "subscribe", "publish"}, AllowPrivate: true,
			Timeout: time.Minute, TTL: -1, Headers: []string{"X-Case"},
		}}
		if set != nil {
			set(&c.Ask[0])
		}
	})
	h.proof = key
	return h
}

var askCode = regexp.MustCompile(`ask_\w+`)

// outcome is the code in a refusal, "" if there is none.
func outcome(text string) string { return askCode.FindString(text) }

// anonymous is a request without the key.
func (h *hub) anonymous(method, path, body string, header ...string) string {
	a := h.do(method, path, body, append(header, "Authorization: ")...)
	if code := outcome(string(a.body)); code != "" || a.status == 200 {
		return code
	}
	return fmt.Sprintf("status %d %s", a.status, a.body)
}

// stream reads the first bytes of an event stream.
func (h *hub) stream(path string) string {
	r, _ := http.NewRequest("GET", h.url+path, nil)
	response, err := h.client.Do(r)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	b := make([]byte, 512)
	n, _ := io.ReadAtLeast(response.Body, b, 1)
	return streamOutcome(string(b[:n]))
}

// streamOutcome is outcome for the beginning of an event stream: one that only says when to
// come back is refused for now.
func streamOutcome(text string) string {
	if rest, ok := strings.CutPrefix(text, "retry: "); ok && strings.TrimLeft(rest, "0123456789\r\n") == "" {
		return "ask_unavailable"
	}
	return outcome(text)
}

// say sends messages on a new WebSocket, and returns what comes until one has a code or until.
func (h *hub) say(path, protocol, until string, messages ...string) string {
	h.t.Helper()
	header := http.Header{}
	if protocol != "" {
		header.Set("Sec-WebSocket-Protocol", protocol)
	}
	s, _, err := h.tryDialSocket(path, header)
	if err != nil {
		return err.Error()
	}
	defer s.close()
	for _, m := range messages {
		s.send(false, m)
	}
	return s.until(until)
}

// until reads up to a message that has that text (""), or an end or message with a code.
func (s *socket) until(text string) string {
	timeout := time.After(patience)
	for {
		select {
		case f := <-s.got:
			if code := outcome(f.data); code != "" || strings.Contains(f.data, text) {
				return code
			}
		case <-s.ended:
			return outcome(s.err.Error())
		case <-timeout:
			return "nothing came"
		}
	}
}

// pusherAuth is the signature of an app for a private channel.
func pusherAuth(socketID, channel string) string {
	mac := hmac.New(sha256.New, []byte(appSecret))
	mac.Write([]byte(socketID + ":" + channel))
	return appKey + ":" + hex.EncodeToString(mac.Sum(nil))
}

// ways are all that a client can do on a channel that the backend is asked about.
var ways = []struct {
	name string
	does func(h *hub, channel string) string
}{
	{"ws raw", func(h *hub, c string) string {
		s, _, err := h.tryDialSocket("/ws?channel="+c, nil)
		if err != nil {
			return err.Error()
		}
		defer s.close()
		h.publish(c, "from the backend")
		return s.until("from the backend")
	}},
	{"ws url", func(h *hub, c string) string { return h.say("/ws?channel="+c, "peal.v1", "connected") }},
	{"ws command", func(h *hub, c string) string {
		return h.say("/ws", "peal.v1", `"id":1`, `{"command":"subscribe","channel":"`+c+`","id":1}`)
	}},
	{"ws history", func(h *hub, c string) string {
		return h.say("/ws", "peal.v1", `"id":1`, `{"command":"history","channel":"`+c+`","id":1}`)
	}},
	{"ws presence", func(h *hub, c string) string {
		return h.say("/ws", "peal.v1", `"id":1`, `{"command":"presence","channel":"`+c+`","id":1}`)
	}},
	{"sse", func(h *hub, c string) string { return h.stream("/sse?channel=" + c) }},
	{"poll", func(h *hub, c string) string { return h.anonymous("GET", "/poll?timeout=1s&last=1&channel="+c, "") }},
	{"history", func(h *hub, c string) string { return h.anonymous("GET", "/channels/"+c+"/history", "") }},
	{"presence", func(h *hub, c string) string { return h.anonymous("GET", "/channels/"+c+"/presence", "") }},
	{"stream page", func(h *hub, c string) string { return h.anonymous("GET", "/streams/"+c, "") }},
	{"stream live", func(h *hub, c string) string { return h.stream("/streams/" + c + "?offset=-1&live=sse") }},
	{"mercure", func(h *hub, c string) string { return h.stream(hubPath + "?topic=" + c) }},
	{"pusher", func(h *hub, c string) string {
		return h.say("/app/"+appKey+"?protocol=7", "", "subscription_succeeded", `{"event":"pusher:subscribe","data":{"channel":"`+c+`"}}`)
	}},
	{"publish query", func(h *hub, c string) string { return h.anonymous("POST", "/publish?channel="+c, "text") }},
	{"publish json", func(h *hub, c string) string {
		return h.anonymous("POST", "/publish", `{"channel":"`+c+`","data":"text"}`, "Content-Type: application/json")
	}},
	{"publish form", func(h *hub, c string) string {
		return h.anonymous("POST", "/publish", "channel="+c+"&data=text", "Content-Type: application/x-www-form-urlencoded")
	}},
	{"publish batch", func(h *hub, c string) string {
		return h.anonymous("POST", "/publish/batch", `{"messages":[{"channel":"free","data":"1"},{"channel":"`+c+`","data":"text"},{"channel":"free","data":"3"}]}`)
	}},
	{"publish command", func(h *hub, c string) string {
		return h.say("/ws", "peal.v1", `"id":1`, `{"command":"publish","channel":"`+c+`","data":"text","id":1}`)
	}},
	{"publish mercure", func(h *hub, c string) string {
		a := h.do("POST", hubPath, url.Values{"topic": {c}, "data": {"text"}}.Encode(), "Content-Type: application/x-www-form-urlencoded", "Authorization: Bearer "+h.publisher)
		return outcome(string(a.body))
	}},
}

// No way to a channel leads around the backend, whatever it answers.
func TestEveryWayAsksTheBackend(t *testing.T) {
	b := newAsked(t)
	patient := startAsking(t, b, nil)
	impatient := startAsking(t, b, func(d *ask.Definition) { d.Timeout, d.Concurrency = 200*time.Millisecond, 2*len(ways) })
	var all sync.WaitGroup
	for how, want := range map[string]string{
		"allow": "", "rewrite": "", "deny": "ask_denied",
		"500": "ask_unavailable", "hang": "ask_unavailable", "redirect": "ask_unavailable", "json": "ask_unavailable", "large": "ask_unavailable",
	} {
		h := patient
		if how == "hang" {
			h = impatient
		}
		for _, way := range ways {
			all.Go(func() {
				channel := "on-" + strings.ReplaceAll(way.name, " ", "_") + "-" + how
				if strings.HasPrefix(way.name, "stream") || way.name == "poll" || way.name == "history" {
					h.publish(channel, "text") // so that there is something
				}
				if got := way.does(h, channel); got != want {
					t.Errorf("%s, the backend's answer is %s: %q, want %q", way.name, how, got, want)
				}
				// What is published is there just where it was allowed, as it was rewritten.
				if strings.HasPrefix(way.name, "publish") {
					stored := string(h.do("GET", "/channels/"+channel+"/history", "").body)
					has, rewritten := strings.Contains(stored, "text"), strings.Contains(stored, `rewritten\":true`) || strings.Contains(stored, `rewritten":true`)
					if has != (how == "allow") || rewritten != (how == "rewrite") {
						t.Errorf("%s, %s: the channel has %s", way.name, how, stored)
					}
				}
			})
		}
		all.Wait()
	}
	if q := b.last("publish"); q.Data != "text" || q.Address != "127.0.0.1" || len(q.Channels) != 1 {
		t.Errorf("asked %+v", q)
	}
}

// A connection is asked about on every transport.
func TestEveryConnectionAsksTheBackend(t *testing.T) {
	b := newAsked(t)
	h := startAsking(t, b, func(d *ask.Definition) { d.On = []string{"connect"} })
	for how, want := range map[string]string{"allow": "", "deny": "ask_denied", "500": "ask_unavailable"} {
		header := "X-Case: " + how
		for _, path := range []string{"/ws", "/ws?channel=a", "/app/" + appKey + "?protocol=7"} {
			protocol := "peal.v1"
			if strings.HasPrefix(path, "/app") {
				protocol = ""
			}
			w := http.Header{"X-Case": {how}}
			if protocol != "" {
				w.Set("Sec-WebSocket-Protocol", protocol)
			}
			s := h.dialSocket(path, w)
			if got := s.until("connect"); got != want {
				t.Errorf("%s, %s: %q, want %q", path, how, got, want)
			}
			s.close()
		}
		for _, path := range []string{"/sse?channel=a", "/poll?timeout=0&channel=a", hubPath + "?topic=a", "/streams/a?offset=-1&live=sse", "/pusher/app/" + appKey + "/1/abcdefgh" + how + "/xhr_streaming" + xhrQuery} {
			method := "GET"
			if strings.Contains(path, "xhr") {
				method = "POST"
			}
			r, _ := http.NewRequest(method, h.url+path, nil)
			name, value, _ := strings.Cut(header, ": ")
			r.Header.Set(name, value)
			response, err := h.client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			part := make([]byte, 1024)
			n, _ := io.ReadAtLeast(response.Body, part, 100)
			response.Body.Close()
			if got := streamOutcome(string(part[:n])); got != want {
				t.Errorf("%s, %s: %q of %s, want %q", path, how, got, part[:n], want)
			}
		}
	}
	if got := h.anonymous("POST", "/publish?channel=a", "x"); got != "" {
		t.Errorf("publishing is not asked about, and says %q", got)
	}
}

// Client events are asked about, and nobody is but the sender refused.
func TestClientEventsAreAskedAbout(t *testing.T) {
	b := newAsked(t)
	h := startAsking(t, b, func(d *ask.Definition) { d.On = []string{"publish"} })
	for how, want := range map[string]string{"allow": "", "rewrite": "", "deny": "ask_denied", "500": "ask_unavailable"} {
		channel := "private-" + how
		join := func() *socket {
			s := h.dialSocket("/app/"+appKey+"?protocol=7", nil)
			var hello struct{ Data string }
			_ = json.Unmarshal([]byte(s.next().data), &hello)
			var data struct {
				SocketID string `json:"socket_id"`
			}
			_ = json.Unmarshal([]byte(hello.Data), &data)
			s.send(false, `{"event":"pusher:subscribe","data":{"channel":"`+channel+`","auth":"`+pusherAuth(data.SocketID, channel)+`"}}`)
			if got := s.until("subscription_succeeded"); got != "" {
				t.Fatalf("subscribe: %s", got)
			}
			return s
		}
		from, to := join(), join()
		from.send(false, `{"event":"client-x","channel":"`+channel+`","data":"text"}`)
		if want != "" {
			if got := from.until("error"); got != want {
				t.Errorf("%s: %q, want %q", how, got, want)
			}
			continue
		}
		heard := to.next().data
		if strings.Contains(heard, "text") != (how == "allow") || strings.Contains(heard, "rewritten") != (how == "rewrite") {
			t.Errorf("%s: the other receives %s", how, heard)
		}
	}
}

// A raw message is asked about; the connection of one that is refused ends, as for any
// message that is. So are the messages of the Pusher fallback.
func TestRawMessagesAndTheFallbackAreAskedAbout(t *testing.T) {
	b := newAsked(t)
	h := startAsking(t, b, func(d *ask.Definition) { d.On = []string{"publish"} })
	for how, want := range map[string]string{"allow": `"text"`, "rewrite": `rewritten`} {
		s, to := h.dialSocket("/ws?channel=raw-"+how, nil), h.dialSocket("/ws?channel=raw-"+how, http.Header{"Sec-Websocket-Protocol": {"peal.v1"}})
		to.next()
		s.send(false, "text")
		if got := to.next().data; !strings.Contains(got, want) {
			t.Errorf("%s: the others receive %s", how, got)
		}
	}
	for how, want := range map[string]uint16{"deny": 4403, "500": 1013} {
		s := h.dialSocket("/ws?channel=raw-"+how, nil)
		s.send(false, "text")
		if code := s.closed(); code != want {
			t.Errorf("%s: closed with %d, want %d", how, code, want)
		}
	}
	other := startAsking(t, b, func(d *ask.Definition) { d.On = []string{"subscribe"} })
	x := other.openXHR(appKey, "1/abcdefgh").established()
	ask := func(channel string) string {
		return `{"event":"pusher:subscribe","data":{"channel":"` + channel + `"}}`
	}
	if status := x.send(ask("x-held"), ask("x-deny"), ask("x-allow")); status != 204 {
		t.Fatalf("status %d", status)
	}
	other.await("the first is held", func() bool { return b.held() == 1 })
	x.send(ask("x-last"))
	close(b.hold)
	for _, want := range []string{"pusher_internal:subscription_succeeded x-held ", "pusher:subscription_error x-deny ", "pusher_internal:subscription_succeeded x-allow ", "pusher_internal:subscription_succeeded x-last "} {
		if got := x.heard(); !strings.HasPrefix(got, want) || strings.Contains(want, "deny") && !strings.Contains(got, "ask_denied") {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// A drain waits for the backend no longer than for anything else.
func TestADrainDoesNotWaitForTheBackend(t *testing.T) {
	b := newAsked(t)
	p := startWith(t, func(c *server.Config) {
		c.Drain = 300 * time.Millisecond
		c.Ask = []ask.Definition{{URL: b.URL, Secret: strings.Repeat("s", 24), On: []string{"publish"}, AllowPrivate: true, Timeout: time.Minute}}
	})
	said := make(chan error, 1)
	go func() {
		a, err := p.try("POST", "/publish?channel=a-held", "x")
		if err == nil {
			err = fmt.Errorf("status %d", a.status)
		}
		said <- err
	}()
	s := p.dialSocket("/ws", http.Header{"Sec-Websocket-Protocol": {"peal.v1"}})
	s.next()
	s.send(false, `{"command":"publish","channel":"b-held","data":"1","id":1}`)
	p.await("both are held", func() bool { return b.held() == 2 })
	p.stop()
	if code := s.closed(); code != 1001 {
		t.Errorf("closed with %d, want 1001: it is owed a reply, but the drain is over", code)
	}
	if err := <-said; err.Error() == "status 200" {
		t.Error("the publication was accepted")
	}
	close(b.hold)
}

// The backend's name for a client is the one that others see.
func TestTheBackendNamesClients(t *testing.T) {
	b := newAsked(t)
	h := startAsking(t, b, func(d *ask.Definition) { d.On = []string{"subscribe"} })
	s := h.dialSocket("/ws", http.Header{"Sec-Websocket-Protocol": {"peal.v1"}})
	s.send(false, `{"command":"subscribe","channel":"room-rewrite","presence":true,"client":"mallory","id":1}`)
	if got := s.until(`"id":1`); got != "" {
		t.Fatal(got)
	}
	if got := string(h.do("GET", "/channels/room-rewrite/presence", "").body); !strings.Contains(got, `"ann"`) || strings.Contains(got, "mallory") || !strings.Contains(got, `age`) {
		t.Errorf("members: %s", got)
	}
	if q := b.last("subscribe"); q.Client != "mallory" || q.User != "" {
		t.Errorf("asked %+v", q)
	}
}

// What follows a command that waits is carried out behind it, and a connection that ends
// meanwhile leaves nothing.
func TestCommandsWaitBehindOneThatIsAskedAbout(t *testing.T) {
	b := newAsked(t)
	h := startAsking(t, b, func(d *ask.Definition) { d.On = []string{"subscribe", "publish"} })
	v1 := http.Header{"Sec-Websocket-Protocol": {"peal.v1"}}
	gone := h.dialSocket("/ws", v1)
	gone.send(false, `{"command":"subscribe","channel":"room-held","id":1}`)
	h.await("the first is held", func() bool { return b.held() == 1 })
	gone.close()
	s := h.dialSocket("/ws", v1)
	s.next()
	s.send(false, `{"command":"publish","channel":"room-held","data":"1","id":1}`)
	for i := range 50 {
		s.send(false, fmt.Sprintf(`{"command":"publish","channel":"room-allow","data":"%d","id":%d}`, i, i+2))
	}
	s.send(false, `{"command":"ping","id":99}`)
	h.await("the second is held", func() bool { return b.held() == 2 })
	close(b.hold)
	for i := range 51 {
		if got := s.next().data; !strings.Contains(got, fmt.Sprintf(`"id":%d`, i+1)) || strings.Contains(got, "error") {
			t.Fatalf("reply %d is %s", i+1, got)
		}
	}
	if got := s.next().data; !strings.Contains(got, `"id":99`) {
		t.Errorf("behind them: %s", got)
	}
	h.awaitSubscribers("room-held", 0)
}

// A drain does not wait for the backend longer than it lasts, and a reload asks another one.
func TestReloadAndDrainWhileTheBackendIsAsked(t *testing.T) {
	b, other := newAsked(t), newAsked(t)
	h := startAsking(t, b, func(d *ask.Definition) { d.On = []string{"publish"} })
	said := make(chan string, 1)
	go func() { said <- h.anonymous("POST", "/publish?channel=a-held", "x") }()
	h.await("it is held", func() bool { return b.held() == 1 })
	c := h.config
	c.Ask = []ask.Definition{c.Ask[0]}
	c.Ask[0].URL = other.URL
	if err := h.server.Reload(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if got := h.anonymous("POST", "/publish?channel=a-deny", "x"); got != "ask_denied" || other.last("publish").Action == "" {
		t.Errorf("after the reload: %q, the new backend was asked %+v", got, other.last("publish"))
	}
	close(b.hold) // the old one allows, and the new one is asked
	h.await("the new one is asked", func() bool { return other.held() == 1 })
	close(other.hold)
	if got := <-said; got != "" {
		t.Errorf("the publication that waited: %q", got)
	}
	c.Ask = nil
	if err := h.server.Reload(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if got := h.anonymous("POST", "/publish?channel=a-deny", "x"); got != "" {
		t.Errorf("without asking: %q", got)
	}
}

// TestTheBackendOfTheDocument: the PHP of docs/callbacks.md decides, and knows who asks.
func TestTheBackendOfTheDocument(t *testing.T) {
	tool(t, "php")
	names, dir := unpack(t, "docs/callbacks.md")
	if !slices.Contains(names, "ask.php") {
		t.Fatalf("docs/callbacks.md has %q", names)
	}
	const secret, tokens = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "a secret of tokens with enough bytes"
	t.Setenv("PEAL_ASK_SECRET", secret)
	d := &phpPage{t: t, dir: dir}
	backend := d.serve(dir)
	p := startWith(t, func(c *server.Config) {
		c.Token.Secrets = []string{tokens}
		c.Ask = []ask.Definition{{URL: backend.url + "/ask.php", Secret: secret, On: []string{"subscribe"}, Channels: []string{"orders.*"}, AllowPrivate: true, Timeout: time.Minute}}
	})
	token := bearer(jwt(tokens, `"sub":"42","peal":{"subscribe":["orders.*"]}`))
	if a := p.do("GET", "/channels/orders.42/history", "", token); a.status != 200 {
		t.Errorf("own orders: %d %s", a.status, a.body)
	}
	for _, header := range []string{token, "X-A: b"} {
		a := p.do("GET", "/channels/orders.43/history", "", header)
		if a.status != 403 || !strings.Contains(string(a.body), "the backend refuses this: these are the orders of somebody else") {
			t.Errorf("other orders: %d %s", a.status, a.body)
		}
	}
	if s := p.server.AskStats(); s.Failed != 0 || s.Allowed != 1 || s.Denied != 2 {
		t.Errorf("%+v", s)
	}
	if a := backend.do("POST", "/ask.php", `{"channels":["orders."]}`); a.status != 500 {
		t.Errorf("a question without a signature: %d", a.status)
	}
}
