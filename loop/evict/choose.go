package evict

import (
	"cmp"
	"slices"
)

// Holder is a connection with the bytes that are kept for it.
type Holder struct {
	Slot  uint32
	Bytes int
	Share uint64 // the same for all holders of one share
}

// spread is how many times lighter than the heaviest a holder may be and still be
// chosen for room that is not needed yet: much lighter holders stay.
const spread = 16

// Choose returns the holders to evict so that the others hold at most limit bytes,
// the heaviest first. It continues down to seven eighths of limit, because a visit
// of all holders is expensive and the next byte would exceed the limit again; but
// for that last eighth it chooses no holder that is much lighter than the first. It
// sorts all in place and returns the front of it.
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
