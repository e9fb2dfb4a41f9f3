package wsproto

// Raw is the subprotocol of clients that must name one: browsers fail a
// connection on which the server selects none of those they offered.
const Raw = "peal.raw"

// V1 is the subprotocol of clients that send commands and receive publications
// of many channels as JSON, with cursors, gaps and replies.
const V1 = "peal.v1"

// Protocols lists the subprotocols that can be negotiated.
func Protocols() []string { return protocols[:] }

var protocols = [...]string{Raw, V1}

// ParseFormat returns whether a connection with that subprotocol ("" for none)
// and that format parameter ("" for none) speaks JSON rather than raw. ok is
// false for a format nobody knows, and for one that the subprotocol excludes.
func ParseFormat(protocol, format string) (json, ok bool) {
	switch format {
	case "":
		return protocol == V1, true
	case "raw":
		return false, protocol != V1
	case "json":
		return true, protocol != Raw
	default:
		return false, false
	}
}
