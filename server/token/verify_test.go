package token_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"peal/server/grant"
	"peal/server/token"
)

func TestTokenBecomesAGrant(t *testing.T) {
	v := verifier(t, config())
	text := hs(t, claims(map[string]any{
		"iat": start.Unix() - 60, "nbf": start.Unix() - 60, "jti": "id-1", "iss": "anybody", "aud": []string{"x"}, "other": map[string]any{"a": 1},
		"peal": map[string]any{
			"subscribe": []string{"orders.*", `a\*b`}, "publish": []string{"chat"}, "presence": []string{"room.*"},
			"info": map[string]any{"name": "Ann Ü"},
		},
	}))
	if g, err, ok := v.Cached([]byte(text)); g != nil || err != nil || ok {
		t.Fatalf("cached before it was verified: %v, %v", g, err)
	}
	g := accepted(t, v, text)
	if g.Kind != grant.User || g.Subject != "42" || g.ID != "id-1" || g.Issued != start.Unix()-60 || g.Info != `{"name":"Ann Ü"}` {
		t.Errorf("%+v", g)
	}
	if want := start.Unix() + 3600 + 10; g.Expires != want {
		t.Errorf("expires at %d, want exp and the leeway, %d", g.Expires, want)
	}
	for _, c := range []struct {
		action  grant.Action
		channel string
		want    bool
	}{
		{grant.Subscribe, "orders.1", true}, {grant.History, "orders.1", true}, {grant.Publish, "orders.1", false}, {grant.Presence, "orders.1", false},
		{grant.Subscribe, "a*b", true}, {grant.Subscribe, "axb", false},
		{grant.Publish, "chat", true}, {grant.Subscribe, "chat", false}, {grant.Presence, "room.1", true},
		{grant.Disconnect, "orders.1", false}, {grant.Subscribe, "$user:42", false},
	} {
		if got := g.Allows(c.action, c.channel); got != c.want {
			t.Errorf("%v of %s: %v, want %v", c.action, c.channel, got, c.want)
		}
	}
	if again, err, ok := v.Cached([]byte(text)); again != g || err != nil || !ok {
		t.Errorf("cached: %v, %v, %v, want the same grant", again, err, ok)
	}
	if accepted(t, v, text) != g || v.Stats().Verified != 1 {
		t.Errorf("%d verifications, want 1", v.Stats().Verified)
	}
}

func TestTokenWithoutPealGrantsNothing(t *testing.T) {
	v := verifier(t, config())
	for _, peal := range []any{nil, map[string]any{}, map[string]any{"subscribe": []string{}}} {
		g := accepted(t, v, hs(t, claims(map[string]any{"peal": peal})))
		for _, a := range grant.Actions() {
			if g.May(a) || g.Allows(a, "orders.1") {
				t.Errorf("peal %v grants %v", peal, a)
			}
		}
	}
}

func TestEveryAlgorithmAndFormOfKey(t *testing.T) {
	r, e, d := rsaKey(), ecKey(), edKey()
	c := config()
	c.Secrets = []string{"another secret of more than 32 bytes", secret}
	c.SecretFile = file(t, "secrets", "\n"+strings.Repeat("f", 32)+"\r\n  "+strings.Repeat("g", 40)+"\n")
	c.Keys = []string{file(t, "all.pem", "comment\n"+r.pem()+e.certificate()), file(t, "ed.pem", d.pem()), file(t, "old.pem", ecKey().pem())}
	v := verifier(t, c)
	for i, key := range []string{secret, c.Secrets[0], strings.Repeat("f", 32), strings.Repeat("g", 40)} {
		for _, kid := range []string{"", "any"} { // secrets have none, so it says nothing
			if g := accepted(t, v, sign(t, jwt.SigningMethodHS256, []byte(key), kid, claims(nil))); g.Subject != "42" {
				t.Errorf("secret %d: %+v", i, g)
			}
		}
	}
	for _, p := range []pair{r, e, d} {
		accepted(t, v, p.sign(t, "", claims(nil)))
	}
	refused(t, v, ecKey().sign(t, "", claims(nil)), "token_invalid", "signature of the token is wrong")
	refused(t, verifier(t, config()), e.sign(t, "", claims(nil)), "token_invalid", "no key for the alg")
	refused(t, verifier(t, token.Config{}), hs(t, claims(nil)), "token_expired", "")
	none := token.Config{Now: config().Now}
	refused(t, verifier(t, none), hs(t, claims(nil)), "token_invalid", "no key for the alg")
}

func TestTimesHaveALeeway(t *testing.T) {
	at := func(seconds int64) int64 { return start.Unix() + seconds }
	for _, c := range []struct {
		name   string
		claims map[string]any
		leeway time.Duration
		code   string // "" if the token is good
	}{
		{"just expired", map[string]any{"exp": at(-9)}, 0, ""},
		{"expired", map[string]any{"exp": at(-10)}, 0, "token_expired"},
		{"expired at this second", map[string]any{"exp": at(0)}, -1, "token_expired"},
		{"the last second", map[string]any{"exp": at(1)}, -1, ""},
		{"soon valid", map[string]any{"nbf": at(10)}, 0, ""},
		{"not yet valid", map[string]any{"nbf": at(11)}, 0, "token_not_yet_valid"},
		{"soon issued", map[string]any{"iat": at(10)}, 0, ""},
		{"issued in the future", map[string]any{"iat": at(11)}, 0, "token_not_yet_valid"},
		{"a minute", map[string]any{"exp": at(-59), "nbf": at(60)}, time.Minute, ""},
		{"a day from iat", map[string]any{"iat": at(-3600), "exp": at(-3600 + 24*3600)}, 0, ""},
		{"more than a day from iat", map[string]any{"iat": at(-3600), "exp": at(-3600 + 24*3600 + 1)}, 0, "token_invalid"},
		{"a day from now", map[string]any{"exp": at(24*3600 + 10)}, 0, ""},
		{"more than a day from now", map[string]any{"exp": at(24*3600 + 11)}, 0, "token_invalid"},
	} {
		with := config()
		with.Leeway = c.leeway
		_, err := verifier(t, with).Verify([]byte(hs(t, claims(c.claims))))
		if c.code == "" && err != nil || c.code != "" && (err == nil || err.Code != c.code) {
			t.Errorf("%s: %v, want %q", c.name, err, c.code)
		}
	}
}

