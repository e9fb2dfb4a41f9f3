package token_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"peal/server/grant"
	"peal/server/pattern"
)

const goodHeader = `{"alg":"HS256","typ":"JWT"}`

func TestBadHeadersAreRefused(t *testing.T) {
	v := verifier(t, config())
	payload := marshal(t, claims(nil))
	accepted(t, v, craft(goodHeader, payload, secret))
	accepted(t, v, craft(`{"typ":"at+jwt","kid":"k","alg":"HS256","x5t":"abc"}`, payload, secret))
	for _, c := range []struct{ header, want string }{
		{`{"alg":"none"}`, "alg must be"}, {`{"alg":"None"}`, "alg must be"}, {`{"alg":""}`, "alg must be"}, {`{}`, "alg must be"},
		{`{"alg":"HS512"}`, "alg must be"}, {`{"alg":"PS256"}`, "alg must be"}, {`{"alg":"hs256"}`, "alg must be"}, {`{"ALG":"HS256"}`, "alg must be"},
		{`{"alg":["HS256"]}`, "as strings"}, {`{"alg":null}`, "as strings"}, {`{"alg":"HS256","kid":5}`, "as strings"},
		{`{"alg":"HS256","alg":"none"}`, "without a name twice"}, {`{"alg":"none","alg":"HS256"}`, "without a name twice"}, {`{"alg":"HS256","kid":"a","kid":"b"}`, "without a name twice"},
		{`{"alg":"HS256","\u0061lg":"HS256"}`, "without a name twice"},
		{`{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}}`, "its own key"}, {`{"alg":"HS256","jku":"https://evil.example/jwks"}`, "its own key"},
		{`{"alg":"HS256","x5u":"https://evil.example/x"}`, "its own key"}, {`{"alg":"HS256","x5c":["AAAA"]}`, "its own key"},
		{`{"alg":"HS256","crit":["b64"],"b64":false}`, "crit"}, {`{"alg":"HS256","crit":[]}`, "crit"},
		{`null`, "must be a JSON object"}, {`[]`, "must be a JSON object"}, {``, "must be a JSON object"}, {goodHeader + `{}`, "must be a JSON object"}, {`{"alg":"HS256"`, "must be a JSON object"},
		{"{\"alg\":\"HS256\",\"kid\":\"\xff\"}", "must be a JSON object"},
	} {
		if refused(t, v, craft(c.header, payload, secret), "token_invalid", c.want); t.Failed() {
			t.Fatalf("the header was %s", c.header)
		}
	}
}

