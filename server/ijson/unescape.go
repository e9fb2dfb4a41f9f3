package ijson

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// escaped has the byte that an escape of two bytes is written for, by the second one.
var escaped = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// appendUnescaped appends what is between the quotes of a string that a Reader has read,
// with its escapes replaced. That is never longer than they are: what is appended to is
// grown by the length of inner once.
func appendUnescaped(dst, inner []byte) []byte {
	from := len(dst)
	dst = slices.Grow(dst, len(inner))
	out := dst[from : from+len(inner)]
	n, i := 0, 0 // n <= i: eight bytes fit into out where inner has eight
	for i < len(inner) {
		if i+8 <= len(inner) {
			w := binary.LittleEndian.Uint64(inner[i:])
			binary.LittleEndian.PutUint64(out[n:], w)
			backslash := w ^ ('\\' * ones)
			at := (backslash - ones) &^ backslash & highs
			if at == 0 {
				i, n = i+8, n+8
				continue
			}
			before := bits.TrailingZeros64(at) / 8
			i, n = i+before, n+before
		} else if c := inner[i]; c != '\\' {
			out[n] = c
			i, n = i+1, n+1
			continue
		}
		if c := inner[i+1]; c != 'u' {
			out[n] = escaped[c]
			i, n = i+2, n+1
			continue
		}
		unit, length := hexUnit(inner[i:]), 6
		if utf16.IsSurrogate(unit) {
			unit, length = utf16.DecodeRune(unit, hexUnit(inner[i+6:])), 12
		}
		i, n = i+length, n+utf8.EncodeRune(out[n:], unit)
	}
	return dst[:from+n]
}
