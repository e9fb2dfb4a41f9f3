package forwarded

import (
	"bytes"
	"net/netip"
)

// Bytes of the longest node: an IPv6 address that ends as IPv4 is written, in brackets,
// and a port.
const maxNode = len("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535")

// parseNode reads the address of a client: 192.0.2.1, [2001:db8::1], either with a
// port (RFC 7239 §6), and where bare also 2001:db8::1. Names (unknown, _hidden) are no
// addresses, nor is the unspecified one. A zone means nothing to others and is removed.
func parseNode(b []byte, bare bool) (a netip.AddrPort, ok bool) {
	if len(b) == 0 || len(b) > maxNode {
		return a, false
	}
	host, port := b, []byte(nil)
	switch colon := bytes.LastIndexByte(b, ':'); {
	case b[0] == '[':
		end := bytes.IndexByte(b, ']')
		if end < 0 {
			return a, false
		}
		host, port = b[1:end], b[end+1:]
		if bytes.IndexByte(host, ':') < 0 || len(port) == 1 || len(port) > 0 && port[0] != ':' {
			return a, false
		}
		if len(port) > 0 {
			port = port[1:]
		}
	case colon >= 0 && bytes.IndexByte(b, ':') == colon:
		if host, port = b[:colon], b[colon+1:]; len(port) == 0 {
			return a, false
		}
	case colon >= 0 && !bare:
		return a, false
	}
	ip, err := netip.ParseAddr(string(host))
	if err != nil || ip.IsUnspecified() {
		return a, false
	}
	n, ok := parsePort(port)
	return netip.AddrPortFrom(ip.WithZone("").Unmap(), n), ok
}

// parsePort reads a port, also none. A hidden one (§6.3) is none.
func parsePort(b []byte) (port uint16, ok bool) {
	if len(b) > 0 && b[0] == '_' {
		return 0, isObfuscated(b)
	}
	if len(b) > 5 {
		return 0, false
	}
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return uint16(n), n < 1<<16
}

func isObfuscated(b []byte) bool {
	for _, c := range b {
		switch {
		case '0' <= c && c <= '9', 'a' <= c|0x20 && c|0x20 <= 'z', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return len(b) > 1
}
