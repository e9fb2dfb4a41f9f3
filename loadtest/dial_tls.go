package loadtest

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
)

// TLS says how connections are secured. The zero value checks the certificate of the
// endpoint's host against the authorities of the system. It is in no report.
type TLS struct {
	ServerName string `json:"server_name,omitempty"` // of SNI, and of the certificate; default: the endpoint's host
	CA         []byte `json:"ca,omitempty"`          // PEM: the authorities, instead of the system's
	Cert       []byte `json:"cert,omitempty"`        // PEM: the client's certificate
	Key        []byte `json:"key,omitempty"`         // PEM: its key
	Insecure   bool   `json:"insecure,omitempty"`    // any certificate is good
	Classic    bool   `json:"classic,omitempty"`     // the key exchange is X25519: not every server has ML-KEM, which costs more

	once  sync.Once
	ready *tls.Config
	err   error
}

// Read reads the files, "" for none, and checks what they hold. Errors name the
// setting to change.
func (t *TLS) Read(ca, cert, key string) error {
	if (cert == "") != (key == "") {
		return errors.New("--cert and --key: both or neither")
	}
	for _, file := range []struct {
		flag, name string
		content    *[]byte
	}{{"--ca", ca, &t.CA}, {"--cert", cert, &t.Cert}, {"--key", key, &t.Key}} {
		if file.name == "" {
			continue
		}
		b, err := os.ReadFile(file.name)
		if err != nil {
			return fmt.Errorf("%s: %w", file.flag, err)
		}
		*file.content = b
	}
	_, err := t.config(&Endpoint{})
	return err
}

// config is crypto/tls', for connections to e. All of t's share one cache of sessions, so
// that those that come back resume them, as browsers do.
func (t *TLS) config(e *Endpoint) (*tls.Config, error) {
	t.once.Do(func() { t.ready, t.err = t.prepare() })
	if t.err != nil {
		return nil, t.err
	}
	c, host := t.ready.Clone(), cmp.Or(e.Host, e.Addr)
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	c.ServerName = cmp.Or(t.ServerName, strings.Trim(host, "[]"))
	return c, nil
}

func (t *TLS) prepare() (*tls.Config, error) {
	c := &tls.Config{InsecureSkipVerify: t.Insecure, NextProtos: []string{"http/1.1"}, ClientSessionCache: tls.NewLRUClientSessionCache(0)}
	if t.Classic {
		c.CurvePreferences = []tls.CurveID{tls.X25519}
	}
	if len(t.CA) > 0 {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(t.CA) {
			return nil, errors.New("--ca: no certificate in PEM in it")
		}
	}
	if len(t.Cert) > 0 {
		pair, err := tls.X509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("--cert, --key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// secure shakes hands on conn, which it closes on an error.
func secure(ctx context.Context, conn net.Conn, config *tls.Config) (*tls.Conn, error) {
	c := tls.Client(conn, config)
	err := c.HandshakeContext(ctx)
	if err == nil {
		return c, nil
	}
	_ = conn.Close() // the error says more
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		return nil, fmt.Errorf("TLS: %w: change --ca or --server-name, or accept any with --insecure", err)
	}
	return nil, fmt.Errorf("TLS: %w", err)
}
