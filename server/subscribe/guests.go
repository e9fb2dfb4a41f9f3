package subscribe

import (
	"slices"
	"time"
	"unicode/utf8"

	"peal/loop"
	"peal/loop/dense"
	"peal/loop/frame"
	"peal/server/grant"
	"peal/server/names"
	"peal/server/pattern"
	"peal/server/permit"
	"peal/server/presence"
	"peal/server/refusal"
	"peal/server/share"
)

// Longest name and text of a client, in bytes.
const (
	maxClient = 200
	maxInfo   = 1 << 10
)

// Found in what clients say about themselves.
var (
	ErrNamesFull = &refusal.Error{Status: 429, Code: "presence_full", Message: "there is no room for another client name on this connection (presence-bytes, address-share): try again later, or use its first name", Close: frame.CloseTryAgainLater}

	errProvenInfo = &refusal.Error{Status: 403, Code: "client_mismatch", Message: "with a token, presence shows peal.info of the token: leave info out", Close: frame.CloseForbidden}

	errClient = &refusal.Error{Status: 400, Code: "bad_client", Message: "client is 1 to 200 bytes of printable UTF-8, percent-encoded in URLs"}
	errInfo   = &refusal.Error{Status: 400, Code: "bad_info", Message: "info is at most 1024 bytes of UTF-8: store the rest in your backend, under the client name"}
)

// Visitor is the name that a client gives itself, empty for none, and what it says
// about itself. Both may alias the request, or be those of its token.
type Visitor struct {
	Client, Info []byte
	Self         *[16]byte // presence.Guest.Self
}

// NewVisitor is the visitor with that name and info, as the request has them. A user's
// token has both: then the request need not say them, and cannot say others.
func NewVisitor(client, info []byte, g *grant.Grant) (Visitor, *refusal.Error) {
	v := Visitor{Client: client, Info: info}
	if g == nil || g.Kind != grant.User {
		return v, nil
	}
	switch {
	case len(info) > 0 && string(info) != g.Info:
		return v, errProvenInfo
	case len(client) == 0:
		v.Client = []byte(g.Subject)
	}
	v.Info = []byte(g.Info)
	return v, nil // permit compares the names
}

// Check finds out whether both may be shown to others.
func (v Visitor) Check() *refusal.Error {
	switch {
	case len(v.Client) > maxClient || !pattern.IsPrintable(v.Client):
		return errClient
	case len(v.Info) > maxInfo || !utf8.Valid(v.Info):
		return errInfo
	}
	return nil
}

// Guests are the connections of one loop that have a client name, and those that have
// proven who they are. It has the part of loop.Front that is about them.
type Guests struct {
	gate      *permit.Gate
	book      *presence.Table // the gate's; without it one that remembers names only
	bySession dense.Large[uint64, *presence.Guest]
	grants    map[uint64]*grant.Grant // by session
	brought   map[uint64]Brought      // by session
	sitting   []string                // channels that a guest is listed on
	now       func() time.Time
}

// NewGuests returns an empty one; gate may change while it is used. now is the clock,
// time.Now outside tests.
func NewGuests(gate *permit.Gate, now func() time.Time) *Guests {
	g := &Guests{gate: gate, book: gate.Presence, grants: map[uint64]*grant.Grant{}, brought: map[uint64]Brought{}, now: now}
	if g.book == nil {
		g.book = presence.New(presence.Config{}, func(string) bool { return false }, now)
	}
	return g
}

// Of returns the guest of a session, nil if it has no name.
func (g *Guests) Of(session uint64) *presence.Guest {
	return g.bySession.Get(presence.HashOf(session), session)
}

// keep remembers the guest of a session.
func (g *Guests) keep(session uint64, guest *presence.Guest) {
	guest.Session = session
	g.bySession.Add(presence.HashOf(session), guest)
}

// Hold remembers what the client of a session has proven, until Left; nil is nothing.
// s is its subscription, which ends with the proof: a poll is answered then, and of a
// stream the loop reports the time (loop.Front.Due), before the end if the client can
// be warned.
func (g *Guests) Hold(session uint64, proven *grant.Grant, s *loop.Subscription, warned bool) {
	if proven == nil {
		return
	}
	g.count(session, proven)
	g.grants[session] = proven
	s.Named = true
	switch d := lease(proven, g.now(), warned && s.Framing != loop.Held); {
	case s.Framing != loop.Held:
		s.Deadline = d
	case d > 0:
		s.Deadline = min(s.Deadline, d)
	}
}

// Brought is what each later question about a connection has: the headers of its first
// request, and the name that the backend has given it.
type Brought struct {
	Headers map[string]string
	User    string
}

// Bring remembers it for a session, until Left.
func (g *Guests) Bring(session uint64, b Brought, s *loop.Subscription) {
	if len(b.Headers) > 0 || b.User != "" {
		g.brought[session] = b
		s.Named = true
	}
}

// Brought returns it.
func (g *Guests) Brought(session uint64) Brought { return g.brought[session] }

