package ijson

import (
	"encoding/binary"
	"math/bits"
)

// Eight bytes at a time: the same byte in each of them, and their highest bits.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// skipSpace returns the first position from at on that is not white space.
func skipSpace(text []byte, at int) int {
	for at < len(text) {
		switch text[at] {
		case ' ', '\t', '\r', '\n':
			at++
		default:
			return at
		}
	}
	return at
}

// scanString finds the end of the string whose opening quote is at text[at]. escaped
// reports whether it has an escape. end is -1 if it is not a string of RFC 7493.
func scanString(text []byte, at int) (end int, escaped bool) {
	i := at + 1
	for {
		// Eight bytes without a quote, a backslash, a control character or a byte beyond
		// ASCII are skipped. The lowest bit of special is exact; those above it may be
		// wrong, because subtractions borrow from them.
		for i+8 <= len(text) {
			w := binary.LittleEndian.Uint64(text[i:])
			quote, backslash := w^('"'*ones), w^('\\'*ones)
			special := ((w-' '*ones)&^w | (quote-ones)&^quote | (backslash-ones)&^backslash | w) & highs
			if special == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(special) / 8
			break
		}
		if i >= len(text) {
			return -1, escaped
		}
		switch c := text[i]; {
		case c == '"':
			return i + 1, escaped
		case c == '\\':
			n := escapeLength(text[i:])
			if n == 0 {
				return -1, true
			}
			i, escaped = i+n, true
		case c < ' ':
			return -1, escaped
		case c < 0x80:
			i++
		default:
			for i < len(text) && text[i] >= 0x80 {
				n := runeLength(text[i:])
				if n == 0 {
					return -1, escaped
				}
				i += n
			}
		}
	}
}

// runeLength returns the length of the character beyond ASCII with which b begins, as
// table 3-7 of the Unicode standard has them; 0 if it is not UTF-8 or is cut off.
func runeLength(b []byte) int {
	c, low, high, n := b[0], byte(0x80), byte(0xBF), 0
	switch {
	case c < 0xC2:
		return 0
	case c < 0xE0:
		n = 2
	case c < 0xF0:
		n = 3
		if c == 0xE0 {
			low = 0xA0
		} else if c == 0xED {
			high = 0x9F // surrogates
		}
	case c < 0xF5:
		n = 4
		if c == 0xF0 {
			low = 0x90
		} else if c == 0xF4 {
			high = 0x8F
		}
	default:
		return 0
	}
	if len(b) < n || b[1] < low || b[1] > high {
		return 0
	}
	for _, c := range b[2:n] {
		if c&0xC0 != 0x80 {
			return 0
		}
	}
	return n
}

// escapeLength returns the length of the escape with which b begins, of both halves of a
// pair of surrogates; 0 if it is none, half a pair, or cut off.
func escapeLength(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
	default:
		return 0
	}
	switch first := hexUnit(b); {
	case first < 0:
		return 0
	case first < 0xD800 || first > 0xDFFF:
		return 6
	case first > 0xDBFF:
		return 0
	}
	if second := hexUnit(b[6:]); second < 0xDC00 || second > 0xDFFF {
		return 0
	}
	return 12
}

// hexUnit returns the UTF-16 unit of the escape \uXXXX with which b begins, -1 if it
// does not begin with one.
func hexUnit(b []byte) (unit rune) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	for _, c := range b[2:6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		unit = unit<<4 | rune(c)
	}
	return unit
}

// scanNumber returns the end of the number at text[at], -1 if there is none. What follows
// it is not its business.
func scanNumber(text []byte, at int) int {
	i := at
	if i < len(text) && text[i] == '-' {
		i++
	}
	if i < len(text) && text[i] == '0' {
		i++
	} else if i = scanDigits(text, i); i < 0 {
		return -1
	}
	if i < len(text) && text[i] == '.' {
		if i = scanDigits(text, i+1); i < 0 {
			return -1
		}
	}
	if i < len(text) && text[i]|0x20 == 'e' {
		i++
		if i < len(text) && (text[i] == '+' || text[i] == '-') {
			i++
		}
		return scanDigits(text, i)
	}
	return i
}

// scanDigits returns the end of the digits at text[at], -1 if there are none.
func scanDigits(text []byte, at int) int {
	i := at
	for i < len(text) && '0' <= text[i] && text[i] <= '9' {
		i++
	}
	if i == at {
		return -1
	}
	return i
}

// scanLiteral returns the end of true, false or null at text[at], -1 if none is there.
func scanLiteral(text []byte, at int) int {
	for _, literal := range [...]string{"null", "true", "false"} {
		if end := at + len(literal); end <= len(text) && string(text[at:end]) == literal {
			return end
		}
	}
	return -1
}

// scanScalar returns the end of the number or literal at text[at], -1 if none is there.
func scanScalar(text []byte, at int) int {
	switch c := text[at]; {
	case c == '-', '0' <= c && c <= '9':
		return scanNumber(text, at)
	}
	return scanLiteral(text, at)
}
