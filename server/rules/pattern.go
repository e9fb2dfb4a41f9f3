package rules

import "strings"

// pattern is a pattern split at its stars, so that a match is a search for each
// piece after the one before. The leftmost place is always right, because it
// leaves the most room for the pieces that follow. No place is tried twice, so the
// time is linear in the name, also if an attacker chose it.
type pattern struct {
	prefix string   // the beginning of a name; all of it without a star
	middle []string // the pieces between, in this order, not overlapping
	suffix string   // the end of a name
	exact  bool     // no star
}

func compile(text string) pattern {
	pieces := strings.Split(text, "*")
	last := len(pieces) - 1
	if last == 0 {
		return pattern{prefix: text, exact: true}
	}
	p := pattern{prefix: pieces[0], suffix: pieces[last]}
	for _, piece := range pieces[1:last] {
		if piece != "" {
			p.middle = append(p.middle, piece)
		}
	}
	return p
}

// match reports whether name is one of the pattern's. It does not allocate.
func (p *pattern) match(name string) bool {
	if p.exact {
		return name == p.prefix
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

// Match reports whether the pattern matches the name. It splits the pattern
// first: for many matches use a Table.
func Match(text, name string) bool {
	p := compile(text)
	return p.match(name)
}

// anything is a character that no name and no pattern contains.
const anything = "\x00"

// covers reports whether p matches every name that other, a pattern, matches.
// It does if it matches other with its stars replaced by a character that p
// cannot contain: then a star of p matches it, and any other characters as well.
func (p *pattern) covers(other string) bool {
	return p.match(strings.ReplaceAll(other, "*", anything))
}
