package endtoend_test

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"peal/server/apikey"
	"peal/server/grant"
	"peal/server/talk"
)

// The matrix asks a real server about every principal × action × rule × transport, and
// compares each response with a model of its own (wanted). What it asks is generated: the
// principals from grant.Actions, the requests from matrixRequests. An action without a
// decision in the model or without a request, a path of docs/http.md or a command of
// talk.Kinds that no request uses, fails it.

const matrixSecret = "the secret of the matrix, 32 bytes long"

// jwt signs a token with HS256, by other means than package token. claims are JSON
// members; exp and iat are added unless they are there.
func jwt(secret, claims string) string {
	now := time.Now().Unix()
	for name, at := range map[string]int64{"exp": now + 3600, "iat": now} {
		if !strings.Contains(claims, `"`+name+`"`) {
			claims = fmt.Sprintf(`%s,%q:%d`, claims, name, at)
		}
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte("{"+claims+"}"))
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// actor is a principal of the matrix.
type actor struct {
	name  string
	kind  grant.Kind
	proof string // token or key; "" for none
	fault string // the error code of a proof that is none

	sub string // of a user

	// What is granted: on the channels that end in ".in", or on all channels of clients;
	// with users, on those of single users, too.
	actions    []grant.Action
	everywhere bool
	ofUsersToo bool
}

// matrixChannel is a channel, with who may do what on it by its rule.
type matrixChannel struct {
	name               string
	subscribe, publish string // anyone, token, backend
	in                 bool   // it matches the patterns "*.in"
	user               string // whose channel it is
	protected          bool   // it is a private or presence channel of an app
}

const matrixRules = `
channels:
  - {match: 'anyone.*', subscribe: anyone, publish: anyone}
  - {match: 'token.*', subscribe: token, publish: token}
  - {match: 'backend.*', subscribe: backend, publish: backend}
  - {match: 'news.*', subscribe: anyone, publish: backend}
  - {match: 'inbox.*', subscribe: backend, publish: token}
`

func matrixChannels(open bool) (all []matrixChannel) {
	for _, rule := range [][3]string{{"anyone", "anyone", "anyone"}, {"token", "token", "token"}, {"backend", "backend", "backend"}, {"news", "anyone", "backend"}, {"inbox", "backend", "token"}} {
		all = append(all, matrixChannel{rule[0] + ".in", rule[1], rule[2], true, "", false}, matrixChannel{rule[0] + ".out", rule[1], rule[2], false, "", false})
	}
	standard := "token"
	if open {
		standard = "anyone"
	}
	return append(all, matrixChannel{"other.in", standard, standard, true, "", false}, matrixChannel{"other.out", standard, standard, false, "", false},
		matrixChannel{"$user:42", standard, standard, false, "42", false},
		matrixChannel{"private-a.in", "token", "token", true, "", true}, matrixChannel{"presence-a.out", "token", "token", false, "", true})
}

// matrixActors returns the principals, and the keys of the backends among them.
func matrixActors(t *testing.T) (all []actor, keys []apikey.Definition) {
	t.Helper()
	claim := func(pattern string, actions ...grant.Action) string {
		lists := map[string][]string{}
		for _, a := range actions {
			lists[a.String()] = []string{pattern}
		}
		text, err := json.Marshal(lists)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	// The server is started after that, and refuses what was issued before. Its clock may differ by token-leeway, 10 s.
	issued := time.Now().Add(8 * time.Second).Unix()
	user := func(name, sub, pattern string, actions ...grant.Action) actor {
		return actor{name: name, kind: grant.User, sub: sub, actions: actions, everywhere: pattern == "*",
			proof: jwt(matrixSecret, fmt.Sprintf(`"sub":%q,"iat":%d,"peal":%s`, sub, issued, claim(pattern, actions...)))}
	}
	backend := func(name string, pattern string, actions ...grant.Action) actor {
		key, err := apikey.Create(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		d := apikey.Definition{Name: name, Digest: apikey.Digest(key)}
		for _, a := range actions {
			entry := a.String()
			if a.HasChannels() && pattern != "" {
				entry += ":" + pattern
			}
			d.Allow = append(d.Allow, entry)
		}
		keys = append(keys, d)
		return actor{name: name, kind: grant.Backend, proof: key, actions: actions, everywhere: pattern != "*.in", ofUsersToo: pattern == ""}
	}
	tokenActions := []grant.Action{grant.Subscribe, grant.Publish, grant.Presence}
	all = []actor{
		{name: "anonymous"},
		{name: "forger", proof: jwt("another secret that is 32 bytes long", `"sub":"42","peal":{"subscribe":["*"],"publish":["*"]}`), fault: "token_invalid"},
		{name: "late", proof: jwt(matrixSecret, `"sub":"42","iat":1700000000,"exp":1700000060,"peal":{"subscribe":["*"],"publish":["*"]}`), fault: "token_expired"},
		{name: "unsigned", proof: "eyJhbGciOiJub25lIn0.eyJzdWIiOiI0MiIsImV4cCI6OTk5OTk5OTk5OX0.", fault: "token_invalid"},
		user("user without grants", "42", "*.in"),
		user("user with all", "42", "*.in", tokenActions...),
		user("other user with all", "43", "*.in", tokenActions...),
		user("user everywhere", "43", "*", tokenActions...),
	}
	for _, a := range tokenActions {
		all = append(all, user("user with "+a.String(), "42", "*.in", a))
	}
	other, err := apikey.Create(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	all = append(all, actor{name: "unknown key", proof: other, fault: "key_unknown"},
		backend("all of .in", "*.in", grant.Actions()...), backend("all of clients", "*", grant.Actions()...), backend("all", "", grant.Actions()...))
	for _, a := range grant.Actions() {
		all = append(all, backend("only "+a.String(), "*.in", a))
	}
	return all, keys
}

// has reports whether the principal is granted the action on the channel, as tokens and
// keys are documented.
func (a *actor) has(action grant.Action, c *matrixChannel) bool {
	granted := slices.Contains(a.actions, action) || action == grant.History && slices.Contains(a.actions, grant.Subscribe)
	if !action.HasChannels() {
		return granted
	}
	if c.user != "" {
		return granted && a.ofUsersToo
	}
	return granted && (a.everywhere || c.in)
}

// wanted is the model: the error code with which the action is refused, "" if it is allowed.
func wanted(t *testing.T, open bool, who *actor, action grant.Action, c *matrixChannel) string {
	t.Helper()
	if who.fault != "" {
		return who.fault
	}
	backend := who.kind == grant.Backend
	needsKey := func(granted bool) string {
		switch {
		case who.kind == grant.Anonymous:
			return "token_missing"
		case !backend:
			return "backend_only"
		case !granted:
			return "not_allowed"
		}
		return ""
	}
	switch action {
	case grant.Inspect, grant.Disconnect:
		switch {
		case open && action == grant.Inspect && c.protected && !who.has(action, c):
			return "channel_protected"
		case open:
			return ""
		}
		return needsKey(who.has(action, c))
	case grant.Revoke:
		return needsKey(who.has(action, c))
	case grant.Subscribe, grant.History, grant.Presence:
		switch {
		case c.user != "" && who.sub == c.user, c.user == "" && c.subscribe == "anyone":
			return ""
		case c.user != "" && who.kind == grant.User:
			return "not_allowed"
		case c.user != "" || c.subscribe == "backend":
			return needsKey(who.has(action, c))
		}
	case grant.Publish:
		switch {
		case c.publish == "anyone":
			return ""
		case c.user != "" || c.publish == "backend":
			return needsKey(who.has(action, c))
		}
	default:
		t.Fatalf("the matrix has no decision about the action %s: add it to the model, and requests that ask for it", action)
	}
	switch {
	case who.kind == grant.Anonymous && open && c.protected:
		return "channel_protected"
	case who.kind == grant.Anonymous:
		return "token_missing"
	case !who.has(action, c):
		return "not_allowed"
	}
	return ""
}

// matrix is one server that is asked, and what was found.
type matrix struct {
	t        *testing.T
	p        *peal
	open     bool
	actors   []actor
	channels []matrixChannel

	mu        sync.Mutex
	cells     int
	allowed   int
	published map[string][]string // texts that were accepted, by channel
	faults    []string
}

// newMatrix starts a server of that program, with one message in each channel.
func newMatrix(t *testing.T, program string, open bool, variables ...string) *matrix {
	t.Helper()
	m := &matrix{t: t, open: open, channels: matrixChannels(open), published: map[string][]string{}}
	actors, keys := matrixActors(t)
	m.actors = actors
	file := filepath.Join(t.TempDir(), "peal.yaml")
	text := "auth: token\n"
	if open {
		text = "auth: open\n"
	}
	text += fmt.Sprintf("token-secret: [%q]\napp: \"1:matrix-key:matrix-secret\"\n", matrixSecret) + matrixRules + "keys:\n"
	for _, k := range keys {
		allow, err := json.Marshal(k.Allow)
		if err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintf("  - {name: %q, digest: %q, allow: %s}\n", k.Name, k.Digest, allow)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	m.p = launchProgram(t, program, variables, "--config", file, "--listen", "127.0.0.1:0", "--address-share", "100")
	for i := range m.channels {
		c := &m.channels[i]
		m.p.publishTo("/publish?channel="+url.QueryEscape(c.name), "first", bearer(m.key()), "Content-Type: text/plain")
		m.published[c.name] = []string{"first"}
	}
	return m
}

// key is that of the backend that may do everything.
func (m *matrix) key() string {
	for i := range m.actors {
		if m.actors[i].name == "all" {
			return m.actors[i].proof
		}
	}
	panic("no principal may do everything")
}

// run asks everything, or until the first fault, and then compares what is retained with
// what was accepted.
func (m *matrix) run(untilFault bool) {
	m.t.Helper()
	type cell struct {
		who *actor
		c   *matrixChannel
		r   *matrixRequest
	}
	cells := make(chan cell)
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for one := range cells {
				m.ask(one.who, one.c, one.r)
			}
		})
	}
	for w := range m.actors {
		for c := range m.channels {
			for r := range matrixRequests {
				if untilFault && m.faulty() {
					break
				}
				if one := (cell{&m.actors[w], &m.channels[c], &matrixRequests[r]}); one.r.suits(one.who, one.c) {
					cells <- one
				}
			}
		}
	}
	close(cells)
	asking.Wait()
	if untilFault && m.faulty() {
		return
	}
	for _, c := range m.channels {
		m.compare(c.name)
	}
}

func (m *matrix) faulty() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.faults) > 0
}

