package token_test

import (
	"strings"
	"testing"

	"peal/server/grant"
	"peal/server/token"
)

func mercureConfig() token.Config {
	c := config()
	c.Form, c.Prefix = token.Mercure, "mercure-publisher"
	return c
}

func TestMercureTokensGrantTopics(t *testing.T) {
	v := verifier(t, mercureConfig())
	payload := `{"mercure":{"publish":["a","https://a/books/{id}"],"subscribe":["*"],"payload":{"n": [1]}},"exp":1700003600.25,"iat":1700000000.999999,"sub":"42","jti":"x","peal":"of others"}`
	g, err := v.Verify([]byte(craft(goodHeader, payload, secret)))
	if err != nil {
		t.Fatal(err)
	}
	if g.Kind != grant.User || !g.Topics || g.Subject != "42" || g.ID != "x" || g.Issued != 1_700_000_000 || g.Expires != 1_700_003_610 || g.Info != `{"n":[1]}` {
		t.Errorf("%+v", g)
	}
	for _, c := range []struct {
		action grant.Action
		topic  string
		want   bool
	}{
		{grant.Publish, "a", true}, {grant.Publish, "b", false}, {grant.Publish, "https://a/books/7", true}, {grant.Publish, "*", false},
		{grant.Subscribe, "anything", true}, {grant.History, "anything", true}, {grant.Presence, "a", false}, {grant.Disconnect, "a", false},
	} {
		if got := g.Allows(c.action, c.topic); got != c.want {
			t.Errorf("%v %q: %v", c.action, c.topic, got)
		}
	}
}

// What libraries of PHP and the pages of JWT debuggers sign by default is accepted.
func TestMercureTokensNeedNoExpAndNoSub(t *testing.T) {
	v := verifier(t, mercureConfig())
	for _, c := range []struct {
		payload            string
		publish, subscribe bool
		subject            string
		expires            int64
	}{
		{`{"mercure":{"publish":["a"]}}`, true, false, "", 0},
		{`{"mercure":{"subscribe":["a"],"publish":[]}}`, false, true, "", 0},
		{`{"mercure":{"publish":null}}`, false, false, "", 0},
		{`{"mercure":{}}`, false, false, "", 0},
		{`{}`, false, false, "", 0},
		{`{"sub":42,"jti":["x"],"mercure":{"publish":["a"]}}`, true, false, "", 0},
		{`{"sub":"","mercure":{"publish":["a"]},"exp":1800000000}`, true, false, "", 1_800_000_010}, // for years
	} {
		text := []byte(craft(goodHeader, c.payload, secret))
		for range 2 { // the second time from the cache
			g, err := v.Verify(text)
			if err != nil {
				t.Errorf("%s: %v", c.payload, err)
				break
			}
			if g.Allows(grant.Publish, "a") != c.publish || g.Allows(grant.Subscribe, "a") != c.subscribe || g.Subject != c.subject || g.Expires != c.expires {
				t.Errorf("%s: %+v", c.payload, g)
			}
		}
		if g, _, known := v.Cached(text); !known || g == nil {
			t.Errorf("%s: not cached", c.payload)
		}
	}
}

func TestMercureTokensThatAreRefused(t *testing.T) {
	v := verifier(t, mercureConfig())
	for _, c := range []struct{ payload, secret, want string }{
		{`{"mercure":{"publish":["a"]}}`, "another secret of more than 32 bytes", "token_invalid"},
		{`{"mercure":{"publish":["a"]},"exp":1699999989}`, secret, "token_expired"},
		{`{"mercure":{"publish":["a"]},"exp":1699999989.999}`, secret, "token_expired"},
		{`{"mercure":{"publish":["a"]},"nbf":1700000011}`, secret, "token_not_yet_valid"},
		{`{"mercure":{"publish":["a"]},"iat":1700000011}`, secret, "token_not_yet_valid"},
		{`{"mercure":{"publish":"a"}}`, secret, "token_invalid"},
		{`{"mercure":{"publish":[1]}}`, secret, "token_invalid"},
		{`{"mercure":{"subscribe":[""]}}`, secret, "token_invalid"},
		{`{"mercure":{"subscribe":["` + strings.Repeat(`","`, 101) + `"]}}`, secret, "token_invalid"},
		{`{"mercure":["a"]}`, secret, "token_invalid"},
		{`{"mercure":{"publish":["a"],"publish":["b"]}}`, secret, "token_invalid"},
		{`{"mercure":{"publish":["a"]},"exp":"1800000000"}`, secret, "token_invalid"},
		{`{"mercure":{"publish":["a"]},"exp":1.8e9}`, secret, "token_invalid"},
		{`{"mercure":{"publish":["a"]},"exp":1800000000.}`, secret, "token_invalid"},
	} {
		if g, err := v.Verify([]byte(craft(goodHeader, c.payload, c.secret))); g != nil || err.Code != c.want {
			t.Errorf("%.80s: %v %v, want %s", c.payload, g, err, c.want)
		}
	}
	// The forms do not mix: each ignores the claim of the other.
	if g, err := verifier(t, config()).Verify([]byte(craft(goodHeader, `{"sub":"1","exp":1700003600,"mercure":{"subscribe":["*"]}}`, secret))); err != nil || g.Topics || g.May(grant.Subscribe) {
		t.Errorf("%v %v", g, err)
	}
	if g, err := v.Verify([]byte(craft(goodHeader, `{"sub":"1","exp":1700003600,"peal":{"subscribe":["*"]}}`, secret))); err != nil || g.May(grant.Subscribe) {
		t.Errorf("%v %v", g, err)
	}
}

func TestFaultsOfMercureTokensNameTheirSettings(t *testing.T) {
	c := mercureConfig()
	c.Secrets, c.SecretFile, c.JWKS = []string{"short"}, "/nowhere/secret", []string{"/nowhere/keys"}
	err := c.Validate()
	if err == nil {
		t.Fatal("no fault")
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if !strings.HasPrefix(line, "mercure-publisher-") || strings.Contains(line, "token-") {
			t.Errorf("%s", line)
		}
	}
}

// Any payload is a grant or an error, and what is granted is in the token's lists.
func FuzzMercureClaims(f *testing.F) {
	f.Add(`{"mercure":{"publish":["*"],"subscribe":["https://a/{id}"],"payload":1},"exp":1800000000.5}`)
	f.Add(`{"mercure":{"publish":[]}}`)
	v := verifier(f, mercureConfig())
	f.Fuzz(func(t *testing.T, payload string) {
		g, err := v.Verify([]byte(craft(goodHeader, payload, secret)))
		if (g == nil) == (err == nil) {
			t.Fatalf("%v and %v", g, err)
		}
		if g != nil && g.Allows(grant.Publish, "a") && !strings.Contains(payload, "mercure") && !strings.Contains(payload, `\u`) {
			t.Errorf("%q grants", payload)
		}
	})
}
