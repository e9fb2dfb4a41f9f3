package outside

import (
	"slices"
	"testing"
)

// Each symptom has lines for each kind of proxy, all of them while it is unknown, and
// none if Peal itself responds.
func TestEachSymptomHasAdviceForEachProxy(t *testing.T) {
	for s := range forwards + 1 {
		for _, kind := range Kinds() {
			if a := s.advice(kind); len(a) != 1 || a[0].Proxy != kind || len(a[0].Lines) == 0 {
				t.Errorf("symptom %d, %s: %+v", s, kind, a)
			}
		}
		for _, kind := range []string{"", "cloudflare"} {
			if a := s.advice(kind); len(a) != len(Kinds()) {
				t.Errorf("symptom %d, %q: %+v", s, kind, a)
			}
		}
		if a := s.advice(none); len(a) != 0 {
			t.Errorf("symptom %d without a proxy: %+v", s, a)
		}
	}
}

func TestKindOfProxyByItsResponses(t *testing.T) {
	with := func(key, value string) response {
		return response{status: 400, header: map[string][]string{key: {value}}}
	}
	for _, c := range []struct {
		normal, malformed response
		want              string
	}{
		{with("Server", "nginx/1.22.1"), response{}, "nginx"}, {response{}, with("Server", "openresty"), "nginx"},
		{with("Via", "1.1 Caddy"), response{}, "caddy"}, {with("Server", "Apache/2.4.62 (Debian)"), response{}, "apache"},
		{with("Server", "cloudflare"), response{}, "cloudflare"}, {with("Server", "awselb/2.0"), response{}, "awselb"},
		{response{}, response{body: "<html><body><h1>400 Bad request</h1>\nYour browser sent an invalid request.\n</body></html>\n"}, "haproxy"},
		{response{}, response{body: "400 Bad Request: malformed MIME header"}, "traefik"},
		{response{}, response{code: "bad_request"}, none}, {response{}, response{}, ""},
	} {
		if kind, name := kindOf(c.normal, c.malformed); kind != c.want || (name == "") != (kind == none || kind == "") {
			t.Errorf("%+v, %+v: %q, %q, want %q", c.normal, c.malformed, kind, name, c.want)
		}
	}
	if !slices.Equal(Kinds(), []string{"nginx", "haproxy", "caddy", "apache", "traefik"}) {
		t.Error(Kinds())
	}
}
