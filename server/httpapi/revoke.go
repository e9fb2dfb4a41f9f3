package httpapi

import (
	"bytes"
	"strconv"
	"time"

	"peal/server/names"
	"peal/server/pattern"
	"peal/server/refusal"
	"peal/server/revoke"
	"peal/server/subscribe"
)

const (
	// maxRevoked is how many users and tokens one request may revoke.
	maxRevoked = 1000

	// maxTokenID is the longest jti of a token, in bytes.
	maxTokenID = 200

	// maxAhead is how far before may be in the future: the clock of the signer may be
	// ahead. Beyond that it would keep a user out, which a revocation does not do.
	maxAhead = 5 * time.Minute
)

// revoking serves POST /revoke.
type revoking struct{ *shared }

// revoke revokes tokens, and ends the connections that have one:
// {"revoked":n,"disconnected":m}, and if the log has not stored the order,
// "not_durable":true. The tokens are revoked first. So a connection whose token is
// being verified is refused when it is decided about, and one that was decided about
// before is among those that are looked at afterwards: both happen on its loop. The
// response is due when the connections have ended and the log has answered.
func (o *revoking) revoke(x *exchange) {
	order, err := o.order(x)
	if err != nil {
		x.refuse(err)
		return
	}
	q := x.request()
	if !x.permits(q) {
		return
	}
	x.call.Work += subscribe.NameWork * order.Len()
	p := x.newParting(func(p *parting) []byte {
		body := strconv.AppendInt([]byte(`{"revoked":`), int64(order.Len()), 10)
		return p.appendDurable(strconv.AppendInt(append(body, `,"disconnected":`...), int64(p.ended), 10))
	})
	if o.deps.Orders == nil {
		p.stored(nil)
	} else if !o.deps.Orders.Revoke(order, p.stored) {
		x.refuse(errRevocationsFull)
		return
	}
	o.deps.Identity.Drop(x.by, x.call.Session, order.Covers)
	p.end(x, Revoked, func(front *Front, session uint64) bool { return front.Revoke(session, order) })
}

// order reads the request.
func (o *revoking) order(x *exchange) (*revoke.Order, *refusal.Error) {
	x.channels.Clear()
	order := &revoke.Order{Subjects: map[string]struct{}{}, IDs: map[string]struct{}{}}
	add := func(to map[string]struct{}, value []byte) *refusal.Error {
		to[string(value)] = struct{}{}
		if order.Len() > maxRevoked {
			return errTooManyTokens
		}
		return nil
	}
	var before []byte
	err := x.arguments([]argument{
		{name: "sub", list: true, none: errNoToken, wrong: errSubs, take: func(value []byte) *refusal.Error {
			if !names.IsUser(value) {
				return errSub
			}
			return add(order.Subjects, value)
		}},
		{name: "jti", list: true, none: errNoToken, wrong: errTokenIDs, take: func(value []byte) *refusal.Error {
			if len(value) == 0 || len(value) > maxTokenID || !pattern.IsPrintable(value) {
				return errTokenID
			}
			return add(order.IDs, value)
		}},
		{name: "before", take: func(value []byte) *refusal.Error { return setOnce(&before, "before", value) }},
	})
	switch {
	case err != nil:
		return nil, err
	case order.Len() == 0:
		return nil, errNoToken
	case before != nil && len(order.Subjects) == 0:
		return nil, errBeforeWhom
	}
	now := time.Now()
	order.Before, err = now.Unix(), nil
	if before != nil {
		order.Before, err = parseBefore(before, now)
	}
	return order, err
}

// parseBefore reads a moment up to now: seconds since 1970, or RFC 3339, of which the
// part of a second does not count.
func parseBefore(b []byte, now time.Time) (int64, *refusal.Error) {
	var seconds int64
	if n, err := subscribe.ParseCount(b); err == nil {
		seconds = int64(n)
	} else {
		text := bytes.ReplaceAll(b, []byte{' '}, []byte{'+'}) // as forms have it that was not encoded
		at, err := time.Parse(time.RFC3339, string(text))
		if err != nil || at.Unix() < 0 {
			return 0, errBefore
		}
		seconds = at.Unix()
	}
	if seconds > now.Add(maxAhead).Unix() {
		return 0, errBeforeAhead
	}
	return seconds, nil
}

// Found in requests to revoke.
var (
	errNoToken         = &refusal.Error{Status: 400, Code: "no_subject", Message: "nothing is named: send sub=42 (all tokens of that user up to now) or jti=a1b2 (one token), in the query, a form or a JSON object"}
	errSub             = &refusal.Error{Status: 400, Code: "bad_sub", Message: "sub is 1 to 194 bytes of printable UTF-8, percent-encoded in URLs"}
	errSubs            = &refusal.Error{Status: 400, Code: "bad_sub", Message: `sub must be a string, or an array of strings for several users: "sub":["42","43"]`}
	errTokenID         = &refusal.Error{Status: 400, Code: "bad_jti", Message: "jti is 1 to 200 bytes of printable UTF-8, percent-encoded in URLs"}
	errTokenIDs        = &refusal.Error{Status: 400, Code: "bad_jti", Message: `jti must be a string, or an array of strings for several tokens: "jti":["a1b2","c3d4"]`}
	errBefore          = &refusal.Error{Status: 400, Code: "bad_before", Message: "before must be seconds since 1970, or a time such as 2026-01-31T12:00:00Z"}
	errBeforeAhead     = &refusal.Error{Status: 400, Code: "bad_before", Message: "before is more than 5 minutes in the future: send seconds, not milliseconds; to keep a user out, sign no new token"}
	errBeforeWhom      = &refusal.Error{Status: 400, Code: "bad_before", Message: "before needs the user whose tokens it is about: send sub=42, too"}
	errTooManyTokens   = &refusal.Error{Status: 400, Code: "too_many_tokens", Message: "one request revokes at most 1000 users and tokens: send several requests"}
	errRevocationsFull = &refusal.Error{Status: 429, Code: "revocations_full", Message: "there is no room to revoke as many, and none of them was revoked: raise revocations, or remove the secret that signed the tokens", Retry: 60}
)
