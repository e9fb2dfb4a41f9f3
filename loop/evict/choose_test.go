package evict_test

import (
	"slices"
	"testing"

	"peal/loop/evict"
)

// many returns n holders of one share with so many bytes each.
func many(n, first, bytes int, share uint64) (all []evict.Holder) {
	for i := range n {
		all = append(all, evict.Holder{Slot: uint32(first + i), Bytes: bytes, Share: share})
	}
	return all
}

func TestChoose(t *testing.T) {
	const limit = 64 << 20
	honest := slices.Concat(
		many(1, 1, 60<<10, 1),  // one that stalled with a large message
		many(500, 100, 100, 2), // many behind one proxy, each with a little
		many(1, 2, 9<<10, 3))   // and one somewhere else
	check := func(name string, hogs []evict.Holder) {
		t.Helper()
		gone := evict.Choose(slices.Concat(honest, hogs), limit)
		if len(gone) == 0 {
			t.Errorf("%s: nobody goes", name)
		}
		kept := 0
		for _, h := range slices.Concat(honest, hogs) {
			kept += h.Bytes
		}
		for _, h := range gone {
			kept -= h.Bytes
			if h.Share <= 3 {
				t.Errorf("%s: an honest client with %d B goes", name, h.Bytes)
			}
		}
		if kept > limit {
			t.Errorf("%s: %d B are kept, beyond %d", name, kept, limit)
		}
	}
	check("one that holds all", many(1, 1000, 66<<20, 9))
	check("24 of one address", many(24, 1000, 2800<<10, 9))
	check("2052 of one address, each below the largest honest one", many(2100, 1000, 32<<10, 9))
	check("one just beyond, among large ones", slices.Concat(many(1, 1000, 40<<20, 8), many(1, 1001, 25<<20, 9)))

	if gone := evict.Choose(many(10, 0, limit/10, 1), limit); gone != nil {
		t.Errorf("within the limit: %d go", len(gone))
	}
	// All in one share, as behind one proxy: their own bytes decide.
	if gone := evict.Choose(slices.Concat(many(1000, 10, 60<<10, 1), many(1, 5, 8<<20, 1)), limit); len(gone) != 1 || gone[0].Slot != 5 {
		t.Errorf("of one share %v go, want the largest", gone)
	}
}
