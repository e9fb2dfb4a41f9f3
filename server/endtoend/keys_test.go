package endtoend_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"peal/server/apikey"
	"peal/server/grant"
)

// keyRoute is a request that a backend may make, about one channel or about none.
type keyRoute struct {
	name    string
	action  grant.Action
	channel string // "" for none
	method  string
	path    string
	body    string

	// inResults: the status is that of the only message of a batch.
	inResults bool
}

// keyRoutes are all routes, for each of these channels.
func keyRoutes(channels ...string) (all []keyRoute) {
	for _, c := range channels {
		query, path := url.QueryEscape(c), "/channels/"+url.PathEscape(c)
		all = append(all,
			keyRoute{name: "publish", action: grant.Publish, channel: c, method: "POST", path: "/publish?channel=" + query, body: "x"},
			keyRoute{name: "batch", action: grant.Publish, channel: c, method: "POST", path: "/publish/batch", body: fmt.Sprintf(`{"messages":[{"channel":%q,"data":"x"}]}`, c), inResults: true},
			keyRoute{name: "poll", action: grant.Subscribe, channel: c, method: "GET", path: "/poll?cursor=earliest&channel=" + query},
			keyRoute{name: "channel", action: grant.Inspect, channel: c, method: "GET", path: path},
			keyRoute{name: "history", action: grant.History, channel: c, method: "GET", path: path + "/history"},
			keyRoute{name: "presence", action: grant.Presence, channel: c, method: "GET", path: path + "/presence"},
		)
	}
	return append(all,
		keyRoute{name: "publish to a user", action: grant.Publish, channel: "$user:42", method: "POST", path: "/publish?user=42", body: "x"},
		keyRoute{name: "disconnect", action: grant.Disconnect, method: "POST", path: "/disconnect?client=nobody"},
		keyRoute{name: "revoke", action: grant.Revoke, method: "POST", path: "/revoke?sub=nobody"},
		keyRoute{name: "channels", action: grant.Inspect, channel: "every channel", method: "GET", path: "/channels"},
		keyRoute{name: "channels with a prefix", action: grant.Inspect, channel: "orders.", method: "GET", path: "/channels?prefix=orders."},
	)
}

// allows is what an entry of a key grants, by other means than package grant.
func allows(entry string, r keyRoute) bool {
	action, pattern, narrowed := strings.Cut(entry, ":")
	if action != r.action.String() && (action != "subscribe" || r.action != grant.History) {
		return false
	}
	prefix, star := strings.CutSuffix(pattern, "*")
	switch {
	case !narrowed:
		return true
	case prefix == "":
		return !strings.HasPrefix(r.channel, "$")
	}
	return star && strings.HasPrefix(r.channel, prefix)
}

// ask makes the request with header lines, and returns the status and the error code.
func (p *peal) ask(r keyRoute, header ...string) (status int, code string) {
	p.t.Helper()
	a := p.do(r.method, r.path, r.body, append(header, "Content-Type: application/json")...)
	if r.inResults && a.status == 200 {
		results := decode[struct{ Results []problem }](p.t, a.body).Results
		if len(results) != 1 {
			p.t.Fatalf("%s: %s", r.name, a.body)
		}
		switch code := results[0].Error.Code; code {
		case "":
			return 200, ""
		case "token_missing":
			return 401, code
		default:
			return 403, code
		}
	}
	if a.status >= 400 {
		code = decode[problem](p.t, a.body).Error.Code
	}
	return a.status, code
}

