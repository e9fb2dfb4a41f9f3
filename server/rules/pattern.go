package rules

import "strings"

// pattern is a pattern taken apart at its stars, so that a match is a search
// for each piece behind the one before. The leftmost place is always right: it
// leaves most to the pieces that follow. So nothing is tried twice, and time is
// linear in the name, whoever chose it.
type pattern struct {
	prefix string   // what a name begins with; all of it without a star
	middle []string // what comes between, in this order, not overlapping
	suffix string   // what it ends with
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

// Match reports whether the pattern matches the name. It takes the pattern
// apart first: to ask again and again, make a Table.
func Match(text, name string) bool {
	p := compile(text)
	return p.match(name)
}

// anything stands for what no name and no pattern contains.
const anything = "\x00"

// covers reports whether p matches every name that other, a pattern, matches.
// It does if it matches other with its stars read as a character that p cannot
// name: then a star of p takes it, and takes any other characters as well.
func (p *pattern) covers(other string) bool {
	return p.match(strings.ReplaceAll(other, "*", anything))
}