func TestBadClaimsAreRefused(t *testing.T) {
	v := verifier(t, config())
	exp := start.Unix() + 3600
	good := func(more string) string { return fmt.Sprintf(`{"sub":"42","exp":%d%s}`, exp, more) }
	accepted(t, v, craft(goodHeader, good(""), secret))
	long := strings.Repeat("s", 195)
	for _, c := range []struct{ payload, code, want string }{
		{`{"sub":"42"}`, "token_invalid", "no exp"},
		{`{"sub":"42","exp":null}`, "token_invalid", "whole seconds"},
		{fmt.Sprintf(`{"sub":"42","exp":"%d"}`, exp), "token_invalid", "whole seconds"},
		{fmt.Sprintf(`{"sub":"42","exp":%d.0}`, exp), "token_invalid", "whole seconds"},
		{fmt.Sprintf(`{"sub":"42","exp":%d.5}`, exp), "token_invalid", "whole seconds"},
		{`{"sub":"42","exp":1.7e9}`, "token_invalid", "whole seconds"},
		{fmt.Sprintf(`{"sub":"42","exp":%d000}`, exp), "token_invalid", "whole seconds"}, // milliseconds
		{`{"sub":"42","exp":99999999999999999999999999}`, "token_invalid", "whole seconds"},
		{`{"sub":"42","exp":9223372036854775807}`, "token_invalid", "whole seconds"},
		{`{"sub":"42","exp":999999999999}`, "token_invalid", "token-lifetime"},
		{fmt.Sprintf(`{"sub":"42","exp":-%d}`, exp), "token_invalid", "whole seconds"},
		{`{"sub":"42","exp":0}`, "token_invalid", "whole seconds"},
		{`{"sub":"42","exp":1}`, "token_expired", "expired"},
		{`{"sub":"42","exp":true}`, "token_invalid", "whole seconds"},
		{fmt.Sprintf(`{"sub":"42","exp":%d,"exp":%d}`, exp, exp+1), "token_invalid", "without a name twice"},
		{fmt.Sprintf(`{"sub":"42","exp":1,"\u0065xp":%d}`, exp), "token_invalid", "without a name twice"},
		{fmt.Sprintf(`{"sub":"42","EXP":%d}`, exp), "token_invalid", "no exp"},
		{good(`,"nbf":"0"`), "token_invalid", "whole seconds"}, {good(`,"iat":1.5`), "token_invalid", "whole seconds"},
		{good(fmt.Sprintf(`,"nbf":%d`, exp)), "token_not_yet_valid", "nbf"},
		{fmt.Sprintf(`{"exp":%d}`, exp), "token_invalid", "sub must be"},
		{fmt.Sprintf(`{"exp":%d,"sub":42}`, exp), "token_invalid", "a number needs quotes"},
		{fmt.Sprintf(`{"exp":%d,"sub":""}`, exp), "token_invalid", "sub must be"},
		{fmt.Sprintf(`{"exp":%d,"sub":"a\nb"}`, exp), "token_invalid", "sub must be"},
		{fmt.Sprintf(`{"exp":%d,"sub":"a\u0000"}`, exp), "token_invalid", "sub must be"},
		{fmt.Sprintf(`{"exp":%d,"sub":"%s"}`, exp, long), "token_invalid", "1 to 194 bytes"},
		{good(`,"sub":"43"`), "token_invalid", "without a name twice"},
		{good(`,"other":{"a":1,"a":2}`), "token_invalid", "without a name twice"},
		{good(`,"jti":5`), "token_invalid", "jti"}, {good(`,"jti":""`), "token_invalid", "jti"}, {good(`,"jti":"` + long + long + `"`), "token_invalid", "jti"},
		{good(`,"iss":{}`), "token_invalid", "iss"},
		{good(`,"peal":null`), "token_invalid", "peal must be"}, {good(`,"peal":[]`), "token_invalid", "peal must be"}, {good(`,"peal":"*"`), "token_invalid", "peal must be"},
		{good(`,"peal":{"subscribe":"*"}`), "token_invalid", "peal must be"}, {good(`,"peal":{"subscribe":[5]}`), "token_invalid", "peal must be"},
		{good(`,"peal":{"subscribe":null}`), "token_invalid", "peal must be"}, {good(`,"peal":{"Subscribe":["a"]}`), "token_invalid", "peal must be"},
		{good(`,"peal":{"disconnect":[]}`), "token_invalid", "peal must be"}, {good(`,"peal":{"revoke":["*"]}`), "token_invalid", "peal must be"}, {good(`,"peal":{"history":["*"]}`), "token_invalid", "peal must be"},
		{good(`,"peal":{"publish":["a"],"publish":["b"]}`), "token_invalid", "without a name twice"},
		{good(`,"peal":{"subscribe":[""]}`), "token_invalid", "a pattern is 1 to 200 bytes"},
		{good(`,"peal":{"subscribe":["a\\b"]}`), "token_invalid", "backslash at byte 2"},
		{good(`,"peal":{"subscribe":["` + long + long + `"]}`), "token_invalid", "a pattern is 1 to 200 bytes"},
		{good(`,"peal":{"subscribe":["a","$user:43"]}`), "token_invalid", "begins with $"}, {good(`,"peal":{"presence":["$*"]}`), "token_invalid", "begins with $"},
		{good(`,"peal":{"subscribe":[` + strings.Repeat(`"a",`, 60) + `"a"],"publish":[` + strings.Repeat(`"a",`, 39) + `"a"]}`), "token_invalid", "more than 100 patterns"},
		{good(`,"peal":{"info":"Ann"}`), "token_invalid", "peal must be"}, {good(`,"peal":{"info":{"a":1,"a":2}}`), "token_invalid", "without a name twice"},
		{good(`,"peal":{"info":{"a":"` + strings.Repeat("x", 1020) + `"}}`), "token_invalid", "1,024 bytes"},
		{`null`, "token_invalid", "claims of the token"}, {`[]`, "token_invalid", "claims of the token"}, {`5`, "token_invalid", "claims of the token"},
		{``, "token_invalid", "three parts"}, {good("") + "x", "token_invalid", "three parts"}, {"{\"sub\":\"\xff\"}", "token_invalid", "claims of the token"},
	} {
		if refused(t, v, craft(goodHeader, c.payload, secret), c.code, c.want); t.Failed() {
			t.Fatalf("the payload was %s", c.payload)
		}
	}
}

