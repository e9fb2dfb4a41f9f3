package ijson

import (
	"bytes"
	"hash/maphash"
)

// fewNames is up to how many names of one object are compared one by one. Of larger ones
// a table is made.
const fewNames = 16

// keptNames is for how many names of large objects memory is kept for the next text.
const keptNames = 1024

// nameSpan is where a name is, unescaped: in the text, or with a complement as from in
// the scratch memory.
type nameSpan struct{ from, to int }

// nameSets has the names of all objects that are being read, and finds those that come
// twice. It keeps no pointers into texts.
type nameSets struct {
	text    []byte // of the Reader
	few     []nameSpan
	scratch []byte // names with escapes, without them

	// Names of objects with more than fewNames. An object is a number here, so what is
	// in the table need not be removed when it ends.
	objects int
	entries []nameEntry
	table   []uint32 // open addressing: index in entries plus 1; a power of two, at most half full
	seed    maphash.Seed
}

// nameEntry is a name of a large object.
type nameEntry struct {
	nameSpan
	hash   uint64
	object int
}

// nameSet is the names of one object: those of few from from on, or those of a large object.
type nameSet struct {
	from   int
	object int // 0: there are few
}

func (n *nameSets) reset(text []byte) {
	n.text, n.few, n.scratch, n.objects = text, n.few[:0], n.scratch[:0], 0
	if len(n.entries) > 0 {
		clear(n.table)
		n.entries = n.entries[:0]
	}
	if cap(n.entries) > keptNames {
		n.entries, n.table = nil, nil
	}
	if cap(n.few) > keptNames {
		n.few = nil
	}
	if cap(n.scratch) > 16*keptNames {
		n.scratch = nil
	}
}

func (n *nameSets) begin() nameSet { return nameSet{from: len(n.few)} }

func (n *nameSets) end(s nameSet) { n.few = n.few[:s.from] }

// add adds the name whose quotes are at text[from] and text[to-1]. It reports false if
// the set has it.
func (n *nameSets) add(s *nameSet, from, to int, escaped bool) bool {
	span := nameSpan{from + 1, to - 1}
	if escaped {
		start := len(n.scratch)
		n.scratch = appendUnescaped(n.scratch, n.text[from+1:to-1])
		span = nameSpan{^start, len(n.scratch)}
	}
	if s.object > 0 {
		return n.addToTable(s.object, span)
	}
	name := n.name(span)
	for _, other := range n.few[s.from:] {
		if bytes.Equal(n.name(other), name) {
			return false
		}
	}
	n.few = append(n.few, span)
	if len(n.few)-s.from > fewNames {
		n.objects++
		s.object = n.objects
		for _, span := range n.few[s.from:] {
			n.addToTable(s.object, span)
		}
		n.few = n.few[:s.from]
	}
	return true
}

func (n *nameSets) name(s nameSpan) []byte {
	if s.from < 0 {
		return n.scratch[^s.from:s.to]
	}
	return n.text[s.from:s.to]
}

// addToTable adds a name of a large object; it reports false if the object has it.
func (n *nameSets) addToTable(object int, span nameSpan) bool {
	if len(n.table) == 0 {
		n.seed = maphash.MakeSeed()
	}
	if 2*(len(n.entries)+1) > len(n.table) {
		n.table = make([]uint32, max(64, 2*len(n.table)))
		for i := range n.entries {
			n.table[n.slot(&n.entries[i], nil)] = uint32(i) + 1
		}
	}
	name := n.name(span)
	e := nameEntry{span, maphash.Bytes(n.seed, name) ^ uint64(object)*0x9E3779B97F4A7C15, object}
	i := n.slot(&e, name)
	if n.table[i] > 0 {
		return false
	}
	n.entries = append(n.entries, e)
	n.table[i] = uint32(len(n.entries))
	return true
}

// slot returns where in the table e is, or where it can be. A nil name: it is new.
func (n *nameSets) slot(e *nameEntry, name []byte) int {
	mask := len(n.table) - 1
	for i := int(e.hash) & mask; ; i = (i + 1) & mask {
		if n.table[i] == 0 {
			return i
		}
		if name == nil {
			continue
		}
		if other := &n.entries[n.table[i]-1]; other.hash == e.hash && other.object == e.object && bytes.Equal(n.name(other.nameSpan), name) {
			return i
		}
	}
}
