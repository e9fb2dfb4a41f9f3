package token

import (
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// Form is what the claims of a token are.
type Form uint8

const (
	Peal    Form = iota // peal grants; sub and exp are required
	Mercure             // mercure grants topics (Mercure 0.x); sub and exp are optional
)

// Config is the settings of tokens. Zero values are the defaults. Without any secret,
// key or JWKS every token is refused.
type Config struct {
	// Prefix begins the names of the settings, for errors: "" is "token".
	Prefix string

	Form Form

	// Secrets (token-secret) sign tokens with HS256: any of them, so that a new one can
	// be added before the old one is removed. Each has at least 32 bytes.
	Secrets []string

	// SecretFile (token-secret-file) has more of them, one a line, without white space
	// around it.
	SecretFile string

	// Keys (token-key) are PEM files with public keys or certificates: RSA of at least
	// 2,048 bits (RS256), P-256 (ES256), Ed25519 (EdDSA).
	Keys []string

	// JWKS (token-jwks) are files, https URLs, or http URLs of a loopback host, each
	// with the public keys of one issuer. If there are several Issuers, ISSUER= comes
	// first: "https://login.example=https://login.example/jwks.json".
	JWKS []string

	// Issuers (token-issuer) and Audiences (token-audience): if set, iss must be one of
	// these, and aud contain one. JWKS need both. All issuers share one set of users:
	// sub 42 of one is sub 42 of another. Secrets and Keys are good for all of them.
	Issuers, Audiences []string

	// Leeway (token-leeway) is how far the clocks of the signer and of Peal may differ,
	// 1 s to 5 min; default 10 s, negative for none. A token is good until exp and
	// Leeway.
	Leeway time.Duration

	// Lifetime (token-lifetime) is the longest time from iat to exp, and without iat from
	// now to exp; default 24 h. Raising it keeps revocations for longer.
	Lifetime time.Duration

	// CacheEntries and CacheBytes limit the verified tokens that are remembered;
	// defaults 65,536 and 32 MiB. Beyond either, tokens that were not used lately are
	// verified again when they are.
	CacheEntries, CacheBytes int

	Now       func() time.Time  // default time.Now
	Log       *slog.Logger      // default slog.Default()
	Transport http.RoundTripper // to JWKS; default like http.DefaultTransport, with smaller limits
}

// Defaults of Config.
const (
	DefaultLeeway       = 10 * time.Second
	DefaultLifetime     = 24 * time.Hour
	DefaultCacheEntries = 1 << 16
	DefaultCacheBytes   = 32 << 20
)

// Limits of the configuration.
const (
	minSecret = 32 // bytes, the size of the hash (RFC 7518 §3.2)
	maxKeys   = 8  // secrets, and keys of token-key: each costs a wrong token one attempt
	maxSets   = 16
	maxLeeway = 5 * time.Minute
)

// WithDefaults returns c with its zero values filled in.
func (c Config) WithDefaults() Config {
	if c.Prefix == "" {
		c.Prefix = "token"
	}
	if c.Leeway == 0 {
		c.Leeway = DefaultLeeway
	}
	c.Leeway = max(0, c.Leeway)
	if c.Lifetime == 0 {
		c.Lifetime = DefaultLifetime
	}
	if c.CacheEntries == 0 {
		c.CacheEntries = DefaultCacheEntries
	}
	if c.CacheBytes == 0 {
		c.CacheBytes = DefaultCacheBytes
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Transport == nil {
		c.Transport = newTransport()
	}
	return c
}

// newTransport returns one for requests that are minutes apart: no connection waits
// for the next.
func newTransport() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableKeepAlives = true
	t.MaxResponseHeaderBytes = 64 << 10
	return t
}

// Validate reports all faults at once, by the names of settings, also those of the
// files that c names. It opens no connection. Secrets are not in the error.
func (c Config) Validate() error {
	_, err := newRing(c.WithDefaults(), nil)
	return err
}

// Longest is how long a token can be valid after a moment at which it was signed
// already. c must be valid.
func (c Config) Longest() time.Duration {
	c = c.WithDefaults()
	return c.Lifetime + 2*c.Leeway // the clock of its signer may be ahead
}

// Configured reports whether c has anything that could verify a token.
func (c Config) Configured() bool {
	return len(c.Secrets)+len(c.Keys)+len(c.JWKS) > 0 || c.SecretFile != ""
}

// Files are the files that c names. They are read by New and Reload.
func (c Config) Files() (paths []string) {
	if c.SecretFile != "" {
		paths = append(paths, c.SecretFile)
	}
	paths = append(paths, c.Keys...)
	for _, set := range c.JWKS {
		if _, source, ok := splitSet(set, c.Issuers); ok && !strings.Contains(source, "://") {
			paths = append(paths, source)
		}
	}
	return paths
}