// A star does not grant more than the signer wrote: neither by an inserted value, nor
// the server's channels, nor what only resembles the prefix.
func TestPatternsDoNotReachFurther(t *testing.T) {
	v := verifier(t, config())
	customer := `*` // a name that a user chose
	g := accepted(t, v, hs(t, claims(map[string]any{"peal": map[string]any{"subscribe": []string{"orders." + pattern.Escape(customer) + ".*", "*"}, "publish": []string{"orders.1.*"}}})))
	for channel, want := range map[string]bool{"orders.1.x": true, "orders.10.x": false, "orders.1": false, "xorders.1.x": false, "$user:42": false} {
		if got := g.Allows(grant.Publish, channel); got != want {
			t.Errorf("publish on %s: %v, want %v", channel, got, want)
		}
	}
	for _, channel := range []string{"$user:43", "$me", "$presence:orders"} {
		if g.Allows(grant.Subscribe, channel) {
			t.Errorf("* grants %s", channel)
		}
	}
}

func TestBadFormsAreRefused(t *testing.T) {
	v := verifier(t, config())
	good := hs(t, claims(nil))
	head, rest, _ := strings.Cut(good, ".")
	payload, mac, _ := strings.Cut(rest, ".")
	last := mac[len(mac)-1]
	for name, c := range map[string]struct{ text, want string }{
		"nothing":             {"", "three parts"},
		"two parts":           {head + "." + payload, "three parts"},
		"four parts":          {good + ".", "three parts"},
		"five parts, a JWE":   {"a.b.c.d.e", "three parts"},
		"padding":             {good + "=", "three parts"},
		"the other alphabet":  {head + "." + payload + "+." + mac, "three parts"},
		"a line end":          {good + "\n", "three parts"},
		"a line end within":   {head + "." + payload[:4] + "\r\n" + payload[4:] + "." + mac, "three parts"},
		"a space":             {" " + good, "three parts"},
		"a null":              {good + "\x00", "three parts"},
		"not UTF-8":           {good + "\xff", "three parts"},
		"no signature":        {head + "." + payload + ".", "signature of the token is wrong"},
		"a cut signature":     {good[:len(good)-3], "signature of the token is wrong"},
		"other trailing bits": {good[:len(good)-1] + string(last+1), "three parts"},
		"another payload":     {head + "." + base64url(marshal(t, claims(map[string]any{"sub": "1"}))) + "." + mac, "signature of the token is wrong"},
		"another secret":      {craft(goodHeader, marshal(t, claims(nil)), secret+"!"), "signature of the token is wrong"},
		"64 KiB":              {craft(goodHeader, marshal(t, claims(map[string]any{"x": strings.Repeat("x", 48<<10)})), secret), "at most 6 KiB"},
		"64 KiB of dots":      {strings.Repeat(".", 64<<10), "at most 6 KiB"},
		"6 KiB of brackets":   {head + "." + base64url(strings.Repeat("[", 4<<10)) + "." + mac, "three parts"},
	} {
		t.Run(name, func(t *testing.T) { refused(t, v, c.text, "token_invalid", c.want) })
	}
}

