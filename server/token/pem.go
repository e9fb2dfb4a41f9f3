package token

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
)

// key is a public key.
type key struct {
	algorithm string
	id        string // its kid, "" if it has none
	public    any    // *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey
}

// newKey returns the key, or why no token can be verified with it.
func newKey(public any) (k key, err error) {
	k.public = public
	switch public := public.(type) {
	case *rsa.PublicKey:
		if bits := public.N.BitLen(); bits < 2048 || bits > 8192 {
			return k, fmt.Errorf("an RSA key of %d bits: must have 2048 to 8192", bits)
		}
		k.algorithm = rs256
	case *ecdsa.PublicKey:
		if public.Curve != elliptic.P256() {
			return k, errors.New("an ECDSA key of another curve than P-256")
		}
		k.algorithm = es256
	case ed25519.PublicKey:
		k.algorithm = eddsa
	default:
		return k, errors.New("a key that is neither of RSA nor ECDSA (P-256) nor Ed25519")
	}
	return k, nil
}

// readKeys returns the keys of a PEM file.
func readKeys(path string) (keys []key, err error) {
	rest, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		public, err := publicKey(block)
		if err != nil {
			return nil, fmt.Errorf("%s has %w", path, err)
		}
		k, err := newKey(public)
		if err != nil {
			return nil, fmt.Errorf("%s has %w", path, err)
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s has no PEM block: write a public key, as openssl pkey -pubout does", path)
	}
	return keys, nil
}

// errNotPublic has no detail: the parser's would name types of ASN.1.
var errNotPublic = errors.New("no public key: write one as openssl pkey -pubout does")

func publicKey(block *pem.Block) (public any, err error) {
	switch {
	case strings.HasSuffix(block.Type, "PRIVATE KEY"):
		return nil, errors.New("a private key, which belongs to the application only: write the public one, as openssl pkey -pubout does")
	case block.Type == "CERTIFICATE":
		var certificate *x509.Certificate
		if certificate, err = x509.ParseCertificate(block.Bytes); err == nil {
			public = certificate.PublicKey
		}
	case block.Type == "RSA PUBLIC KEY":
		public, err = x509.ParsePKCS1PublicKey(block.Bytes)
	default:
		public, err = x509.ParsePKIXPublicKey(block.Bytes)
	}
	if err != nil {
		return nil, errNotPublic
	}
	return public, nil
}
