package identity

import (
	"peal/loop/frame"
	"peal/server/apikey"
	"peal/server/grant"
	"peal/server/permit"
	"peal/server/refusal"
	"peal/server/share"
	"peal/server/workers"
)

// Tokens verifies the tokens of users: a token.Verifier. See there.
type Tokens interface {
	// Cached returns the result of an earlier Verify, if it is known. It neither blocks
	// nor allocates.
	Cached(text []byte) (g *grant.Grant, err *refusal.Error, known bool)

	// Verify takes as long as a signature, or as the keys of an issuer. Any goroutine but
	// a loop's may call it.
	Verify(text []byte) (*grant.Grant, *refusal.Error)

	// Drop forgets the cached tokens whose grants f picks. It takes as long as to visit
	// all of them. Any goroutine but a loop's may call it.
	Drop(f func(*grant.Grant) bool)
}

// Keys finds the keys of backends: an apikey.Table. See there.
type Keys interface {
	// Find returns what the key allows, and whether it is known. It does not allocate.
	Find(text []byte) (*grant.Grant, bool)

	// Len is how many keys there are.
	Len() int
}

// Identity is how clients prove who they are. Its zero value takes nothing as a proof,
// and allows everyone what no rule restricts.
type Identity struct {
	NeedsToken bool // what no rule, token or key grants is refused: auth token

	Tokens Tokens // nil: none are verified
	Keys   Keys   // nil: none are known

	// Verifiers verify the tokens that are not cached. Needed with Tokens.
	Verifiers *workers.Pool

	Revocations permit.Revocations // nil: all tokens hold

	Cookie string // that may carry a token; "" for none
	Query  bool   // ?token= may carry one

	Mercure *Mercure // nil: that protocol is off
}

// Mercure is how clients of the Mercure protocol prove who they are. Their tokens are not
// good elsewhere. Keys of backends and Verifiers are those of the Identity.
type Mercure struct {
	Publishers, Subscribers Tokens // nil: none are verified

	Anonymous bool   // public updates need no token
	Templates bool   // subscriptions may have them
	Cookie    string // that may carry a token; "" for none
	Query     bool   // ?authorization= may carry one
}

// Off reports whether nothing is taken as a proof and nothing is needed: the server
// then ignores what clients send, as it does with any header that it does not know.
func (id *Identity) Off() bool {
	return !id.NeedsToken && id.Tokens == nil && (id.Keys == nil || id.Keys.Len() == 0)
}

// errKeyInvalid refuses what begins as a key and has another form, or another checksum.
var errKeyInvalid = &refusal.Error{Status: 401, Code: "key_invalid", Message: "the checksum of the key is wrong, or a part of it is missing: copy the whole key again; peal key check examines it", Close: frame.CloseUnauthorized}

// ErrKeyUnknown refuses a key that is not in the configuration.
var ErrKeyUnknown = &refusal.Error{Status: 401, Code: "key_unknown", Message: "the server does not know this key: create one with peal key create, add its digest to keys in the configuration, and reload", Close: frame.CloseUnauthorized}

// Key returns what a key allows.
func (id *Identity) Key(text []byte) (*grant.Grant, *refusal.Error) {
	if id.Keys != nil {
		if g, ok := id.Keys.Find(text); ok {
			return g, nil
		}
	}
	if apikey.Check(string(text)) != nil {
		return nil, errKeyInvalid
	}
	return nil, ErrKeyUnknown
}

// verifyCost is about how many microseconds one verification takes, beside its bytes.
const verifyCost = 100

// Verify has a worker verify the token of a connection, or returns why none has time.
// done is called once, on any goroutine. The token is kept until then.
func (id *Identity) Verify(by share.Key, session uint64, token []byte, done func(*grant.Grant, *refusal.Error)) *refusal.Error {
	return id.VerifyBy(id.Tokens, by, session, token, done)
}

// VerifyBy is Verify by other tokens than those of id.
func (id *Identity) VerifyBy(tokens Tokens, by share.Key, session uint64, token []byte, done func(*grant.Grant, *refusal.Error)) *refusal.Error {
	return id.Verifiers.Try(&workers.Job{
		Share: by, Session: session, Bytes: len(token), Cost: verifyCost,
		Run:    func() { done(tokens.Verify(token)) },
		Refuse: func(err *refusal.Error) { done(nil, err) },
	})
}

// dropCost is about how many microseconds Drop takes.
const dropCost = 5000

// Drop has a worker forget the cached tokens that f picks, which have been revoked. No
// decision depends on it, so it does not matter if none has time.
func (id *Identity) Drop(by share.Key, session uint64, f func(*grant.Grant) bool) {
	all := []Tokens{id.Tokens} // see Verify
	if id.Mercure != nil {
		all = append(all, id.Mercure.Publishers, id.Mercure.Subscribers)
	}
	for _, tokens := range all {
		if tokens == nil {
			continue
		}
		_ = id.Verifiers.Try(&workers.Job{
			Share: by, Session: session, Cost: dropCost,
			Run:    func() { tokens.Drop(f) },
			Refuse: func(*refusal.Error) {},
		})
	}
}
