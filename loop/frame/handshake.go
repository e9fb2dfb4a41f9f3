package frame

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
)

// Upgrade has the parts of a request that concern a WebSocket (§4.2.1). The
// caller parses the HTTP, joins several lines of one header with ", ", and checks
// Host and Origin.
type Upgrade struct {
	Method     []byte
	HTTP11     bool   // HTTP/1.1 or a later 1.x
	Upgrade    []byte // the values of the headers; nil without the header
	Connection []byte
	Key        []byte // Sec-WebSocket-Key
	Version    []byte // Sec-WebSocket-Version
	Protocols  []byte // Sec-WebSocket-Protocol: for ChooseProtocol, not checked here
}

// Check reports why the request is not a valid WebSocket handshake: ErrMethod,
// ErrHTTPVersion, ErrNotUpgrade, ErrVersion or ErrKey, in this order; nil if
// it is one. See StatusCode.
func (u *Upgrade) Check() error {
	switch {
	case string(u.Method) != "GET":
		return ErrMethod
	case !u.HTTP11:
		return ErrHTTPVersion
	case !HasToken(u.Upgrade, "websocket") || !HasToken(u.Connection, "upgrade"):
		return ErrNotUpgrade
	case string(trimOWS(u.Version)) != "13":
		return ErrVersion
	case !isKey(trimOWS(u.Key)):
		return ErrKey
	}
	return nil
}

const (
	keyLen    = 24 // base64 of 16 bytes
	acceptLen = 28 // base64 of a SHA-1
	guid      = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
)

// isKey reports whether key is the base64 of exactly 16 bytes (§4.1, item 7).
func isKey(key []byte) bool {
	if len(key) != keyLen || key[keyLen-2] != '=' || key[keyLen-1] != '=' {
		return false
	}
	for _, c := range key[:keyLen-2] {
		if !base64Byte[c] {
			return false
		}
	}
	return true
}

// base64Byte has the bytes of base64 but for its padding.
var base64Byte = func() (table [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		table[c] = true
	}
	return table
}()

// AppendAccept appends the value of Sec-WebSocket-Accept for key, which has passed
// Check: base64(SHA-1(key + GUID)), 28 bytes (§4.2.2, item 5.4).
func AppendAccept(dst, key []byte) []byte {
	var text [keyLen + len(guid)]byte
	n := copy(text[:keyLen], trimOWS(key))
	n += copy(text[n:], guid)
	sum := sha1.Sum(text[:n])
	return base64.StdEncoding.AppendEncode(dst, sum[:])
}

// AppendSwitching appends the whole head of the 101 response (§4.2.2). key has
// passed Check. protocol is what ChooseProtocol returned: "" selects none. lines are
// further header lines, with a CR LF at the end of each.
func AppendSwitching(dst, key []byte, protocol string, lines []byte) []byte {
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\n"+
		"Upgrade: websocket\r\n"+
		"Connection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: "...)
	dst = AppendAccept(dst, key)
	if protocol != "" {
		dst = append(dst, "\r\nSec-WebSocket-Protocol: "...)
		dst = append(dst, protocol...)
	}
	dst = append(dst, "\r\n"...)
	dst = append(dst, lines...)
	return append(dst, "\r\n"...)
}

// ChooseProtocol returns the first of the client's offered subprotocols, a
// comma list in its order of preference, that is also in supported; "" if none
// is. Names are case-sensitive.
func ChooseProtocol(offered []byte, supported []string) string {
	for len(offered) > 0 {
		var name []byte
		name, offered = cutItem(offered)
		for _, s := range supported {
			if string(name) == s {
				return s
			}
		}
	}
	return ""
}

// HasToken reports whether token is in list, a comma list with optional white
// space (RFC 9110 §5.6.1). Case is ignored in ASCII only: by Unicode's folding,
// a Kelvin sign would be a k.
func HasToken(list []byte, token string) bool {
	for len(list) > 0 {
		var item []byte
		item, list = cutItem(list)
		if equalFold(item, token) {
			return true
		}
	}
	return false
}

// cutItem returns the first item of a comma list, trimmed, and the rest.
func cutItem(list []byte) (item, rest []byte) {
	item, rest, _ = bytes.Cut(list, []byte{','})
	return trimOWS(item), rest
}

// trimOWS removes spaces and tabs at both ends (RFC 9110 §5.6.3).
func trimOWS(b []byte) []byte {
	for len(b) > 0 && isOWS(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isOWS(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

func isOWS(c byte) bool { return c == ' ' || c == '\t' }

func equalFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i := range b {
		if lower(b[i]) != lower(s[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}
