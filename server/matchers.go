package server

import (
	"strings"
	"sync/atomic"

	"peal/loop/fanout"
	"peal/server/app"
	"peal/server/ask"
	"peal/server/log"
	"peal/server/rules"
	"peal/server/topic"
)

// matchers reports whether subscriptions may contain templates of topics (server/topic):
// those of the Mercure protocol, if that is on at the start. The hub then records the order
// of publications.
func (c *Config) matchers() bool { return c.Mercure.isOn() }

// openPatterns are the patterns of topics. They match no channel that a client may not have
// unless it is granted that very channel: a template says nothing about single channels.
type openPatterns struct {
	topic.Patterns
	rules *atomic.Pointer[rules.Table]
	apps  *atomic.Pointer[app.Table]

	asking *ask.Client // a template is not asked about
}

// Pattern implements fanout.Patterns.
func (o openPatterns) Pattern(name string) fanout.Pattern {
	p := o.Patterns.Pattern(name)
	if p == nil {
		return nil
	}
	return openPattern{p, o}
}

type openPattern struct {
	fanout.Pattern
	of openPatterns
}

// Match implements fanout.Pattern.
func (p openPattern) Match(channel string) bool {
	return p.Pattern.Match(channel) && !p.of.closed(channel)
}

// closed reports whether a subscription by a template must not have the channel. Private
// updates are granted by a token already.
func (o openPatterns) closed(channel string) bool {
	rule := o.rules.Load().For(channel)
	name, private := strings.CutPrefix(channel, log.PrivatePrefix)
	if o.asking.Covers(ask.Subscribe, name) {
		return true
	}
	if private {
		return rule.RestrictsSubscribers() && rule.Subscribe == rules.Backend
	}
	return rule.RestrictsSubscribers() || o.apps.Load().Protects(name)
}
