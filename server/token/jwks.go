package token

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/MicahParks/jwkset"
)

// Limits of a JWKS.
const (
	maxSetBytes = 256 << 10
	maxSetKeys  = 100
)

// set is the keys of one JWKS.
type set struct {
	issuer string
	source string // a file, or a URL
	url    bool

	fetching sync.Mutex // held during a fetch
	keys     atomic.Pointer[[]key]
	digest   [sha256.Size]byte // of the JWKS; of the holder of fetching

	// In seconds since 1970; 0: never.
	attempted, succeeded atomic.Int64
}

// newSet returns a set without keys.
func newSet(issuer, source string) (s *set, err error) {
	s = &set{issuer: issuer, source: source, url: strings.Contains(source, "://")}
	s.keys.Store(new([]key))
	if !s.url {
		return s, nil
	}
	u, err := url.Parse(source)
	switch {
	case err != nil:
		return nil, errors.New("not a URL") // the error has the text, and may have a password
	case u.User != nil:
		return nil, errors.New("a URL with a password: keys of a JWKS are public")
	case u.Scheme == "https":
	case u.Scheme == "http" && isLoopback(u.Hostname()):
	default:
		return nil, fmt.Errorf("%s: must be a file, an https URL, or an http URL of a loopback host", s.name())
	}
	return s, nil
}

// name is the source as a log may have it.
func (s *set) name() string {
	name, _, _ := strings.Cut(s.source, "?")
	return name
}

func isLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// load reads the keys of a file.
func (s *set) load() error {
	s.fetching.Lock()
	defer s.fetching.Unlock()
	text, err := os.ReadFile(s.source)
	if err != nil {
		return err
	}
	_, err = s.store(text)
	return err
}

// errFetching is the error of fetch while another goroutine fetches.
var errFetching = errors.New("the JWKS is being read")

// fetch reads the keys of a URL, and reports whether they changed. If it fails the
// keys stay.
func (s *set) fetch(ctx context.Context, transport http.RoundTripper, now int64) (changed bool, err error) {
	if !s.fetching.TryLock() {
		return false, errFetching
	}
	defer s.fetching.Unlock()
	s.attempted.Store(now)
	text, err := get(ctx, transport, s.source)
	if err == nil {
		changed, err = s.store(text)
	}
	if err != nil {
		return false, err
	}
	s.succeeded.Store(now)
	return changed, nil
}

// get returns the body of a response. It follows no redirect: the URL is fixed.
func get(ctx context.Context, transport http.RoundTripper, address string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the response has status %d, not 200", response.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxSetBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxSetBytes {
		return nil, fmt.Errorf("the response has more than %d bytes", maxSetBytes)
	}
	return text, nil
}

// store replaces the keys by those of a JWKS, unless none can be used.
func (s *set) store(text []byte) (changed bool, err error) {
	keys, err := parseSet(text)
	if err != nil {
		return false, err
	}
	digest := sha256.Sum256(text)
	changed = digest != s.digest
	s.digest = digest
	s.keys.Store(&keys)
	return changed, nil
}

// parseSet returns the keys of a JWKS that are for the signatures of this package, in
// their order. Others are skipped, symmetric ones too, for newKey knows none: what is
// published is no secret.
func parseSet(text []byte) (keys []key, err error) {
	var all jwkset.JWKSMarshal
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, errors.New("not a JWKS, a JSON object with the array keys")
	}
	if len(all.Keys) > maxSetKeys {
		return nil, fmt.Errorf("a JWKS of %d keys: must have at most %d", len(all.Keys), maxSetKeys)
	}
	for _, one := range all.Keys {
		if one.USE != "" && one.USE != jwkset.UseSig || !forVerifying(one.KEYOPS) {
			continue
		}
		// Without GetX5U nothing is fetched for a key.
		made, err := jwkset.NewJWKFromMarshal(one, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{SkipX5UScheme: true})
		if err != nil {
			continue
		}
		k, err := newKey(made.Key())
		if err != nil || one.ALG != "" && one.ALG.String() != k.algorithm {
			continue
		}
		k.id = one.KID
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, errors.New("the JWKS has no key for RS256 (2048 to 8192 bits), ES256 or EdDSA (Ed25519)")
	}
	return keys, nil
}

func forVerifying(operations []jwkset.KEYOPS) bool {
	for _, o := range operations {
		if o == jwkset.KeyOpsVerify {
			return true
		}
	}
	return len(operations) == 0
}
