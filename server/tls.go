package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"peal/server/certificate"
)

// TLS is how connections to TCP addresses are encrypted. Without certificates and
// domains they are not.
type TLS struct {
	// Certs and Keys are PEM files in pairs. The server reads them again when they change.
	Certs, Keys []string

	// ACME obtains certificates for domains.
	ACME certificate.ACME

	// Handshakes is how many handshakes may be under way, default 512; each takes about
	// 40 KiB. HandshakeTimeout is for one of them as a whole, default 10 s. RecordTimeout
	// is for one record, from its first byte to its last, default 30 s.
	Handshakes       int
	HandshakeTimeout time.Duration
	RecordTimeout    time.Duration
}

// On reports whether TCP addresses speak TLS.
func (t TLS) On() bool { return len(t.Certs)+len(t.Keys)+len(t.ACME.Domains) > 0 }

// AdminTLS is how connections to the operator's listener are encrypted; a zero value
// means not at all.
type AdminTLS struct {
	Cert, Key string // PEM files
	ClientCA  string // PEM file with authorities: clients must have a certificate of one of them; "" for none
}

// On reports whether the operator's listener speaks TLS.
func (t AdminTLS) On() bool { return t != AdminTLS{} }

// certificates are those of the listeners for clients.
func (c Config) certificates() certificate.Config {
	return certificate.Config{Pairs: certificate.Pairs(c.TLS.Certs, c.TLS.Keys), ACME: c.TLS.ACME, Log: c.Log}
}

// TLSFiles are the files of certificates and keys, which Reload reads again.
func (c Config) TLSFiles() (files []string) {
	if c.TLS.On() {
		files = c.certificates().Files()
	}
	if c.AdminTLS.On() {
		files = append(files, c.adminCertificates().Files()...)
	}
	return files
}

// adminCertificates are those of the operator's listener.
func (c Config) adminCertificates() certificate.Config {
	return certificate.Config{Pairs: []certificate.Pair{{Cert: c.AdminTLS.Cert, Key: c.AdminTLS.Key}}, ClientCA: c.AdminTLS.ClientCA, Prefix: "admin-", Log: c.Log}
}

// acmeDir is the default of ACME.Dir: below the directory that systemd has made for the
// server, "" without one.
func acmeDir() string {
	first, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":")
	if first == "" {
		return ""
	}
	return filepath.Join(first, "acme")
}

// checkTLS reports what is wrong with certificates, and with the addresses beside TLS.
func (c Config) checkTLS() (errs []error) {
	certs, keys := len(c.TLS.Certs), len(c.TLS.Keys)
	if certs != keys {
		errs = append(errs, fmt.Errorf("config: tls-cert has %d files and tls-key %d: each certificate needs its key, in the same order; a file that has both is given as both", certs, keys))
	} else if c.TLS.On() {
		errs = append(errs, c.WithDefaults().certificates().Validate())
	}
	for _, a := range c.ListenPlain {
		errs = append(errs, c.checkListen(a))
		if strings.HasPrefix(a, "unix:") {
			errs = append(errs, fmt.Errorf("listen-plain %q: Unix sockets are never encrypted: give it as listen", a))
		}
	}
	if len(c.ListenPlain) > 0 && !c.TLS.On() {
		errs = append(errs, errors.New("listen-plain: needs tls-cert or acme: without them all addresses of listen are cleartext"))
	}
	if c.HTTPRedirect != "" {
		errs = append(errs, c.checkRedirect())
	}
	return append(errs, c.checkAdminTLS())
}

func (c Config) checkRedirect() error {
	if err := checkAddress(c.HTTPRedirect); err != nil {
		return fmt.Errorf("http-redirect: %w", err)
	}
	isTCP := func(a address) bool { return !strings.HasPrefix(a.text, "unix:") }
	switch {
	case strings.HasPrefix(c.HTTPRedirect, "unix:"):
		return fmt.Errorf("http-redirect %q: must be a TCP address, as in :80", c.HTTPRedirect)
	case !c.TLS.On():
		return errors.New("http-redirect: needs tls-cert or acme: without them there is no https to redirect to")
	case len(c.Inherit) == 0 && !slices.ContainsFunc(c.addresses(), isTCP):
		return errors.New("http-redirect: needs a TCP address in listen: a Unix socket has no https to redirect to")
	}
	return nil
}

func (c Config) checkAdminTLS() error {
	t := c.AdminTLS
	switch {
	case !t.On():
		return nil
	case t.Cert == "" || t.Key == "":
		return errors.New("config: admin-tls-cert and admin-tls-key belong together, and admin-client-ca needs both: set those that are missing")
	case c.Admin == "" && len(c.InheritAdmin) == 0:
		return errors.New("config: admin-tls-cert needs admin: the address of the listener")
	case strings.HasPrefix(c.Admin, "unix:"):
		return fmt.Errorf("config: admin-tls-cert: the admin listener is a Unix socket (%s), which is never encrypted: remove admin-tls-cert, or use a TCP address", c.Admin)
	}
	return c.adminCertificates().Validate()
}