// Each route does what the entries of the key allow, and nothing else.
func TestKeysAllowWhatTheyListOnEveryRoute(t *testing.T) {
	entries := []string{"publish:orders.*", "subscribe:orders.*", "history:orders.*", "presence:orders.*", "inspect:orders.*", "publish:$user:*", "inspect:*", "subscribe:*"}
	allow := map[string][]string{"all": nil}
	for _, a := range grant.Actions() {
		entries = append(entries, a.String())
		allow["all"] = append(allow["all"], a.String())
	}
	for _, e := range entries {
		allow[e] = []string{e}
	}
	p := startGuarded(t, allow, nil)
	other, _ := createKey(t, "other", "publish")
	mistyped := []byte(p.keys["all"])
	mistyped[20] ^= 1

	routes := keyRoutes("orders.1", "private", "$user:42")
	for _, r := range routes { // publishing comes first: polls have something to receive
		if status, code := p.ask(r, bearer(p.keys["all"])); status != 200 {
			t.Errorf("%s of %q with a key that allows everything: %d %s", r.name, r.channel, status, code)
		}
		for _, c := range []struct{ code, key string }{{"token_missing", ""}, {"key_unknown", other}, {"key_invalid", string(mistyped)}} {
			var lines []string
			if c.key != "" {
				lines = []string{bearer(c.key)}
			}
			if status, code := p.ask(r, lines...); status != 401 || code != c.code {
				t.Errorf("%s of %q without a known key: %d %s, want 401 %s", r.name, r.channel, status, code, c.code)
			}
		}
		for _, e := range entries {
			want := 403
			if allows(e, r) {
				want = 200
			}
			if status, code := p.ask(r, bearer(p.keys[e])); status != want || want == 403 && code != "not_allowed" {
				t.Errorf("%s of %q with %s: %d %s, want %d", r.name, r.channel, e, status, code, want)
			}
		}
	}
}

// Streams ask for the same, and a message on a WebSocket is a publication as any other.
func TestKeysOnStreams(t *testing.T) {
	p := startGuarded(t, map[string][]string{
		"reader": {"subscribe:orders.*"}, "writer": {"subscribe:orders.*", "publish:orders.*"}, "publisher": {"publish"},
	}, nil)
	header := func(name string) http.Header { return http.Header{"Authorization": {"Bearer " + p.keys[name]}} }
	for _, c := range []struct {
		name, channel string
		status        int
		close         uint16
	}{
		{"reader", "orders.1", 200, 0}, {"reader", "private", 403, 4403}, {"reader", "$user:42", 403, 4403}, {"publisher", "orders.1", 403, 4403}, {"nobody", "orders.1", 401, 4401},
	} {
		query, line := "channel="+url.QueryEscape(c.channel), "Authorization: "+header(c.name).Get("Authorization")
		if c.status == 200 {
			p.events(query, line).opened()
		} else if got := p.do("GET", "/sse?"+query, "", line).status; got != c.status {
			t.Errorf("SSE of %s with %s: %d, want %d", c.channel, c.name, got, c.status)
		}
		w := p.dialSocket("/ws?channel="+url.QueryEscape(c.channel), header(c.name))
		if c.close != 0 {
			if got := w.closed(); got != c.close {
				t.Errorf("WebSocket of %s with %s: closed with %d, want %d", c.channel, c.name, got, c.close)
			}
			continue
		}
		w.send(false, "from a reader")
		if got := w.closed(); got != 4403 {
			t.Errorf("a message of %s: closed with %d, want 4403", c.name, got)
		}
	}
	w := p.dialSocket("/ws?channel=orders.1", header("writer"))
	w.send(false, "from a writer")
	if got := w.next(); got.data != "from a writer" {
		t.Errorf("received %q", got.data)
	}
}

// A key is accepted in the header only: elsewhere others can read it.
func TestKeysElsewhereAreRefused(t *testing.T) {
	p := startGuarded(t, map[string][]string{"all": {"subscribe", "publish"}}, nil)
	key := p.keys["all"]
	a := p.do("POST", "/publish?channel=a&token="+key, "x")
	if code := decode[problem](t, a.body).Error.Code; a.status != 401 || code != "key_misplaced" || strings.Contains(string(a.body), key[5:]) {
		t.Errorf("in the URL: %d %s", a.status, code)
	}
	w := p.dialSocket("/ws?channel=a", http.Header{"Sec-WebSocket-Protocol": {"peal.raw, peal.token." + key}})
	if got := w.closed(); got != 4401 {
		t.Errorf("in the subprotocol: closed with %d, want 4401", got)
	}
}

