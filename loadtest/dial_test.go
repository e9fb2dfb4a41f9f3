package loadtest

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority is a CA of the tests.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t testing.TB) *authority {
	a := &authority{t: t}
	a.cert, a.key, a.pem = a.sign(&x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a test's"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// sign makes a certificate, its own if there is none to sign with yet.
func (a *authority) sign(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey, []byte) {
	a.t.Helper()
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// pair is a certificate for name and its key, in PEM.
func (a *authority) pair(name string) (cert, key []byte) {
	a.t.Helper()
	_, private, cert := a.sign(&x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}})
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// server is a configuration for a server named name.
func (a *authority) server(name string) *tls.Config {
	a.t.Helper()
	certificate, err := tls.X509KeyPair(a.pair(name))
	if err != nil {
		a.t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{certificate}}
}

// answering listens at addr and sends back each line, in TLS with a config.
func answering(t *testing.T, addr string, config *tls.Config) string {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if config != nil {
		l = tls.NewListener(l, config)
	}
	ended := make(chan struct{})
	go func() { // ends with l
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			line, _ := bufio.NewReader(conn).ReadString('\n')
			_, _ = io.WriteString(conn, line) // the client sees it missing
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-ended })
	return l.Addr().String()
}

// said sends a line to e and returns what comes back.
func said(t *testing.T, e Endpoint) (string, error) {
	t.Helper()
	conn, err := e.Dial(t.Context(), "")
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "hello\n"); err != nil {
		return "", err
	}
	return bufio.NewReader(conn).ReadString('\n')
}

func TestEndpointSecuresItsConnections(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	cert, key := ca.pair("a client")
	wanting, named := ca.server("localhost"), ca.server("push.test")
	wanting.ClientAuth, wanting.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	wanting.ClientCAs.AddCert(ca.cert)
	named.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		if h.ServerName != "push.test" {
			return nil, errors.New("another name is wanted")
		}
		return nil, nil
	}
	for name, c := range map[string]struct {
		server *tls.Config
		client *TLS
		ok     bool
	}{
		"own authority":           {ca.server("localhost"), &TLS{CA: ca.pem}, true},
		"another's":               {ca.server("localhost"), &TLS{CA: other.pem}, false},
		"the system's":            {ca.server("localhost"), &TLS{}, false},
		"any":                     {ca.server("localhost"), &TLS{Insecure: true}, true},
		"another name":            {ca.server("localhost"), &TLS{CA: ca.pem, ServerName: "elsewhere.test"}, false},
		"SNI":                     {named, &TLS{CA: ca.pem, ServerName: "push.test"}, true},
		"no SNI":                  {named, &TLS{CA: ca.pem}, false},
		"a client's certificate":  {wanting, &TLS{CA: ca.pem, Cert: cert, Key: key}, true},
		"no client's certificate": {wanting, &TLS{CA: ca.pem}, false},
		"not a certificate":       {wanting, &TLS{CA: []byte("x")}, false},
		"no TLS there":            {nil, &TLS{CA: ca.pem}, false},
	} {
		t.Run(name, func(t *testing.T) {
			line, err := said(t, Endpoint{Addr: answering(t, "127.0.0.1:0", c.server), TLS: c.client})
			if (err == nil && line == "hello\n") != c.ok {
				t.Errorf("%q, %v", line, err)
			}
		})
	}
}

func TestEndpointTriesItsAddressesInOrder(t *testing.T) {
	ca := newAuthority(t)
	addr := answering(t, "[::1]:0", ca.server("localhost"))
	_, port, _ := net.SplitHostPort(addr)
	e := Endpoint{Addr: "127.0.0.1:" + port, More: []string{addr}, Host: "localhost:" + port, TLS: &TLS{CA: ca.pem}}
	if line, err := said(t, e); err != nil || line != "hello\n" {
		t.Errorf("%q, %v", line, err)
	}
}

func TestTLSIsReadFromFilesAndKeepsItsKey(t *testing.T) {
	ca, dir := newAuthority(t), t.TempDir()
	cert, key := ca.pair("a client")
	file := func(name string, content []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	var whole TLS
	if err := whole.Read(file("ca", ca.pem), file("cert", cert), file("key", key)); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(Spec{Endpoint: Endpoint{Addr: "127.0.0.1:1", TLS: &whole}})
	if err != nil {
		t.Fatal(err)
	}
	var again Spec
	if err := json.Unmarshal(b, &again); err != nil || again.Addr != "127.0.0.1:1" || string(again.TLS.Key) != string(key) {
		t.Errorf("a worker gets %s, %v", b, err)
	}
	_, otherKey := ca.pair("another")
	for _, bad := range [][3]string{{"/nowhere"}, {"", file("cert", cert), ""}, {file("ca", otherKey)}, {"", file("cert", cert), file("key", otherKey)}, {"", file("cert", otherKey), file("key", otherKey)}} {
		err := new(TLS).Read(bad[0], bad[1], bad[2])
		if err == nil || !strings.Contains(err.Error(), "--") || strings.Contains(err.Error(), string(otherKey[40:80])) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
