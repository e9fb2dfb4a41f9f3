package fanout

import (
	"slices"
	"strings"

	"peal/loop/ring"
)

// matcher determines which messages belong to one channel of a view: those published
// under exactly its name. A subscription is a set of matchers. Only this file knows
// what they match.
type matcher struct{ name string }

func (t *matcher) matches(name string) bool { return t.name == name }

// carries reports whether m was published on what t matches.
func (t *matcher) carries(m *ring.Message) bool {
	return t.matches(m.Channel) || slices.ContainsFunc(m.Also, t.matches)
}

// index finds the channels of a loop.
type index struct{ exact map[string]*channel }

func newIndex() index { return index{exact: map[string]*channel{}} }

// matching returns the channel of messages that are published under name, nil for none.
func (x *index) matching(name string) *channel { return x.exact[name] }

// channel returns the channel of a matcher, making it if needed.
func (x *index) channel(t matcher) *channel {
	c := x.exact[t.name]
	if c == nil {
		t.name = strings.Clone(t.name) // not the request it came in
		c = &channel{matcher: t}
		x.exact[t.name] = c
	}
	return c
}

// find returns the channel of a matcher, nil for none.
func (x *index) find(t matcher) *channel { return x.exact[t.name] }

func (x *index) forget(c *channel) { delete(x.exact, c.name) }

func (x *index) len() int { return len(x.exact) }
