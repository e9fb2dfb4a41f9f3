package token

import (
	"crypto/sha256"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"peal/server/grant"
	"peal/server/refusal"
)

// Verifier verifies tokens. Any goroutine may call its methods.
type Verifier struct {
	ring   atomic.Pointer[ring]
	cache  *cache
	parser *jwt.Parser
	latest atomic.Int64 // the latest time that was seen, in seconds

	reloading sync.Mutex

	verified, refused, fetched, failed atomic.Uint64
}

// New returns a verifier for a configuration, or all its faults. It opens no
// connection: see Run.
func New(c Config) (*Verifier, error) {
	c = c.WithDefaults()
	r, err := newRing(c, nil)
	if err != nil {
		return nil, err
	}
	v := &Verifier{
		cache:  newCache(c.CacheEntries, c.CacheBytes, c.Form),
		parser: jwt.NewParser(jwt.WithValidMethods(algorithms), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation()),
	}
	v.ring.Store(r)
	return v, nil
}

// Reload replaces the configuration, and reads its files again. With faults it
// changes nothing and returns all of them. The limits of the cache stay.
func (v *Verifier) Reload(c Config) error {
	v.reloading.Lock()
	defer v.reloading.Unlock()
	r, err := newRing(c.WithDefaults(), v.ring.Load())
	if err != nil {
		return err
	}
	v.ring.Store(r)
	v.Drop(func(*grant.Grant) bool { return true })
	return nil
}

// Verify returns what the token text allows, or why it is refused. It blocks for the
// computation, and up to a second for a JWKS that lacks the key. text is not kept.
func (v *Verifier) Verify(text []byte) (*grant.Grant, *refusal.Error) {
	if g, err, ok := v.Cached(text); ok { // as of many connections with one token
		return g, err
	}
	g, err := v.verify(text)
	if err != nil {
		v.refused.Add(1)
		return nil, err
	}
	v.verified.Add(1)
	return g, nil
}

func (v *Verifier) verify(text []byte) (*grant.Grant, *refusal.Error) {
	d := digest(sha256.Sum256(text))
	generation := v.cache.generation(&d) // before the ring: a Reload that comes later is noticed
	r := v.ring.Load()
	now := v.clock(r)
	c, err := v.claims(r, string(text), now)
	if err != nil {
		return nil, err
	}
	s, err := v.cache.scopes.get(&c.lists)
	if err != nil {
		return nil, err
	}
	g := &grant.Grant{
		Kind:    grant.User,
		Subject: c.subject,
		ID:      c.id,
		Issued:  c.issued,
		Expires: c.ends(&r.config),
		Info:    c.info,
		Topics:  c.form == Mercure,
		Scope:   s.value,
	}
	v.cache.put(&d, g, s, generation, now)
	return g, nil
}

// Cached returns what Verify would, if that is known: ok is false if it is not. It
// does not block and does not allocate.
func (v *Verifier) Cached(text []byte) (g *grant.Grant, err *refusal.Error, ok bool) {
	if err := checkShape(text); err != nil {
		return nil, err, true
	}
	d := digest(sha256.Sum256(text))
	g, expired := v.cache.get(&d, v.clock(v.ring.Load()))
	if expired {
		return nil, ErrExpired, true
	}
	return g, nil, g != nil
}

// Drop forgets the cached grants that f picks, as after a revocation; f holds up
// others and must be quick. A token that is being verified meanwhile is not cached.
func (v *Verifier) Drop(f func(*grant.Grant) bool) { v.cache.drop(f) }

// claims returns the claims of a valid token.
func (v *Verifier) claims(r *ring, text string, now int64) (*claims, *refusal.Error) {
	h, err := readHeader(text)
	if err != nil {
		return nil, err
	}
	c, unknown, err := v.parse(r, h, text, now)
	if !unknown {
		return c, err
	}
	refreshed, busy := v.refreshFor(r, c.issuer, now)
	if refreshed {
		c, unknown, err = v.parse(r, h, text, now)
	}
	if unknown && busy {
		return nil, ErrNoKeys
	}
	return c, err
}

// parse returns the claims of a token if it is valid. unknown reports that it is not,
// and that a JWKS that is read again may have its key.
func (v *Verifier) parse(r *ring, h header, text string, now int64) (c *claims, unknown bool, refused *refusal.Error) {
	c = &claims{form: r.config.Form, accessToken: h.accessToken}
	var keys choice
	_, err := v.parser.ParseWithClaims(text, c, func(*jwt.Token) (any, error) {
		if refused = c.check(&r.config, now); refused == nil {
			keys, refused = r.choose(h, c.issuer)
		}
		if refused != nil {
			return nil, refused
		}
		return jwt.VerificationKeySet{Keys: keys.keys}, nil
	})
	switch {
	case refused != nil:
	case err == nil:
		return c, false, nil
	case len(keys.keys) == 0 && errors.Is(err, jwt.ErrTokenUnverifiable):
		refused = errNoKey
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		refused = errSignature
	default:
		refused = errForm
	}
	return c, keys.unknown, refused
}

// maxStep is how far the clock may go back without effect.
const maxStep = 5 * time.Minute

// clock returns the time in seconds. A small correction backwards would make expired
// tokens valid again, so the time stands still instead. A large one means that the
// clock was wrong before: tokens signed with a right clock would have expired.
func (v *Verifier) clock(r *ring) int64 {
	now := r.config.Now().Unix()
	latest := v.latest.Load()
	if now < latest && latest-now <= int64(maxStep/time.Second) {
		return latest
	}
	if now != latest {
		v.latest.CompareAndSwap(latest, now)
	}
	return now
}
