package auth_test

import (
	"testing"

	"peal/server/auth"
)

func TestJudge(t *testing.T) {
	local := &auth.Policy{Hosts: []string{"peal.internal"}, Origins: []string{"https://app.example"}}
	open := &auth.Policy{Open: true, Origins: []string{"https://app.example"}}
	bytes := func(s string) []byte {
		if s == "-" {
			return nil
		}
		return []byte(s)
	}
	for _, c := range []struct {
		host, origin, site    string
		plain, guarded        auth.Verdict // of the local policy
		openPlain, openGuards auth.Verdict
	}{
		{"-", "-", "-", auth.Welcome, auth.Welcome, auth.Welcome, auth.Welcome},
		{"localhost:8080", "-", "-", auth.Welcome, auth.Welcome, auth.Welcome, auth.Welcome},
		{"10.0.0.7", "-", "none", auth.Welcome, auth.Welcome, auth.Welcome, auth.Welcome},
		{"10.0.0.7", "-", "same-origin", auth.Welcome, auth.Welcome, auth.Welcome, auth.Welcome},
		{"peal.internal:8081", "-", "-", auth.Welcome, auth.Welcome, auth.Welcome, auth.Welcome},
		{"PEAL.internal.", "-", "-", auth.Welcome, auth.Welcome, auth.Welcome, auth.Welcome},
		{"xpeal.internal", "-", "-", auth.ForeignHost, auth.ForeignHost, auth.Welcome, auth.Welcome},
		{"peal.internal.evil.example", "-", "-", auth.ForeignHost, auth.ForeignHost, auth.Welcome, auth.Welcome},
		{"evil.example", "http://evil.example", "same-origin", auth.ForeignHost, auth.ForeignHost, auth.Welcome, auth.Welcome}, // rebound
		{"localhost", "-", "cross-site", auth.Welcome, auth.CrossSite, auth.Welcome, auth.CrossSite},
		{"localhost", "-", "same-site", auth.Welcome, auth.CrossSite, auth.Welcome, auth.CrossSite},
		{"localhost", "-", "", auth.Welcome, auth.CrossSite, auth.Welcome, auth.CrossSite},
		{"localhost", "-", "something-new", auth.Welcome, auth.CrossSite, auth.Welcome, auth.CrossSite},
		{"localhost", "http://localhost:3000", "same-site", auth.Welcome, auth.Welcome, auth.Welcome, auth.Welcome},
		{"127.0.0.1", "http://localhost:3000", "cross-site", auth.Welcome, auth.Welcome, auth.Welcome, auth.Welcome},
		{"127.0.0.1", "https://app.example", "cross-site", auth.Welcome, auth.Welcome, auth.Welcome, auth.Welcome},
		{"127.0.0.1", "https://app.example:8443", "cross-site", auth.ForeignOrigin, auth.ForeignOrigin, auth.Welcome, auth.Welcome},
		{"127.0.0.1", "http://app.example", "cross-site", auth.ForeignOrigin, auth.ForeignOrigin, auth.Welcome, auth.Welcome},
		{"127.0.0.1", "null", "cross-site", auth.ForeignOrigin, auth.ForeignOrigin, auth.Welcome, auth.Welcome},
		{"127.0.0.1", "", "-", auth.ForeignOrigin, auth.ForeignOrigin, auth.Welcome, auth.Welcome},
	} {
		r := auth.Request{Host: bytes(c.host), Origin: bytes(c.origin), Site: bytes(c.site)}
		for _, one := range []struct {
			name    string
			policy  *auth.Policy
			guarded bool
			want    auth.Verdict
		}{{"local", local, false, c.plain}, {"local, guarded", local, true, c.guarded}, {"open", open, false, c.openPlain}, {"open, guarded", open, true, c.openGuards}} {
			if got := one.policy.Judge(r, one.guarded); got != one.want {
				t.Errorf("%s: %q %q %q: %d, want %d", one.name, c.host, c.origin, c.site, got, one.want)
			}
		}
		if n := testing.AllocsPerRun(10, func() { local.Judge(r, true) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}

// Open is for who sends no cookies: those of other sites' users are not theirs to use.
func TestTrustIsForNamedOriginsAndThisMachine(t *testing.T) {
	p := &auth.Policy{Open: true, Origins: []string{"https://app.example"}}
	for origin, want := range map[string]bool{
		"https://app.example": true, "http://localhost:3000": true, "http://127.0.0.1": true,
		"https://evil.example": false, "https://app.example.evil.example": false, "null": false, "": false,
	} {
		if got := p.Trusts([]byte(origin)); got != want {
			t.Errorf("%q: %v, want %v", origin, got, want)
		}
	}
}

func TestIsOrigin(t *testing.T) {
	for text, want := range map[string]bool{
		"https://app.example": true, "http://app.example:8080": true, "https://[2001:db8::1]:8443": true, "http://10.0.0.7": true,
		"": false, "*": false, "app.example": false, "https://": false, "https://app.example/": false, "https://app.example/x": false,
		"https://APP.example": false, "HTTPS://app.example": false, "https://app.example:443": false, "http://app.example:80": false, "https://app.example:": false,
		"https://app.example:x": false, "https://u@app.example": false, "https://*.example": false, "ftp://app.example": false, "null": false, "https://a b": false,
	} {
		if got := auth.IsOrigin(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	for text, want := range map[string]bool{"peal": true, "peal.monitoring.svc": true, "": false, "Peal": false, "peal:80": false, "*": false, ".peal": false, "a/b": false} {
		if got := auth.IsHost(text); got != want {
			t.Errorf("host %q: %v, want %v", text, got, want)
		}
	}
}
