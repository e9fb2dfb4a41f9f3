package httpapi

import (
	"bytes"
	"crypto/sha256"
	"sync/atomic"

	"peal/loop"
	"peal/loop/frame"
	"peal/server/apikey"
	"peal/server/ascii"
	"peal/server/auth"
	"peal/server/grant"
	"peal/server/identity"
	"peal/server/refusal"
)

// Found in how clients prove who they are.
var (
	errKeyPlace   = &refusal.Error{Status: 401, Code: "key_misplaced", Message: "a key of a backend was sent in a URL, a cookie or a subprotocol, where others can read it: send it as Authorization: Bearer, and replace it", Close: frame.CloseUnauthorized}
	errTokenQuery = &refusal.Error{Status: 401, Code: "token_misplaced", Message: "this server takes no tokens from URLs (token-query: false): send it as Authorization: Bearer, as the subprotocol peal.token.<token>, or as a cookie", Close: frame.CloseUnauthorized}
	errScheme     = &refusal.Error{Status: 401, Code: "token_invalid", Message: "the Authorization header must be: Bearer, a space, and a token or key", Close: frame.CloseUnauthorized}
	errNoTokens   = &refusal.Error{Status: 401, Code: "token_invalid", Message: "this server verifies no tokens: set token-secret, token-key or token-jwks, or send a key", Close: frame.CloseUnauthorized}
	errTokens     = &refusal.Error{Status: 401, Code: "token_invalid", Message: "the request has two different tokens or keys in one place (Authorization, Sec-WebSocket-Protocol, token= or the cookie): send one", Close: frame.CloseUnauthorized}
	errTokenAlone = &refusal.Error{Status: 400, Code: "bad_handshake", Message: "Sec-WebSocket-Protocol has a token and no protocol: send peal.v1 or peal.raw beside peal.token.<token>, because the server must select one, and the token is none"}
)

// tokenProtocol begins the element of Sec-WebSocket-Protocol that carries a token.
// Browsers let a script set no other header of a handshake.
var tokenProtocol = []byte("peal.token.")

// carrier is where a request has its proof.
type carrier uint8

const (
	inNothing carrier = iota
	inHeader
	inProtocol
	inQuery
	inCookie
)

// identify finds out what the client has proven: x.grant, or x.denied with the reason
// why its proof is none. It reports false if the request must wait for that; then the
// call says so.
func (x *exchange) identify() (ready bool) {
	id := &x.deps.Identity
	if id.Off() {
		return true
	}
	text, from, err := x.proof()
	if err != nil || from == inNothing {
		x.denied = err
		return true
	}
	if x.isKey(text, from) {
		return true
	}
	if id.Tokens == nil {
		if id.NeedsToken {
			x.denied = errNoTokens
		}
		return true
	}
	return x.verify(id.Tokens, text)
}

// isKey reports whether text is a key of a backend, which is then looked up.
func (x *exchange) isKey(text []byte, from carrier) bool {
	if !apikey.Is(text) {
		return false
	}
	if x.denied = errKeyPlace; from == inHeader {
		x.grant, x.denied = x.deps.Identity.Key(text)
	}
	return true
}

// verify is identify for the token text.
func (x *exchange) verify(tokens identity.Tokens, text []byte) (ready bool) {
	q := x.inquiries.take(x.call.Conn, x.call.Session, text)
	g, err, known := tokens.Cached(text)
	switch {
	case known:
		x.grant, x.denied = g, err
	case q == nil:
		if x.denied = x.inquire(tokens, text); x.denied == nil {
			return x.wait()
		}
	case !q.done.Load():
		x.inquiries[x.call.Conn.Slot] = q
		return x.wait()
	default:
		x.grant, x.denied = q.grant, q.err
	}
	return true
}

