package outside_test

import (
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"peal/cmd/peal/doctor"
	"peal/cmd/peal/doctor/outside"
	"peal/server"
)

// Behind a proxy that sends each request to another server, sessions of the Pusher protocol over
// plain HTTP are lost; by the name of the session they are not.
func TestSessionsOfThePusherProtocolStayWithOneServer(t *testing.T) {
	t.Parallel()
	withApp := func(c *server.Config) { c.App = "7:shop-key:shop-secret" }
	servers := []string{serve(t, withApp), serve(t, withApp)}
	var number atomic.Uint64
	balance := func(pick func(path string) uint64) string {
		s := httptest.NewServer(&httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: servers[pick(r.In.URL.Path)%2]})
			r.Out.Host = r.In.Host
		}})
		t.Cleanup(s.Close)
		return strings.TrimPrefix(s.URL, "http://")
	}
	for _, c := range []struct {
		what, at, key string
		want          doctor.Status
		value         string
	}{
		{"one server", servers[0], "shop-key", doctor.OK, "24 requests of 4 sessions"},
		{"turns", balance(func(string) uint64 { return number.Add(1) }), "shop-key", doctor.Failure, "unknown_session"},
		{"by the session", balance(func(path string) uint64 {
			if parts := strings.Split(path, "/"); len(parts) > 5 {
				return uint64(parts[5][0])
			}
			return 0
		}), "shop-key", doctor.OK, ""},
		{"no such app", servers[0], "other", doctor.Failure, "c[4001"},
		{"no app at all", serve(t, nil), "shop-key", doctor.Failure, "no_apps"},
	} {
		r := examine(t, c.at, func(v *outside.Visit) { v.AppKey, v.Quick = c.key, true })
		found := false
		for _, f := range r.Findings {
			if f.Check != "pusher-sessions" {
				continue
			}
			if found = true; f.Status != c.want || !strings.Contains(f.Value, c.value) || c.what == "turns" && len(f.Proxies) == 0 && len(f.Fix) == 0 {
				t.Errorf("%s: %+v", c.what, f)
			}
		}
		if !found {
			t.Errorf("%s: not checked\n%s", c.what, text(r))
		}
	}
}
