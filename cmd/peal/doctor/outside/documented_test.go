package outside_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"peal/cmd/peal/doctor"
	"peal/cmd/peal/doctor/outside"
)

// documented is a configuration of docs/proxies, with other addresses.
func documented(t *testing.T, name string, replace ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "docs", "proxies", name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer(replace...).Replace(string(b))
}

// noFault checks that nothing is found, and that these checks were made.
func noFault(t *testing.T, r *doctor.Report, made ...string) {
	t.Helper()
	if got := faults(r); len(got) > 0 {
		t.Errorf("found %q\n%s", got, text(r))
	}
	for _, check := range made {
		ok := false
		for _, f := range r.Findings {
			ok = ok || f.Check == check && f.Status == doctor.OK
		}
		if !ok {
			t.Errorf("%s is not ok\n%s", check, text(r))
		}
	}
}

var everything = []string{"reachable", "route", "token", "keep-alive", "cache", "last-event-id", "authorization", "large-headers", "host", "cors", "preflight", "event-stream", "websocket", "websocket-delivery", "idle-event-stream", "idle-websocket", "long-poll"}

func TestDocumentedConfigurationsHaveNoFault(t *testing.T) {
	t.Parallel()
	peal, addrs := serve(t, nil), ports(t, 3)
	reached := map[string]string{"no proxy": peal}
	if at := addrs[0]; tool(t, "nginx") != "" {
		startNginx(t, documented(t, "nginx.conf", "127.0.0.1:8080", peal, "listen 80;", "listen "+at+";", "\nhttp {", "\nhttp {"+nginxPlaces), []string{at})
		reached["nginx"] = at
	}
	if at := addrs[1]; tool(t, "haproxy") != "" {
		startHAProxy(t, documented(t, "haproxy.cfg", "127.0.0.1:8080", peal, "bind :80", "bind "+at), []string{at})
		reached["HAProxy"] = at
	}
	if at, dir := addrs[2], t.TempDir(); optional("caddy") {
		run(t, dir, "Caddyfile", documented(t, "Caddyfile", "127.0.0.1:8080", peal, ":80 {", "{\nadmin off\nauto_https off\n}\nhttp://push.example:"+at[strings.Index(at, ":")+1:]+" {\nbind "+at[:strings.Index(at, ":")]),
			[]string{at}, "env", "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir, "caddy", "run", "--adapter", "caddyfile", "--config", filepath.Join(dir, "Caddyfile"))
		reached["Caddy"] = at
	}
	var all sync.WaitGroup
	for name, at := range reached {
		all.Go(func() {
			noFault(t, examine(t, at, nil), everything...)
			t.Log(name)
		})
	}
	all.Wait()
}

// The proxy lets strangers neither publish nor use peal.v1; both are on purpose. The
// messages come from the backend.
func TestNginxThatAsksHasNoFault(t *testing.T) {
	t.Parallel()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, err := url.Parse(r.Header.Get("X-Original-URI"))
		if err != nil || r.Header.Get("Cookie") != "user=ann" || !strings.HasPrefix(u.Query().Get("channel"), "peal-doctor") {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	defer backend.Close()
	peal, at := serve(t, nil), ports(t, 1)[0]
	startNginx(t, documented(t, "nginx-access.conf", "127.0.0.1:8080", peal, "127.0.0.1:9000", backend.Listener.Addr().String(), "listen 80;", "listen "+at+";", "\nhttp {", "\nhttp {"+nginxPlaces), []string{at})
	r := examine(t, at, func(v *outside.Visit) {
		v.Header.Set("Cookie", "user=ann")
		v.Publish = &url.URL{Scheme: "http", Host: peal}
	})
	noFault(t, r, "route", "token", "publish", "event-stream", "websocket", "idle-event-stream", "idle-websocket", "long-poll")
}