// proof returns the token or key of the request. What was sent on purpose goes before
// a cookie, which the browser sends by itself. Two in one place are refused: a proxy or
// another server could take the other one.
func (x *exchange) proof() (text []byte, from carrier, err *refusal.Error) {
	id := &x.deps.Identity
	var one sole
	var other *refusal.Error // beside a token elsewhere, another scheme is for a proxy
	for _, value := range x.authorizations() {
		text, ok := bearer(value)
		switch {
		case ok:
			one.add(text)
		case len(value) > 0 && id.NeedsToken:
			other = errScheme
		}
	}
	if len(one.text) > 0 {
		if other != nil {
			return nil, inHeader, other
		}
		return one.text, inHeader, one.err
	}
	if x.head.Upgrade {
		if one := tokenIn(x.socket().Protocols); len(one.text) > 0 {
			return one.text, inProtocol, one.err
		}
	}
	if bytes.Contains(x.head.Query, []byte("token=")) {
		x.args.ParseBytes(x.head.Query)
		for key, value := range x.args.All() {
			if string(key) == "token" {
				one.add(value)
			}
		}
		if len(one.text) > 0 && !id.Query {
			return nil, inQuery, errTokenQuery
		}
		if len(one.text) > 0 {
			return one.text, inQuery, one.err
		}
	}
	if id.Cookie != "" {
		for key, value := range x.lines().Cookies() {
			if string(key) == id.Cookie {
				one.add(value)
			}
		}
		if len(one.text) > 0 && x.ownPage() {
			return one.text, inCookie, one.err
		}
	}
	return nil, inNothing, other
}

// sole is a value that may be there several times, but not with different texts.
type sole struct {
	text []byte
	err  *refusal.Error
}

func (s *sole) add(text []byte) {
	switch {
	case len(s.text) == 0:
		s.text = text
	case len(text) > 0 && !bytes.Equal(s.text, text):
		s.err = errTokens
	}
}

// ownPage reports whether a page that may act for its user caused the request.
func (x *exchange) ownPage() bool {
	from := auth.Request{Host: x.head.Host, Origin: x.head.Origin, Site: x.head.Site, HTTPS: x.https}
	return x.deps.Policy.IsOwn(from, x.rareOne("Referer"))
}

// bearer cuts the scheme off the value of Authorization (RFC 6750 §2.1).
func bearer(value []byte) (text []byte, ok bool) {
	scheme, text, ok := bytes.Cut(value, []byte{' '})
	text = bytes.Trim(text, " ")
	return text, ok && len(text) > 0 && ascii.EqualFold(scheme, "bearer")
}

// tokenIn returns the token in a list of subprotocols, if there is one.
func tokenIn(list []byte) (one sole) {
	for item := range bytes.SplitSeq(list, []byte{','}) {
		if text, ok := bytes.CutPrefix(bytes.Trim(item, " \t"), tokenProtocol); ok {
			one.add(text)
		}
	}
	return one
}

// inquiry is a token that a worker verifies for a request that waits.
type inquiry struct {
	session uint64
	token   [sha256.Size]byte // its digest: what a connection leaves behind must be small

	// Set by the worker, before done.
	grant *grant.Grant
	err   *refusal.Error
	done  atomic.Bool
}

// inquire has a worker verify the token, and the request wait; or it returns why no
// worker has time.
func (x *exchange) inquire(tokens identity.Tokens, token []byte) *refusal.Error {
	door, ref := x.deps.Door, x.call.Conn
	q := &inquiry{session: x.call.Session, token: sha256.Sum256(token)}
	err := x.deps.Identity.VerifyBy(tokens, x.by, q.session, bytes.Clone(token), func(g *grant.Grant, err *refusal.Error) {
		q.grant, q.err = g, err
		q.done.Store(true)
		door.Again(ref)
	})
	if err != nil {
		return err
	}
	x.inquiries[ref.Slot] = q
	return nil
}

// wait has the request wait until the door says Again.
func (x *exchange) wait() (ready bool) {
	x.call.Verdict, x.call.Used = loop.Wait, 0
	return false
}

// inquiries are those of one loop, by the slot of the connection: a connection has one
// at a time. What a connection leaves behind that closes meanwhile is replaced by the
// next one in its slot.
type inquiries map[uint32]*inquiry

// take returns the inquiry about that token of that session, nil if there is none, and
// forgets whatever the slot has: a result must never serve another token.
func (s inquiries) take(ref loop.Ref, session uint64, token []byte) *inquiry {
	q := s[ref.Slot]
	if q == nil {
		return nil
	}
	delete(s, ref.Slot)
	if q.session != session || q.token != sha256.Sum256(token) {
		return nil
	}
	return q
}
