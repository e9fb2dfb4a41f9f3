package httpapi

import "strings"

// Which bytes may stand where in a request head.
var (
	// tokenByte: methods and header names (RFC 9110 §5.6.2).
	tokenByte = byteSet(letters + digits + "!#$%&'*+-.^_`|~")

	// targetByte: everything visible but the fragment's mark, which is never
	// sent. Bytes beyond ASCII are not legal, but curl sends them as typed, and
	// nothing depends on them.
	targetByte = visibleBut("#")

	// valueByte: header values (RFC 9110 §5.5), bytes beyond ASCII included.
	valueByte = func() (t [256]bool) {
		t = visibleBut("")
		t[' '], t['\t'] = true, true
		return t
	}()

	// hostByte: a host and port (RFC 3986 §3.2.2), without the user before them.
	hostByte = byteSet(letters + digits + "-._~%!$&'()*+;=:[]")
)

const (
	digits  = "0123456789"
	letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

func byteSet(members string) (t [256]bool) {
	for i := range len(members) {
		t[members[i]] = true
	}
	return t
}

func visibleBut(out string) (t [256]bool) {
	for c := range 256 {
		t[c] = c > ' ' && c != 0x7F && strings.IndexByte(out, byte(c)) < 0
	}
	return t
}
