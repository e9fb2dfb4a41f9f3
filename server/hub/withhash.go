package hub

import "time"

// NewWithHash is New with another hash and a table of that many watermarks, a
// power of two. It is for tests whose runs must repeat, or whose names must
// collide. Do not use it in the server: clients could choose names that collide, and
// cause false gaps.
func NewWithHash(config Config, r Ring, wake func(), now func() time.Time, hash func(name string) uint64, buckets int) *Hub {
	return newHub(config, r, wake, now, hash, buckets)
}
