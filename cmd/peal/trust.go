package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/spf13/pflag"
)

// trust says which servers a command accepts over TLS, and how it proves who it is.
type trust struct {
	ca, cert, key string // PEM files; "" for none
	insecure      bool
}

// trustFlags adds the flags of a command that asks a server.
func trustFlags(f *pflag.FlagSet) *trust {
	t := new(trust)
	f.StringVar(&t.ca, "ca", "", "PEM file with the authorities that signed the server's certificate (default: those of this machine)")
	f.BoolVar(&t.insecure, "insecure", false, "accept any certificate of the server; for tests only")
	return t
}

// proving adds the flags for a client certificate.
func (t *trust) proving(f *pflag.FlagSet) *trust {
	f.StringVar(&t.cert, "cert", "", "PEM file with the certificate of this client, for a server with --admin-client-ca")
	f.StringVar(&t.key, "key", "", "PEM file with its private key")
	return t
}

// config is nil if there is nothing to change.
func (t *trust) config() (*tls.Config, error) {
	if *t == (trust{}) {
		return nil, nil
	}
	c := &tls.Config{InsecureSkipVerify: t.insecure, MinVersion: tls.VersionTLS12}
	if t.ca != "" {
		text, err := os.ReadFile(t.ca)
		if err != nil {
			return nil, usageError{fmt.Errorf("--ca: %w", err)}
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, usageError{fmt.Errorf("--ca %q: has no certificate in PEM form (-----BEGIN CERTIFICATE-----)", t.ca)}
		}
	}
	if (t.cert == "") != (t.key == "") {
		return nil, usageError{errors.New("--cert and --key belong together: set both")}
	}
	if t.cert != "" {
		pair, err := tls.LoadX509KeyPair(t.cert, t.key)
		if err != nil {
			return nil, usageError{fmt.Errorf("--cert %q, --key %q: %w", t.cert, t.key, err)}
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// client is one for the requests of a command to a server.
func (t *trust) client() (*http.Client, *tls.Config, error) {
	c, err := t.config()
	if err != nil || c == nil {
		return http.DefaultClient, nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = c
	return &http.Client{Transport: transport}, c, nil
}

// explainTLS adds to an error of TLS what to change.
func explainTLS(err error) error {
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		return fmt.Errorf("%w: name the authority with --ca, or use the name of the certificate in the URL", err)
	}
	return err
}
