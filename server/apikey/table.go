package apikey

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"peal/server/grant"
)

// Table is the keys of a server. The nil Table has none.
type Table struct {
	definitions []Definition

	// Of the keys, in the order of their definitions.
	sums   []words
	grants []*grant.Grant
	uses   []*use

	// changed has the grants of the table before whose key is still there and allows
	// something else: the grant that it has now if that is more, nil if it may be less.
	changed map[*grant.Grant]*grant.Grant
}

// words is a digest in the form in which it is compared.
type words [sha256.Size / 8]uint64

func wordsOf(sum [sha256.Size]byte) (w words) {
	for i := range w {
		w[i] = binary.LittleEndian.Uint64(sum[8*i:])
	}
	return w
}

// use is the count of one key. Tables of a server share it by name.
type use struct {
	requests atomic.Uint64
	swept    uint64       // requests at the last Sweep, which alone uses it
	second   atomic.Int64 // of the last Sweep that found new requests, since 1970; 0 for none
}

// New returns the table of definitions, which must be valid (see Validate) and which it
// keeps. before is the table that it replaces, nil for none: keys of the same name go
// on counting, and those whose definition is the same keep their grant.
func New(definitions []Definition, before *Table) *Table {
	t := &Table{definitions: definitions, changed: map[*grant.Grant]*grant.Grant{}}
	for _, d := range definitions {
		sum, ok := parseDigest(d.Digest)
		if !ok {
			panic(fmt.Sprintf("key %q was not validated: its digest is invalid", d.Name))
		}
		t.sums = append(t.sums, wordsOf(sum))
		i := before.index(d.Name)
		if i < 0 {
			t.grants, t.uses = append(t.grants, d.grant()), append(t.uses, &use{})
			continue
		}
		t.grants, t.uses = append(t.grants, t.next(before, i, d)), append(t.uses, before.uses[i])
	}
	return t
}

// next is the grant of d, whose name key i of the table before has.
func (t *Table) next(before *Table, i int, d Definition) *grant.Grant {
	former, old := before.definitions[i], before.grants[i]
	if former.Digest != d.Digest {
		return d.grant()
	}
	if slices.Equal(former.Allow, d.Allow) {
		return old
	}
	now := d.grant()
	t.changed[old] = nil
	if !slices.ContainsFunc(former.Allow, func(entry string) bool { return !slices.Contains(d.Allow, entry) }) {
		t.changed[old] = now
	}
	return now
}

// index is that of the key with that name, -1 for none.
func (t *Table) index(name string) int {
	if t == nil {
		return -1
	}
	return slices.IndexFunc(t.definitions, func(d Definition) bool { return d.Name == name })
}

// Renew is for what was opened with a key of the table before: g is its grant. It
// returns the grant that the key has now if it allows at least as much; nil if it may
// allow less, or if it is revoked. known is whether the key is still there.
func (t *Table) Renew(g *grant.Grant) (now *grant.Grant, known bool) {
	if slices.Contains(t.grants, g) {
		return g, true
	}
	now, known = t.changed[g]
	return now, known
}

// Find returns what the key allows, and counts its use; false for a text that is not
// a key, and for an unknown key. It does not allocate.
//
// Its time depends on the number of keys, and not on how much of one the text has in
// common with it: digests are compared, each with all of them, without a branch.
func (t *Table) Find(text []byte) (*grant.Grant, bool) {
	// The checksum is for people: here the digest decides, and knows no better.
	if t == nil || len(text) != Length || !Is(text) {
		return nil, false
	}
	has := wordsOf(sha256.Sum256(text))
	found := -1
	for i := range t.sums {
		s := &t.sums[i]
		differs := (s[0] ^ has[0]) | (s[1] ^ has[1]) | (s[2] ^ has[2]) | (s[3] ^ has[3])
		equal := int((differs|-differs)>>63) - 1 // -1 if equal, else 0
		found = found&^equal | i&equal
	}
	if found < 0 {
		return nil, false
	}
	t.uses[found].requests.Add(1)
	return t.grants[found], true
}

// Sweep notes when the keys were last used: at now, if they were since the call before.
// Call it once a second: Find itself reads no clock. One goroutine at a time may call it.
func (t *Table) Sweep(now time.Time) {
	for _, u := range t.uses {
		if n := u.requests.Load(); n != u.swept {
			u.swept = n
			u.second.Store(now.Unix())
		}
	}
}

// Len is the number of keys.
func (t *Table) Len() int {
	if t == nil {
		return 0
	}
	return len(t.sums)
}

// Use is how often a key was used, and when.
type Use struct {
	Name     string
	Requests uint64
	Second   int64 // of the last one, since 1970, as the next Sweep noted it; 0 for none
}

// Uses are those of all keys, in the order of their definitions.
func (t *Table) Uses() []Use {
	all := make([]Use, t.Len())
	for i := range all {
		u := t.uses[i]
		all[i] = Use{t.definitions[i].Name, u.requests.Load(), u.second.Load()}
	}
	return all
}