// An attacker knows public keys: used as the secret of HS256 they must not verify.
func TestPublicKeyIsNoSecret(t *testing.T) {
	p := rsaKey()
	c := config()
	c.Keys = []string{file(t, "rsa.pem", p.pem())}
	c.JWKS, c.Issuers, c.Audiences = []string{file(t, "jwks.json", jwks(t, p.jwk("k")))}, []string{"i"}, []string{"a"}
	payload := marshal(t, claims(map[string]any{"iss": "i", "aud": "a"}))
	for _, secrets := range [][]string{nil, {secret}} {
		c.Secrets = secrets
		v := verifier(t, c)
		for _, public := range []string{p.pem(), strings.TrimSpace(p.pem()), string(p.der()), p.jwk("k")["n"].(string)} {
			for _, header := range []string{goodHeader, `{"alg":"HS256","kid":"k"}`} {
				refused(t, v, craft(header, payload, public), "token_invalid", "")
			}
			refused(t, v, craft(`{"alg":"RS256","kid":"k"}`, payload, public), "token_invalid", "signature of the token is wrong")
		}
	}
	// A symmetric key in a published set is no secret either.
	oct := map[string]any{"kty": "oct", "kid": "o", "alg": "HS256", "k": base64url(secret)}
	c.Secrets, c.JWKS = nil, []string{file(t, "oct.json", jwks(t, oct, p.jwk("k")))}
	refused(t, verifier(t, c), craft(`{"alg":"HS256","kid":"o"}`, payload, secret), "token_invalid", "no key for the alg")
}

// A key of one type must not be read as one of another.
func TestAlgorithmsAreNotExchanged(t *testing.T) {
	all := map[string]pair{"RS256": rsaKey(), "ES256": ecKey(), "EdDSA": edKey()}
	for signer, p := range all {
		c := config()
		c.Keys = []string{file(t, "key.pem", p.pem())}
		v := verifier(t, c)
		good := p.sign(t, "", claims(nil))
		_, rest, _ := strings.Cut(good, ".")
		for alg := range all {
			text := base64url(`{"alg":"`+alg+`"}`) + "." + rest
			if alg != signer {
				refused(t, v, text, "token_invalid", "no key for the alg")
			}
		}
		refused(t, v, base64url(`{"alg":"none"}`)+"."+rest, "token_invalid", "alg must be")
		refused(t, v, sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "", claims(nil)), "token_invalid", "alg must be")
	}
}

// Bad tokens leave nothing behind, however many different ones come.
func TestBadTokensTakeNoMemory(t *testing.T) {
	v := verifier(t, config())
	head := base64url(goodHeader)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	mac := hmac.New(sha256.New, []byte("not the secret"))
	var before uint64
	for i := range 10_000 {
		if i == 1000 {
			before = heap()
		}
		payload := fmt.Sprintf(`{"sub":"%d","exp":%d,"peal":{"subscribe":["c%d"]}}`, i, start.Unix()+3600, i)
		signed := head + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
		mac.Reset()
		mac.Write([]byte(signed))
		if _, err := v.Verify([]byte(signed + "." + base64url(string(mac.Sum(nil))))); err == nil || err.Code != "token_invalid" {
			t.Fatal(err)
		}
	}
	if after := heap(); after > before+1<<20 {
		t.Errorf("%d bytes more after 9,000 bad tokens", after-before)
	}
	if s := v.Stats(); s.Cached != 0 || s.Scopes != 0 || s.Bytes != 0 || s.Refused != 10_000 {
		t.Errorf("%+v", s)
	}
}
