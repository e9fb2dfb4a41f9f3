package endtoend_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"flag"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var updatePHP = flag.Bool("update-php", false, "rewrite clients/php/peal.php")

// phpSources are the files of the package, in the order of the single file.
var phpSources = []string{"Client.php", "Result.php", "PealException.php", "Token.php", "RedisPublisher.php"}

const phpHead = `<?php

/*
 * The PHP client of Peal in one file: require 'peal.php'. PHP 7.4 or later with
 * the extensions curl and json. It equals the package peal/peal, and is generated
 * from its src/ by "go test ./server/endtoend -run SingleFile -update-php".
 *
 * SPDX-License-Identifier: Apache-2.0
 */

`

const phpOpening = "<?php\n\ndeclare(strict_types=1);\n\nnamespace Peal;\n"

func TestPHPSingleFileIsThePackage(t *testing.T) {
	const dir = "../../clients/php/"
	want := phpHead + strings.TrimPrefix(phpOpening, "<?php\n\n")
	for _, name := range phpSources {
		b, err := os.ReadFile(dir + "src/" + name)
		if err != nil {
			t.Fatal(err)
		}
		body, ok := strings.CutPrefix(string(b), phpOpening)
		if !ok {
			t.Fatalf("%s does not begin with %q", name, phpOpening)
		}
		want += body
	}
	if *updatePHP {
		if err := os.WriteFile(dir+"peal.php", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(dir + "peal.php")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("clients/php/peal.php is not what src/ makes: go test ./server/endtoend -run SingleFile -update-php")
	}
	files, err := filepath.Glob(dir + "src/*")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(phpSources) {
		t.Errorf("src/ has %q, the single file %q", files, phpSources)
	}
}

// The package loads by PSR-4: each class from the file of its name.
func TestPHPPackageLoads(t *testing.T) {
	tool(t, "php")
	p := start(t)
	got := lines(t, "autoload.php", p.url)
	if want := []string{"Client", "Result", "Token", "PealException", "published"}; !slices.Equal(got, want) {
		t.Errorf("loaded %q, want %q", got, want)
	}
}

// The tests run a later PHP than the oldest that the client is for: at least no
// word of a later one may slip in.
func TestPHPClientIsOfPHP74(t *testing.T) {
	tool(t, "php")
	if got := lines(t, "php74.php", "../../clients/php/peal.php"); !slices.Equal(got, []string{"fine"}) {
		t.Errorf("later than PHP 7.4: %q", got)
	}
	later := filepath.Join(t.TempDir(), "later.php")
	const code = `<?php #[Attribute] class C {}
function f(#[SensitiveParameter] mixed $a, int|string $b): static { return match (true) { default => str_contains($a?->b, $b) }; }`
	if err := os.WriteFile(later, []byte(code), 0o644); err != nil {
		t.Fatal(err)
	}
	want := []string{"#[", "#[", "mixed", "int|string", "static", "match", "str_contains", "?->"}
	if got := lines(t, "php74.php", later); !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}

// jwtPart is a part of a token that is JSON.
func jwtPart(t *testing.T, token string, part int) string {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[part])
	if err != nil {
		t.Fatalf("part %d of %s: %v", part, token, err)
	}
	return string(b)
}

// secret of the tokens that tests sign: 32 bytes are the least.
const secret = "0123456789abcdef0123456789abcdef"

func TestPHPSignsTokens(t *testing.T) {
	tool(t, "php")
	got := client[string](t, "http://127.0.0.1:1", `{}`, `
		$secret = '`+secret+`';
		show(Peal\Token::sign(['sub' => 42, 'iat' => 1700000000, 'exp' => 1700000600, 'jti' => 'j', 'iss' => 'https://shop', 'aud' => ['peal'], 'peal' => [
			'subscribe' => ['orders.' . Peal\Token::escape('a*b\\c') . '.*'],
			'publish' => [],
			'presence' => [3 => 'chät', 7 => 'x/y'],
			'info' => ['name' => 'Ann'],
		]], $secret, 'HS256', 'k1'));
		show(Peal\Token::sign(['sub' => 'x', 'peal' => ['info' => []]], $secret));
		show(Peal\Token::sign(['sub' => 'x', 'peal' => []], $secret));
		show(Peal\Token::sign(['sub' => 'x'], $secret));
	`)
	if len(got) != 4 {
		t.Fatalf("signed %q", got)
	}
	// printf '%s' HEADER.CLAIMS | openssl dgst -sha256 -hmac SECRET -binary | basenc --base64url
	if want := hs256(got[0]); !strings.HasSuffix(got[0], "."+want) {
		t.Errorf("%s is signed with %s", got[0], want)
	}
	if head := jwtPart(t, got[0], 0); head != `{"alg":"HS256","typ":"JWT","kid":"k1"}` {
		t.Errorf("head %s", head)
	}
	const claims = `{"sub":"42","iat":1700000000,"exp":1700000600,"jti":"j","iss":"https://shop","aud":["peal"],"peal":{"subscribe":["orders.a\\*b\\\\c.*"],"publish":[],"presence":["chät","x/y"],"info":{"name":"Ann"}}}`
	if c := jwtPart(t, got[0], 1); c != claims {
		t.Errorf("claims %s, want %s", c, claims)
	}
	ids := map[string]bool{}
	for i, peal := range []string{`{"info":{}}`, `{}`, ""} {
		c := decode[struct {
			Sub, Jti string
			Iat, Exp int64
			Peal     json.RawMessage
		}](t, []byte(jwtPart(t, got[i+1], 1)))
		now := time.Now().Unix()
		if c.Sub != "x" || len(c.Jti) != 24 || c.Exp-c.Iat != 3600 || c.Iat > now || c.Iat < now-600 || string(c.Peal) != peal {
			t.Errorf("default claims %+v, peal %s", c, c.Peal)
		}
		ids[c.Jti] = true
	}
	if len(ids) != 3 {
		t.Errorf("three tokens have the ids %v", ids)
	}
}