func (m *matrix) fault(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults = append(m.faults, fmt.Sprintf(format, args...))
}

// ask fills one cell.
func (m *matrix) ask(who *actor, c *matrixChannel, r *matrixRequest) {
	want, publishes := "", false
	about := *c
	if r.listing {
		about.protected = false // what the client may not see is left out
		about.in = false        // a pattern "*.in" does not match all names that begin with a channel's
	}
	for _, a := range r.actions {
		if want == "" {
			want = wanted(m.t, m.open, who, a, &about)
		}
		publishes = publishes || a == grant.Publish
	}
	m.mu.Lock()
	m.cells++
	text := fmt.Sprintf("message %d", m.cells)
	if want == "" {
		m.allowed++
		if publishes {
			m.published[c.name] = append(m.published[c.name], text)
		}
	}
	m.mu.Unlock()
	got, err := r.ask(&question{peal: m.p, who: who, channel: c.name, text: text, about: r})
	if err != nil {
		m.fault("%s asks for %v on %s by %s: %v", who.name, r.actions, c.name, r.name, err)
	} else if got != want && got != statusOf(want) {
		m.fault("%s asks for %v on %s by %s: %q, want %q", who.name, r.actions, c.name, r.name, got, want)
	}
}

// statusOf is the status of an error code, for transports that have no room for the code.
func statusOf(code string) string {
	switch {
	case code == "":
		return ""
	case strings.HasPrefix(code, "token_"), strings.HasPrefix(code, "key_"):
		return "401"
	}
	return "403"
}

