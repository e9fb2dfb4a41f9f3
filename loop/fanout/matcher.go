package fanout

import (
	"slices"
	"strings"

	"peal/loop/ring"
)

// matcher says which messages belong to one channel of a view: those published
// under exactly its name. That a subscription is a set of matchers, and what they
// match, is known here and nowhere else.
type matcher struct{ name string }

func (t *matcher) matches(name string) bool { return t.name == name }

// carries reports whether m was published on what t matches.
func (t *matcher) carries(m *ring.Message) bool {
	return t.matches(m.Channel) || slices.ContainsFunc(m.Also, t.matches)
}

// index has the channels of a loop by their matchers.
type index struct{ exact map[string]*channel }

func newIndex() index { return index{exact: map[string]*channel{}} }

// matching returns the channel that what is published under name belongs to, nil
// for none.
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
