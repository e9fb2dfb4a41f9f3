package token

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"peal/server/refusal"
)

// ring is the configuration and all its keys. It does not change, except for the keys
// of its sets.
type ring struct {
	config  Config // with defaults
	secrets []jwt.VerificationKey
	keys    []key  // of token-key
	sets    []*set // of token-jwks
}

// newRing reads all files that the configuration names. Sets of URLs that earlier,
// which may be nil, has for the same issuer are taken from it; new ones are empty. All
// faults are joined in the error.
func newRing(c Config, earlier *ring) (*ring, error) {
	r := &ring{config: c}
	secrets, faults := readSecrets(&c)
	for _, secret := range secrets {
		r.secrets = append(r.secrets, secret)
	}
	for _, path := range c.Keys {
		keys, err := readKeys(path)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s-key: %w", c.Prefix, err))
		}
		r.keys = append(r.keys, keys...)
	}
	if len(r.keys) > maxKeys {
		faults = append(faults, fmt.Errorf("%[1]s-key: %[2]d keys: must be at most %[3]d; remove those that no token is signed with any more, or use %[1]s-jwks", c.Prefix, len(r.keys), maxKeys))
	}
	faults = append(faults, r.readSets(earlier)...)
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if len(c.JWKS) > 0 && len(c.Issuers) == 0 {
		fault("%[1]s-jwks needs %[1]s-issuer: others may have tokens signed with the same keys", c.Prefix)
	}
	if len(c.JWKS) > 0 && len(c.Audiences) == 0 {
		fault("%[1]s-jwks needs %[1]s-audience: the issuer may sign tokens for other services", c.Prefix)
	}
	if slices.Contains(c.Issuers, "") || slices.Contains(c.Audiences, "") {
		fault("%[1]s-issuer and %[1]s-audience: must not be empty", c.Prefix)
	}
	if c.Leeway > maxLeeway {
		fault("token-leeway: %v: must be at most %v", c.Leeway, maxLeeway)
	}
	if c.Lifetime < 0 {
		fault("token-lifetime: %v: must be at least 1s", c.Lifetime)
	}
	return r, errors.Join(faults...)
}

func (r *ring) readSets(earlier *ring) (faults []error) {
	if len(r.config.JWKS) > maxSets {
		return []error{fmt.Errorf("%s-jwks: %d sets: must be at most %d", r.config.Prefix, len(r.config.JWKS), maxSets)}
	}
	for i, text := range r.config.JWKS {
		issuer, source, ok := splitSet(text, r.config.Issuers)
		if !ok && len(r.config.Issuers) > 0 {
			faults = append(faults, fmt.Errorf("%[1]s-jwks, number %[2]d: with several %[1]s-issuer, must begin with one of them and =, as in ISSUER=https://…", r.config.Prefix, i+1))
			continue
		}
		s, err := newSet(issuer, source)
		if err == nil && !s.url {
			err = s.load()
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s-jwks, number %d: %w", r.config.Prefix, i+1, err))
			continue
		}
		if old := earlier.find(s); old != nil {
			s = old
		}
		r.sets = append(r.sets, s)
	}
	return faults
}

// splitSet returns the issuer and the source of an element of token-jwks.
func splitSet(text string, issuers []string) (issuer, source string, ok bool) {
	for _, issuer := range issuers {
		if source, ok := strings.CutPrefix(text, issuer+"="); ok {
			return issuer, source, true
		}
	}
	if len(issuers) == 1 {
		return issuers[0], text, true
	}
	return "", text, false
}

// find returns the set of r with the issuer and URL of s, nil if there is none.
func (r *ring) find(s *set) *set {
	if r == nil || !s.url {
		return nil
	}
	i := slices.IndexFunc(r.sets, func(old *set) bool { return old.url && old.issuer == s.issuer && old.source == s.source })
	if i < 0 {
		return nil
	}
	return r.sets[i]
}

// choice is the keys that a token may be signed with.
type choice struct {
	keys    []jwt.VerificationKey
	unknown bool // its issuer has a JWKS, which lacks its key
}

// choose returns the keys for a token: those of the algorithm, and of JWKS only those
// of the issuer with the kid.
func (r *ring) choose(h header, issuer string) (c choice, err *refusal.Error) {
	if h.algorithm == hs256 {
		return choice{keys: r.secrets}, nil
	}
	sets := 0
	for _, s := range r.sets {
		if s.issuer != issuer {
			continue
		}
		sets++
		for _, k := range *s.keys.Load() {
			if k.algorithm == h.algorithm && (!h.hasKid || k.id == h.kid) && len(c.keys) < maxKeys {
				c.keys = append(c.keys, k.public)
			}
		}
	}
	if !h.hasKid && len(c.keys) > 1 {
		return c, errNoKid
	}
	c.unknown = sets > 0 && len(c.keys) == 0
	for _, k := range r.keys {
		if k.algorithm == h.algorithm {
			c.keys = append(c.keys, k.public)
		}
	}
	return c, nil
}
