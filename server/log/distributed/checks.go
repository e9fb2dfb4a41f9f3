package distributed

import "slices"

// maxChecks is how many of the newest entries a node can recognise.
const maxChecks = 1 << 16

// checks are the links of the newest entries that a node has seen, 16 bytes each.
type checks struct{ links []Link }

// add adds the next entry.
func (c *checks) add(l Link) {
	if n := len(c.links); n >= 2*maxChecks {
		c.links = append(c.links[:0], c.links[n-maxChecks:]...)
	}
	c.links = append(c.links, l)
}

// insert adds an entry that was appended and not read yet; it may be there.
func (c *checks) insert(l Link) {
	i, ok := c.find(l.Sequence)
	if !ok {
		c.links = slices.Insert(c.links, i, l)
	}
}

// oldest is the oldest sequence that can be recognised, 0 if there is none.
func (c *checks) oldest() uint64 {
	if len(c.links) == 0 {
		return 0
	}
	return c.links[0].Sequence
}

func (c *checks) find(sequence uint64) (int, bool) {
	return slices.BinarySearchFunc(c.links, sequence, func(l Link, sequence uint64) int {
		switch {
		case l.Sequence < sequence:
			return -1
		case l.Sequence > sequence:
			return 1
		}
		return 0
	})
}
