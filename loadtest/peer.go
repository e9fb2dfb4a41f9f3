package loadtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Peer is the dialect of another push server. An adapter is one file, peer_x.go,
// and a line in peers. Its methods keep nothing, for any goroutine.
type Peer interface {
	// Open returns the path of the request that opens a connection; path is the
	// user's.
	Open(path, channel string) string
	// Subscribe returns the text frames that then subscribe, none where the
	// request did. A greeter's wait for its greeting.
	Subscribe(channel string) []string
	// Publish returns the request that publishes data, which is printable ASCII
	// without quotes: its path, further header lines with their CRLF, and its body.
	Publish(path, channel string, data []byte) (target, header string, body []byte)
	// Decode says what a message of the server is. It may carry several things,
	// one a line.
	Decode(line []byte) Decoded
}

// Decoded is what one message, or line of it, means to a subscriber.
type Decoded struct {
	Data       []byte   // of a publication; nil: none
	Missed     [][]byte // of publications that a resumer's connection missed
	Gap        bool     // there were more, and they are gone
	Reply      string   // a text frame to send; "": none
	Greeting   bool     // a greeter's: Subscribe now
	Subscribed bool     // what Subscribe asked for is so
	Error      string   // why it cannot be
}

// A greeter is a Peer whose server sends the first message.
type greeter interface{ greets() }

// A resumer is a Peer whose connections can come back to where they were.
type resumer interface {
	// Advance returns where a connection is after a line, given where it was: the
	// same memory, or nil while that is not known.
	Advance(cursor, line []byte) []byte
	// Return is Subscribe from a cursor on.
	Return(channel string, cursor []byte) []string
}

var peers = map[string]func(secret string) Peer{
	"centrifugo": func(string) Peer { return centrifugo{} },
	"mercure":    func(string) Peer { return mercure{} },
	"nchan":      func(string) Peer { return nchan{} },
	"pusher":     func(secret string) Peer { return pusher{secret} },
}

// PeerNamed returns an adapter; "" is none, and nil. secret is what its server
// shares with its publishers, unless that is in a header line;
// subscribers need none.
func PeerNamed(name, secret string) (Peer, error) {
	if name == "" {
		return nil, nil
	}
	p := peers[name]
	if p == nil {
		return nil, fmt.Errorf("unknown kind of server %q: must be one of %s", name, strings.Join(slices.Sorted(maps.Keys(peers)), ", "))
	}
	return p(secret), nil
}

// withQuery adds name=value unless the path names it already.
func withQuery(path, name, escaped string) string {
	if strings.Contains(path, "?"+name+"=") || strings.Contains(path, "&"+name+"=") {
		return path
	}
	return withParameter(path, name+"="+escaped)
}
