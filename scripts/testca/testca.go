// Package testca makes certificates for tests: an authority of its own, and what it
// signs. Nothing here is for production.
package testca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// CA is an authority.
type CA struct {
	t    testing.TB
	Cert *x509.Certificate
	key  crypto.Signer
	Pool *x509.CertPool // with Cert
	PEM  []byte         // of Cert
}

// Leaf says what a certificate is to be; its zero value is a good one for localhost and
// 127.0.0.1.
type Leaf struct {
	Names    []string      // host names and IP addresses
	RSA      bool          // the kind of the key, ECDSA otherwise
	From, To time.Duration // of its life, from now; default an hour ago to 90 days ahead
	Client   bool          // for a client
	Signer   *CA           // an intermediate authority, which is put behind it
}

// New makes an authority.
func New(t testing.TB, name string) *CA {
	t.Helper()
	c := &CA{t: t}
	c.make(name, nil)
	return c
}

// Intermediate makes an authority that c has signed.
func (c *CA) Intermediate(name string) *CA {
	c.t.Helper()
	i := &CA{t: c.t}
	i.make(name, c)
	return i
}

func (c *CA) make(name string, signer *CA) {
	c.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	c.must(err)
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * 365 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	parent, by := template, crypto.Signer(key)
	if signer != nil {
		parent, by = signer.Cert, signer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	c.must(err)
	c.Cert, err = x509.ParseCertificate(der)
	c.must(err)
	c.key, c.Pool, c.PEM = key, x509.NewCertPool(), block("CERTIFICATE", der)
	c.Pool.AddCert(c.Cert)
}

// Sign makes a certificate and its key, in PEM form.
func (c *CA) Sign(leaf Leaf) (cert, key []byte) {
	c.t.Helper()
	if leaf.Names == nil {
		leaf.Names = []string{"localhost", "127.0.0.1", "::1"}
	}
	if leaf.To == 0 {
		leaf.From, leaf.To = -time.Hour, 90*24*time.Hour
	}
	var signer crypto.Signer
	var err error
	if leaf.RSA {
		signer, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	c.must(err)
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial(), NotBefore: now.Add(leaf.From), NotAfter: now.Add(leaf.To),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if len(leaf.Names) > 0 {
		template.Subject = pkix.Name{CommonName: leaf.Names[0]}
	}
	if leaf.Client {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	for _, n := range leaf.Names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	by := c
	if leaf.Signer != nil {
		by = leaf.Signer
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.Cert, signer.Public(), by.key)
	c.must(err)
	private, err := x509.MarshalPKCS8PrivateKey(signer)
	c.must(err)
	cert = block("CERTIFICATE", der)
	if leaf.Signer != nil {
		cert = append(cert, leaf.Signer.PEM...)
	}
	return cert, block("PRIVATE KEY", private)
}

// Files signs a certificate and writes name.pem and name.key into dir. Files that are
// there are replaced at once, as by rename.
func (c *CA) Files(dir, name string, leaf Leaf) (cert, key string) {
	c.t.Helper()
	certPEM, keyPEM := c.Sign(leaf)
	cert, key = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	c.write(cert, certPEM)
	c.write(key, keyPEM)
	return cert, key
}

// File writes the authority's certificate to name.pem in dir.
func (c *CA) File(dir, name string) (path string) {
	c.t.Helper()
	path = filepath.Join(dir, name+".pem")
	c.write(path, c.PEM)
	return path
}

func (c *CA) write(path string, b []byte) {
	c.t.Helper()
	c.must(os.WriteFile(path+".new", b, 0o600))
	c.must(os.Rename(path+".new", path))
}

func (c *CA) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(err)
	}
	return n
}
