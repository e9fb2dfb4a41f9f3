package names

import (
	"strings"

	"peal/server/log"
	"peal/server/pattern"
	"peal/server/refusal"
	"peal/server/rules"
)

// Found in topics of the Mercure protocol.
var (
	ErrTopic         = &refusal.Error{Status: 400, Code: "bad_topic", Message: "a topic is 1 to 200 bytes of printable UTF-8, because it is the name of a channel: publish on a shorter topic, such as the URL without its query"}
	ErrTopicReserved = &refusal.Error{Status: 403, Code: "reserved_channel", Message: "topics that begin with $ are reserved for the server"}
)

// Topic returns the channel of the public updates of a topic, or why it is none. b is not
// kept.
func (c *Cache) Topic(b []byte) (*Name, *refusal.Error) {
	switch {
	case len(b) == 0 || len(b) > MaxBytes || !pattern.IsPrintable(b):
		return nil, ErrTopic
	case b[0] == '$':
		return nil, ErrTopicReserved
	}
	return c.Get(b)
}

// Private returns the channel of the private updates of a topic, whose public channel is n.
func (c *Cache) Private(n *Name) *Name { return c.Own(log.PrivatePrefix + n.Text()) }

// Own returns a channel, or matcher, of the server's own, which the caller has made. It is
// remembered apart from the names that clients can send: Get must not find it.
func (c *Cache) Own(text string) *Name {
	if known := c.own[text]; known != nil {
		return known
	}
	if len(c.own) >= maxKnown {
		clear(c.own)
	}
	made := Of(text, c.rules)
	if c.own == nil {
		c.own = map[string]*Name{}
	}
	c.own[text] = made
	return made
}

// Of returns a channel of the server's own that is not remembered.
func Of(text string, t *rules.Table) *Name { return &Name{set: [1]string{text}, rule: t.For(text)} }

// Topic is the topic of the channel, and whether it is the channel of its private updates.
func (n *Name) Topic() (topic string, private bool) {
	return strings.CutPrefix(n.Text(), log.PrivatePrefix)
}

// Granted is the selector that a token must have for a matcher of private updates: what was
// granted, or what was asked for where all of it was; ok is false for other names.
func (n *Name) Granted() (selector string, ok bool) {
	text, ok := strings.CutPrefix(n.Text(), likePrivatePrefix)
	if _, granted, both := strings.Cut(text, " "); both {
		return granted, ok
	}
	return text, ok
}

// likePrivatePrefix begins the matchers of private updates: package topic makes them.
const likePrivatePrefix = "$like-private:"

// AddName adds a channel that its cache has returned.
func (s *Set) AddName(n *Name) *refusal.Error { return s.add(n) }
