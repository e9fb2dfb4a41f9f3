package httpapi

import (
	"unicode/utf8"

	"peal/server/rules"
)

// maxName is the length of the longest channel name in bytes.
const maxName = 200

// maxNames bounds what a Front remembers: 16,384 names are about 2 MB, and at
// most 6 MB if all are as long as may be.
const maxNames = 1 << 14

// name is a channel's name in the forms that requests need, made once: the set
// of a subscription to it alone, which all such subscriptions share, and its
// rule. 32 bytes, because there may be one for each connection.
type name struct {
	set     [1]string
	watched *[2]string // with its presence; nil until somebody asks
	rule    *rules.Rule
}

// text is the name itself.
func (n *name) text() string { return n.set[0] }

// names remembers channel names that were checked, so that a publication or a
// poll on a known channel makes no garbage of it. When it is full it starts
// afresh.
type names struct {
	known map[string]*name
	rules *rules.Table
}

func newNames(t *rules.Table) names { return names{make(map[string]*name), t} }

// get returns the name b, or why it is none. b is not kept.
func (n names) get(b []byte) (*name, error) {
	if known := n.known[string(b)]; known != nil {
		return known, nil
	}
	if err := checkName(b); err != nil {
		return nil, err
	}
	if len(n.known) >= maxNames {
		clear(n.known)
	}
	made := &name{set: [1]string{string(b)}}
	made.rule = n.rules.For(made.text())
	n.known[made.text()] = made
	return made, nil
}

// checkName tells whether b may name a channel of clients.
func checkName(b []byte) error {
	if len(b) == 0 || len(b) > maxName || !isPrintable(b) {
		return errChannelName
	}
	if b[0] == '$' {
		return errChannelReserved
	}
	return nil
}

// isPrintable reports whether b is UTF-8 without control characters and the like,
// as rules.IsNameRune says it.
func isPrintable(b []byte) bool {
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if r == utf8.RuneError && size == 1 || !rules.IsNameRune(r) {
			return false
		}
		b = b[size:]
	}
	return true
}
