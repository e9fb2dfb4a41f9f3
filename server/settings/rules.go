package settings

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"

	"peal/server"
	"peal/server/rules"
)

// RulesKey is the key of the file under which the rules for channels are. They
// are a list of mappings, so there is neither a flag nor a variable for them.
const RulesKey = "channels"

const rulesVariable = EnvironmentPrefix + "CHANNELS"

// RulesHelp describes rules.
const RulesHelp = "rules for channels by name: the first whose match fits applies; the settings above apply to everything that it omits; at most 1000"

// RuleSettings are the keys of one rule. They set fields of the last rule in
// Config.Channels.
func RuleSettings() []Setting {
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
		{Name: "client-publish", Help: "whether WebSocket clients may publish, else close 4403; publishing over HTTP is always allowed", Default: "true",
			field: ofRule(func(r *rules.Rule) any { return &r.ClientPublish })},
		{Name: "message-bytes", Help: "one message, beyond it 413 or close 1009; at most message-bytes of all channels", size: true, Min: 1, Max: 1 << 30, Default: inherited,
			field: ofRule(func(r *rules.Rule) any { return &r.MessageBytes })},
		{Name: "max-subscribers", Help: "subscribers of one channel, beyond it 429, close 1013, or the end of the event stream; checked before subscribing, so clients that subscribe at the same moment may exceed it by a few", Min: 1, Max: many, Default: "no limit",
			field: ofRule(func(r *rules.Rule) any { return &r.MaxSubscribers })},
		{Name: "presence", Help: "whether the channel has presence lists and events; if false, presence requests get 403 or close 4403, and clients with a name are counted only", Default: "true",
			field: ofRule(func(r *rules.Rule) any { return &r.Presence })},
	}
}

// ofRule turns a field of a rule into a field of a Config: that of its last rule.
// A Config without rules gets one.
func ofRule(field func(r *rules.Rule) any) func(c *server.Config) any {
	return func(c *server.Config) any {
		if len(c.Channels) == 0 {
			c.Channels = make([]rules.Rule, 1)
		}
		return field(&c.Channels[len(c.Channels)-1])
	}
}

// readRules reads the list of rules. A rule with faults stays in the list.
func (l *loader) readRules(list *yaml.Node, path, source, where string) {
	if list.Kind != yaml.SequenceNode {
		l.fault(where, `must be a list of rules, as in - match: "news.*"`)
		return
	}
	l.Sources[RulesKey] = source
	byName, names := map[string]Setting{}, []string{}
	for _, s := range RuleSettings() {
		names = append(names, s.Name)
		byName[s.Name] = s
	}
	for _, rule := range list.Content {
		at := fmt.Sprintf("%s, line %d", path, rule.Line)
		l.ruleAt = append(l.ruleAt, at)
		l.Config.Channels = append(l.Config.Channels, rules.Rule{})
		if rule.Kind != yaml.MappingNode {
			l.fault(at, `must be lines of the form name: value, as in match: "news.*"`)
			continue
		}
		l.mapping(rule, path, names, func(key, value *yaml.Node, _, where string) {
			s := byName[key.Value]
			values, ok := l.values(s, value, where)
			if !ok {
				return
			}
			if err := s.set(&l.Config, values); err != nil {
				l.fault(fmt.Sprintf("%s %q", where, strings.Join(values, ",")), "%v", err)
			}
		})
	}
}

// located gives a fault of a rule its place in the file.
func (l *loader) located(err error) error {
	var f *rules.Fault
	if !errors.As(err, &f) || f.Rule >= len(l.ruleAt) {
		return err
	}
	return Fault{l.ruleAt[f.Rule], f.Error()}
}

// quoteHint explains the error for a pattern that begins with a star, which YAML
// reads as an alias.
func quoteHint(err error) string {
	if strings.Contains(err.Error(), "expected alphabetic or numeric character") {
		return `; a value that begins with * needs quotes, as in match: "*.log"`
	}
	return ""
}

// appendRules prints the rules, and of each the keys that it sets.
func (s *Settings) appendRules(b *strings.Builder) {
	fmt.Fprintf(b, "# == Channel rules\n\n# %s\n", RulesHelp)
	if len(s.Config.Channels) == 0 {
		fmt.Fprintf(b, "%s: [] # default: none\n", RulesKey)
		return
	}
	fmt.Fprintf(b, "%s: # from %s\n", RulesKey, s.Sources[RulesKey])
	for _, r := range s.Config.Channels {
		one := server.Config{Channels: []rules.Rule{r}}
		indent := "  - "
		for _, row := range RuleSettings() {
			if !reflect.ValueOf(row.field(&one)).Elem().IsZero() {
				fmt.Fprintf(b, "%s%s: %s\n", indent, row.Name, row.text(&one))
				indent = "    "
			}
		}
	}
}