// hs256 is the signature that a token must have.
func hs256(token string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(token[:strings.LastIndex(token, ".")]))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func TestPHPSignsTokensWithPrivateKeys(t *testing.T) {
	tool(t, "php")
	long, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := make([]string, 2)
	for i, key := range []any{long, curve} {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		keys[i] = "'" + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})) + "'"
	}
	// Signatures with short numbers come once in a hundred: 200 have one.
	got := client[string](t, "http://127.0.0.1:1", `{}`, `
		show(Peal\Token::sign(['sub' => 'x'], `+keys[0]+`, 'RS256'));
		for ($i = 0; $i < 200; $i++) {
			show(Peal\Token::sign(['sub' => "x$i"], `+keys[1]+`, 'ES256', 'main'));
		}
	`)
	if len(got) != 201 {
		t.Fatalf("%d tokens", len(got))
	}
	for i, token := range got {
		cut := strings.LastIndex(token, ".")
		sum := sha256.Sum256([]byte(token[:cut]))
		signature, err := base64.RawURLEncoding.DecodeString(token[cut+1:])
		switch {
		case err != nil:
			t.Fatal(err)
		case i == 0:
			if err := rsa.VerifyPKCS1v15(&long.PublicKey, crypto.SHA256, sum[:], signature); err != nil {
				t.Errorf("RS256: %v", err)
			}
		case len(signature) != 64 || !ecdsa.Verify(&curve.PublicKey, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])):
			t.Errorf("ES256: %s is not signed", token)
		}
	}
	if head := jwtPart(t, got[1], 0); head != `{"alg":"ES256","typ":"JWT","kid":"main"}` {
		t.Errorf("head %s", head)
	}

	for _, c := range []struct{ call, says string }{
		{`sign(['sub' => 'x'], '` + secret[1:] + `')`, "at least 32 bytes"},
		{`sign(['sub' => 'x'], '')`, "at least 32 bytes"},
		{`sign(['sub' => 'x'], ` + keys[0] + `)`, "choose RS256 or ES256"},
		{`sign(['sub' => 'x'], '` + secret + `', 'none')`, "unknown algorithm"},
		{`sign(['sub' => 'x'], '` + secret + `', 'RS256')`, "RSA of at least 2048 bits"},
		{`sign(['sub' => 'x'], ` + keys[1] + `, 'RS256')`, "RSA of at least 2048 bits"},
		{`sign(['sub' => 'x'], ` + keys[0] + `, 'ES256')`, "EC on the curve P-256"},
		{`sign([], '` + secret + `')`, "sub must be"},
		{`sign(['sub' => str_repeat('x', 195)], '` + secret + `')`, "sub must be"},
		{`sign(['sub' => ['x']], '` + secret + `')`, "sub must be"},
		{`sign(['sub' => 'x', 'exp' => '1700000000'], '` + secret + `')`, "exp must be an integer"},
		{`sign(['sub' => 'x', 'iat' => 1.5], '` + secret + `')`, "iat must be an integer"},
		{`sign(['sub' => 'x', 'peal' => ['subscibe' => []]], '` + secret + `')`, `unknown member "subscibe"`},
		{`sign(['sub' => 'x', 'peal' => ['subscribe' => 'a']], '` + secret + `')`, "array of patterns"},
		{`sign(['sub' => 'x', 'peal' => ['subscribe' => [7]]], '` + secret + `')`, "array of patterns"},
	} {
		said := client[string](t, "http://127.0.0.1:1", `{}`, `
			try {
				Peal\Token::`+c.call+`;
				show('signed');
			} catch (InvalidArgumentException $e) {
				show((string) $e);
			}`)
		// Traces have the first 15 bytes of arguments.
		if len(said) != 1 || !strings.Contains(said[0], c.says) || strings.Contains(said[0], secret[1:12]) || strings.Contains(said[0], "-----BEGIN P") {
			t.Errorf("%.60s: says %q", c.call, said)
		}
	}
}
