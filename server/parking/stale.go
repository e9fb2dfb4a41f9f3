package parking

import "time"

const (
	manyPlaces = 256
	stalePlace = 5 * time.Minute // no question takes so long
)

// Sweep deletes from all what has waited for longer than any question takes: a client that
// leaves does not always tell. It looks only when there are at least *at (0: a few
// hundred), which it then doubles, so that the cost of an addition does not grow with their number.
func Sweep[K comparable, V any](all map[K]V, at *int, since func(V) time.Time) {
	if *at == 0 {
		*at = manyPlaces
	}
	if len(all) < *at {
		return
	}
	for key, one := range all {
		if time.Since(since(one)) > stalePlace {
			delete(all, key)
		}
	}
	*at = max(manyPlaces, 2*len(all))
}
