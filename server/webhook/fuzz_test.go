package webhook

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"peal/server/outbound"
)

// A definition that is valid has an endpoint that a request can be sent to, and a secret of a good
// length; the error about another one contains neither.
func FuzzDefinition(f *testing.F) {
	for _, seed := range [][3]string{
		{"https://app.example/hooks?key=querysecret1", "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz", "orders.*"}, {"http://10.0.0.1:80/", "a-secret-of-24-bytes-here", "*"},
		{"https://user:pass@app.example/", "whsec_", "a"}, {"//x", "whsec_!", ""}, {"https://[::1]:99999/", "short", "$x"}, {"https://a b/", "\xff", "\xff"},
	} {
		f.Add(seed[0], seed[1], seed[2], true)
	}
	f.Fuzz(func(t *testing.T, address, secret, channels string, private bool) {
		d := Definition{Name: "shop", URL: address, Secret: secret, Events: []string{Publication}, Channels: []string{channels}, AllowPrivate: private}
		if err := Validate([]Definition{d}); err != nil {
			// What occurs in the error by chance, or because the address or a channel is like
			// the secret, occurs with another secret, too.
			other := d
			other.Secret = strings.Repeat("x", len(secret))
			if len(secret) > 20 && strings.Contains(err.Error(), secret) && !strings.Contains(fmt.Sprint(Validate([]Definition{other})), secret) {
				t.Fatalf("the error repeats the secret: %v", err)
			}
			return
		}
		u, err := url.Parse(address)
		if err != nil || u.Hostname() == "" || u.User != nil || u.Scheme != "https" && !(private && u.Scheme == "http") {
			t.Fatalf("%q is taken for an endpoint: %+v, %v", address, u, err)
		}
		if key, err := d.secret(); err != nil || len(key) < outbound.LeastSecret || len(key) > outbound.MostSecret {
			t.Fatalf("a secret of %d bytes, %v", len(key), err)
		}
		if shown := outbound.Redacted(address); u.RawQuery != "" && strings.Contains(shown, "?"+u.RawQuery) && u.RawQuery != "(not shown)" {
			t.Fatalf("%q shows its query", shown)
		}
	})
}

// However an endpoint says when it wants to be asked again, it is within the longest wait.
func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{"", "7", "-1", "99999999999999999999", "3601", "Wed, 21 Oct 2026 07:28:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 GMT", "1e3"} {
		f.Add(seed)
	}
	now := time.Date(2026, 10, 21, 7, 27, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		if d := retryAfter(text, now); d < 0 || d > mostRetryAfter {
			t.Fatalf("%q: %v", text, d)
		}
	})
}

// What is left of an error is text for a log, without the URL of the request.
func FuzzExplain(f *testing.F) {
	f.Add("dial tcp: no route", "https://app.example/hooks?key=querysecret1")
	f.Add("\xff\xfe", "https://x/")
	f.Add(strings.Repeat("ä", 200), "")
	f.Fuzz(func(t *testing.T, text, address string) {
		got := outbound.Explain(&url.Error{Op: "Post", URL: address, Err: plainError(text)})
		if !utf8.ValidString(got) || len(got) > 320 {
			t.Fatalf("%q", got)
		}
		if len(address) > 10 && strings.Contains(got, address) && !strings.Contains(text, address) {
			t.Fatalf("%q has the URL", got)
		}
	})
}

type plainError string

func (e plainError) Error() string { return string(e) }
