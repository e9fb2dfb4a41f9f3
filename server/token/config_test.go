package token_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"peal/server/token"
)

func TestValidateReportsAllFaultsByTheNamesOfSettings(t *testing.T) {
	private := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(ecKey().private))}))
	weak := pair{jwt.SigningMethodRS256, must(rsa.GenerateKey(rand.Reader, 1024))}
	curve := pair{jwt.SigningMethodES384, must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))}
	wants := []string{
		"token-secret, number 2: a secret of 5 bytes: must have at least 32",
		"token-secret, number 3: is a PEM key: name its file with token-key",
		"number 1: a secret of 8 bytes: must have at least 32",
		"token-secret and token-secret-file: 9 secrets: must be at most 8",
		"token-key: open /nowhere/key.pem: no such file",
		"private.pem has a private key, which belongs to the application only",
		"weak.pem has an RSA key of 1024 bits: must have 2048 to 8192",
		"curve.pem has an ECDSA key of another curve than P-256",
		"empty.pem has no PEM block",
		"broken.pem has no public key",
		"token-key: 9 keys: must be at most 8",
		"token-jwks, number 1: open /nowhere/jwks.json: no such file",
		"token-jwks, number 2: http://login.example/jwks: must be a file, an https URL, or an http URL of a loopback host",
		"token-jwks, number 3: a URL with a password",
		"token-jwks, number 4: not a URL",
		"token-jwks, number 5: the JWKS has no key",
		"token-jwks, number 6: not a JWKS",
		"token-jwks, number 7: ftp://localhost/jwks: must be",
		"token-jwks needs token-audience",
		"token-leeway: 6m0s: must be at most 5m0s",
		"token-lifetime: -1s: must be at least 1s",
	}
	c := config()
	c.Secrets = append([]string{secret, "short", ecKey().pem()}, strings.Fields(strings.Repeat(strings.Repeat("x", 32)+" ", 8))...)
	c.SecretFile = file(t, "secrets", "tooshort\n")
	c.Keys = []string{
		"/nowhere/key.pem", file(t, "private.pem", private), file(t, "weak.pem", weak.pem()), file(t, "curve.pem", curve.pem()),
		file(t, "empty.pem", "\n"), file(t, "broken.pem", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"), file(t, "many.pem", strings.Repeat(edKey().pem(), 9)),
	}
	c.Issuers = []string{"https://login.example"}
	c.JWKS = []string{"/nowhere/jwks.json", "http://login.example/jwks?key=hidden", "https://user:hidden@login.example/", "http://hidden\x7f/", file(t, "empty.json", jwks(t)), file(t, "no.json", "[]"), "ftp://localhost/jwks"}
	c.Leeway, c.Lifetime = 6*time.Minute, -time.Second
	err := c.Validate()
	if err == nil {
		t.Fatal("no faults")
	}
	for _, want := range wants {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("lacks %q", want)
		}
	}
	if got := len(strings.Split(err.Error(), "\n")); got != len(wants) {
		t.Errorf("%d faults, want %d:\n%v", got, len(wants), err)
	}
	for _, hidden := range []string{"short\n", secret, "hidden", "tooshort"} {
		if strings.Contains(err.Error(), hidden) {
			t.Errorf("the error has %q:\n%v", hidden, err)
		}
	}
	if v, err := token.New(c); v != nil || err == nil {
		t.Error("New accepts what Validate does not")
	}
}

func TestValidateKnowsWhichIssuerASetIsOf(t *testing.T) {
	set := file(t, "jwks.json", jwks(t, ecKey().jwk("k")))
	for _, c := range []struct {
		jwks, issuers []string
		want          string
	}{
		{[]string{set}, []string{"a"}, ""}, {[]string{"a=" + set, "b=" + set}, []string{"a", "b"}, ""},
		{[]string{"a=https://a.example/?a=b", "http://localhost:1/", "http://127.0.0.1:1/", "http://[::1]:1/"}, []string{"a"}, ""},
		{[]string{set}, nil, "token-jwks needs token-issuer"},
		{[]string{set}, []string{"a", "b"}, "number 1: with several token-issuer, must begin with one of them and ="},
		{[]string{"c=" + set}, []string{"a", "b"}, "number 1: with several token-issuer"},
		{[]string{set}, []string{""}, "must not be empty"},
		{strings.Split(strings.Repeat(set+" ", 16)+set, " "), []string{"a"}, "17 sets: must be at most 16"},
	} {
		with := config()
		with.JWKS, with.Issuers, with.Audiences = c.jwks, c.issuers, []string{"peal"}
		if err := with.Validate(); c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q of %q: %v, want %q", c.jwks, c.issuers, err, c.want)
		}
	}
}

func TestFilesAreThoseThatAreRead(t *testing.T) {
	c := token.Config{
		SecretFile: "s", Keys: []string{"k"}, Issuers: []string{"https://a.example", "b"},
		JWKS: []string{"https://a.example=/etc/a.json", "b=https://b.example/jwks?x=y", "b=b.json"},
	}
	if got, want := c.Files(), []string{"s", "k", "/etc/a.json", "b.json"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestSecretFile(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "has no secret"}, {" \n\t\n", "has no secret"}, {rsaKey().pem(), "has a PEM key"},
	} {
		with := config()
		with.Secrets, with.SecretFile = nil, file(t, "secrets", c.text)
		if err := with.Validate(); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "token-secret-file") {
			t.Errorf("%q: %v, want %q", c.text, err, c.want)
		}
	}
	c, log := config(), &bytes.Buffer{}
	c.Log = slog.New(slog.NewTextHandler(log, nil))
	c.SecretFile = file(t, "secrets", secret+"\n")
	if err := c.Validate(); err != nil || log.Len() > 0 {
		t.Errorf("%v, %s", err, log)
	}
	if err := os.Chmod(c.SecretFile, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil || !strings.Contains(log.String(), "chmod o-r") || strings.Contains(log.String(), secret) {
		t.Errorf("a file that all can read: %v, %s", err, log)
	}
}

// A reload changes everything or, with a fault, nothing.
func TestReload(t *testing.T) {
	c := config()
	v := verifier(t, c)
	old, renewed := hs(t, claims(nil)), craft(goodHeader, marshal(t, claims(nil)), "new "+secret)
	accepted(t, v, old)

	both := c
	both.Secrets = []string{"new " + secret, secret}
	if err := v.Reload(both); err != nil {
		t.Fatal(err)
	}
	accepted(t, v, old)
	accepted(t, v, renewed)

	bad := both
	bad.Secrets, bad.Keys = both.Secrets[:1], []string{"/nowhere"}
	if err := v.Reload(bad); err == nil || !strings.Contains(err.Error(), "token-key") {
		t.Errorf("a reload with a fault: %v", err)
	}
	if v.Stats().Cached != 2 {
		t.Error("a reload that failed empties the cache")
	}
	accepted(t, v, old)

	both.Secrets = both.Secrets[:1]
	if err := v.Reload(both); err != nil {
		t.Fatal(err)
	}
	refused(t, v, old, "token_invalid", "signature of the token is wrong") // it was cached
	accepted(t, v, renewed)
}