// SIGHUP replaces the keys of a running server, and nobody else notices. The counts of
// a name go on. A key is neither in the log nor in the metrics.
func TestKeysAreReplacedWhileTheServerRuns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.yaml")
	write := func(all ...apikey.Definition) {
		t.Helper()
		text := "keys:\n"
		for _, d := range all {
			text += fmt.Sprintf("  - {name: %q, digest: %q, allow: [%q]}\n", d.Name, d.Digest, d.Allow[0])
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first, shop := createKey(t, "shop", "publish")
	second, replaced := createKey(t, "shop", "publish:orders.*")
	third, crm := createKey(t, "crm", "subscribe")
	watcher, test := createKey(t, "test", "publish:tick")
	write(shop, crm, test)
	admin := filepath.Join(t.TempDir(), "admin")
	o := operate(t, nil, nil, "", "--auth", "token", "--key-file", path, "--admin", "unix:"+admin, "--access-log", "stderr")
	o.proof = watcher
	status := func(key, channel string) int {
		t.Helper()
		return o.do("POST", "/publish?channel="+channel, "x", bearer(key)).status
	}
	reader := o.events("channel=a", bearer(third)).opened()
	if got := status(first, "a"); got != 200 {
		t.Fatalf("the first key: %d", got)
	}
	if got := status(second, "orders.1"); got != 401 {
		t.Errorf("a key that is not in the file yet: %d", got)
	}
	write(crm, test, replaced)
	o.signal(syscall.SIGHUP)
	o.awaitLine(`"applied":"keys","need_restart":0`)
	if got := []int{status(first, "a"), status(second, "orders.1"), status(second, "a"), status(third, "a")}; got[0] != 401 || got[1] != 200 || got[2] != 403 || got[3] != 403 {
		t.Errorf("after the reload: %v, want 401 200 403 403", got)
	}
	if e := reader.next(); e.data != "x" {
		t.Errorf("the reader received %+v", e)
	}
	metrics := ""
	for _, want := range []string{`peal_key_requests_total{key="shop"} 3`, `peal_key_requests_total{key="crm"} 2`, `peal_key_last_use_seconds{key="shop"} 1.`} {
		o.await("metrics have "+want, func() bool { // the last use is noted once a second
			metrics = overSocket(t, admin, "GET", "/metrics")
			return strings.Contains(metrics, want)
		})
	}
	o.end(syscall.SIGTERM)
	for _, key := range []string{first, second, third, watcher} {
		if strings.Contains(o.said(), key[5:]) || strings.Contains(metrics, key[5:]) {
			t.Error("the log or the metrics have a key")
		}
	}
}

// A reload ends what was opened with a key that is gone or allows less, on every
// transport, before it says that it is done. Others stay, and may do more at once.
func TestConnectionsEndWithTheirKey(t *testing.T) {
	names := []string{"gone", "less", "more", "same"}
	allow := map[string][]string{"inspector": {"inspect"}}
	for _, name := range names {
		allow[name] = []string{"subscribe", "history"}
	}
	p := startGuarded(t, allow, nil)
	p.proof = p.keys["inspector"]
	sockets, streams, polls := map[string]*socket{}, map[string]*eventStream{}, map[string]chan answer{}
	for _, name := range names {
		sockets[name] = p.dialSocket("/ws?channel=a", http.Header{"Authorization": {"Bearer " + p.keys[name]}})
		streams[name] = p.events("channel=a", bearer(p.keys[name])).opened()
		polls[name] = make(chan answer, 1)
		go func() { // ends with the response
			a, _ := p.try("GET", "/poll?channel=a", "", bearer(p.keys[name])) // without one the status is 0
			polls[name] <- a
		}()
	}
	p.awaitSubscribers("a", 3*len(names))

	next := p.config
	next.Keys = nil
	for _, d := range p.config.Keys {
		switch d.Name {
		case "gone":
			continue
		case "less":
			d.Allow = []string{"subscribe"}
		case "more":
			d.Allow = []string{"publish", "subscribe", "history"}
		}
		next.Keys = append(next.Keys, d)
	}
	if err := p.server.Reload(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if got := p.subscribers("a"); got != 6 {
		t.Errorf("%d connections are left when the reload is done, want 6", got)
	}
	for name, want := range map[string]struct {
		close  uint16
		status int
		code   string
	}{"gone": {4401, 401, "key_unknown"}, "less": {1013, 503, "key_changed"}} {
		if got := sockets[name].closed(); got != want.close {
			t.Errorf("WebSocket of the key %s: closed with %d, want %d", name, got, want.close)
		}
		if _, err := streams[name].tryNext(); err != io.EOF {
			t.Errorf("event stream of the key %s: %v, want its end", name, err)
		}
		if a := <-polls[name]; a.status != want.status || decode[problem](t, a.body).Error.Code != want.code {
			t.Errorf("poll of the key %s: %d %s, want %d %s", name, a.status, a.body, want.status, want.code)
		}
	}
	sockets["more"].send(false, "from a key that may publish now")
	for _, name := range []string{"more", "same"} {
		if f := sockets[name].next(); !strings.HasPrefix(f.data, "from a key") {
			t.Errorf("WebSocket of the key %s received %q", name, f.data)
		}
		if e := streams[name].next(); !strings.HasPrefix(e.data, "from a key") {
			t.Errorf("event stream of the key %s received %+v", name, e)
		}
		if a := <-polls[name]; a.status != 200 {
			t.Errorf("poll of the key %s: %d", name, a.status)
		}
	}
	sockets["same"].send(false, "from a key that may not")
	if got := sockets["same"].closed(); got != 4403 {
		t.Errorf("closed with %d, want 4403", got)
	}
}

// The examples of docs/keys.md publish, as they are printed there.
func TestTheExamplesOfKeysPublish(t *testing.T) {
	page, err := os.ReadFile("../../docs/keys.md")
	if err != nil {
		t.Fatal(err)
	}
	p := startGuarded(t, map[string][]string{"shop": {"publish:orders.*"}, "reader": {"subscribe"}}, nil)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "shop.key"), []byte(p.keys["shop"]+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const address = "http://127.0.0.1:8080"
	published := 0
	for _, c := range []struct {
		language string
		needs    string
		command  []string
	}{
		{"sh", "curl", []string{"sh", "example.sh"}},
		{"php", "php", []string{"php", "example.php"}},
		{"js", "node", []string{"node", "example.mjs"}},
	} {
		t.Run(c.language, func(t *testing.T) {
			tool(t, c.needs)
			for _, block := range regexp.MustCompile("(?s)```"+c.language+"\n(.*?)```").FindAllSubmatch(page, -1) {
				text := string(block[1])
				if !strings.Contains(text, address) {
					continue
				}
				if err := os.WriteFile(filepath.Join(dir, c.command[1]), []byte(strings.ReplaceAll(text, address, p.url)), 0o600); err != nil {
					t.Fatal(err)
				}
				cmd := exec.Command(c.command[0], c.command[1:]...)
				cmd.Dir, cmd.Env = dir, append(os.Environ(), "PEAL_KEY="+p.keys["shop"])
				out, err := cmd.CombinedOutput()
				published++
				a := p.do("GET", "/channels/orders.7/history?limit=100", "", bearer(p.keys["reader"]))
				if messages := decode[struct{ Messages []message }](t, a.body).Messages; err != nil || len(messages) != published {
					t.Errorf("%v, %s: %d messages, want %d", err, out, len(messages), published)
				}
				return
			}
			t.Errorf("docs/keys.md has no example for %s", c.language)
		})
	}
}
