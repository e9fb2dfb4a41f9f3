package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// pair is a private key with what verifies its signatures.
type pair struct {
	method  jwt.SigningMethod
	private crypto.Signer
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// rsaKey is made once: that takes a while.
var rsaKey = sync.OnceValue(func() pair {
	return pair{jwt.SigningMethodRS256, must(rsa.GenerateKey(rand.Reader, 2048))}
})

func ecKey() pair {
	return pair{jwt.SigningMethodES256, must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))}
}

func edKey() pair {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	return pair{jwt.SigningMethodEdDSA, must(private, err)}
}

func (p pair) der() []byte { return must(x509.MarshalPKIXPublicKey(p.private.Public())) }

// pem is the public key as a file.
func (p pair) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: p.der()}))
}

// certificate has the public key.
func (p pair) certificate() string {
	template := x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Unix(1<<33, 0)}
	der := must(x509.CreateCertificate(rand.Reader, &template, &template, p.private.Public(), p.private))
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func (p pair) sign(t testing.TB, kid string, c jwt.Claims) string {
	t.Helper()
	return sign(t, p.method, p.private, kid, c)
}

// jwk is the public key as a member of a JWKS.
func (p pair) jwk(kid string) map[string]any {
	number := func(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
	k := map[string]any{"kid": kid, "alg": p.method.Alg(), "use": "sig"}
	switch public := p.private.Public().(type) {
	case *rsa.PublicKey:
		k["kty"], k["n"], k["e"] = "RSA", number(public.N.Bytes()), number(big.NewInt(int64(public.E)).Bytes())
	case *ecdsa.PublicKey:
		point := must(public.Bytes())
		k["kty"], k["crv"], k["x"], k["y"] = "EC", "P-256", number(point[1:33]), number(point[33:])
	case ed25519.PublicKey:
		k["kty"], k["crv"], k["x"] = "OKP", "Ed25519", number(public)
	}
	return k
}

// jwks is a set of keys.
func jwks(t testing.TB, keys ...map[string]any) string {
	t.Helper()
	if keys == nil {
		keys = []map[string]any{}
	}
	return marshal(t, map[string]any{"keys": keys})
}
