package auth_test

import (
	"testing"

	"peal/server/auth"
)

func TestWhichPagesAreTheServersOwn(t *testing.T) {
	p := &auth.Policy{Open: true, AnyHost: true, Origins: []string{"https://app.example"}}
	bytes := func(text string) []byte {
		if text == "" {
			return nil
		}
		return []byte(text)
	}
	for _, c := range []struct {
		origin, site, referer string
		cross, own            bool
	}{
		{"", "", "", false, false}, // no browser, or one of before 2023: its cookies do not count
		{"", "same-origin", "", false, true},
		{"", "none", "", false, false}, // typed into the address line: a link could be pasted there
		{"", "same-site", "https://push.example/", true, false},
		{"", "cross-site", "https://push.example/", true, false},
		{"", "", "https://push.example/page?x#y", false, true},
		{"", "", "https://push.example", false, true},
		{"", "", "https://push.example.evil/", false, false},
		{"", "", "https://evil.example/?https://push.example/", false, false},
		{"", "", "https://push.example@evil.example/", false, false},
		{"", "", "//push.example/", false, false},
		{"https://push.example", "", "", false, true},
		{"https://PUSH.example:443", "same-origin", "", false, true},
		{"https://push.example:8443", "", "", true, false},
		{"https://app.example", "", "", false, true},
		{"https://app.example", "same-site", "", false, true},
		{"https://app.example", "cross-site", "", false, false}, // it may use the server, by a token of its own
		{"https://evil.example", "", "https://push.example/", true, false},
		{"null", "", "", true, false},
		{"null", "same-origin", "", true, false},
		{"http://localhost:3000", "", "", false, true},
	} {
		r := auth.Request{Host: []byte("push.example"), Origin: bytes(c.origin), Site: bytes(c.site)}
		if got := p.IsCrossSite(r); got != c.cross {
			t.Errorf("%+v: cross-site %v", c, got)
		}
		if got := p.IsOwn(r, bytes(c.referer)); got != c.own {
			t.Errorf("%+v: own %v", c, got)
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		r := auth.Request{Host: []byte("push.example"), Origin: []byte("https://push.example")}
		p.IsCrossSite(r)
		p.IsOwn(r, nil)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A page of http is not the server's own where the request came over TLS: another could
// have sent it in the server's name.
func TestOwnPagesOfAServerWithTLS(t *testing.T) {
	p := &auth.Policy{AnyHost: true}
	for _, c := range []struct {
		host, origin string
		secure, own  bool
	}{
		{"push.example", "https://push.example", true, true},
		{"push.example:443", "https://push.example", true, true},
		{"push.example:8443", "https://push.example:8443", true, true},
		{"push.example", "https://push.example:8443", true, false},
		{"push.example", "http://push.example", true, false},
		{"push.example:80", "http://push.example", true, false},
		{"push.example:443", "http://push.example:443", true, false},
		{"push.example", "http://push.example", false, true},
		{"push.example", "https://push.example", false, true}, // a proxy has removed TLS
	} {
		r := auth.Request{Host: []byte(c.host), Origin: []byte(c.origin), HTTPS: c.secure}
		if got := p.IsOwn(r, nil); got != c.own {
			t.Errorf("%+v: own %v", c, got)
		}
		if got := p.IsCrossSite(r); got == c.own {
			t.Errorf("%+v: cross-site %v", c, got)
		}
		if got := p.Judge(r, true) == auth.Welcome; got != c.own {
			t.Errorf("%+v: welcome %v", c, got)
		}
		if got := p.IsOwn(auth.Request{Host: r.Host, HTTPS: c.secure}, []byte(c.origin+"/page")); got != c.own {
			t.Errorf("%+v, by the Referer: own %v", c, got)
		}
	}
}

// Where clients prove who they are, any name may lead to the server, and its own pages
// may use it under that name.
func TestAnyHostAcceptsThePagesOfItsOwnHost(t *testing.T) {
	p := &auth.Policy{AnyHost: true}
	for origin, want := range map[string]auth.Verdict{"https://push.example": auth.Welcome, "https://evil.example": auth.ForeignOrigin, "null": auth.ForeignOrigin} {
		if got := p.Judge(auth.Request{Host: []byte("push.example"), Origin: []byte(origin)}, false); got != want {
			t.Errorf("%s: %v, want %v", origin, got, want)
		}
	}
}

// Of a request over TLS only pages of https are the server's own: one of http could come
// from anybody on the way.
func TestOverTLSOwnPagesAreOfHTTPS(t *testing.T) {
	p := &auth.Policy{AnyHost: true}
	for _, c := range []struct {
		origin string
		https  bool
		own    bool
	}{
		{"https://push.example", true, true}, {"http://push.example", true, false}, {"http://push.example:443", true, false},
		{"https://push.example", false, true}, {"http://push.example", false, true},
		{"http://localhost:3000", true, true}, // trusted whatever the scheme
	} {
		r := auth.Request{Host: []byte("push.example"), Origin: []byte(c.origin), HTTPS: c.https}
		if got := p.IsOwn(r, nil); got != c.own || p.IsCrossSite(r) == c.own || (p.Judge(r, true) == auth.Welcome) != c.own {
			t.Errorf("%+v: own %v", c, got)
		}
		r = auth.Request{Host: r.Host, HTTPS: c.https}
		if got := p.IsOwn(r, []byte(c.origin+"/page")); got != (c.own && c.origin != "http://localhost:3000") {
			t.Errorf("%+v as the Referer: own %v", c, got)
		}
	}
}
