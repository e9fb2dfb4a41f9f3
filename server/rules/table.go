package rules

import (
	"slices"
	"strings"

	"peal/loop/fanout"
	"peal/server/log"
	"peal/server/pattern"
)

// Most is the number of rules in a Table beside the last: a name that is not cached
// is compared with each.
const Most = 1000

// Table is rules in their order. The zero Table is none: see New.
type Table struct {
	rules    []Rule            // the last has the server's settings
	patterns []pattern.Pattern // of all rules but the last
	deflates bool              // some rule says so
}

// New returns the table of rules, which must be valid, and of standard, the
// rule for all other channels. They inherit their zero fields from standard; zero
// fields of standard get the defaults of Rule, or no limit.
func New(rules []Rule, standard Rule) *Table {
	standard = standard.over(Rule{Slow: fanout.Resume, ClientPublish: Yes, Presence: Yes, Deflate: No, Subscribe: Anyone, Publish: Anyone})
	standard.Match = "*"
	t := &Table{}
	for _, r := range rules {
		r.stated = r.Subscribe != 0
		t.rules = append(t.rules, r.over(standard))
		p, _ := pattern.Compile(r.Match) // Validate has reported the error
		t.patterns = append(t.patterns, p)
	}
	t.rules = append(t.rules, standard)
	t.deflates = slices.ContainsFunc(t.rules, func(r Rule) bool { return r.Deflate == Yes })
	return t
}

// Index is the index of the channel's rule, for At. It takes a few nanoseconds
// per rule: cache it for channels that are looked up often. The channel of private
// updates of a topic has the rule of the topic.
func (t *Table) Index(channel string) int {
	channel = strings.TrimPrefix(channel, log.PrivatePrefix)
	for i := range t.patterns {
		if t.patterns[i].Match(channel) {
			return i
		}
	}
	return len(t.patterns)
}

// At is the rule at that index, from 0 to Len-1. Do not change it.
func (t *Table) At(index int) *Rule { return &t.rules[index] }

// Len is the number of rules, the last included.
func (t *Table) Len() int { return len(t.rules) }

// For is the rule of the channel. Do not change it.
func (t *Table) For(channel string) *Rule { return t.At(t.Index(channel)) }

// Deflates reports whether the messages of the channel are compressed for clients that
// can take that.
func (t *Table) Deflates(channel string) bool { return t.For(channel).Deflate == Yes }

// DeflatesAny reports whether there may be such channels.
func (t *Table) DeflatesAny() bool { return t.deflates }

// Slow is the channel's policy for slow consumers.
func (t *Table) Slow(channel string) fanout.Policy { return t.For(channel).Slow }
