package auth_test

import (
	"fmt"
	"testing"

	"peal/server/auth"
)

func TestJudge(t *testing.T) {
	local := &auth.Policy{Hosts: []string{"peal.internal"}, Origins: []string{"https://app.example", "https://*.example.org"}}
	open := &auth.Policy{Open: true, Origins: local.Origins}
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
		{"127.0.0.1", "https://a.example.org", "cross-site", auth.Welcome, auth.Welcome, auth.Welcome, auth.Welcome},
		{"127.0.0.1", "https://example.org", "cross-site", auth.ForeignOrigin, auth.ForeignOrigin, auth.Welcome, auth.Welcome},
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

// With AnyHost a server answers to any host, and to the pages of listed origins, of
// this machine, and of the host itself.
func TestAnyHostRefusesPagesOfOtherOrigins(t *testing.T) {
	p := &auth.Policy{AnyHost: true, Origins: []string{"https://app.example", "https://*.example.org"}}
	for _, c := range []struct {
		host, origin string
		want         auth.Verdict
	}{
		{"push.example", "https://app.example", auth.Welcome},
		{"push.example", "https://a.b.example.org", auth.Welcome},
		{"push.example", "http://localhost:3000", auth.Welcome},
		{"push.example", "https://push.example", auth.Welcome},
		{"push.example:8080", "http://push.example:8080", auth.Welcome},
		{"192.168.1.7:8080", "http://192.168.1.7:8080", auth.Welcome},
		{"push.example:8080", "http://push.example", auth.ForeignOrigin},
		{"push.example", "http://push.example:8080", auth.ForeignOrigin},
		{"push.example", "https://evil.example", auth.ForeignOrigin},
		{"push.example", "https://evil-push.example", auth.ForeignOrigin},
		{"push.example", "https://push.example.evil.example", auth.ForeignOrigin},
		{"push.example", "ftp://push.example", auth.ForeignOrigin},
		{"push.example", "push.example", auth.ForeignOrigin},
		{"push.example", "null", auth.ForeignOrigin},
		{"", "https://", auth.ForeignOrigin},
	} {
		if got := p.Judge(auth.Request{Host: []byte(c.host), Origin: []byte(c.origin)}, true); got != c.want {
			t.Errorf("%s on %s: %d, want %d", c.origin, c.host, got, c.want)
		}
	}
	if p.Judge(auth.Request{Host: []byte("push.example")}, true) != auth.Welcome {
		t.Error("a backend, which sends no Origin, is refused")
	}
	if p.Trusts([]byte("https://push.example")) {
		t.Error("the host's own pages may use cookies unlisted: the scheme of the host is not known")
	}
}

// Every site can make a page whose origin is null, with a sandboxed frame.
func TestNullIsWelcomeOnlyIfListedAndNeverTrusted(t *testing.T) {
	r := auth.Request{Host: []byte("localhost"), Origin: []byte("null"), Site: []byte("cross-site")}
	for _, c := range []struct {
		policy auth.Policy
		want   auth.Verdict
	}{
		{auth.Policy{}, auth.ForeignOrigin},
		{auth.Policy{Origins: []string{"https://app.example", "https://*.example.org"}}, auth.ForeignOrigin},
		{auth.Policy{Origins: []string{"https://app.example", "null"}}, auth.Welcome},
		{auth.Policy{AnyHost: true}, auth.ForeignOrigin},
		{auth.Policy{AnyHost: true, Origins: []string{"null"}}, auth.Welcome},
		{auth.Policy{Open: true}, auth.Welcome},
	} {
		if got := c.policy.Judge(r, true); got != c.want {
			t.Errorf("%+v: %d, want %d", c.policy, got, c.want)
		}
		if c.policy.Trusts(r.Origin) {
			t.Errorf("%+v trusts null", c.policy)
		}
	}
}

// Open is for who sends no cookies: those of other sites' users are not theirs to use.
func TestTrustIsForNamedOriginsAndThisMachine(t *testing.T) {
	p := &auth.Policy{Open: true, Origins: []string{"https://app.example", "https://*.example.org"}}
	for origin, want := range map[string]bool{
		"https://app.example": true, "https://a.example.org": true, "http://localhost:3000": true, "http://127.0.0.1": true,
		"https://evil.example": false, "https://app.example.evil.example": false, "https://example.org": false, "https://*.example.org": false, "null": false, "": false,
	} {
		if got := p.Trusts([]byte(origin)); got != want {
			t.Errorf("%q: %v, want %v", origin, got, want)
		}
	}
}

func TestIsHost(t *testing.T) {
	for text, want := range map[string]bool{"peal": true, "peal.monitoring.svc": true, "": false, "Peal": false, "peal:80": false, "*": false, ".peal": false, "a/b": false} {
		if got := auth.IsHost(text); got != want {
			t.Errorf("host %q: %v, want %v", text, got, want)
		}
	}
}

func BenchmarkJudge(b *testing.B) {
	list := func(n int, item string) (l []string) {
		for i := range n - 1 {
			l = append(l, fmt.Sprintf("https://app%d.example", i))
		}
		return append(l, item)
	}
	for _, c := range []struct {
		name    string
		origins []string
	}{{"exact", list(1, "https://app.example.org")}, {"wildcard", list(1, "https://*.example.org")}, {"last-of-100", list(100, "https://app.example.org")}, {"wildcard-last-of-1000", list(1000, "https://*.example.org")}} {
		b.Run("list="+c.name, func(b *testing.B) {
			p := &auth.Policy{AnyHost: true, Origins: c.origins}
			r := auth.Request{Host: []byte("push.example.org"), Origin: []byte("https://app.example.org"), Site: []byte("same-site")}
			b.ReportAllocs()
			for b.Loop() {
				if p.Judge(r, true) != auth.Welcome {
					b.Fatal("refused")
				}
			}
		})
	}
}
