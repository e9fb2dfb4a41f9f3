package token

import (
	"encoding/base64"
	"strings"

	"peal/server/ijson"
	"peal/server/refusal"
)

// header is what the header of a token says about its key.
type header struct {
	algorithm string
	kid       string
	hasKid    bool

	accessToken bool // typ is at+jwt (RFC 9068)
}

// Algorithms, as alg names them.
const (
	hs256 = "HS256"
	rs256 = "RS256"
	es256 = "ES256"
	eddsa = "EdDSA"
)

var algorithms = []string{hs256, rs256, es256, eddsa}

// checkShape returns why a text cannot be a token, at the cost of one pass.
// The library would skip line ends.
func checkShape(text []byte) *refusal.Error {
	if len(text) > MaxBytes {
		return errTooLong
	}
	dots := 0
	for _, c := range text {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		case c == '.':
			dots++
		default:
			return errForm
		}
	}
	if dots != 2 {
		return errForm
	}
	return nil
}

// readHeader reads the header of a token of the right shape.
func readHeader(text string) (h header, fault *refusal.Error) {
	encoded, _, _ := strings.Cut(text, ".")
	decoded, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return h, errForm
	}
	fail := func(err *refusal.Error) {
		if fault == nil {
			fault = err
		}
	}
	var r ijson.Reader
	r.Start(decoded)
	for r.Enter('{'); r.More(); {
		name := string(r.Name())
		value := r.Value()
		switch name {
		case "alg", "kid":
			member, ok := value.Text()
			if !ok {
				fail(errHeader)
			}
			if name == "alg" {
				h.algorithm = string(member)
			} else {
				h.kid, h.hasKid = string(member), true
			}
		case "typ":
			member, ok := value.Text()
			media := strings.TrimPrefix(strings.ToLower(string(member)), "application/")
			h.accessToken = ok && media == "at+jwt"
		case "jwk", "jku", "x5u", "x5c":
			fail(errOwnKey)
		case "crit":
			fail(errCritical)
		}
	}
	if r.End() != nil {
		return h, errHeader
	}
	if !contains(algorithms, h.algorithm) {
		fail(errAlgorithm)
	}
	return h, fault
}
