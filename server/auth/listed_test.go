package auth_test

import (
	"math/rand/v2"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"peal/server/auth"
)

func TestWildcardStandsForOneOrMoreLabels(t *testing.T) {
	check := func(item string, want bool, origins ...string) {
		t.Helper()
		p := &auth.Policy{Origins: []string{item}}
		for _, o := range origins {
			if got := p.Trusts([]byte(o)); got != want {
				t.Errorf("%s: %q: %v, want %v", item, o, got, want)
			}
		}
	}
	check("https://*.example.org", true, "https://a.example.org", "https://a.b.c.example.org", "https://xn--bcher-kva.example.org", "https://a_b-1.example.org")
	check("https://*.example.org", false,
		"https://example.org", "https://.example.org", "https://a..example.org", "https://.a.example.org", "https://aexample.org", "https://a.example.org.",
		"https://a.example.org.evil.test", "https://a.example.org:8443", "https://a.example.org:443", "http://a.example.org", "HTTPS://a.example.org", "https://A.example.org", "https://a.EXAMPLE.org",
		"https://evil.test/.example.org", "https://evil.test#.example.org", "https://evil.test?.example.org", "https://evil.test@a.example.org", "https://evil.test:80.example.org",
		"https://evil.test\\.example.org", "https://a b.example.org", "https://é.example.org", "https://*.example.org", "https://", "https", "", "null")
	check("https://*.example.org:8443", true, "https://a.example.org:8443")
	check("https://*.example.org:8443", false, "https://a.example.org", "https://a.example.org:443", "https://a.example.org:18443")
	check("http://*.example.org", true, "http://a.example.org")
	check("http://*.example.org", false, "https://a.example.org")
}

// welcome decides as a person would: it takes the origin apart with net/url, and
// compares label by label.
func welcome(item, origin string) bool {
	if item == origin {
		return !strings.Contains(item, "*")
	}
	u, err := url.Parse(origin)
	if err != nil || u.Scheme+"://"+u.Host != origin {
		return false
	}
	want, err := url.Parse(strings.Replace(item, "*", "star", 1))
	if err != nil || !strings.Contains(item, "*") || u.Scheme != want.Scheme || u.Port() != want.Port() || strings.HasSuffix(u.Host, ":") {
		return false
	}
	labels, behind := strings.Split(u.Hostname(), "."), strings.Split(want.Hostname(), ".")[1:]
	if len(labels) <= len(behind) || !slices.Equal(labels[len(labels)-len(behind):], behind) {
		return false
	}
	return !slices.ContainsFunc(labels, func(l string) bool { return !regexp.MustCompile(`^[a-z0-9_-]+$`).MatchString(l) })
}

func TestListedOriginsAgreeWithAPlainOracle(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	one := func(of ...string) string { return of[random.IntN(len(of))] }
	origin := func() string {
		text := one("https://", "https://", "http://", "https:/", "HTTPS://", "ftp://", "")
		for range random.IntN(4) {
			text += one("a", "b", "org", "example", "", "A", "-", "x.y", "é", " ", "/", "@", "#", "?", "*", "%2e", "[2001::1]") + one(".", ".", ".", ":", "")
		}
		text += one("a.org", "b.a.org", "a.example", "org", "", ".a.org") + one("", "", "", ":80", ":8443", ":443", ":", ".", "/")
		if random.IntN(20) == 0 {
			text = "null"
		}
		return text
	}
	near := func(item string) string {
		b := []byte(strings.Replace(item, "*", one("a", "a.b", "", "a..b", "A", "é", "x_-1", "*", ".", "a.", "a.org"), 1))
		if random.IntN(3) == 0 {
			b[random.IntN(len(b))] = one("/", ".", "a", "A", ":", "@", "#", "-", "\x00")[0]
		}
		return string(b)
	}
	agreed := map[bool]int{}
	for i := range 100_000 {
		item := one("https://", "http://") + one("*.a.org", "*.b.a.org", "a.org", "a.b.a.org", "*.a.example") + one("", "", ":8443")
		if auth.CheckOrigin(item) != nil {
			t.Fatalf("%s is refused", item)
		}
		o := origin()
		if random.IntN(2) == 0 {
			o = near(item)
		}
		p := &auth.Policy{Origins: []string{item}}
		want := welcome(item, o)
		if got := p.Trusts([]byte(o)); got != want {
			t.Fatalf("seed %d, step %d: %s lists %q: %v, want %v", seed, i, item, o, got, want)
		}
		if got := p.Judge(auth.Request{Host: []byte("localhost"), Origin: []byte(o)}, true) == auth.Welcome; got != want {
			t.Fatalf("seed %d, step %d: %s admits %q: %v, want %v", seed, i, item, o, got, want)
		}
		agreed[want]++
	}
	if agreed[true] < 1000 || agreed[false] < 1000 {
		t.Errorf("the generator is one-sided: %v", agreed)
	}
}

func TestCheckOriginSaysWhatToChange(t *testing.T) {
	for _, text := range []string{
		"https://app.example", "http://app.example:8080", "https://app.example:80", "https://[2001:db8::1]:8443", "http://10.0.0.7", "http://10.0.0.7:3000", "https://xn--bcher-kva.example", "http://intranet",
		"https://*.example.org", "https://*.push.example.org:8443", "http://*.internal.example", "null",
	} {
		if err := auth.CheckOrigin(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for text, says := range map[string]string{
		"":                          "must begin with https://",
		"*":                         "is every origin",
		"app.example":               "must begin with https://",
		"HTTPS://app.example":       "must begin with https://",
		"ftp://app.example":         "must begin with https://",
		"Null":                      "must begin with https://",
		"https://":                  "must have a host",
		"https://:8443":             "must have a host",
		"https://app.example/":      `remove "/"`,
		"https://app.example/x":     `remove "/x"`,
		"https://*.example.org/*":   `remove "/*"`,
		"https://app.example?x":     `remove "?x"`,
		"https://u@app.example":     "has a user",
		"https://APP.example":       "write https://app.example",
		"https://*.Example.org":     "write https://*.example.org",
		"https://app.example:443":   "write https://app.example",
		"http://app.example:80":     "write http://app.example",
		"https://app.example:":      "write https://app.example",
		"https://*.a.example:443":   "write https://*.a.example",
		"https://app.example:08":    "begins with 0",
		"https://app.example:0":     "begins with 0",
		"https://app.example:x":     "a port up to 65535",
		"https://app.example:*":     "a port up to 65535",
		"https://app.example:70000": "a port up to 65535",
		"https://a b":               "browsers never send",
		"https://bücher.example":    "xn--",
		"https://::1":               "browsers never send",
		"https://*":                 "in place of the first labels",
		"https://*example.org":      "in place of the first labels",
		"https://a*.example.org":    "in place of the first labels",
		"https://a.*.example.org":   "in place of the first labels",
		"https://*.*.example.org":   "may have one wildcard",
		"https://*.com":             "everybody with a name below .com",
		"https://*.localhost":       "everybody with a name below .localhost",
		"https://*.":                "browsers never send",
		"https://*..org":            "browsers never send",
		"https://*.example.org.":    "browsers never send",
		"https://*.10.0.0.7":        "before an IP address",
		"https://*.[2001:db8::1]":   "before an IP address",
	} {
		err := auth.CheckOrigin(text)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want an error with %q", text, err, says)
		}
	}
}
