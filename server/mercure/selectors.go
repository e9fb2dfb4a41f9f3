package mercure

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"peal/server/topic"
)

// Limits of what a token may have.
const (
	MaxSelectors     = 100 // of one list
	maxSelectorBytes = 1 << 10
)

// Selectors are the topic selectors of one list. They do not change.
type Selectors struct {
	texts  []string // as they were written
	all    bool     // "*" is among them
	topics []string // sorted
	others []topic.Selector
}

// Compile returns the selectors of a list, or why one is none. The error does not contain
// its text. list is kept.
func Compile(list []string) (*Selectors, error) {
	s := &Selectors{texts: list}
	if len(list) > MaxSelectors {
		return nil, fmt.Errorf("%d topic selectors: at most %d are allowed; use URI templates or *", len(list), MaxSelectors)
	}
	for _, text := range list {
		if text == "" || len(text) > maxSelectorBytes || !utf8.ValidString(text) {
			return nil, fmt.Errorf("a topic selector is 1 to %d bytes of UTF-8", maxSelectorBytes)
		}
		s.topics = append(s.topics, text) // a template selects the topic of the same text, too
		one, err := topic.Parse(text)
		switch {
		case text == topic.All:
			s.all = true
		case err == nil && !one.Exact(): // a template that is wrong selects that topic only
			s.others = append(s.others, one)
		}
	}
	slices.Sort(s.topics)
	return s, nil
}

// Texts are the selectors as they were written. Do not change them.
func (s *Selectors) Texts() []string { return s.texts }

// Match reports whether one of the selectors selects the topic.
func (s *Selectors) Match(name string) bool {
	if s.all {
		return true
	}
	if _, found := slices.BinarySearch(s.topics, name); found {
		return true
	}
	return slices.ContainsFunc(s.others, func(one topic.Selector) bool { return one.Match(name) })
}