// compare finds out whether the channel has the messages that were accepted, and no others.
func (m *matrix) compare(channel string) {
	m.t.Helper()
	var got []string
	for cursor := "earliest"; ; {
		a := decode[polled](m.t, m.p.do("GET", "/channels/"+url.PathEscape(channel)+"/history?limit=1000&cursor="+cursor, "", bearer(m.key())).body)
		if len(a.Messages) == 0 {
			break
		}
		got = append(got, a.texts()...)
		cursor = a.Cursor
	}
	want := slices.Sorted(slices.Values(m.published[channel]))
	slices.Sort(got)
	if !slices.Equal(got, want) {
		m.fault("%s has %d messages, and %d were accepted", channel, len(got), len(want))
	}
}

// TestMatrix asks all principals for all actions on channels of all rules, on all
// transports.
func TestMatrix(t *testing.T) {
	for _, open := range []bool{false, true} {
		t.Run(fmt.Sprint("open ", open), func(t *testing.T) {
			m := newMatrix(t, pealBinary, open)
			m.run(false)
			for i, f := range m.faults {
				if i == 20 {
					t.Errorf("and %d more", len(m.faults)-i)
					break
				}
				t.Error(f)
			}
			t.Logf("%d cells: %d allowed, %d refused", m.cells, m.allowed, m.cells-m.allowed)
			if m.cells < 4000 || m.allowed < m.cells/5 || m.allowed > m.cells*4/5 {
				t.Errorf("%d of %d cells are allowed: the matrix has become small or one-sided", m.allowed, m.cells)
			}
		})
	}
}

