package evict

import (
	"cmp"
	"slices"
)

// Holder is a connection and what is kept for it.
type Holder struct {
	Slot  uint32
	Bytes int
	Share uint64 // holders of one share have the same
}

// spread is how much lighter than the first another may be and still go for room
// that is not needed yet: holders that have little to do with the first stay.
const spread = 16

// Choose returns the holders that must go so that the others keep at most limit
// bytes, the heaviest first. It goes on down to seven eighths of limit, because
// looking at everybody is dear and the next byte would be too many again; but for
// that last eighth nobody goes who is much lighter than the first. It orders all
// in place and returns the front of it.
func Choose(all []Holder, limit int) []Holder {
	total := 0
	shares := make(map[uint64]int)
	for _, h := range all {
		total += h.Bytes
		shares[h.Share] += h.Bytes
	}
	if total <= limit {
		return nil
	}
	weight := func(h Holder) float64 { return float64(h.Bytes) * float64(shares[h.Share]) }
	slices.SortFunc(all, func(a, b Holder) int {
		if c := cmp.Compare(weight(b), weight(a)); c != 0 {
			return c
		}
		return cmp.Compare(a.Slot, b.Slot)
	})
	for i, h := range all {
		if total <= limit*7/8 || total <= limit && weight(h) < weight(all[0])/spread {
			return all[:i]
		}
		total -= h.Bytes
	}
	return all
}
