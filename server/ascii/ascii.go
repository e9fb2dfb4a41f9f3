// Package ascii compares bytes of heads, whose names are ASCII (RFC 9110 §5.1). Its functions
// are pure and do not allocate. It imports nothing.
package ascii

// EqualFold reports whether b is lower in any case; lower is in lower case.
func EqualFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