// Every action has requests, and every path and command is asked for.
func TestMatrixIsComplete(t *testing.T) {
	actions, paths, commands := map[grant.Action]bool{}, map[string]bool{}, map[string]bool{}
	for _, r := range matrixRequests {
		paths[r.path], commands[r.command] = true, true
		for _, a := range r.actions {
			actions[a] = true
		}
	}
	for _, a := range grant.Actions() {
		if !actions[a] {
			t.Errorf("no request of the matrix asks for %s", a)
		}
	}
	for _, public := range []string{"/peal.js", "/peal-presence.js", "/peal-share.js"} { // whoever asks
		paths[public] = true
	}
	// These have proofs of their own, with tests in server/httpapi: TestMercureSubscribes, TestMercureRefusesUpdates and
	// TestMercureRefusesListsOfSubscriptions, TestPusherMessages, and those of apps_test.go. /up is for everyone.
	for _, own := range []string{"/.well-known/mercure", "/app/{key}", "/up"} {
		paths[own] = true
	}
	document, err := os.ReadFile("../../docs/http.md") // which package httpapi compares with its routes
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `(/[^`]*)` \\| [A-Z, ]+ \\|").FindAllSubmatch(document, -1)
	if len(rows) < 14 {
		t.Errorf("docs/http.md has %d paths", len(rows))
	}
	for _, row := range rows {
		if path := string(row[1]); !paths[path] && !strings.HasPrefix(path, "/apps/{app}/") && !strings.HasPrefix(path, "/pusher/app/{key}/") && !strings.HasPrefix(path, "/.well-known/mercure/subscriptions") {
			t.Errorf("no request of the matrix uses the path %s: say which action it is, or that it is for everyone", path)
		}
	}
	for _, free := range []string{"unsubscribe", "ping", "token"} { // they give nothing that the client does not have
		commands[free] = true
	}
	for _, k := range talk.Kinds {
		if !commands[k.Name] {
			t.Errorf("no request of the matrix uses the command %s of peal.v1", k.Name)
		}
	}
}
