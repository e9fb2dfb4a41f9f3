package names

import (
	"strings"

	"peal/server/log"
	"peal/server/pattern"
	"peal/server/refusal"
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
// It is remembered apart from the names that clients can send: Get must not find it.
func (c *Cache) Private(n *Name) *Name {
	if known := c.private[n.Text()]; known != nil {
		return known
	}
	if len(c.private) >= maxKnown {
		clear(c.private)
	}
	made := &Name{set: [1]string{log.PrivatePrefix + n.Text()}, rule: n.rule}
	if c.private == nil {
		c.private = map[string]*Name{}
	}
	c.private[n.Text()] = made
	return made
}

// Topic is the topic of the channel, and whether it is the channel of its private updates.
func (n *Name) Topic() (topic string, private bool) {
	return strings.CutPrefix(n.Text(), log.PrivatePrefix)
}

// AddName adds a channel that its cache has returned.
func (s *Set) AddName(n *Name) *refusal.Error { return s.add(n) }
