package permit

import (
	"net/netip"

	"peal/server/names"
	"peal/server/share"
)

// Action is what a client asks for.
type Action uint8

const (
	Arrive     Action = iota // an HTTP request whose head has come
	Subscribe                // to receive channels
	History                  // to read retained messages
	Presence                 // to list the members of a channel
	Publish                  // a message on channels
	Inspect                  // to list channels, or the numbers of one
	Disconnect               // to end the connections of clients
)

// Transport is how a client talks to the server.
type Transport uint8

const (
	HTTP      Transport = iota // a request, of the backend or of a client
	WebSocket                  // a message on a WebSocket: of a client
)

// Principal is the client that asks. There are no tokens yet: all are anonymous, with a name
// that they give themselves.
type Principal struct {
	Client  []byte // the name, empty for none; lent
	Session uint64
	Share   share.Key
}

// From is where a request comes from.
type From struct {
	Peer      netip.AddrPort // not valid for a Unix socket
	Transport Transport
	Host      []byte // whom the request is for; nil: it does not say, or is no HTTP request
	Origin    []byte // of the page whose script sent it; nil for none
	Site      []byte // Sec-Fetch-Site; nil for none
}

// Request is what a client asks for. Its slices are lent for the length of a call.
type Request struct {
	Action   Action
	Who      Principal
	From     From
	Channels []*names.Name

	// Of Arrive.
	Effect bool // the request does something even if its response is not read: its method is not GET, HEAD or OPTIONS

	// Of Subscribe.
	Has      int  // channels that the connection has already
	Presence bool // it asks for presence events
	Draining bool // the server takes no new subscribers

	// Of Publish.
	Data   []byte
	Binary bool
}
