package httpapi_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"peal/loop"
	"peal/loop/frame"
	"peal/server/grant"
	"peal/server/httpapi"
	"peal/server/identity"
	"peal/server/refusal"
	"peal/server/rules"
	"peal/server/workers"
)

// fakeTokens knows tokens by their text. A good one is cached once it was verified.
type fakeTokens struct {
	grants map[string]*grant.Grant

	mu       sync.Mutex
	cached   map[string]bool
	verified int

	dropped chan struct{} // a signal for each Drop
}

var errBadToken = &refusal.Error{Status: 401, Code: "token_invalid", Message: "bad", Close: frame.CloseUnauthorized}

func (f *fakeTokens) Cached(text []byte) (*grant.Grant, *refusal.Error, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.cached[string(text)] {
		return nil, nil, false
	}
	return f.grants[string(text)], nil, true
}

func (f *fakeTokens) Verify(text []byte) (*grant.Grant, *refusal.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.verified++
	g := f.grants[string(text)]
	if g == nil {
		return nil, errBadToken
	}
	f.cached[string(text)] = true
	return g, nil
}

func (f *fakeTokens) Drop(pick func(*grant.Grant) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for text := range f.cached {
		if pick(f.grants[text]) {
			delete(f.cached, text)
		}
	}
	f.dropped <- struct{}{}
}

// fakeKeys knows one key.
type fakeKeys struct{ grant *grant.Grant }

func (f fakeKeys) Len() int { return 1 }

func (f fakeKeys) Find(text []byte) (*grant.Grant, bool) {
	return f.grant, string(text) == "peal_good"
}

// guarded is a Front that needs tokens. Its user 42 may subscribe to channels that
// begin with "a" and publish on those that begin with "p"; its backend may do all.
type guarded struct {
	*harness
	tokens *fakeTokens
}

