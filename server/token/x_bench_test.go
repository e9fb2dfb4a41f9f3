package token_test

import (
	"testing"

	"peal/server/grant"
)

// A token that is verified each time, as by dropping it from the cache.
func BenchmarkVerify(b *testing.B) {
	for name, p := range map[string]pair{"HS256": {}, "RS256": rsaKey(), "ES256": ecKey(), "EdDSA": edKey()} {
		b.Run("alg="+name, func(b *testing.B) {
			c, text := config(), []byte(nil)
			if name == "HS256" {
				text = []byte(hs(b, claims(nil)))
			} else {
				c.Keys = []string{file(b, "key.pem", p.pem())}
				text = []byte(p.sign(b, "", claims(nil)))
			}
			v := verifier(b, c)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(text); err != nil {
					b.Fatal(err)
				}
				v.Drop(func(*grant.Grant) bool { return true })
			}
		})
	}
}

// What a client with an expired token costs.
func BenchmarkExpired(b *testing.B) {
	p := ecKey()
	c := config()
	c.Keys = []string{file(b, "key.pem", p.pem())}
	v := verifier(b, c)
	text := []byte(p.sign(b, "", claims(map[string]any{"exp": start.Unix() - 60})))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(text); err == nil {
			b.Fatal("accepted")
		}
	}
}

func BenchmarkCached(b *testing.B) {
	v := verifier(b, config())
	texts := many(b, 10_000, nil)
	all := make([][]byte, len(texts))
	for i, one := range texts {
		all[i] = []byte(one)
		accepted(b, v, one)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, _, ok := v.Cached(all[i%len(all)]); !ok {
			b.Fatal("not cached")
		}
		i++
	}
}
