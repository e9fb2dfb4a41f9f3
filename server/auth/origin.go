package auth

import "peal/server/ascii"

// OriginAllowed reports whether a page of that origin may use the server without
// further settings: only pages of this machine, served over http or https on any
// port. Do not call it for requests without an Origin header: no script of another
// site sends them. The value "null" (sandboxed frames, local files) is refused,
// because any page can have it.
func OriginAllowed(origin []byte) bool {
	rest, ok := cutPrefixFold(origin, "http")
	if !ok {
		return false
	}
	if after, ok := cutPrefixFold(rest, "s"); ok {
		rest = after
	}
	if len(rest) < len("://") || string(rest[:3]) != "://" {
		return false
	}
	host, ok := splitHost(rest[3:])
	if !ok {
		return false
	}
	if isLoopbackName(host) {
		return true
	}
	// Browsers write the only loopback address of IPv6 as [::1]. A page of 0.0.0.0 or
	// [::] comes from this machine, too: connections to these addresses stay on it
	// (RFC 6890 allows them as a source only).
	_, loopback := isIPv4(host)
	return loopback || string(host) == "[::1]" || string(host) == "0.0.0.0" || string(host) == "[::]"
}

// HostAllowed reports whether the server accepts that host without further
// settings, the value of a Host header with or without port: any IP address, or a
// name of loopback.
func HostAllowed(host []byte) bool {
	name, ok := splitHost(host)
	if !ok {
		return false
	}
	if isLoopbackName(name) {
		return true
	}
	ok, _ = isIPv4(name)
	return ok || isIPv6(name)
}

// splitHost cuts the port off host[:port]. An IPv6 address keeps its brackets.
func splitHost(b []byte) (host []byte, ok bool) {
	host = b
	for i := len(b) - 1; i >= 0 && b[i] != ']'; i-- {
		if b[i] == ':' {
			host = b[:i]
			if !isPort(b[i+1:]) {
				return nil, false
			}
			break
		}
	}
	return host, len(host) > 0
}

// isPort reports whether b is a port, or nothing: "example:" is a legal host.
func isPort(b []byte) bool {
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
		n = n*10 + int(c-'0')
		if n > 65535 {
			return false
		}
	}
	return true
}

// isLoopbackName reports whether name is localhost or below it (RFC 6761 §6.3:
// resolvers never send queries for these names). A final dot is allowed.
func isLoopbackName(name []byte) bool {
	if n := len(name); n > 0 && name[n-1] == '.' {
		name = name[:n-1]
	}
	const localhost = "localhost"
	cut := len(name) - len(localhost)
	if cut < 0 || !ascii.EqualFold(name[cut:], localhost) {
		return false
	}
	if cut == 0 {
		return true
	}
	if cut == 1 || name[cut-1] != '.' {
		return false
	}
	for _, c := range name[:cut] {
		if !isNameByte(c) {
			return false
		}
	}
	return true
}

func isNameByte(c byte) bool {
	return c == '-' || c == '.' || c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

// isIPv4 reports whether b is an IPv4 address in its usual form, and whether it
// is in 127.0.0.0/8. netip.ParseAddr would allocate in each call: its error
// contains the text.
func isIPv4(b []byte) (ok, loopback bool) {
	parts, digits, n := 0, 0, 0
	for i := 0; i <= len(b); i++ {
		if i < len(b) && '0' <= b[i] && b[i] <= '9' {
			if digits == 1 && n == 0 { // some parsers read 010 as 8, others as 10
				return false, false
			}
			n, digits = n*10+int(b[i]-'0'), digits+1
			if n > 255 {
				return false, false
			}
			continue
		}
		if i < len(b) && b[i] != '.' || digits == 0 {
			return false, false
		}
		if parts == 0 {
			loopback = n == 127
		}
		parts, digits, n = parts+1, 0, 0
	}
	return parts == 4, parts == 4 && loopback
}

// isIPv6 reports whether b has the form of an IPv6 address in brackets. The form
// is enough: no name that resolves has brackets.
func isIPv6(b []byte) bool {
	if len(b) < len("[::]") || b[0] != '[' || b[len(b)-1] != ']' {
		return false
	}
	colons := 0
	for _, c := range b[1 : len(b)-1] {
		switch {
		case c == ':':
			colons++
		case c == '.', '0' <= c && c <= '9', 'a' <= c|0x20 && c|0x20 <= 'f':
		default:
			return false
		}
	}
	return colons >= 2
}

func cutPrefixFold(b []byte, prefix string) (rest []byte, ok bool) {
	if len(b) < len(prefix) || !ascii.EqualFold(b[:len(prefix)], prefix) {
		return b, false
	}
	return b[len(prefix):], true
}
