package publication

import (
	"encoding/base64"
	"fmt"
	"slices"
	"unicode/utf8"
)

// AppendString appends s as a JSON string (RFC 8259 §7), quotes included.
// Control characters, the quote and the backslash are escaped, and so are
// U+2028 and U+2029, which end a line in JavaScript before 2019. Bytes that
// are not UTF-8 become U+FFFD, as in encoding/json.
func AppendString[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	start := len(dst)
	from := 0 // s[from:i] is clean and not yet copied
	for i := 0; i < len(s); {
		b := s[i]
		if plain[b] {
			i++
			continue
		}
		if b < utf8.RuneSelf {
			dst = append(dst, s[from:i]...)
			for ; ; b = s[i] { // a run of escapes
				if cap(dst)-len(dst) < len(s)-i+escapeRoom {
					// Grow once for all the rest, assuming that it is like the part before:
					// growing step by step would copy a text of escapes nine times.
					rest := len(s) - i
					dst = slices.Grow(dst, rest*(len(dst)-start)/max(1, i)+rest/16+escapeRoom)
				}
				e := &escapes[b]
				dst = append(dst, e.text[:]...) // always as many bytes: one store
				dst = dst[:len(dst)-len(e.text)+int(e.length)]
				if i++; i == len(s) || s[i] >= utf8.RuneSelf || plain[s[i]] {
					break
				}
			}
			from = i
			continue
		}
		r, size := decodeRune(s, i)
		switch {
		case r == utf8.RuneError && size == 1:
			dst = append(dst, s[from:i]...)
			dst = append(dst, `\ufffd`...)
			from = i + size
		case r == '\u2028' || r == '\u2029':
			dst = append(dst, s[from:i]...)
			dst = append(dst, `\u202`...)
			dst = append(dst, hexDigits[r&0xF])
			from = i + size
		}
		i += size
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

// escapeRoom is what an escape needs while it is appended, and the quote at the end.
const escapeRoom = len(escape{}.text) + 1

// decodeRune decodes the rune of s at i; utf8 has no generic form of it.
func decodeRune[T string | []byte](s T, i int) (rune, int) {
	var window [utf8.UTFMax]byte
	n := copy(window[:], s[i:min(len(s), i+utf8.UTFMax)])
	return utf8.DecodeRune(window[:n])
}

const hexDigits = "0123456789abcdef"

// escape is how an ASCII character is written that a JSON string must not contain.
type escape struct {
	text   [8]byte
	length uint8
}

// escapes are the shortest ones, of the characters that are not plain.
var escapes = func() (t [utf8.RuneSelf]escape) {
	for b := range t {
		text := fmt.Sprintf(`\u%04x`, b)
		switch b {
		case '"', '\\':
			text = `\` + string(rune(b))
		case '\n':
			text = `\n`
		case '\r':
			text = `\r`
		case '\t':
			text = `\t`
		}
		t[b].length = uint8(copy(t[b].text[:], text))
	}
	return t
}()

// plain marks the ASCII characters that need no escape.
var plain = func() (t [256]bool) {
	for b := ' '; b < utf8.RuneSelf; b++ {
		t[b] = b != '"' && b != '\\'
	}
	return t
}()

// spread is how many bytes one byte of text may take: in a JSON string inside another one
// (pusher-xhr), or in the data fields of an event, where a line end begins another field.
var spread = func() (t [256]uint8) {
	for b := range t {
		t[b] = 1
		if b < ' ' {
			t[b] = 7 // \\u0001
		}
	}
	t['\n'], t['\r'] = uint8(len("\ndata: ")), uint8(len("\ndata: "))
	t['"'], t['\\'] = 4, 4
	t[0xE2] = 5 // of U+2028 and U+2029: 7 bytes for 3
	return t
}()

// maxSpread is the largest of spread.
const maxSpread = 7

// MostBytes is an upper bound of the longest encoding of a message with that data:
// JSON or an event, names included.
func MostBytes(data []byte, binary bool) int {
	if binary {
		return BinaryBytes(len(data))
	}
	n := namesBytes
	for _, b := range data {
		n += int(spread[b])
	}
	return n
}

// AlsoBytes is an upper bound of what further channels of a message add to it.
func AlsoBytes(name string) int { return 3*len(name) + len(`,"also":""`) }

// FitsAnyway reports whether a message with that many bytes of data is at most limit
// bytes long in each encoding, whatever the bytes are.
func FitsAnyway(bytes, limit int) bool { return bytes <= (limit-namesBytes)/maxSpread }

// BinaryBytes is an upper bound of the length of a message with that many bytes of
// binary data as JSON.
func BinaryBytes(bytes int) int { return namesBytes + base64.StdEncoding.EncodedLen(bytes) }

// namesBytes is an upper bound of the parts of an encoding beside the data: a channel
// and an event of 200 bytes, escaped, an id, a time, a frame or HTTP head.
const namesBytes = 2 << 10
