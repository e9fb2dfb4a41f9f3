package token_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"peal/server/grant"
)

// made is what the scripts in testdata print: tokens by their alg, and the keys that
// verify them.
type made struct {
	Tokens map[string]string
	PEM    map[string]string
	JWKS   json.RawMessage
}

// verifyAll verifies the tokens with a JWKS, and with PEM files.
func (m made) verifyAll(t *testing.T) {
	t.Helper()
	if len(m.Tokens) != 4 {
		t.Fatalf("%d tokens, want 4", len(m.Tokens))
	}
	bySet := config()
	bySet.Issuers, bySet.Audiences = []string{"https://login.example"}, []string{"peal"}
	byFile := bySet
	bySet.JWKS = []string{file(t, "jwks.json", string(m.JWKS))}
	for alg, text := range m.PEM {
		byFile.Keys = append(byFile.Keys, file(t, alg+".pem", text))
	}
	check := func(alg, text string, g *grant.Grant) {
		var info struct{ Name string }
		if err := json.Unmarshal([]byte(g.Info), &info); err != nil || info.Name != "Zoë 🦊" { // PHP writes escapes
			t.Errorf("%s: info is %s", alg, g.Info)
		}
		if g.Subject != "42" || g.Issued != start.Unix() || g.Expires != start.Unix()+3610 ||
			!g.Allows(grant.Subscribe, "orders.1") || !g.Allows(grant.Subscribe, "a*b") || g.Allows(grant.Subscribe, "axb") || !g.Allows(grant.Publish, "chat") || g.May(grant.Presence) {
			t.Errorf("%s: %+v", alg, g)
		}
	}
	setVerifier, fileVerifier := verifier(t, bySet), verifier(t, byFile)
	for alg, text := range m.Tokens {
		check(alg, text, accepted(t, setVerifier, text))
		if _, ok := m.PEM[alg]; ok || alg == "HS256" {
			check(alg, text, accepted(t, fileVerifier, text))
		}
		refused(t, setVerifier, text[:len(text)-8]+"AAAAAAAA", "token_invalid", "")
	}
}

// run runs a program that prints a made.
func run(t *testing.T, name string, args ...string) (m made) {
	t.Helper()
	c := exec.Command(name, append(args, secret, fmt.Sprint(start.Unix()+3600))...)
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &m); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return m
}

func TestTokensOfJose(t *testing.T) {
	_, err := os.Stat("testdata/jose/node_modules/jose")
	node, missing := exec.LookPath("node")
	if err != nil || missing != nil {
		reason := "needs Node and `npm ci --prefix server/token/testdata/jose`"
		if os.Getenv("PEAL_E2E") == "require" {
			t.Fatal(reason + "; PEAL_E2E=require says that it must be here")
		}
		t.Skip(reason)
	}
	run(t, node, "testdata/jose/sign.mjs").verifyAll(t)
}

// tokens.json was printed by sign.php with version 7.0.5 of the library.
func TestTokensOfFirebase(t *testing.T) {
	text, err := os.ReadFile("testdata/firebase/tokens.json")
	if err != nil {
		t.Fatal(err)
	}
	var m made
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	m.verifyAll(t)
}

func TestTokensOfTheInstalledFirebase(t *testing.T) {
	_, err := os.Stat("/usr/share/php/Firebase/JWT/JWT.php")
	php, missing := exec.LookPath("php")
	if err != nil || missing != nil {
		t.Skip("needs php-cli and php-firebase-php-jwt, which not every Debian has; TestTokensOfFirebase verifies tokens that it made")
	}
	run(t, php, "testdata/firebase/sign.php").verifyAll(t)
}
