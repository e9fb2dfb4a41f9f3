package topic

import (
	"fmt"
	"slices"
	"strings"
)

// Names of channels that stand for topics.
const (
	PrivatePrefix     = "$private:"      // and the topic: its private updates
	likePrefix        = "$like:"         // and a selector: public updates
	likePrivatePrefix = "$like-private:" // and a selector, or two templates with a space between them: private updates
)

// MaxChannels is how many channels and matchers one subscription may come to.
const MaxChannels = 128

// ErrChannels is the error of Channels for too many of them.
var ErrChannels = fmt.Errorf("the topics and what the token grants for them come to more than %d channels and templates: subscribe to fewer", MaxChannels)

// Private is the channel of the private updates of a topic.
func Private(topic string) string { return PrivatePrefix + topic }

// Topic is the topic of a channel, and whether its updates are private; ok is false for
// matchers and the other channels of the server.
func Topic(channel string) (topic string, private, ok bool) {
	if topic, private = strings.CutPrefix(channel, PrivatePrefix); private {
		return topic, true, true
	}
	return channel, false, channel != "" && channel[0] != '$'
}

// Channels returns the channels and matchers of a subscription to topics, sorted and
// without duplicates: the public updates of all topics that one of the selectors topics
// selects, and the private ones of those that one of granted selects, too. An update
// reaches a subscription to all of them once.
//
// Selectors in granted that Parse refuses grant the topic of their own text.
func Channels(topics, granted []string) (channels []string, err error) {
	grants := make([]Selector, 0, len(granted))
	for _, text := range granted {
		s, err := Parse(text)
		if err != nil {
			s = Selector{text: text}
		}
		grants = append(grants, s)
	}
	if i := slices.IndexFunc(grants, func(s Selector) bool { return s.text == All }); i >= 0 {
		grants = grants[i : i+1]
	}
	for _, text := range topics {
		t, err := Parse(text)
		if err != nil {
			return nil, err
		}
		if channels, err = appendChannels(channels, t, grants); err != nil {
			return nil, err
		}
		if len(channels) > MaxChannels {
			slices.Sort(channels)
			if channels = slices.Compact(channels); len(channels) > MaxChannels {
				return nil, ErrChannels
			}
		}
	}
	slices.Sort(channels)
	return slices.Compact(channels), nil
}

// appendChannels adds those of one topic selector.
func appendChannels(channels []string, t Selector, grants []Selector) ([]string, error) {
	if t.Exact() {
		if t.text[0] == '$' {
			return nil, ErrReserved
		}
		if len(t.text) > MaxTopicBytes {
			return nil, ErrTopicLong
		}
		channels = append(channels, t.text)
		if slices.ContainsFunc(grants, func(s Selector) bool { return s.Match(t.text) }) {
			channels = append(channels, Private(t.text))
		}
		return channels, nil
	}
	channels = append(channels, likePrefix+t.text)
	for _, s := range grants {
		switch {
		case s.text == All || s.text == t.text:
			return append(channels, likePrivatePrefix+t.text), nil // no other grant adds anything
		}
	}
	for _, s := range grants {
		switch {
		case s.Exact():
			if t.Match(s.text) && len(s.text) <= MaxTopicBytes {
				channels = append(channels, Private(s.text))
			}
		case t.text == All:
			channels = append(channels, likePrivatePrefix+s.text)
		case meet(t.template, s.template):
			channels = append(channels, likePrivatePrefix+t.text+" "+s.text)
		}
		if len(channels) > 2*MaxChannels {
			return nil, ErrChannels
		}
	}
	return channels, nil
}

// meet reports whether a topic may match both: it does not have to.
func meet(t, s *template) bool {
	return (strings.HasPrefix(t.prefix(), s.prefix()) || strings.HasPrefix(s.prefix(), t.prefix())) &&
		(strings.HasSuffix(t.suffix(), s.suffix()) || strings.HasSuffix(s.suffix(), t.suffix()))
}
