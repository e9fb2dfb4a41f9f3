package topic

import "strings"

// All is the selector of every topic.
const All = "*"

// Selector selects topics. It is immutable, and any goroutine may use it.
type Selector struct {
	text     string
	template *template // nil: All, or the exact topic
}

// Parse reads a selector. A text with a brace is a URI template, and an error if it is
// none; All selects every topic; what is left is an exact topic.
func Parse(text string) (Selector, error) {
	switch {
	case text == "":
		return Selector{}, ErrEmpty
	case strings.ContainsAny(text, "{}"):
		t, err := parseTemplate(text)
		if err != nil {
			return Selector{}, err
		}
		if len(t.expressions) > 0 {
			return Selector{text, t}, nil
		}
	}
	return Selector{text: text}, nil
}

// String is the text of the selector.
func (s Selector) String() string { return s.text }

// Exact reports whether the selector is a topic.
func (s Selector) Exact() bool { return s.template == nil && s.text != All }

// Match reports whether the selector selects topic. A template also selects the topic of
// its own text. It allocates nothing.
func (s Selector) Match(topic string) bool {
	switch {
	case s.template != nil:
		return s.template.matches(topic)
	case s.text == All:
		return true
	}
	return topic == s.text
}

// Match reports whether the selector, which may be wrong and then selects nothing but
// the topic of its own text, selects topic.
func Match(selector, topic string) bool {
	if selector == All || selector == topic {
		return true
	}
	s, err := Parse(selector)
	return err == nil && s.Match(topic)
}
