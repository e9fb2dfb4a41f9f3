package admit

// Counts is how many connections each address has. An address without one has no
// entry: there are never more entries than connections.
//
// Concurrency: none of its own.
type Counts struct{ by map[uint64]uint32 }

// Enter counts one more connection of key, or reports false where it has limit of them.
// A limit of 0 is none. Leave must follow after true.
func (c *Counts) Enter(key uint64, limit int) bool {
	n := c.by[key]
	if limit > 0 && int64(n) >= int64(limit) {
		return false
	}
	if c.by == nil {
		c.by = make(map[uint64]uint32)
	}
	c.by[key] = n + 1
	return true
}

// Leave takes back one Enter.
func (c *Counts) Leave(key uint64) {
	switch n := c.by[key]; n {
	case 0:
		panic("admit: Leave without Enter")
	case 1:
		delete(c.by, key)
	default:
		c.by[key] = n - 1
	}
}

// Of is how many connections key has.
func (c *Counts) Of(key uint64) int {
	return int(c.by[key])
}

// Len is how many addresses have connections.
func (c *Counts) Len() int {
	return len(c.by)
}
