package fanout

import (
	"hash/maphash"
	"slices"
	"strings"

	"peal/loop/dense"
	"peal/loop/ring"
)

// MatcherPrefix begins the names of channels that are matchers: they have no messages
// of their own, but those of every channel that their Pattern matches.
const MatcherPrefix = "$like"

// Pattern is what a matcher matches. Any goroutine may call it.
type Pattern interface {
	// Prefix and Suffix are what every name that it matches begins and ends with.
	Prefix() string
	Suffix() string

	// Match reports whether the messages of channel belong to the matcher. It allocates
	// nothing, and takes no more than about Cost nanoseconds, whatever client has written
	// the pattern.
	Match(channel string) bool
	Cost() int
}

// Patterns knows what the names of matchers mean. Any goroutine may call it.
type Patterns interface {
	// Pattern returns the pattern of a name that begins with MatcherPrefix, nil if the
	// name means nothing: such a channel has no messages.
	Pattern(name string) Pattern
}

// UsePatterns allows matchers in subscriptions; past has their history. Without it, names
// that begin with MatcherPrefix are those of ordinary channels. Before the first Subscribe.
func (f *Fan) UsePatterns(p Patterns, past Past) {
	f.channels.patterns, f.past = p, past
}

// matcher determines which messages belong to one channel of a view: those published
// under exactly its name, or, if the index has a pattern for it, those that the pattern matches.
type matcher struct{ name string }

func (c *channel) matcher() matcher { return matcher{c.name()} }

func isMatcher(name string) bool { return strings.HasPrefix(name, MatcherPrefix) }

// like is a channel whose messages a pattern finds.
type like struct {
	channel *channel
	pattern Pattern
	last    uint64 // sequence of the message that was added last
	place   int    // in its bucket
}

// index finds the channels of a loop: those of exact names in a map, the others in likes.
type index struct {
	exact    dense.Large[string, *channel] // by name, matchers too
	patterns Patterns                      // nil: no matchers
	named    map[string]*like              // by the name of the matcher; nil until there is one
	likes    likes
}

// seed is that of the hashes of names: clients cannot choose names that collide.
var seed = maphash.MakeSeed()

func hashOf(name string) uint64 { return maphash.String(seed, name) }

// matching returns the channel of messages that are published under name, nil for none.
func (x *index) matching(name string) *channel { return x.exact.Get(hashOf(name), name) }

// channel returns the channel of a matcher, making it if needed. Its name is that of t until enter.
func (x *index) channel(t matcher) *channel {
	hash := hashOf(t.name)
	c := x.exact.Get(hash, t.name)
	if c == nil {
		if isMatcher(t.name) {
			t.name = strings.Clone(t.name) // the key of named, and not the request it came in
		}
		c = new(channel)
		c.setName(t.name)
		x.exact.Add(hash, c)
		if x.patterns != nil && isMatcher(t.name) {
			x.learn(c)
		}
	}
	return c
}

func (x *index) learn(c *channel) {
	p := x.patterns.Pattern(c.name())
	if p == nil {
		return
	}
	if x.named == nil {
		x.named = map[string]*like{}
	}
	l := &like{channel: c, pattern: p}
	x.named[c.name()] = l
	x.likes.add(l)
}

// find returns the channel of a matcher, nil for none.
func (x *index) find(t matcher) *channel { return x.matching(t.name) }

func (x *index) forget(c *channel) {
	x.exact.Remove(hashOf(c.name()), c.name())
	if l := x.named[c.name()]; l != nil {
		delete(x.named, c.name())
		x.likes.remove(l)
	}
}

func (x *index) len() int { return x.exact.Len() }

// pattern is that of a channel, nil if its messages are those of its name. The channel may
// be one that no view contains yet.
func (x *index) pattern(name string) Pattern {
	if x.patterns == nil || !isMatcher(name) {
		return nil
	}
	if l := x.named[name]; l != nil {
		return l.pattern
	}
	return x.patterns.Pattern(name)
}

// carries reports whether m was published on what c matches.
func (x *index) carries(c *channel, m *ring.Message) bool {
	if p := x.pattern(c.name()); p != nil {
		return p.Match(m.Channel) || slices.ContainsFunc(m.Also, p.Match)
	}
	return c.name() == m.Channel || slices.Contains(m.Also, c.name())
}

// Matchers is the number of different matchers with members.
func (f *Fan) Matchers() int { return len(f.channels.named) }

// MatchCost is the cost of the matchers that the member receives: nanoseconds for a
// publication that finds all of them, and 0 only if it has none.
func (f *Fan) MatchCost(slot uint32) (cost int) {
	if m := f.member(slot); m.view != 0 && len(f.channels.named) > 0 {
		f.views[m.view].channels(func(_ int, c *channel) {
			if p := f.channels.pattern(c.name()); p != nil {
				cost += 1 + p.Cost()
			}
		})
	}
	return cost
}

// matching is the number of matchers in a view.
func (f *Fan) matching(v *view) (n int) {
	v.channels(func(_ int, c *channel) {
		if f.channels.pattern(c.name()) != nil {
			n++
		}
	})
	return n
}
