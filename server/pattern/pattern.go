package pattern

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxBytes is the length of the longest pattern in bytes without the backslashes
// that escape, equal to that of the longest name of a channel.
const MaxBytes = 200

// Pattern is a pattern split at its stars, so that a match is a search for each
// piece after the one before. The leftmost place is always right, because it
// leaves the most room for the pieces that follow. No place is tried twice, so the
// time is linear in the name, also if an attacker chose it. The zero Pattern
// matches no name.
type Pattern struct {
	prefix string   // the beginning of a name; all of it without a star
	middle []string // the pieces between, in this order, not overlapping
	suffix string   // the end of a name
	stars  bool     // there is at least one star
}

// errText is returned for texts that are not patterns at all.
var errText = fmt.Errorf(`a pattern is 1 to %d bytes of printable UTF-8, in which * stands for any characters and \* for a star`, MaxBytes)

// Compile returns the pattern of a text. The error says what to change; it does not
// contain the text.
func Compile(text string) (Pattern, error) {
	if text == "" || len(text) > 2*MaxBytes || !IsPrintable([]byte(text)) {
		return Pattern{}, errText
	}
	pieces, err := split(text)
	if err != nil {
		return Pattern{}, err
	}
	last := len(pieces) - 1
	bytes := last // its stars
	for _, piece := range pieces {
		bytes += len(piece)
	}
	if bytes > MaxBytes {
		return Pattern{}, errText
	}
	if last == 0 {
		return Pattern{prefix: pieces[0]}, nil
	}
	p := Pattern{prefix: pieces[0], suffix: pieces[last], stars: true}
	for _, piece := range pieces[1:last] {
		if piece != "" {
			p.middle = append(p.middle, piece)
		}
	}
	return p, nil
}

// split returns the pieces between the stars of a text, without escapes.
func split(text string) (pieces []string, err error) {
	var piece []byte
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '*':
			pieces, piece = append(pieces, string(piece)), piece[:0]
			continue
		case '\\':
			i++
			if i == len(text) {
				return nil, errors.New(`the pattern ends with a single backslash: write \\ for a backslash`)
			}
			if text[i] != '*' && text[i] != '\\' {
				return nil, fmt.Errorf(`the backslash at byte %d of the pattern precedes neither * nor \: write \\ for a backslash`, i)
			}
		}
		piece = append(piece, text[i])
	}
	return append(pieces, string(piece)), nil
}

// Check returns nil if the text is a pattern, else what to change.
func Check(text string) error {
	_, err := Compile(text)
	return err
}

// Match reports whether name is one of the pattern's.
func (p *Pattern) Match(name string) bool {
	if !p.stars {
		return name == p.prefix && name != ""
	}
	if p.prefix == "" && strings.HasPrefix(name, "$") {
		return false
	}
	rest, ok := strings.CutPrefix(name, p.prefix)
	if !ok {
		return false
	}
	if rest, ok = strings.CutSuffix(rest, p.suffix); !ok {
		return false
	}
	for _, piece := range p.middle {
		at := strings.Index(rest, piece)
		if at < 0 {
			return false
		}
		rest = rest[at+len(piece):]
	}
	return true
}

// anything is a character that no name and no pattern contains.
const anything = "\x00"

// Covers reports whether p matches every name that other, the text of a pattern,
// matches. It does if it matches other with its stars replaced by a character that
// p cannot contain: then a star of p matches it, and any other characters as well.
// A text that is not a pattern is not covered.
func (p *Pattern) Covers(other string) bool {
	if Check(other) != nil {
		return false
	}
	pieces, _ := split(other) // checked above
	return p.Match(strings.Join(pieces, anything))
}

// String returns a text of the pattern: that of Compile, or one that means the same.
func (p *Pattern) String() string {
	if !p.stars {
		return Escape(p.prefix)
	}
	var b strings.Builder
	for _, piece := range append([]string{p.prefix}, p.middle...) {
		b.WriteString(Escape(piece))
		b.WriteByte('*')
	}
	b.WriteString(Escape(p.suffix))
	return b.String()
}

var escaper = strings.NewReplacer(`*`, `\*`, `\`, `\\`)

// Escape returns the pattern that matches only the text, or the part of a pattern
// that stands for it: "orders." + Escape(customer) + ".*".
func Escape(text string) string { return escaper.Replace(text) }

// IsPrintable reports whether b is UTF-8 without control characters and the like.
// Names may contain printable characters, and the two joiners, which are invisible
// but part of the spelling: U+200C in Persian, U+200D in emoji and Indic scripts.
// Names are compared byte by byte; names that only look alike are different
// channels.
func IsPrintable(b []byte) bool {
	const zeroWidthNonJoiner, zeroWidthJoiner = '\u200c', '\u200d'
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if r == utf8.RuneError && size == 1 || !unicode.IsPrint(r) && r != zeroWidthNonJoiner && r != zeroWidthJoiner {
			return false
		}
		b = b[size:]
	}
	return true
}
