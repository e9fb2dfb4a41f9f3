package topic

import (
	"strings"

	"peal/loop/fanout"
)

// Patterns reads the names that Channels makes. It has no state.
type Patterns struct{}

var _ fanout.Patterns = Patterns{}

// Pattern returns what the matcher of that name matches; see fanout.Patterns.
func (Patterns) Pattern(name string) fanout.Pattern {
	if text, ok := strings.CutPrefix(name, likePrefix); ok {
		if s, err := Parse(text); err == nil && !s.Exact() {
			return newPattern("", s, Selector{text: All})
		}
		return nil
	}
	text, ok := strings.CutPrefix(name, likePrivatePrefix)
	if !ok {
		return nil
	}
	asked, granted, both := strings.Cut(text, " ")
	s, err := Parse(asked)
	g := Selector{text: All}
	if both && err == nil {
		g, err = Parse(granted)
	}
	if err != nil || s.Exact() || g.Exact() {
		return nil
	}
	return newPattern(PrivatePrefix, s, g)
}

// pattern matches the channels that begin with space, and whose topic both selectors
// select.
type pattern struct {
	space          string
	cost           int
	asked, granted Selector
	prefix, suffix string
}

func newPattern(space string, asked, granted Selector) *pattern {
	p := &pattern{space: space, asked: asked, granted: granted}
	for _, s := range []Selector{asked, granted} {
		if t := s.template; t != nil {
			if len(t.prefix()) > len(p.prefix) {
				p.prefix = t.prefix()
			}
			if len(t.suffix()) > len(p.suffix) {
				p.suffix = t.suffix()
			}
			p.cost += t.cost()
		}
	}
	p.prefix = space + p.prefix
	return p
}

// Prefix, Suffix and Match are those of fanout.Pattern.
func (p *pattern) Prefix() string { return p.prefix }

// Suffix is what the names end with.
func (p *pattern) Suffix() string { return p.suffix }

// Cost is about how many nanoseconds a match takes at most.
func (p *pattern) Cost() int { return p.cost }

// Match reports whether the messages of channel belong to the matcher.
func (p *pattern) Match(channel string) bool {
	topic, private, ok := Topic(channel)
	return ok && private == (p.space != "") && p.asked.Match(topic) && p.granted.Match(topic)
}
