package certificate

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"peal/server/auth"
)

// Limits of a Config.
const (
	MostPairs   = 1000
	MostDomains = 100 // of ACME, which is asked for each of them
)

// LetsEncrypt is the default of ACME.Directory.
const LetsEncrypt = "https://acme-v02.api.letsencrypt.org/directory"

// Config is what a Store keeps.
type Config struct {
	Pairs []Pair
	ACME  ACME

	// ClientCA is a PEM file with authorities: a client must then present a certificate
	// that one of them signed. "" for no such certificates.
	ClientCA string

	// Prefix begins the names of settings in errors, as in "admin-" for admin-tls-cert.
	Prefix string

	Log *slog.Logger // default slog.Default()

	Now   func() time.Time // default time.Now
	Every time.Duration    // between looks at the files, default 3 s
	Retry time.Duration    // after a failure of ACME, doubled after each; default 2 minutes
}

// Pair is a certificate, with those that signed it, and its key, as PEM files.
type Pair struct{ Cert, Key string }

// ACME is where certificates are obtained for domains.
type ACME struct {
	Domains   []string
	Directory string // URL, default LetsEncrypt
	Email     string // for the authority to reach the operator; may be ""
	Dir       string // has the account and the certificates; must be set
	CA        string // PEM file with a root for the connection to Directory, beside those of the machine; "" for none
}

// Files are those that Reload reads again.
func (c Config) Files() []string { return paths(c.Pairs, c.ClientCA) }

// Pairs puts the files of tls-cert and tls-key together.
func Pairs(certs, keys []string) []Pair {
	pairs := make([]Pair, 0, len(certs))
	for i, c := range certs {
		if i < len(keys) {
			pairs = append(pairs, Pair{c, keys[i]})
		}
	}
	return pairs
}

func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Every <= 0 {
		c.Every = 3 * time.Second
	}
	if c.ACME.Directory == "" {
		c.ACME.Directory = LetsEncrypt
	}
	if c.Retry <= 0 {
		c.Retry = 2 * time.Minute
	}
	return c
}

// Validate reads the files and reports all faults at once. It changes nothing.
func (c Config) Validate() error {
	c = c.withDefaults()
	_, _, err := c.load()
	return errors.Join(err, c.ACME.validate())
}

func (a ACME) validate() error {
	if len(a.Domains) == 0 {
		return nil
	}
	var errs []error
	if len(a.Domains) > MostDomains {
		errs = append(errs, fmt.Errorf("acme has %d domains: at most %d are possible; use tls-cert with a wildcard certificate", len(a.Domains), MostDomains))
	}
	for _, d := range a.Domains {
		if err := checkDomain(d); err != nil {
			errs = append(errs, fmt.Errorf("acme %q: %w", d, err))
		}
	}
	if !strings.HasPrefix(a.Directory, "https://") {
		errs = append(errs, fmt.Errorf("acme-directory %q: must begin with https://, as in %s", a.Directory, LetsEncrypt))
	}
	if a.Dir == "" {
		errs = append(errs, errors.New("acme-dir: must be set with acme: the directory that keeps the account and the certificates over restarts, as in /var/lib/peal/acme"))
	}
	if a.CA != "" {
		if _, err := pool(a.CA); err != nil {
			errs = append(errs, fmt.Errorf("acme-ca %w", err))
		}
	}
	return errors.Join(errs...)
}

func checkDomain(domain string) error {
	switch {
	case strings.Contains(domain, "*"):
		return errors.New("is a wildcard, which ACME grants by DNS only, and Peal does not change DNS: name each domain, or use tls-cert with a wildcard certificate")
	case strings.Contains(domain, ":") || !strings.Contains(strings.Trim(domain, "."), ".") || strings.Trim(domain, "0123456789.") == "":
		return errors.New("must be a public host name without a port, as in push.example.org")
	case !auth.IsHost(domain) || strings.HasSuffix(domain, "."):
		return errors.New("must be a host name in lower case, as in push.example.org; write other letters as in xn--bcher-kva.example")
	}
	return nil
}
