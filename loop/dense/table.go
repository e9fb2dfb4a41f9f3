// Package dense has a hash table of things that know their own key, in little memory: about 13 bytes for each of
// them, where a map with strings as keys needs about 40.
//
// It is a table with open addressing and Robin Hood hashing: each entry is near the place where its hash belongs, and what
// is nearer than the one that comes gives way. Two bytes beside each pointer say how far its entry has come, and eight
// bits of its hash, so that a search looks at hardly any entry but the one it finds. It grows by a quarter, and
// shrinks when three quarters are free.
//
// Concurrency: a Table belongs to one goroutine, or to what guards it.
package dense

// Entry is what a table has: a pointer. Keys K are those that Is understands.
type Entry[K any] interface {
	comparable

	// Is reports whether the key is that of the entry. It is called for entries whose hash may be
	// that of the key.
	Is(key K) bool
}

// Hasher is an entry that knows the hash of its key. It is asked when the table grows or shrinks.
type Hasher interface{ Hash() uint64 }

// Table has entries by their keys. Its zero value is empty, for entries that are Hashers.
type Table[K any, E Entry[K]] struct {
	HashOf func(E) uint64 // the hash of an entry's key; nil: the entries are Hashers

	// places are the distance of an entry from where its hash belongs, + 1, in the high byte, and its
	// tag in the low one; 0: free. A distance of far may be a greater one.
	places  []uint16
	entries []E
	count   int
}

const (
	leastPlaces = 4
	far         = 255 << 8
	distance    = 0xff << 8
)

// spread is a hash whose high bits select the place and whose low ones are the tag, whichever bits
// of it differ.
func spread(hash uint64) uint64 { return (hash ^ hash>>32) * 0x9e37_79b9_7f4a_7c15 }

// home is where the search for a hash begins, and what it looks for there.
func (t *Table[K, E]) home(hash uint64) (place int, look uint16) {
	s := spread(hash)
	return int(s >> 32 * uint64(len(t.places)) >> 32), 1<<8 | uint16(s>>8&0xff)
}

// farther is what is looked for, or there, one place farther.
func farther(p uint16) uint16 {
	if p < far {
		p += 1 << 8
	}
	return p
}

func (t *Table[K, E]) next(place int) int {
	if place++; place == len(t.places) {
		return 0
	}
	return place
}

// find returns the place of the entry with that key, -1 for none.
func (t *Table[K, E]) find(hash uint64, key K) int {
	if t.count == 0 {
		return -1
	}
	i, look := t.home(hash)
	for {
		switch p := t.places[i]; {
		case p == look && t.entries[i].Is(key):
			return i
		case p < look&distance:
			return -1
		}
		i, look = t.next(i), farther(look)
	}
}

// Get returns the entry with that key, nil for none. hash is that of the key.
func (t *Table[K, E]) Get(hash uint64, key K) (e E) {
	if i := t.find(hash, key); i >= 0 {
		e = t.entries[i]
	}
	return e
}

// Len is the number of entries.
func (t *Table[K, E]) Len() int { return t.count }

// Add adds an entry, whose key the table must not have. hash is that of the key.
func (t *Table[K, E]) Add(hash uint64, e E) {
	if t.count >= len(t.places)-max(1, len(t.places)/8) { // one is always free: a search ends there
		t.resize(len(t.places) + max(leastPlaces, len(t.places)/4))
	}
	t.put(hash, e)
	t.count++
}

func (t *Table[K, E]) put(hash uint64, e E) {
	i, p := t.home(hash)
	for {
		if t.places[i] < p&distance { // it is nearer to its place, or none: it gives way
			p, t.places[i] = t.places[i], p
			e, t.entries[i] = t.entries[i], e
			if p == 0 {
				return
			}
		}
		i, p = t.next(i), farther(p)
	}
}

// Remove removes the entry with that key, if there is one. hash is that of the key.
func (t *Table[K, E]) Remove(hash uint64, key K) {
	i := t.find(hash, key)
	if i < 0 {
		return
	}
	t.count--
	for next := t.next(i); t.places[next] >= 2<<8; next = t.next(next) { // it comes nearer
		p := t.places[next] - 1<<8
		if p >= far-1<<8 {
			home, look := t.home(t.hashOf(t.entries[next]))
			p = look + uint16(min((i-home+len(t.places))%len(t.places), 254))<<8
		}
		t.places[i], t.entries[i] = p, t.entries[next]
		i = next
	}
	var none E
	t.places[i], t.entries[i] = 0, none
	if len(t.places) > 4*leastPlaces && t.count < len(t.places)/4 {
		t.resize(2 * t.count)
	}
}

func (t *Table[K, E]) hashOf(e E) uint64 {
	if t.HashOf != nil {
		return t.HashOf(e)
	}
	return any(e).(Hasher).Hash()
}

func (t *Table[K, E]) resize(places int) {
	next := Table[K, E]{HashOf: t.HashOf, places: make([]uint16, places), entries: make([]E, places), count: t.count}
	for i, p := range t.places {
		if p != 0 {
			next.put(t.hashOf(t.entries[i]), t.entries[i])
		}
	}
	*t = next
}

// All returns all entries, in no order. The slice is the caller's.
func (t *Table[K, E]) All() []E {
	all := make([]E, 0, t.count)
	for i, p := range t.places {
		if p != 0 {
			all = append(all, t.entries[i])
		}
	}
	return all
}

const (
	// parts of a Large: a power of two.
	parts = 256
	// A Large has parts when it has more than splitAt entries, until it has fewer than joinAt.
	splitAt = 512
	joinAt  = 128
)

// Large is a table that grows and shrinks in small steps: at each, at most a 256th of the entries is looked at,
// or splitAt of them. Its entries are Hashers, and its zero value is empty.
type Large[K any, E Entry[K]] struct {
	small Table[K, E]         // all entries, without parts
	parts *[parts]Table[K, E] // nil: there are few
	count int
}

func (t *Large[K, E]) part(hash uint64) *Table[K, E] {
	if t.parts == nil {
		return &t.small
	}
	return &t.parts[hash%parts]
}

// Get is that of a Table, and so are the others.
func (t *Large[K, E]) Get(hash uint64, key K) E { return t.part(hash).Get(hash, key) }

func (t *Large[K, E]) Len() int { return t.count }

func (t *Large[K, E]) Add(hash uint64, e E) {
	if t.parts == nil && t.count == splitAt {
		all := t.small
		t.small, t.parts = Table[K, E]{}, new([parts]Table[K, E])
		for i, p := range all.places {
			if p != 0 {
				h := all.hashOf(all.entries[i])
				t.part(h).Add(h, all.entries[i])
			}
		}
	}
	t.part(hash).Add(hash, e)
	t.count++
}

func (t *Large[K, E]) Remove(hash uint64, key K) {
	p := t.part(hash)
	t.count -= p.count
	p.Remove(hash, key)
	t.count += p.count
	if t.parts != nil && t.count < joinAt {
		all := t.All()
		t.parts = nil
		for _, e := range all {
			t.small.Add(t.small.hashOf(e), e)
		}
	}
}

func (t *Large[K, E]) All() []E {
	if t.parts == nil {
		return t.small.All()
	}
	all := make([]E, 0, t.count)
	for i := range t.parts {
		all = append(all, t.parts[i].All()...)
	}
	return all
}