// Renew replaces what the client of a session has proven, and returns when it is to be
// warned; 0 for never.
func (g *Guests) Renew(session uint64, proven *grant.Grant) (deadline time.Duration) {
	g.grants[session] = proven
	return lease(proven, g.now(), true)
}

// Remaining is how long the proof of a session still holds. ok is false if it has none, or one
// that does not expire.
func (g *Guests) Remaining(session uint64) (left time.Duration, ok bool) {
	proven := g.grants[session]
	if proven == nil || proven.Expires == 0 {
		return 0, false
	}
	return time.Unix(proven.Expires, 0).Sub(g.now()), true
}

// Grant is what the client of a session has proven, nil for nothing.
func (g *Guests) Grant(session uint64) *grant.Grant { return g.grants[session] }

// Arrive lists the visitor of a share, if it has a name, on the channels, which s
// subscribes the connection to. It returns on how many there is no room for it, or
// ErrNamesFull where it cannot take that name beside another of its connection; a
// first name is refused to none.
func (g *Guests) Arrive(session uint64, by share.Key, v Visitor, channels []*names.Name, s *loop.Subscription) (unlisted int, err *refusal.Error) {
	if len(v.Client) == 0 {
		return 0, nil
	}
	guest := g.Of(session)
	if guest == nil && g.provenAs(session, v.Client) && !slices.ContainsFunc(channels, g.gate.HasPresence) {
		return 0, nil // its grant has the name, and it is listed nowhere
	}
	client, info := string(v.Client), string(v.Info)
	if guest == nil {
		guest = g.book.Enter(by, client, info)
		g.keep(session, guest)
	}
	if v.Self != nil {
		guest.Self = v.Self
	}
	g.sitting = g.sitting[:0]
	for _, n := range channels {
		g.sitting = append(g.sitting, n.Text())
	}
	unlisted, ok := guest.Sit(g.sitting, client, info, func(i int) bool { return g.gate.HasPresence(channels[i]) })
	clear(g.sitting) // they may be long, and of channels that are gone
	if !ok {
		return 0, ErrNamesFull
	}
	s.Named = true
	return unlisted, nil
}

// provenAs reports whether that is the name of the user of a session.
func (g *Guests) provenAs(session uint64, client []byte) bool {
	proven := g.grants[session]
	return proven != nil && proven.Kind == grant.User && proven.Subject == string(client)
}

// Leave takes the client from the channels, where it is listed there.
func (g *Guests) Leave(session uint64, channels []*names.Name) {
	guest := g.Of(session)
	if guest == nil {
		return
	}
	guest.Rise(func(channel string) bool {
		for _, n := range channels {
			if n.Text() == channel {
				return true
			}
		}
		return false
	})
}

// Left implements loop.Front: a connection with a name or a grant receives nothing more.
func (g *Guests) Left(session uint64) {
	if guest := g.Of(session); guest != nil {
		guest.End()
		g.bySession.Remove(presence.HashOf(session), session)
	}
	g.count(session, nil)
	delete(g.grants, session)
	delete(g.brought, session)
}

// count counts the connection with the user of its grant, which is replaced by next.
func (g *Guests) count(session uint64, next *grant.Grant) {
	if g.gate.Users == nil {
		return
	}
	if was := g.grants[session]; was != nil && was.Kind == grant.User && was.Subject != "" {
		g.gate.Users.Leave(was.Subject)
	}
	if next != nil && next.Kind == grant.User && next.Subject != "" {
		g.gate.Users.Enter(next.Subject)
	}
}

// Dismiss reports whether the connection of that session has a name that is among
// those of clients, by its token, its URL or for a channel that it has. Then its end
// must follow, at which it leaves without a grace period.
func (g *Guests) Dismiss(session uint64, among func(client string) bool) bool {
	guest, proven := g.Of(session), g.grants[session]
	picked := proven != nil && proven.Kind == grant.User && among(proven.Subject)
	return dismiss(guest, picked || guest != nil && guest.Has(among))
}

// Revoke is Dismiss for connections by what they have proven.
func (g *Guests) Revoke(session uint64, among func(*grant.Grant) bool) bool {
	return dismiss(g.Of(session), among(g.grants[session]))
}

// Rekey replaces the grant of a session that has the key of a backend by what renew
// returns for it. If that is nil, it reports true: the end of the connection must
// follow, as after Dismiss.
func (g *Guests) Rekey(session uint64, renew func(*grant.Grant) *grant.Grant) bool {
	held := g.grants[session]
	if held == nil || held.Kind != grant.Backend {
		return dismiss(g.Of(session), false)
	}
	now := renew(held)
	if now != nil {
		g.grants[session] = now
	}
	return dismiss(g.Of(session), now == nil)
}

// dismiss has the guest, if there is one, leave at once if its connection is picked.
func dismiss(guest *presence.Guest, picked bool) bool {
	if guest != nil {
		guest.Dismissed = picked
	}
	return picked
}
