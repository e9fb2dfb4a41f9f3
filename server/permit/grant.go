package permit

import (
	"strings"

	"peal/loop/frame"
	"peal/server/app"
	"peal/server/grant"
	"peal/server/log"
	"peal/server/mercure"
	"peal/server/names"
	"peal/server/refusal"
	"peal/server/rules"
)

// Revocations knows which tokens no longer hold: a revoke.Table.
type Revocations interface {
	// Has reports whether the token of that grant is refused. It does not allocate.
	Has(g *grant.Grant) bool

	// IsUnknown reports whether one that is refused was perhaps not revoked: the server
	// does not know the revocations of when it was issued.
	IsUnknown(g *grant.Grant) bool
}

// Found by what the client has proven about itself.
var (
	ErrRevoked   = &refusal.Error{Status: 401, Code: "token_revoked", Message: "the backend has revoked this token: get a new one from it", Close: frame.CloseDisconnected}
	ErrUnknown   = &refusal.Error{Status: 401, Code: "control_state_lost", Message: "this token was issued before the server started (iat), and the server cannot know whether it has been revoked: get a new one, with iat; with --log file: the server keeps revocations", Close: frame.CloseUnauthorized}
	ErrNoIssued  = &refusal.Error{Status: 401, Code: "control_state_lost", Message: "the token does not say when it was issued, and the server does not know which tokens were revoked before it started: sign tokens with iat; with --log file: the server keeps revocations, and takes tokens without iat", Close: frame.CloseUnauthorized}
	ErrExpired   = &refusal.Error{Status: 401, Code: "token_expired", Message: "the token has expired: get a new one, and connect again from the same cursor", Close: frame.CloseUnauthorized}
	ErrMismatch  = &refusal.Error{Status: 403, Code: "client_mismatch", Message: "client differs from the sub of the token: leave client out, because the token names the client", Close: frame.CloseForbidden}
	ErrNoToken   = &refusal.Error{Status: 401, Code: "token_missing", Message: "this needs a token or a key: send it as Authorization: Bearer, on a WebSocket also as the subprotocol peal.token.<token>, or as token= in the URL", Close: frame.CloseUnauthorized}
	ErrNoName    = &refusal.Error{Status: 401, Code: "token_missing", Message: "with auth token, a client name needs a token, which names the client: send a token, or leave client out", Close: frame.CloseUnauthorized}
	ErrNotUser   = &refusal.Error{Status: 403, Code: "not_allowed", Message: "a channel $user:<name> is for the user of that name and for backends: subscribe to $me", Close: frame.CloseForbidden}
	ErrNoGrant   = &refusal.Error{Status: 403, Code: "not_allowed", Message: "the token or key does not grant this action on one of the channels: get one whose patterns match (for a token peal.subscribe, peal.publish or peal.presence, for a key allow)", Close: frame.CloseForbidden}
	ErrProtected = &refusal.Error{Status: 403, Code: "channel_protected", Message: "this is a private or presence channel of an app of the Pusher protocol: use that protocol with a signature of the app, or send a key or token that grants the channel", Close: frame.CloseForbidden}
	ErrNotKey    = &refusal.Error{Status: 403, Code: "backend_only", Message: "this is for backends: send a key that allows it as Authorization: Bearer", Close: frame.CloseForbidden}
)

// Keep decides about channels that the connection has already, after the client has
// proven something new: whether it may keep them.
func (g *Gate) Keep(r *Request) *refusal.Error {
	if err := g.revoked(r); err != nil {
		return err
	}
	if err := g.ban(r); err != nil {
		return err
	}
	return g.grant(r)
}

func (g *Gate) revoked(r *Request) *refusal.Error {
	switch who := r.Who.Grant; {
	case who == nil || g.Revocations == nil || !g.Revocations.Has(who):
		return nil
	case g.Revocations.IsUnknown(who) && who.Issued == 0:
		return ErrNoIssued
	case g.Revocations.IsUnknown(who):
		return ErrUnknown
	default:
		return ErrRevoked
	}
}

// stale refuses users while it is not known whether their tokens still hold.
func (g *Gate) stale(r *Request) *refusal.Error {
	if who := r.Who.Grant; who != nil && who.Kind == grant.User && g.Stale != nil && g.Stale.Load() {
		return refusal.ErrNodeBehind
	}
	return nil
}

// client refuses another name than that of the token.
func (g *Gate) client(r *Request) *refusal.Error {
	if user := r.Who.User(); r.Action == Subscribe && user != "" && len(r.Who.Client) > 0 && string(r.Who.Client) != user {
		return ErrMismatch
	}
	return nil
}

