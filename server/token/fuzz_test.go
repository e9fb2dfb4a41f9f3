package token_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"peal/server/grant"
)

// Signed correctly, whatever its header and payload say: what Peal accepts the library
// accepts with all its checks, and the grant has what an ordinary JSON parser reads.
func FuzzVerify(f *testing.F) {
	f.Add(goodHeader, marshal(f, claims(nil)))
	f.Add(goodHeader, `{"sub":"a","exp":1700003600,"iat":1700000000,"nbf":1,"jti":"x","aud":["a"],"peal":{"subscribe":["a.*","\\*"],"publish":["c"],"presence":[],"info":{"n":[1]}}}`)
	f.Add(`{"alg":"none"}`, `{"sub":"a","exp":1700003600.5}`)
	f.Add(`{"alg":"HS256","crit":[]}`, `{"sub":"a","exp":1700003600,"sub":"b"}`)
	v := verifier(f, config())
	library := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithStrictDecoding(), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
		jwt.WithLeeway(10*time.Second), jwt.WithTimeFunc(func() time.Time { return start }))
	f.Fuzz(func(t *testing.T, header, payload string) {
		text := craft(header, payload, secret)
		g, err := v.Verify([]byte(text))
		if (g == nil) == (err == nil) {
			t.Fatalf("%v and %v", g, err)
		}
		if g == nil {
			return
		}
		var read map[string]any // not a struct, for which names differ in case
		if err := json.Unmarshal([]byte(payload), &read); err != nil || read["sub"] != g.Subject {
			t.Errorf("%q: sub is %q: %v", payload, g.Subject, err)
		}
		lists, _ := read["peal"].(map[string]any)
		for _, a := range []grant.Action{grant.Subscribe, grant.Publish, grant.Presence} {
			list, _ := lists[a.String()].([]any)
			if g.May(a) != (len(list) > 0) {
				t.Errorf("%q: %v is granted: %v, want %q", payload, a, g.May(a), list)
			}
		}
		if _, err := library.Parse(text, func(*jwt.Token) (any, error) { return []byte(secret), nil }); err != nil {
			t.Errorf("%q %q: accepted, but the library says: %v", header, payload, err)
		}
	})
}

// No text makes Verify panic, and none without the secret is accepted.
func FuzzText(f *testing.F) {
	f.Add(craft(goodHeader, marshal(f, claims(nil)), "another secret"))
	f.Add("..")
	f.Add("a.b.c")
	v := verifier(f, config())
	f.Fuzz(func(t *testing.T, text string) {
		if g, err := v.Verify([]byte(text)); g != nil || err == nil || err.Status != 401 {
			t.Errorf("%q: %v, %v", text, g, err)
		}
	})
}
