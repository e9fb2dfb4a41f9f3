package forwarded

import (
	"bytes"

	"peal/server/ascii"
)

// forwarded goes through a line of Forwarded (RFC 7239 §4). Its elements are cut from
// the right, too: a quotation mark that a client has left open must not swallow what
// a proxy has appended.
func (w *walk) forwarded(list []byte) {
	for len(list) > 0 && !w.ended {
		var item []byte
		list, item = cutQuoted(list)
		if len(item) == 0 {
			continue
		}
		e, ok := parseElement(item)
		if !ok || e.node != nil {
			w.named = true
		}
		if !ok {
			w.ended = true
			return
		}
		if w.https = e.https; e.node == nil {
			w.ended = true // it hides who sent it the request
			return
		}
		w.step(parseNode(e.node, false))
	}
}

// cutQuoted cuts the last element off a list; commas in quoted strings do not divide.
func cutQuoted(list []byte) (rest, item []byte) {
	quoted := false
	for i := len(list) - 1; i >= 0; i-- {
		switch {
		case list[i] == '"' && !(quoted && isEscaped(list, i)):
			quoted = !quoted
		case list[i] == ',' && !quoted:
			return list[:i], bytes.Trim(list[i+1:], " \t")
		}
	}
	return nil, bytes.Trim(list, " \t")
}

// isEscaped reports whether an odd number of backslashes is before list[i].
func isEscaped(list []byte, i int) bool {
	n := 0
	for i--; i >= 0 && list[i] == '\\'; i-- {
		n++
	}
	return n%2 == 1
}

// element is what one proxy says.
type element struct {
	node  []byte // for; nil: it does not say
	https bool
}

// parseElement reads name=value pairs between semicolons, each name once.
func parseElement(b []byte) (e element, ok bool) {
	var hasProto bool
	for len(b) > 0 {
		if b[0] == ';' || b[0] == ' ' || b[0] == '\t' {
			b = b[1:]
			continue
		}
		n := tokenLen(b)
		if n == 0 || n == len(b) || b[n] != '=' {
			return e, false
		}
		name := b[:n]
		value, rest, ok := parseValue(b[n+1:])
		if !ok {
			return e, false
		}
		switch {
		case ascii.EqualFold(name, "for"):
			if e.node != nil {
				return e, false
			}
			e.node = value
		case ascii.EqualFold(name, "proto"):
			if hasProto {
				return e, false
			}
			e.https, hasProto = isHTTPS(value), true
		}
		if b = bytes.TrimLeft(rest, " \t"); len(b) > 0 && b[0] != ';' {
			return e, false
		}
	}
	return e, true
}

// parseValue reads a token or a quoted string. No address needs an escape: a value
// with one is returned as it is written, and is no address.
func parseValue(b []byte) (value, rest []byte, ok bool) {
	if len(b) > 0 && b[0] == '"' {
		for i := 1; i < len(b); i++ {
			switch b[i] {
			case '\\':
				i++
			case '"':
				return b[1:i], b[i+1:], true
			}
		}
		return nil, nil, false
	}
	n := tokenLen(b)
	return b[:n], b[n:], n > 0
}

// tokenLen is the length of the token with which b begins (RFC 9110 §5.6.2).
func tokenLen(b []byte) (n int) {
	for n < len(b) && isTokenByte(b[n]) {
		n++
	}
	return n
}

func isTokenByte(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' || bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), c) >= 0
}
