package frame

import "unicode/utf8"

// UTF8 checks a text that arrives in pieces, which may end inside a character
// (§8.1). It holds no bytes, only the state of the check. The zero value is the
// start of a text.
//
// utf8.Valid checks most bytes; only characters that lie across two pieces are
// checked byte by byte. DESIGN.md in this folder describes the automaton that was
// tried instead.
type UTF8 uint8

// The bytes that may follow: the states within the characters of RFC 3629 §4.
const (
	utf8Start   UTF8 = iota // the first byte of a character
	utf8Tail1               // one of 80–BF
	utf8Tail2               // two
	utf8Tail3               // three
	utf8AfterE0             // A0–BF, then one: anything lower is overlong
	utf8AfterED             // 80–9F, then one: anything higher is a surrogate
	utf8AfterF0             // 90–BF, then two: anything lower is overlong
	utf8AfterF4             // 80–8F, then two: anything higher is above U+10FFFF
	utf8Reject              // final
)

// Feed takes the next piece of the text and reports whether the text can still
// become valid. After false it stays false.
func (u *UTF8) Feed(p []byte) bool {
	state := *u
	for state != utf8Start && len(p) > 0 {
		state, p = state.next(p[0]), p[1:]
	}
	// Either p is used up, or a character starts here.
	cut := len(p) - unfinished(p)
	if !utf8.Valid(p[:cut]) {
		state = utf8Reject
	}
	for _, c := range p[cut:] {
		state = state.next(c)
	}
	*u = state
	return state != utf8Reject
}

// Complete reports whether the text may end here: all of it was valid and the
// last character is whole.
func (u UTF8) Complete() bool { return u == utf8Start }

// unfinished returns how many bytes at the end of p begin a character that
// further bytes may complete: 0 to 3.
func unfinished(p []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(p); n++ {
		if last := p[len(p)-n:]; utf8.RuneStart(last[0]) {
			if utf8.FullRune(last) { // also when it is invalid already
				return 0
			}
			return n
		}
	}
	return 0
}

// next is one step of the automaton.
func (u UTF8) next(c byte) UTF8 {
	low, high, then := byte(0x80), byte(0xBF), utf8Start
	switch u {
	case utf8Start:
		return firstByte(c)
	case utf8Tail1:
	case utf8Tail2:
		then = utf8Tail1
	case utf8Tail3:
		then = utf8Tail2
	case utf8AfterE0:
		low, then = 0xA0, utf8Tail1
	case utf8AfterED:
		high, then = 0x9F, utf8Tail1
	case utf8AfterF0:
		low, then = 0x90, utf8Tail2
	case utf8AfterF4:
		high, then = 0x8F, utf8Tail2
	default:
		return utf8Reject
	}
	if c < low || c > high {
		return utf8Reject
	}
	return then
}

// firstByte returns the state behind the first byte of a character, C2–F4:
// utf8.Valid has judged all others.
func firstByte(c byte) UTF8 {
	switch {
	case c <= 0xDF:
		return utf8Tail1
	case c == 0xE0:
		return utf8AfterE0
	case c == 0xED:
		return utf8AfterED
	case c <= 0xEF:
		return utf8Tail2
	case c == 0xF0:
		return utf8AfterF0
	case c == 0xF4:
		return utf8AfterF4
	}
	return utf8Tail3
}
