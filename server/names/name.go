package names

import (
	"bytes"
	"hash/maphash"
	"slices"
	"strings"
	"unsafe"

	"peal/loop/dense"
	"peal/loop/frame"
	"peal/server/log"
	"peal/server/pattern"
	"peal/server/refusal"
	"peal/server/rules"
)

// Default is the channel of a request that names none.
const Default = "main"

// MaxBytes is the length of the longest name.
const MaxBytes = 200

// Found in names.
var (
	ErrName     = &refusal.Error{Status: 400, Code: "bad_channel", Message: "a channel name is 1 to 200 bytes of printable UTF-8 (the joiners U+200C and U+200D are legal), percent-encoded in URLs"}
	ErrReserved = &refusal.Error{Status: 403, Code: "reserved_channel", Message: "channel names that begin with $ are reserved for the server", Close: frame.CloseForbidden}
	ErrTooMany  = &refusal.Error{Status: 400, Code: "too_many_channels", Message: "the request names more channels than max-channels (128 by default): use several connections or requests", Close: frame.CloseTooManyChannels}
)

// Name is a channel's name in the forms that requests need, made once: the set
// of a subscription to it alone, which all such subscriptions share, and its
// rule. 32 bytes, because there may be one for each connection.
type Name struct {
	set     [1]string
	watched *[2]string // with its presence; nil until somebody asks
	rule    *rules.Rule
}

// Text is the name itself.
func (n *Name) Text() string { return n.set[0] }

// Rule is the rule of the channel, of the table that the Cache had.
func (n *Name) Rule() *rules.Rule { return n.rule }

// Alone is the set of the channel alone, which all share: nobody may change it.
func (n *Name) Alone() []string { return n.set[:] }

// Watched is the channel and the server's one that carries its presence events,
// sorted. Only the goroutine of the Cache may call it; nobody may change the set.
func (n *Name) Watched() []string {
	if n.watched == nil {
		n.watched = &[2]string{log.PresencePrefix + n.Text(), n.Text()}
		slices.Sort(n.watched[:])
	}
	return n.watched[:]
}

// CountClients counts the channels of clients among names: beside them may be
// the server's that carry their presence events.
func CountClients(names []string) (n int) {
	for _, name := range names {
		if !strings.HasPrefix(name, log.PresencePrefix) {
			n++
		}
	}
	return n
}

// maxKnown bounds what a Cache remembers: 16,384 names are about 1 MB, and at
// most 5 MB if all are as long as may be.
const maxKnown = 1 << 14

// Cache remembers names that were checked. When it is full it starts afresh.
type Cache struct {
	known dense.Large[string, *Name]
	own   map[string]*Name // those of the server; nil until there is one
	rules *rules.Table
}

// seed is that of the hashes of names: clients cannot choose names that collide.
var seed = maphash.MakeSeed()

// Is and Hash are for the table of a Cache.
func (n *Name) Is(text string) bool { return n.set[0] == text }
func (n *Name) Hash() uint64        { return maphash.String(seed, n.set[0]) }

// NewCache returns an empty cache for one table of rules.
func NewCache(t *rules.Table) *Cache { return &Cache{rules: t} }

// Use replaces the table of rules; the names that were given out keep theirs.
func (c *Cache) Use(t *rules.Table) {
	c.known, c.own, c.rules = dense.Large[string, *Name]{}, nil, t
}

// Len is how many names of clients it remembers.
func (c *Cache) Len() int { return c.known.Len() }

// Get returns the name b, or why it is none. b is not kept.
func (c *Cache) Get(b []byte) (*Name, *refusal.Error) {
	if known := c.known.Get(maphash.Bytes(seed, b), unsafe.String(unsafe.SliceData(b), len(b))); known != nil { // only compared
		return known, nil
	}
	if err := check(b); err != nil {
		return nil, err
	}
	return c.add(string(b)), nil
}

// Of returns a name that is known to be legal: that of a channel that a connection
// has.
func (c *Cache) Of(text string) *Name {
	if known := c.known.Get(maphash.String(seed, text), text); known != nil {
		return known
	}
	return c.add(text)
}

func (c *Cache) add(text string) *Name {
	if c.known.Len() >= maxKnown {
		c.known = dense.Large[string, *Name]{}
	}
	made := &Name{set: [1]string{text}, rule: c.rules.For(text)}
	c.known.Add(maphash.String(seed, text), made)
	return made
}

// check tells whether b may name a channel of clients: one that they make by using
// it, or that of one user.
func check(b []byte) *refusal.Error {
	if len(b) == 0 || len(b) > MaxBytes || !pattern.IsPrintable(b) {
		return ErrName
	}
	if b[0] == '$' && (!bytes.HasPrefix(b, userPrefix) || len(b) == len(userPrefix)) {
		return ErrReserved
	}
	return nil
}
