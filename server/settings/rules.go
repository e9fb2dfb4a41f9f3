package settings

import (
	"strings"

	"peal/server"
	"peal/server/rules"
)

// channelRules are the rules for channels.
var channelRules = List{
	Key:   "channels",
	Title: "Channel rules",
	Items: "rules for channels",
	Help:  "rules for channels by name: the first whose match fits applies; the settings above apply to everything that it omits; at most 1000",

	Settings: ruleSettings(),

	example: `match: "news.*"`,
	items:   func(c *server.Config) any { return &c.Channels },
	live:    func(a, b server.Config) bool { return server.SameHistories(a.Channels, b.Channels) },
	index:   faultAt(func(f *rules.Fault) int { return f.Rule }),
}

func ruleSettings() []Setting {
	const inherited = "that of all channels"
	return []Setting{
		{Name: "match", Help: `channels of the rule; * matches any characters, also none, but no leading $; \* is a star`, Default: "none: must be set",
			field: ofRule(func(r *rules.Rule) any { return &r.Match })},
		{Name: "history-messages", Help: "messages kept of one channel, 0 for no history", off: true, Max: many, Default: inherited,
			field: ofRule(func(r *rules.Rule) any { return &r.HistoryMessages })},
		{Name: "history-bytes", Help: "bytes kept of one channel; a larger message is delivered and not kept", size: true, Min: 1 << 10, Max: maxSize, Default: inherited,
			field: ofRule(func(r *rules.Rule) any { return &r.HistoryBytes })},
		{Name: "history-age", Help: "how long a message is kept", Min: 1e6, Max: 365 * maxTime, Default: inherited,
			field: ofRule(func(r *rules.Rule) any { return &r.HistoryAge })},
		{Name: "slow", Help: "policy for slow consumers: resume (they catch up from history, after a gap if messages are missing), latest (the newest message only, with the number skipped), disconnect (close 1013 if messages are missing)", Default: "resume",
			field: ofRule(func(r *rules.Rule) any { return &r.Slow })},
		{Name: "subscribe", Help: "who may subscribe, read the history and list the members: anyone, token (a token or key must grant the channel), or backend (a key must grant it)", Default: "anyone with auth open, token with auth token",
			field: ofRule(func(r *rules.Rule) any { return &r.Subscribe })},
		{Name: "publish", Help: "who may publish, over any transport: anyone, token (a token or key must grant the channel), or backend (a key must grant it)", Default: "anyone with auth open, token with auth token",
			field: ofRule(func(r *rules.Rule) any { return &r.Publish })},
		{Name: "client-publish", Help: "whether clients may publish, over a WebSocket or with a token, else 403 or close 4403; backends may over HTTP: those with a key, and with auth open those with nothing", Default: "true",
			field: ofRule(func(r *rules.Rule) any { return &r.ClientPublish })},
		{Name: "message-bytes", Help: "one message, beyond it 413 or close 1009; at most message-bytes of all channels", size: true, Min: 1, Max: 1 << 30, Default: inherited,
			field: ofRule(func(r *rules.Rule) any { return &r.MessageBytes })},
		{Name: "rate", Help: "publications of one client on one channel, as in 5/s, 5/s burst 20 or 30/m, or off; it replaces rate-connection and rate-user on these channels, and does not apply to keys of backends; beyond it 429 or close 4429", Default: "rate-connection and rate-user apply",
			field: ofRule(func(r *rules.Rule) any { return &r.Rate })},
		{Name: "max-subscribers", Help: "subscribers of one channel, beyond it 429, close 1013, or the end of the event stream; checked before subscribing, so clients that subscribe at the same moment may exceed it by a few, and with several nodes by what the others have not reported in the last second", Min: 1, Max: many, Default: "no limit",
			field: ofRule(func(r *rules.Rule) any { return &r.MaxSubscribers })},
		{Name: "deflate", Help: "whether messages are compressed for clients that offer it; leave it off where messages have secrets beside text that others choose (security.md)", Default: inherited,
			field: ofRule(func(r *rules.Rule) any { return &r.Deflate })},
		{Name: "presence", Help: "whether the channel has presence lists and events; if false, presence requests get 403 or close 4403, and clients with a name are counted only", Default: "true",
			field: ofRule(func(r *rules.Rule) any { return &r.Presence })},
	}
}

// ofRule is a field of the last rule.
func ofRule(field func(r *rules.Rule) any) func(c *server.Config) any {
	return ofItem(func(c *server.Config) *[]rules.Rule { return &c.Channels }, field)
}

// quoteHint explains the error for a pattern that begins with a star, which YAML
// reads as an alias.
func quoteHint(err error) string {
	if strings.Contains(err.Error(), "expected alphabetic or numeric character") {
		return `; a value that begins with * needs quotes, as in match: "*.log"`
	}
	return ""
}
