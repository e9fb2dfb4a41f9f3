// Package heavy counts the heaviest of very many keys in bounded memory: who sends most,
// which channels have most publications.
//
// Hitters has the counts of a fixed number of keys. A key that is not counted takes the place, and
// the numbers, of a light one (the space-saving algorithm of Metwally, Agrawal and El Abbadi, 2005; the
// light one is the lightest of a few, so that a step is short). So a number may be
// too great, by what a light key has, and a key that has much more than those is never missing.
//
// Concurrency: a Hitters belongs to one goroutine, or to what guards it.
package heavy

import (
	"cmp"
	"slices"
)

// looks is how many keys are looked at for a light one.
const looks = 8

// itemBytes is what an item counts beside its bytes when keys are compared.
const itemBytes = 64

// Count is what one key has.
type Count[K comparable] struct {
	Key          K
	Items, Bytes uint64
}

func (c *Count[K]) weight() uint64 { return c.Bytes + itemBytes*c.Items }

// Hitters counts at most Most keys.
type Hitters[K comparable] struct {
	Most int // fixed

	all   []Count[K]
	place map[K]int // in all
	next  int       // where a light key is looked for
}

// Add counts one item of so many bytes. Its work does not grow with the number of keys. clone is
// called for a key that is new, if the key aliases memory that will change; nil: it does not.
func (h *Hitters[K]) Add(key K, bytes int, clone func(K) K) {
	i, ok := h.place[key]
	if !ok {
		i = h.enter(key, clone)
	}
	h.all[i].Items++
	h.all[i].Bytes += uint64(bytes)
}

func (h *Hitters[K]) enter(key K, clone func(K) K) (i int) {
	if clone != nil {
		key = clone(key)
	}
	if h.place == nil {
		h.place = map[K]int{}
	}
	if i = len(h.all); i < h.Most {
		h.all = append(h.all, Count[K]{Key: key})
	} else {
		h.next = (h.next + 1) % len(h.all)
		i = h.next
		for k := 1; k < looks; k++ { // far apart: keys that came together may be alike
			if j := (h.next + k*len(h.all)/looks) % len(h.all); h.all[j].weight() < h.all[i].weight() {
				i = j
			}
		}
		delete(h.place, h.all[i].Key)
		h.all[i].Key = key
	}
	h.place[key] = i
	return i
}

// Len is how many keys are counted.
func (h *Hitters[K]) Len() int { return len(h.all) }

// Top returns the heaviest n of the keys that keep is true for, the heaviest first; nil keeps
// all.
func (h *Hitters[K]) Top(n int, keep func(K) bool) []Count[K] {
	all := slices.Clone(h.all)
	if keep != nil {
		all = slices.DeleteFunc(all, func(c Count[K]) bool { return !keep(c.Key) })
	}
	slices.SortStableFunc(all, func(a, b Count[K]) int { return cmp.Compare(b.weight(), a.weight()) })
	return all[:min(n, len(all))]
}
