// Package tracecontext reads and writes the traceparent of W3C Trace Context, by which the spans
// of several programs belong to one trace. All of it is values.
package tracecontext

import "encoding/hex"

// Header is the name of the header, and of the field of a message.
const Header = "Traceparent"

// Bytes is the length of the text.
const Bytes = len("00-") + 32 + len("-") + 16 + len("-01")

// Parent is a span that another span may have as its parent.
type Parent struct {
	Trace   [16]byte
	Span    [8]byte
	Sampled bool // its trace is recorded
}

// Parse reads a traceparent. ok is false for what the specification has ignored: then
// there is none. Of versions that are not known, it reads what all versions have. It does not allocate.
func Parse[T string | []byte](text T) (p Parent, ok bool) {
	if len(text) < Bytes || text[2] != '-' || text[35] != '-' || text[52] != '-' {
		return Parent{}, false
	}
	var version, flags [1]byte
	if !unhex(version[:], text[:2]) || !unhex(p.Trace[:], text[3:35]) || !unhex(p.Span[:], text[36:52]) || !unhex(flags[:], text[53:55]) {
		return Parent{}, false
	}
	switch {
	case version[0] == 0xFF, p.Trace == [16]byte{}, p.Span == [8]byte{}:
		return Parent{}, false
	case len(text) > Bytes && (version[0] == 0 || text[Bytes] != '-'):
		return Parent{}, false
	}
	p.Sampled = flags[0]&1 != 0
	return p, true
}

// unhex reads lower-case digits.
func unhex[T string | []byte](dst []byte, text T) bool {
	for i := range dst {
		high, low := digit(text[2*i]), digit(text[2*i+1])
		if high > 15 || low > 15 {
			return false
		}
		dst[i] = high<<4 | low
	}
	return true
}

func digit(b byte) byte {
	switch {
	case '0' <= b && b <= '9':
		return b - '0'
	case 'a' <= b && b <= 'f':
		return b - 'a' + 10
	}
	return 255
}

// Append appends the text, of version 00.
func (p Parent) Append(dst []byte) []byte {
	dst = append(dst, "00-"...)
	dst = hex.AppendEncode(dst, p.Trace[:])
	dst = append(dst, '-')
	dst = hex.AppendEncode(dst, p.Span[:])
	if p.Sampled {
		return append(dst, "-01"...)
	}
	return append(dst, "-00"...)
}

// String is the text.
func (p Parent) String() string { return string(p.Append(make([]byte, 0, Bytes))) }
