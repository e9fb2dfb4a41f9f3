package admin_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"peal/server/admin"
	"peal/server/apikey"
	"peal/server/auth"
	"peal/server/credential"
)

// operators are an Access with a key for each list of rights.
func operators(t *testing.T, log *slog.Logger, allow ...string) (a *admin.Access, keys []string) {
	t.Helper()
	var all []credential.Definition
	for i, rights := range allow {
		key, err := apikey.Create(bytes.NewReader(bytes.Repeat([]byte{byte(i + 1)}, 32)))
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
		all = append(all, credential.Definition{Name: "operator " + rights, Digest: apikey.Digest(key), Allow: strings.Fields(rights)})
	}
	a = &admin.Access{Policy: &auth.Policy{}, Keys: new(atomic.Pointer[credential.Table]), Log: log}
	a.Keys.Store(credential.New(all))
	return a, keys
}

// Each request needs the right of what it does; a browser's key is the password of any user.
func TestOperatorsMayWhatTheirKeysAllow(t *testing.T) {
	var said bytes.Buffer
	a, keys := operators(t, slog.New(slog.NewTextHandler(&said, nil)), "read", "publish", "disconnect", "operate")
	h := admin.NewStartup(a, func() admin.Start { return admin.Start{} })
	h.Done(&inspected{source: source{ready: true}})
	ask := func(method, path, body string, with func(*http.Request)) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "http://127.0.0.1:8081"+path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		with(r)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	bearer := func(key string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+key) }
	}
	for _, c := range []struct{ method, path, body, allowed string }{ // allowed: indexes of keys
		{"GET", "/live", "", "0123"}, {"GET", "/connections", "", "0123"}, {"GET", "/dashboard/", "", "0123"}, {"GET", "/metrics", "", "0123"}, {"GET", "/cluster", "", "0123"}, {"HEAD", "/dashboard/app.js", "", "0123"}, {"GET", "/csrf", "", "0123"},
		{"POST", "/publish", `{"channel":"a","data":"b"}`, "1"},
		{"POST", "/disconnect", `{"client":"ann"}`, "2"}, {"POST", "/connections/open/disconnect", "", "2"},
		{"POST", "/reload", "", "3"}, {"POST", "/upgrade", "", "3"}, {"GET", "/debug/pprof/cmdline", "", "3"}, {"POST", "/debug/pprof/symbol", "", "3"}, {"DELETE", "/anything", "", "3"},
	} {
		if w := ask(c.method, c.path, c.body, func(*http.Request) {}); w.Code != 401 || !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Basic realm=") || !strings.Contains(w.Body.String(), `"code":"operator_key"`) {
			t.Errorf("%s %s without a key: %d %s", c.method, c.path, w.Code, w.Body)
		}
		for i, key := range keys {
			w := ask(c.method, c.path, c.body, bearer(key))
			switch allowed := strings.Contains(c.allowed, string(rune('0'+i))); {
			case allowed && (w.Code == 401 || w.Code == 403):
				t.Errorf("%s %s with key %d: %d %s", c.method, c.path, i, w.Code, w.Body)
			case !allowed && (w.Code != 403 || !strings.Contains(w.Body.String(), `"code":"not_allowed"`)):
				t.Errorf("%s %s with key %d: %d %s", c.method, c.path, i, w.Code, w.Body)
			}
		}
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if w := ask("GET", path, "", func(*http.Request) {}); w.Code != 200 {
			t.Errorf("%s without a key: %d", path, w.Code)
		}
	}
	for name, with := range map[string]func(*http.Request){
		"another key":     bearer(keys[0][:len(keys[0])-1] + "x"),
		"a user, no key":  func(r *http.Request) { r.SetBasicAuth(keys[0], "") },
		"another scheme":  func(r *http.Request) { r.Header.Set("Authorization", "Digest "+keys[0]) },
		"no scheme":       func(r *http.Request) { r.Header.Set("Authorization", keys[0]) },
		"in the URL":      func(r *http.Request) { r.URL.RawQuery = "key=" + keys[0] },
		"a cookie":        func(r *http.Request) { r.Header.Set("Cookie", "key="+keys[0]) },
		"of another page": func(r *http.Request) { r.Header.Set("Origin", "https://evil.example"); bearer(keys[0])(r) },
	} {
		if w := ask("GET", "/live", "", with); w.Code != 401 && w.Code != 403 {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
	w := ask("GET", "/csrf", "", func(r *http.Request) { r.SetBasicAuth("ann", keys[1]) })
	var answer struct {
		Token  string
		Rights []string
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Token == "" || strings.Join(answer.Rights, " ") != "read publish" {
		t.Errorf("%s", w.Body)
	}
	if w := ask("POST", "/publish", `{"channel":"a","data":"b"}`, func(r *http.Request) {
		r.SetBasicAuth("ann", keys[1])
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}); w.Code != 403 || !strings.Contains(w.Body.String(), "csrf") {
		t.Errorf("a browser without the token: %d %s", w.Code, w.Body)
	}

	log := said.String()
	if !strings.Contains(log, `msg="admin request" operator="operator disconnect" address=192.0.2.1:1234 method=POST path=/connections/open/disconnect status=200`) || strings.Contains(log, "method=GET path") {
		t.Errorf("the log lacks what was changed: %s", log)
	}
	if n := strings.Count(log, "none of an operator"); n < 1 || n > 5 {
		t.Errorf("%d lines about wrong keys", n)
	}
	for _, key := range keys {
		if strings.Contains(log, key[5:20]) {
			t.Error("the log has a key")
		}
	}
}

// A server that starts asks for keys, too, and says it before what it does.
func TestKeysAreAskedForDuringTheStart(t *testing.T) {
	a, keys := operators(t, nil, "read")
	h := admin.NewStartup(a, func() admin.Start { return admin.Start{Doing: "reading the log"} })
	for key, want := range map[string]int{"": 401, keys[0]: 503} {
		r := httptest.NewRequest("GET", "http://127.0.0.1:8081/cluster", nil)
		r.Header.Set("Authorization", "Bearer "+key)
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != want {
			t.Errorf("%q: %d", key, w.Code)
		}
	}
	a.Keys.Store(nil)
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, httptest.NewRequest("GET", "http://127.0.0.1:8081/debug/pprof/cmdline", nil)); w.Code != 200 {
		t.Errorf("without keys: %d", w.Code)
	}
}
