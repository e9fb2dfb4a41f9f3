package command

import (
	"bytes"
	"slices"
	"strings"

	"peal/loop"
	"peal/loop/frame"
	"peal/server/apikey"
	"peal/server/grant"
	"peal/server/log"
	"peal/server/names"
	"peal/server/permit"
	"peal/server/refusal"
	"peal/server/share"
	"peal/server/subscribe"
	"peal/server/talk"
)

// Door leads to connections from other goroutines: a loop.Group. See there.
type Door interface {
	Do(ref loop.Ref, f func(c loop.Client))
}

// Found in the renewal of a token.
var (
	errTokenField = &refusal.Error{Status: 400, Code: "bad_field", Message: "token must be a string: a token of the same user"}
	errTokenUser  = &refusal.Error{Status: 403, Code: "client_mismatch", Message: "the token is that of another user than this connection: connect anew with it", Close: frame.CloseForbidden}
	errNotRenewed = &refusal.Error{Status: 403, Code: "client_mismatch", Message: "this connection was made without a token: connect anew with one", Close: frame.CloseForbidden}
	errNotToken   = &refusal.Error{Status: 401, Code: "token_invalid", Message: "a connection is renewed with a token that this server can verify (token-secret, token-key, token-jwks), not with a key", Close: frame.CloseUnauthorized}
)

// token renews what the client has proven. The channels that the new token does not
// grant are taken away, which the reply says; nothing of the others is lost or
// repeated.
func (r *Room) token(c loop.Client, l *talk.Language, cmd *talk.Command) *refusal.Error {
	text, err := cmd.Text("token")
	switch {
	case err != nil:
		return err
	case len(text) == 0:
		return errTokenField
	case r.Identity.Tokens == nil || apikey.Is(text):
		return errNotToken
	}
	if g, err, known := r.Identity.Tokens.Cached(text); known {
		if err != nil {
			return err
		}
		return r.renew(c, l, cmd.ID, g)
	}
	ref, id, by := c.Ref(), bytes.Clone(cmd.ID), share.Of(c.Peer().Addr(), c.Session())
	err = r.Identity.Verify(by, c.Session(), bytes.Clone(text), func(g *grant.Grant, err *refusal.Error) {
		r.Door.Do(ref, func(c loop.Client) {
			c.Unowe()
			if err == nil {
				err = r.renew(c, l, id, g)
			}
			if err != nil {
				r.Counts.Refuse(err)
				c.Write(l.Refused(nil, id, err))
			}
		})
	})
	if err == nil {
		c.Owe()
	}
	return err
}

// renew makes g what the client has proven, and replies.
func (r *Room) renew(c loop.Client, l *talk.Language, id []byte, g *grant.Grant) *refusal.Error {
	before := r.Guests.Grant(c.Session())
	switch {
	case before == nil:
		return errNotRenewed
	case before.Kind != g.Kind || before.Subject != g.Subject:
		return errTokenUser
	}
	q := r.request(c, permit.Subscribe)
	q.Who.Grant, q.Channels = g, nil
	if err := r.Gate.Keep(&q); err != nil {
		return err
	}
	at := r.covered(c) // while it still has them, as in unsubscribe
	lost, gone := r.lost(c, &q)
	c.Unsubscribe(gone)
	r.Guests.Leave(c.Session(), lost)
	c.SetDeadline(r.Guests.Renew(c.Session(), g))
	var unsubscribed []string
	for _, n := range lost {
		unsubscribed = append(unsubscribed, n.Text())
	}
	c.Write(l.Renewed(nil, id, at, unsubscribed))
	return nil
}

// lost returns the channels of the client that what it has proven in q does not grant,
// and all that must be taken away with them: those of presence events.
func (r *Room) lost(c loop.Client, q *permit.Request) (lost []*names.Name, gone []string) {
	r.has = c.Channels(r.has[:0])
	c.Spend(subscribe.SeatWork * len(r.has))
	for _, text := range r.has {
		if strings.HasPrefix(text, log.PresencePrefix) {
			continue
		}
		n := r.Names.Of(text)
		_, watched := slices.BinarySearch(r.has, log.PresencePrefix+text)
		q.Channels, q.Presence = []*names.Name{n}, false
		if r.Gate.Keep(q) != nil {
			lost = append(lost, n)
			gone = append(gone, text, log.PresencePrefix+text)
			continue
		}
		if q.Presence = watched; r.Gate.Keep(q) != nil {
			gone = append(gone, log.PresencePrefix+text)
		}
	}
	return lost, gone
}

// Due implements loop.Front: the time has come to warn the client that its token
// expires, or to end the connection because it has.
func (r *Room) Due(c loop.Client) {
	left, ok := r.Guests.Remaining(c.Session())
	switch {
	case !ok:
		return
	case left <= 0:
		r.Counts.Refuse(permit.ErrExpired)
		c.Close(frame.CloseUnauthorized, permit.ErrExpired.Code+": "+permit.ErrExpired.Message)
		return
	}
	if warn := r.Dialects.At(c.Dialect()).Expires; warn != nil {
		c.Write(warn(nil, left))
	}
	c.SetDeadline(left)
}
