package permit

import (
	"net/netip"

	"peal/server/ask"
	"peal/server/grant"
	"peal/server/names"
	"peal/server/share"
)

// Action is what a client asks for; see package grant.
type Action = grant.Action

const (
	Arrive     = grant.Arrive
	Subscribe  = grant.Subscribe
	History    = grant.History
	Presence   = grant.Presence
	Publish    = grant.Publish
	Inspect    = grant.Inspect
	Disconnect = grant.Disconnect
	Revoke     = grant.Revoke
)

// Transport is how a client talks to the server.
type Transport uint8

const (
	HTTP      Transport = iota // a request, of the backend or of a client
	WebSocket                  // a message on a WebSocket: of a client
)

// Principal is the client that asks.
type Principal struct {
	Grant   *grant.Grant // of its token or key; nil: it is anonymous
	Client  []byte       // the name that it gives itself, empty for none; lent
	Session uint64
	Share   share.Key
	Behind  bool // it is behind a trusted proxy, whose connection has other clients' requests, too
}

// connection is the number by which rate-connection counts.
func (p *Principal) connection() uint64 {
	if p.Behind {
		return uint64(p.Share)
	}
	return p.Session
}

// User is the sub of the token that the client has, "" if it has none.
func (p *Principal) User() string {
	if p.Grant == nil || p.Grant.Kind != grant.User {
		return ""
	}
	return p.Grant.Subject
}

// Publisher is whose idempotency keys a client uses: those of a user are its own, so
// that no user takes the key of a backend, or learns that somebody has used it. Those
// of backends are common ones, "", as long as no token is needed those of all others, too.
func (g *Gate) Publisher(who *Principal) string {
	switch user := who.User(); {
	case user != "":
		return names.UserPrefix + user
	case who.Grant != nil && who.Grant.Topics:
		return anyHub
	case who.Grant == nil && g.NeedsToken:
		return anyone
	}
	return ""
}

// anyone is the publisher of what comes without a token where tokens are needed. No
// user's is equal.
const anyone = "$anyone"

// anyHub is the publisher of what comes with a token of the Mercure protocol that names nobody.
const anyHub = "$mercure"

// From is where a request comes from.
type From struct {
	Peer      netip.AddrPort // the client; not valid for a Unix socket
	Transport Transport
	Host      []byte // whom the request is for; nil: it does not say, or is no HTTP request
	Origin    []byte // of the page whose script sent it; nil for none
	Site      []byte // Sec-Fetch-Site; nil for none
	HTTPS     bool   // it left the client over TLS
}

// Request is what a client asks for. Its slices are lent for the length of a call.
type Request struct {
	Action   Action
	Who      Principal
	From     From
	Channels []*names.Name
	Topics   bool // it is one of the Mercure protocol, and the channels are topics: see Gate.topics

	// Of what the backend may be asked about: see Gate.Ask.
	Via     string            // name of the transport
	Proven  string            // name of the client by an earlier answer, "" for none
	Headers map[string]string // those that the backend gets
	Opens   bool              // of Subscribe: a connection begins with it
	Event   []byte            // of Publish
	Answers Answers           // to what was asked about this request; not nil: it waited, and is decided again

	// Set by Decide. Call is what must be asked, with ErrAsk. Given is what the backend says
	// about the client, with nil. Data and Binary are what it publishes in their place.
	Call  *ask.Call
	Given Given

	// Of Arrive.
	Effect bool // the request does something even if its response is not read: its method is not GET, HEAD or OPTIONS

	// Granted: the app of the channels has granted them, by its signature for this
	// connection or because they are public. It is what a token would be.
	Granted bool

	// Of Inspect: the names that it is about begin with this, where it names no channel.
	Prefix []byte

	// Of Subscribe.
	Has      int  // channels that the connection has already
	Presence bool // it asks for presence events
	Draining bool // the server takes no new subscribers

	// Of Subscribe and History.
	Behind bool // it begins at a position of another node that this one has not read yet

	// Of Publish.
	Data   []byte
	Binary bool
}
