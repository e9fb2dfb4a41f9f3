package token_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"peal/server/grant"
	"peal/server/refusal"
	"peal/server/token"
)

const secret = "a secret of more than thirty-two bytes"

// start is the time of clocks in the tests.
var start = time.Unix(1_700_000_000, 0)

// clock is a time that a test moves.
type clock struct{ seconds atomic.Int64 }

func (c *clock) now() time.Time        { return start.Add(time.Duration(c.seconds.Load()) * time.Second) }
func (c *clock) move(by time.Duration) { c.seconds.Add(int64(by / time.Second)) }

// config has a secret, and the clock of tests, which stands at start.
func config() token.Config {
	return token.Config{Secrets: []string{secret}, Now: func() time.Time { return start }, Log: slog.New(slog.DiscardHandler)}
}

func verifier(t testing.TB, c token.Config) *token.Verifier {
	t.Helper()
	v, err := token.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// claims are those of a good token, with changes; nil removes one.
func claims(changes map[string]any) jwt.MapClaims {
	c := jwt.MapClaims{"sub": "42", "exp": start.Unix() + 3600, "peal": map[string]any{"subscribe": []string{"orders.*"}}}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// sign returns a token of the claims, by the library.
func sign(t testing.TB, method jwt.SigningMethod, key any, kid string, c jwt.Claims) string {
	t.Helper()
	unsigned := jwt.NewWithClaims(method, c)
	if kid != "" {
		unsigned.Header["kid"] = kid
	}
	signed, err := unsigned.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func hs(t testing.TB, c jwt.Claims) string {
	return sign(t, jwt.SigningMethodHS256, []byte(secret), "", c)
}

func base64url(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// craft returns a token of any header and payload with the right signature for HS256.
func craft(header, payload, secret string) string {
	signed := base64url(header) + "." + base64url(payload)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(signed))
	return signed + "." + base64url(string(mac.Sum(nil)))
}

func marshal(t testing.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func accepted(t testing.TB, v *token.Verifier, text string) *grant.Grant {
	t.Helper()
	g, err := v.Verify([]byte(text))
	if err != nil {
		t.Helper()
		t.Fatalf("refused: %v", err)
	}
	return g
}

// refused checks that a token is refused by Verify with that code and a message with
// a part of want, and that nothing of it is cached or in the message.
func refused(t testing.TB, v *token.Verifier, text, code, want string) *refusal.Error {
	t.Helper()
	g, err := v.Verify([]byte(text))
	if g != nil || err == nil {
		t.Errorf("accepted: %+v", g)
		return nil
	}
	if err.Code != code || !strings.Contains(err.Message, want) {
		t.Errorf("%s: %s\nwant %s with %q", err.Code, err.Message, code, want)
	}
	for part := range strings.SplitSeq(text, ".") {
		if len(part) > 20 && strings.Contains(err.Message, part) {
			t.Errorf("the message has a part of the token: %s", err.Message)
		}
	}
	if _, _, ok := v.Cached([]byte(text)); ok && v.Stats().Cached > 0 {
		t.Error("a token that was refused is cached")
	}
	return err
}

// file writes a file and returns its path.
func file(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