func newGuarded(t *testing.T, change func(d *httpapi.Deps)) *guarded {
	t.Helper()
	scope := func(lists map[grant.Action][]string) *grant.Scope {
		s, err := grant.NewScope(lists)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	all := map[grant.Action][]string{}
	for _, a := range grant.Actions() {
		all[a] = []string{"*", "$*"}
	}
	g := &guarded{harness: newHarness(t)}
	g.tokens = &fakeTokens{cached: map[string]bool{}, dropped: make(chan struct{}, 100), grants: map[string]*grant.Grant{
		"t.o.k": {Kind: grant.User, Subject: "42", Expires: time.Now().Add(time.Hour).Unix(), Info: `{"n":1}`,
			Scope: scope(map[grant.Action][]string{grant.Subscribe: {"a*"}, grant.Publish: {"p*"}})},
	}}
	verifiers := workers.New(1, 4)
	t.Cleanup(verifiers.Close)
	d := httpapi.Deps{Log: g.log, Hub: g.hub, Door: g.door, Workers: g.workers,
		Rules: rules.New([]rules.Rule{{Match: "free", Subscribe: rules.Anyone, Publish: rules.Anyone}}, rules.Rule{Subscribe: rules.Token, Publish: rules.Token}),
		Identity: identity.Identity{
			NeedsToken: true, Tokens: g.tokens, Verifiers: verifiers, Cookie: "peal_token", Query: true,
			Keys: fakeKeys{&grant.Grant{Kind: grant.Backend, Subject: "shop", Scope: scope(all)}},
		},
	}
	if change != nil {
		change(&d)
	}
	g.front = httpapi.New(d)
	return g
}

// ask gives a whole request to the Front, again when it has waited for a token.
func (g *guarded) ask(in string) *loop.Call {
	g.t.Helper()
	for range 3 {
		c := g.call(in)
		if c.Verdict != loop.Wait {
			return c
		}
		select {
		case <-g.door.again:
		case <-time.After(time.Minute):
			g.t.Fatalf("%.60q waits for ever", in)
		}
	}
	g.t.Fatalf("%.60q waits again and again", in)
	return nil
}

// outcome is "ok", or the code with which the request is refused, and its status or
// close code.
func (g *guarded) outcome(in string) string {
	g.t.Helper()
	c := g.ask(in)
	switch c.Verdict {
	case loop.Stream, loop.Park:
		return "ok"
	case loop.Later:
		c.Out = g.door.wait(g.t)
	}
	head, rest, _ := strings.Cut(string(c.Out), "\r\n\r\n")
	if strings.HasPrefix(head, "HTTP/1.1 101") {
		code, reason, err := frame.ParseClose([]byte(rest[2:]))
		if err != nil {
			g.t.Fatalf("%.60q: %v", in, err)
		}
		name, _, _ := strings.Cut(string(reason), ":")
		return fmt.Sprint(code, " ", name)
	}
	status := strings.Fields(head)[1]
	if status == "401" != strings.Contains(head, "\r\nWWW-Authenticate: Bearer") {
		g.t.Errorf("%.60q: %s", in, head)
	}
	if code := codeIn(rest); code != "" {
		return status + " " + code
	}
	return "ok"
}

// codeIn is the code of the error in a body, "" for none.
func codeIn(body string) string {
	_, after, ok := strings.Cut(body, `{"error":{"code":"`)
	if !ok {
		return ""
	}
	code, _, _ := strings.Cut(after, `"`)
	return code
}

// with makes a GET with more header lines; upgradeLines are those of a WebSocket.
func with(target string, lines ...string) string {
	return "GET " + target + " HTTP/1.1\r\nHost: localhost\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
}

var upgradeLines = []string{"Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="}

func webSocket(target string, lines ...string) string {
	return with(target, append(append([]string{}, upgradeLines...), lines...)...)
}

func TestEveryCarrierOfATokenOnEveryTransport(t *testing.T) {
	g := newGuarded(t, nil)
	const token, key, bad = "t.o.k", "peal_good", "b.a.d"
	for _, path := range []string{"/ws", "/sse", "/poll", "/channels/a1/history"} {
		closes := map[string]string{"401": "401", "403": "403"}
		ask := func(target string, lines ...string) string { return with(target, lines...) }
		if path == "/ws" {
			closes = map[string]string{"401": "4401", "403": "4403"}
			ask = webSocket
		}
		query := "?channel="
		if strings.HasPrefix(path, "/channels") {
			query = "?channel=" // the same channel again does no harm
		}
		channel := func(name, more string) string {
			if strings.HasPrefix(path, "/channels") {
				return "/channels/" + name + "/history" + strings.Replace(more, "&", "?", 1)
			}
			return path + query + name + more
		}
		for _, c := range []struct{ in, want string }{
			{ask(channel("a1", "")), closes["401"] + " token_missing"},
			{ask(channel("free", "")), "ok"},
			{ask(channel("a1", ""), "Authorization: Bearer "+token), "ok"},
			{ask(channel("a1", ""), "Authorization: bearer  "+token+" "), "ok"},
			{ask(channel("b1", ""), "Authorization: Bearer "+token), closes["403"] + " not_allowed"},
			{ask(channel("a1", ""), "Authorization: Bearer "+bad), closes["401"] + " token_invalid"},
			{ask(channel("free", ""), "Authorization: Bearer "+bad), closes["401"] + " token_invalid"},
			{ask(channel("a1", ""), "Authorization: Basic "+token), closes["401"] + " token_invalid"},
			{ask(channel("a1", ""), "Authorization: "+token), closes["401"] + " token_invalid"},
			{ask(channel("a1", "&token="+token)), "ok"},
			{ask(channel("b1", "&token="+token)), closes["403"] + " not_allowed"},
			{ask(channel("a1", "&token="+bad)), closes["401"] + " token_invalid"},
			{ask(channel("a1", "&token="+bad), "Authorization: Bearer "+token), "ok"}, // the header goes first
			{ask(channel("a1", "&token="+token), "Authorization: Basic eDp5"), "ok"},  // which is for a proxy
			{ask(channel("a1", ""), "Cookie: peal_token="+token, "Sec-Fetch-Site: same-origin", "Authorization: Basic eDp5"), "ok"},
			{ask(channel("b1", ""), "Authorization: Bearer "+key), "ok"},
			{ask(channel("b1", ""), "Authorization: Bearer peal_bad"), closes["401"] + " key_invalid"},
			{ask(channel("b1", ""), "Authorization: Bearer peal_0eL6xfxWSufd8j2VgXSABOw7RzyNqrbp5D9ERWrWD293aVLX7"), closes["401"] + " key_unknown"},
			{ask(channel("b1", "&token="+key)), closes["401"] + " key_misplaced"},
			{ask(channel("$user:42", ""), "Authorization: Bearer "+token), "ok"},
			{ask(channel("$me", ""), "Authorization: Bearer "+token), "ok"},
			{ask(channel("$me", "")), closes["401"] + " token_missing"},
			{ask(channel("$user:43", ""), "Authorization: Bearer "+token), closes["403"] + " not_allowed"},
			{ask(channel("$user:43", ""), "Authorization: Bearer "+key), "ok"},
			{ask(channel("$user:", ""), "Authorization: Bearer "+key), closes["403"] + " reserved_channel"},
			{ask(channel("$other", ""), "Authorization: Bearer "+key), closes["403"] + " reserved_channel"},
			{ask(channel("a1", ""), "Cookie: peal_token="+token, "Origin: http://localhost:8000"), "ok"},
			{ask(channel("a1", ""), "Cookie: x=y; peal_token="+token, "Sec-Fetch-Site: same-origin"), "ok"},
			{ask(channel("a1", ""), "Cookie: peal_token="+token, "Referer: http://localhost/page"), "ok"},
			{ask(channel("a1", ""), "Cookie: peal_token="+token), closes["401"] + " token_missing"},
			{ask(channel("a1", ""), "Cookie: peal_token="+token, "Sec-Fetch-Site: same-site"), closes["401"] + " token_missing"},
			{ask(channel("a1", ""), "Cookie: peal_token="+token, "Sec-Fetch-Site: none"), closes["401"] + " token_missing"},
			{ask(channel("a1", ""), "Cookie: peal_token="+token, "Origin: http://localhost:8000", "Sec-Fetch-Site: cross-site"), closes["401"] + " token_missing"},
			{ask(channel("a1", ""), "Cookie: other="+token, "Sec-Fetch-Site: same-origin"), closes["401"] + " token_missing"},
		} {
			if got := g.outcome(c.in); got != c.want {
				t.Errorf("%s: %q, want %q", strings.ReplaceAll(c.in, "\r\n", " | "), got, c.want)
			}
		}
	}
}

func TestATokenInTheListOfSubprotocols(t *testing.T) {
	g := newGuarded(t, nil)
	for _, c := range []struct{ protocols, want string }{
		{"peal.v1, peal.token.t.o.k", "ok"},
		{"peal.token.t.o.k,peal.raw", "ok"},
		{"peal.v1, peal.token.b.a.d", "4401 token_invalid"},
		{"peal.v1, peal.token.peal_good", "4401 key_misplaced"},
		{"peal.token.t.o.k", "400 bad_handshake"},
		{"peal.v1, peal.token.", "4401 token_missing"},
	} {
		if got := g.outcome(webSocket("/ws?channel=a1", "Sec-WebSocket-Protocol: "+c.protocols)); got != c.want {
			t.Errorf("%s: %q, want %q", c.protocols, got, c.want)
		}
	}
	c := g.ask(webSocket("/ws?channel=a1", "Sec-WebSocket-Protocol: peal.token.t.o.k, peal.v1"))
	if out := string(c.Out); !strings.Contains(out, "Sec-WebSocket-Protocol: peal.v1\r\n") || strings.Contains(out, "t.o.k") {
		t.Errorf("%s", out)
	}
}

func TestPublishingNeedsAGrant(t *testing.T) {
	g := newGuarded(t, nil)
	const user, shop = "Authorization: Bearer t.o.k\r\n", "Authorization: Bearer peal_good\r\n"
	batch := `{"messages":[{"channel":"p1","data":"x"},{"channel":"a1","data":"x"}]}`
	for _, c := range []struct{ in, want string }{
		{post("/publish?channel=p1", "x"), "401 token_missing"},
		{post("/publish?channel=p1", "x", user), "ok"},
		{post("/publish?channel=a1", "x", user), "403 not_allowed"},
		{post("/publish?channel=p1&channel=a1", "x", user), "403 not_allowed"},
		{post("/publish?channel=a1", "x", shop), "ok"},
		{post("/publish?channel=free", "x"), "ok"},
		{post("/publish?channel=free", "x", "Sec-Fetch-Site: cross-site\r\n"), "403 cross_site"},
		{post("/publish?channel=free", "x", "Sec-Fetch-Site: cross-site\r\n", user), "403 cross_site"}, // no script: it would send an Origin
		{post("/publish/batch", batch, "Sec-Fetch-Site: cross-site\r\n"), "403 cross_site"},
		{post("/publish/batch", batch), "200 token_missing"}, // of each message
		{post("/publish/batch", batch, user), "200 not_allowed"},
		{post("/publish/batch", batch, shop), "ok"},
		{post("/publish?user=42", "x", shop), "ok"},
		{post("/publish?user=42", "x", user), "403 backend_only"},
		{post("/publish?channel=$me", "x", user), "403 backend_only"},
		{post("/publish?user=42", "x"), "401 token_missing"},
		{post("/publish?user=", "x", shop), "400 bad_user"},
		{post("/publish?user="+strings.Repeat("u", 195), "x", shop), "400 bad_user"},
		{post("/disconnect?client=a", ""), "401 token_missing"},
		{post("/disconnect?client=a", "", user), "403 backend_only"},
		{get("/channels"), "401 token_missing"},
		{with("/channels", "Authorization: Bearer t.o.k"), "403 backend_only"},
		{with("/channels", "Authorization: Bearer peal_good"), "ok"},
		{with("/channels/a1", "Authorization: Bearer peal_good"), "ok"},
		{with("/channels/a1", "Authorization: Bearer t.o.k"), "403 backend_only"},
		{get("/"), "ok"},
		{with("/", "Authorization: Bearer b.a.d"), "ok"}, // the page is everybody's
	} {
		if got := g.outcome(c.in); got != c.want {
			t.Errorf("%s: %q, want %q", strings.ReplaceAll(c.in, "\r\n", " | "), got, c.want)
		}
	}
}

// A token is verified once, by a worker; while that takes the request waits, and nothing
// of it is used.
func TestATokenIsVerifiedByAWorker(t *testing.T) {
	g := newGuarded(t, nil)
	in := with("/sse?channel=a1", "Authorization: Bearer t.o.k")
	c := g.call(in)
	if c.Verdict != loop.Wait || c.Used != 0 || len(c.Out) > 0 {
		t.Fatalf("verdict %d, used %d, %q", c.Verdict, c.Used, c.Out)
	}
	if ref := <-g.door.again; ref != c.Conn {
		t.Errorf("asked again about %+v", ref)
	}
	for range 3 {
		if c = g.call(in); c.Verdict != loop.Stream || c.Used != len(in) {
			t.Errorf("verdict %d, used %d", c.Verdict, c.Used)
		}
	}
	if g.tokens.verified != 1 {
		t.Errorf("verified %d times", g.tokens.verified)
	}
}

// With the queue full, requests are refused and nothing waits for ever.
func TestAFullQueueOfVerificationsRefuses(t *testing.T) {
	none := workers.New(0, 0)
	g := newGuarded(t, func(d *httpapi.Deps) { d.Verifiers = none })
	if got := g.outcome(with("/poll?channel=a1", "Authorization: Bearer t.o.k")); got != "503 busy" {
		t.Error(got)
	}
}

func TestATokenInTheURLCanBeSwitchedOff(t *testing.T) {
	g := newGuarded(t, func(d *httpapi.Deps) { d.Query, d.Cookie = false, "" })
	for in, want := range map[string]string{
		with("/sse?channel=a1&token=t.o.k"):                                                       "401 token_misplaced",
		with("/sse?channel=free&token=t.o.k"):                                                     "401 token_misplaced",
		with("/sse?channel=a1", "Cookie: peal_token=t.o.k", "Sec-Fetch-Site: same-origin"):        "401 token_missing",
		with("/sse?channel=a1", "Authorization: Bearer t.o.k", "Cookie: peal_token=t.o.k"):        "ok",
		with("/sse?channel=a1&token=", "Authorization: Bearer t.o.k", "Cookie: peal_token=t.o.k"): "ok",
	} {
		if got := g.outcome(in); got != want {
			t.Errorf("%s: %q, want %q", strings.ReplaceAll(in, "\r\n", " | "), got, want)
		}
	}
}

// A user is the client that the token names, under no other name and info.
func TestTheTokenNamesTheClient(t *testing.T) {
	g := newGuarded(t, nil)
	const user = "Authorization: Bearer t.o.k"
	for in, want := range map[string]string{
		with("/poll?channel=a1&client=42", user):                               "ok",
		with("/poll?channel=a1&client=ann", user):                              "403 client_mismatch",
		with("/poll?channel=a1&info=%7B%22n%22:1%7D", user):                    "ok",
		with("/poll?channel=a1&info=mine", user):                               "403 client_mismatch",
		with("/poll?channel=free&client=ann"):                                  "401 token_missing", // it could be the sub of a user
		with("/poll?channel=free&client=ann&presence=1", user):                 "403 client_mismatch",
		webSocket("/ws?channel=a1&client=ann", user):                           "4403 client_mismatch",
		with("/sse?channel=a1&client=42&channel=a2", user):                     "ok",
		with("/sse?channel=a1&client=42&channel=b", user):                      "403 not_allowed",
		with("/poll?channel=a1&client=ann", "Authorization: Bearer peal_good"): "ok",
	} {
		if got := g.outcome(in); got != want {
			t.Errorf("%s: %q, want %q", strings.ReplaceAll(in, "\r\n", " | "), got, want)
		}
	}
}

// Without --auth token a token counts where a rule needs one, and a bad one
// is refused; without any keys and secrets all are ignored.
func TestOpenServersTakeTokensToo(t *testing.T) {
	g := newGuarded(t, func(d *httpapi.Deps) {
		d.NeedsToken = false
		d.Rules = rules.New([]rules.Rule{{Match: "a*", Subscribe: rules.Token}}, rules.Rule{})
	})
	for in, want := range map[string]string{
		get("/poll?channel=x"):                                   "ok",
		get("/poll?channel=a1"):                                  "401 token_missing",
		with("/poll?channel=a1", "Authorization: Bearer t.o.k"):  "ok",
		with("/poll?channel=x", "Authorization: Bearer t.o.k"):   "ok",
		with("/poll?channel=x", "Authorization: Basic eDp5"):     "ok", // for a proxy
		with("/poll?channel=x", "Authorization: Bearer b.a.d"):   "401 token_invalid",
		post("/publish?channel=x", "x"):                          "ok",
		post("/publish?user=42", "x"):                            "ok",
		get("/channels"):                                         "ok",
		with("/poll?channel=$me", "Authorization: Bearer t.o.k"): "ok",
		get("/poll?channel=$user:42"):                            "401 token_missing",
	} {
		if got := g.outcome(in); got != want {
			t.Errorf("%s: %q, want %q", strings.ReplaceAll(in, "\r\n", " | "), got, want)
		}
	}
	plain := newGuarded(t, func(d *httpapi.Deps) { d.Identity = identity.Identity{}; d.Rules = nil })
	if got := plain.outcome(with("/poll?channel=x&token=b.a.d", "Authorization: Bearer b.a.d")); got != "ok" {
		t.Error(got)
	}
}
