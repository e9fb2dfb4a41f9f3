package httpapi

import "peal/server/ascii"

// socketFields are the values of the fields of a handshake, of a plain head; nil for those that are not there.
// A head that has one of them twice is not plain, and their values are a list then.
type socketFields struct {
	Key, Version, Protocols, Extensions []byte
}

// take keeps the value of a field of that name, and reports whether it is one of these and the first.
func (s *socketFields) take(name, value []byte) bool {
	switch len(name) {
	case len("sec-websocket-key"):
		return takeFirst(&s.Key, value, name, "sec-websocket-key")
	case len("sec-websocket-version"):
		return takeFirst(&s.Version, value, name, "sec-websocket-version")
	case len("sec-websocket-protocol"):
		return takeFirst(&s.Protocols, value, name, "sec-websocket-protocol")
	case len("sec-websocket-extensions"):
		return takeFirst(&s.Extensions, value, name, "sec-websocket-extensions")
	}
	return false
}

func takeFirst(field *[]byte, value, name []byte, want string) bool {
	if *field != nil || !ascii.EqualFold(name, want) {
		return false
	}
	*field = value
	return true
}

// isIdle reports whether nothing asks for a field of that name, which browsers send with a handshake.
func isIdle(name []byte) bool {
	switch len(name) {
	case len("pragma"):
		return ascii.EqualFold(name, "pragma")
	case len("cache-control"):
		return ascii.EqualFold(name, "cache-control")
	case len("sec-fetch-mode"):
		return ascii.EqualFold(name, "sec-fetch-mode") || ascii.EqualFold(name, "sec-fetch-dest")
	case len("accept-language"):
		return ascii.EqualFold(name, "accept-language")
	}
	return false
}

// socket is the fields of a handshake.
func (x *exchange) socket() socketFields {
	if x.head.Plain {
		return x.head.Socket
	}
	return socketFields{
		Key:        x.joined("Sec-WebSocket-Key"),
		Version:    x.joined("Sec-WebSocket-Version"),
		Protocols:  x.joined("Sec-WebSocket-Protocol"),
		Extensions: x.joined("Sec-WebSocket-Extensions"),
	}
}