func TestIssuerAndAudienceAreComparedIfConfigured(t *testing.T) {
	c := config()
	c.Issuers, c.Audiences = []string{"https://a.example", "b"}, []string{"peal", "other"}
	v := verifier(t, c)
	accepted(t, v, hs(t, claims(map[string]any{"iss": "b", "aud": "other"})))
	accepted(t, v, hs(t, claims(map[string]any{"iss": "https://a.example", "aud": []string{"x", "peal"}})))
	for _, iss := range []any{nil, "", "https://a.example/", "B"} {
		refused(t, v, hs(t, claims(map[string]any{"iss": iss, "aud": "peal"})), "token_invalid", "token-issuer")
	}
	for _, aud := range []any{nil, "", "Peal", []string{}, []string{"x", "y"}, []string{"peal,other"}, 5, []any{"peal", 5}} {
		refused(t, v, hs(t, claims(map[string]any{"iss": "b", "aud": aud})), "token_invalid", "token-audience")
	}
}

func TestEqualScopesAreShared(t *testing.T) {
	v := verifier(t, config())
	scope := func(sub string, subscribe, publish []string) *grant.Scope {
		return accepted(t, v, hs(t, claims(map[string]any{"sub": sub, "peal": map[string]any{"subscribe": subscribe, "publish": publish}}))).Scope
	}
	one := scope("1", []string{"a", "b"}, []string{"c"})
	if scope("2", []string{"a", "b"}, []string{"c"}) != one {
		t.Error("equal lists have two scopes")
	}
	v.Drop(func(g *grant.Grant) bool { return g.Subject == "1" })
	if scope("3", []string{"a", "b"}, []string{"c"}) != one {
		t.Error("a scope ends with the first token that has it")
	}
	// What would collide if lists were joined by a separator.
	for i, lists := range [][2][]string{
		{{"a,b"}, {"c"}}, {{"a b"}, {"c"}}, {{"a|b"}, {"c"}}, {{"ab"}, {"c"}}, {{"a"}, {"b", "c"}}, {{"a", "b", "c"}, {}}, {{}, {"a", "b", "c"}}, {{"a", "bc"}, {}}, {{"ab", "c"}, {}}, {{"b", "a"}, {"c"}},
	} {
		s := scope(fmt.Sprint("x", i), lists[0], lists[1])
		if s == one {
			t.Errorf("%q is the scope of other lists", lists)
		}
		for a, list := range map[grant.Action][]string{grant.Subscribe: lists[0], grant.Publish: lists[1]} {
			for _, channel := range []string{"a", "b", "c", "ab", "bc", "a,b", "a b", "a|b"} {
				if got, want := s.Allows(a, channel), slices.Contains(list, channel); got != want {
					t.Errorf("%q: %v of %q: %v, want %v", lists, a, channel, got, want)
				}
			}
		}
	}
	if got := v.Stats().Scopes; got != 11 {
		t.Errorf("%d scopes, want 11", got)
	}
}

func TestSignMakesTokensThatVerify(t *testing.T) {
	made := token.Claims{Subject: "42", ID: "j", Issuer: "i", Audience: "a", Subscribe: []string{"a.*"}, Publish: []string{"b"}, Presence: []string{"c"}, Info: `{"n": 1}`, Issued: start, Lifetime: time.Hour}
	text, err := token.Sign(secret, made)
	if err != nil {
		t.Fatal(err)
	}
	g := accepted(t, verifier(t, config()), text)
	scope := g.Scope
	want := &grant.Grant{Kind: grant.User, Subject: "42", ID: "j", Issued: start.Unix(), Expires: start.Unix() + 3600 + 10, Info: `{"n":1}`, Scope: scope}
	if !reflect.DeepEqual(g, want) || !g.Allows(grant.Subscribe, "a.b") || !g.Allows(grant.Publish, "b") || !g.Allows(grant.Presence, "c") {
		t.Errorf("%+v", g)
	}
	long := made
	long.Lifetime = 400 * 24 * time.Hour // longer than the default, which is the server's to refuse
	if _, err := token.Sign(secret, long); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(c *token.Claims){
		"sub must be":          func(c *token.Claims) { c.Subject = "" },
		"begins with $":        func(c *token.Claims) { c.Publish = []string{"$me"} },
		"a pattern of peal is": func(c *token.Claims) { c.Publish = []string{`\`} },
		"peal must be":         func(c *token.Claims) { c.Info = `{` },
		"info of peal":         func(c *token.Claims) { c.Info = `{"a":"` + strings.Repeat("x", 1024) + `"}` },
		"has expired":          func(c *token.Claims) { c.Lifetime = -time.Hour },
	} {
		bad := made
		change(&bad)
		if _, err := token.Sign(secret, bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := token.Sign("short", made); err == nil || !strings.Contains(err.Error(), "at least 32") || strings.Contains(err.Error(), "short") {
		t.Error(err)
	}
}
