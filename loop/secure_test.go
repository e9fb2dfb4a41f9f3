package loop_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"peal/loop"
	"peal/loop/secure"
)

// everythingOverTLS runs all tests of the package with TLS below the loops.
var everythingOverTLS = os.Getenv("PEAL_LOOP_TLS") != ""

// authority is a certificate for 127.0.0.1, which its clients trust.
var authority = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return certify(key, &key.PublicKey)
})

// certify makes a certificate for a key, signed by itself.
func certify(private, public any) (tls.Certificate, *x509.CertPool) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private, Leaf: leaf}, pool
}

// encrypt puts TLS below the loops, for the connections of one listener.
func (s *server) encrypt(o *options, listener int) {
	certificate, roots := authority()
	if o.certificate != nil {
		certificate = *o.certificate
	}
	s.layer = secure.New(secure.Config{TLS: &tls.Config{Certificates: []tls.Certificate{certificate}}, HandshakeTimeout: 3 * patience})
	s.roots = &tls.Config{RootCAs: roots, ServerName: "localhost"}
	if o.open == nil {
		o.open = loop.OpenLayered(s.layer.Open)
	} else {
		o.open = s.layer.Open(o.open)
	}
	s.layer.Serve(listener)
}

// wrap makes a client of a connection.
func (s *server) wrap(c net.Conn, err error) (net.Conn, error) {
	if err != nil || s.layer == nil {
		return c, err
	}
	secured := tls.Client(c, s.roots)
	secured.SetDeadline(time.Now().Add(patience))
	if err := secured.Handshake(); err != nil {
		c.Close()
		return nil, err
	}
	secured.SetDeadline(time.Time{})
	return secured, nil
}

// tcp is the connection below TLS.
func (c *client) tcp() *net.TCPConn { return tcp(c.Conn) }

func tcp(c net.Conn) *net.TCPConn {
	if secured, ok := c.(*tls.Conn); ok {
		c = secured.NetConn()
	}
	return c.(*net.TCPConn)
}

// onlyPlain is for tests of what TLS changes, or of what is below it.
func onlyPlain(t *testing.T) {
	if everythingOverTLS {
		t.Skip("not over TLS")
	}
}

func TestALoopOverTLS(t *testing.T) {
	s := start(t, options{secure: true})
	for range 4 {
		c := s.dial()
		c.send("echo hello\nvia\n")
		c.expect("hello", "secure=true trusted=false named=false")
	}
}