// grant refuses what the client has not been granted, by its token or key; also a name
// where a token would prove it: no client is listed as a user that it is not.
func (g *Gate) grant(r *Request) *refusal.Error {
	if g.NeedsToken && r.Action == Subscribe && r.Who.Grant == nil && len(r.Who.Client) > 0 && !r.Granted {
		return ErrNoName
	}
	if r.Action == Publish {
		for _, n := range r.Channels {
			if mercure.IsReserved(n.Text()) {
				return ErrTopicOfHub
			}
		}
	}
	if r.Topics {
		return g.topics(r)
	}
	if !r.Action.HasChannels() || r.Action == Inspect {
		return g.grantControl(r)
	}
	for _, n := range r.Channels {
		need := n.Rule().Subscribe
		if r.Action == Publish {
			need = n.Rule().Publish
		}
		if r.Granted && (need == rules.Token || need == rules.Anyone) {
			continue
		}
		if need != rules.Backend && g.Apps.Protects(n.Text()) {
			if need == rules.Anyone && r.Who.Grant == nil {
				return ErrProtected
			}
			need = rules.Token
			if app.IsUser(app.Name(n.Text())) { // as the channel of another user
				need = rules.Backend
			}
		}
		if err := granted(r.Who.Grant, r.Action, n, need); err != nil {
			return err
		}
		if r.Action == Subscribe && r.Presence && g.HasPresence(n) {
			if err := granted(r.Who.Grant, Presence, n, need); err != nil {
				return err
			}
		}
	}
	return nil
}

// granted decides about one channel. need is what its rule asks for.
func granted(who *grant.Grant, a Action, n *names.Name, need rules.Who) *refusal.Error {
	user := n.User()
	reads := user != "" && a != Publish // the channel of a user
	switch {
	case reads && who != nil && who.Kind == grant.User && who.Subject == user:
		return nil
	case reads, user != "" && need == rules.Token:
		need = rules.Backend
	}
	switch {
	case need == rules.Anyone:
		return nil
	case who == nil:
		return ErrNoToken
	case need == rules.Backend && who.Kind != grant.Backend:
		if reads {
			return ErrNotUser
		}
		return ErrNotKey
	case !who.Allows(a, n.Text()):
		return ErrNoGrant
	}
	return nil
}

// protected refuses a look at protected channels that the client has not been granted.
func (g *Gate) protected(r *Request) *refusal.Error {
	if r.Action == Inspect {
		for _, n := range r.Channels {
			if g.Hides(&r.Who, n.Text()) {
				return ErrProtected
			}
		}
	}
	return nil
}

// Hides reports whether a channel must not be shown to a client that may list channels.
func (g *Gate) Hides(who *Principal, channel string) bool {
	if !g.Apps.Protects(strings.TrimPrefix(channel, log.PresencePrefix)) {
		return false
	}
	return !g.reads(who.Grant, Inspect, channel)
}

// reads reports whether a grant is one of a protected channel. No pattern of a token covers
// those of users.
func (g *Gate) reads(who *grant.Grant, a Action, channel string) bool {
	name := strings.TrimPrefix(channel, log.PresencePrefix)
	if who == nil || app.IsUser(app.Name(name)) && who.Kind != grant.Backend {
		return false
	}
	return who.Allows(a, channel)
}

// Grants reports whether a client that reads the channel may go on with it: it is not protected, or
// granted.
func (g *Gate) Grants(who *grant.Grant, channel string) bool {
	name := strings.TrimPrefix(strings.TrimPrefix(channel, log.PresencePrefix), log.PrivatePrefix)
	return !g.Apps.Protects(name) || g.reads(who, Subscribe, name)
}

// grantControl decides about actions that are the backend's.
func (g *Gate) grantControl(r *Request) *refusal.Error {
	who := r.Who.Grant
	switch {
	case !g.NeedsToken && r.Action != Revoke:
		return g.protected(r) // without access control they are everybody's, as publishing is
	case who == nil:
		return ErrNoToken
	case who.Kind != grant.Backend:
		return ErrNotKey
	case !who.May(r.Action):
		return ErrNoGrant
	case r.Action != Inspect:
		return nil
	}
	if len(r.Channels) == 0 && !who.Covers(Inspect, string(r.Prefix)) {
		return ErrNoGrant
	}
	for _, n := range r.Channels {
		if !who.Allows(Inspect, n.Text()) {
			return ErrNoGrant
		}
	}
	return nil
}
