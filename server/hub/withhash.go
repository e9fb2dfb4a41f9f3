package hub

import "time"

// NewWithHash is New with another hash and a table of that many watermarks, a
// power of two. It is for tests whose runs must repeat, or whose names must
// collide: names that clients can choose to collide are told gaps that are none.
func NewWithHash(config Config, r Ring, wake func(), now func() time.Time, hash func(name string) uint64, buckets int) *Hub {
	return newHub(config, r, wake, now, hash, buckets)
}
