package apikey

import (
	"crypto/sha256"
	"encoding/binary"
	"sync/atomic"
	"time"

	"peal/server/grant"
)

// Table is the keys of a server. The nil Table has none.
type Table struct {
	sums   []words // of the keys, in the order of their definitions
	grants []*grant.Grant
	uses   []*use
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
	second   atomic.Int64 // of the last one, since 1970; 0 for none
}

// New returns the table of definitions, which must be valid (see Validate). before is
// the one that it replaces, nil for none: keys of the same name go on counting.
func New(definitions []Definition, before *Table) *Table {
	earlier := map[string]*use{}
	if before != nil {
		for i, g := range before.grants {
			earlier[g.Subject] = before.uses[i]
		}
	}
	t := &Table{}
	for _, d := range definitions {
		sum, ok := parseDigest(d.Digest)
		if !ok {
			panic("a digest was not validated")
		}
		u := earlier[d.Name]
		if u == nil {
			u = &use{}
		}
		t.sums = append(t.sums, wordsOf(sum))
		t.grants = append(t.grants, d.grant())
		t.uses = append(t.uses, u)
	}
	return t
}

// Find returns what the key allows, and counts its use; false for a text that is not
// a key, and for an unknown key: see Refusal. It does not allocate.
//
// Its time depends on the number of keys, and not on how much of one the text has in
// common with it: digests are compared, each with all of them, without a branch.
func (t *Table) Find(text []byte) (*grant.Grant, bool) {
	if t == nil || !hasForm(text) || !hasChecksum(text) {
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
	t.uses[found].count(time.Now())
	return t.grants[found], true
}

func (u *use) count(now time.Time) {
	u.requests.Add(1)
	// Loops share the counter: a store only where it changes leaves its memory shared
	// for a second.
	if s := now.Unix(); s != u.second.Load() {
		u.second.Store(s)
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
	Last     time.Time // in whole seconds; zero for never
}

// Uses are those of all keys, in the order of their definitions.
func (t *Table) Uses() []Use {
	all := make([]Use, t.Len())
	for i := range all {
		u := t.uses[i]
		all[i] = Use{Name: t.grants[i].Subject, Requests: u.requests.Load()}
		if s := u.second.Load(); s != 0 {
			all[i].Last = time.Unix(s, 0)
		}
	}
	return all
}
