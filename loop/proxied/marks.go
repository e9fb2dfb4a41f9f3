package proxied

import "sync/atomic"

// marks is a bit for each descriptor, set for the sockets whose first bytes may be a
// header. One goroutine sets, and any may read and clear: the one that owns the socket.
type marks struct {
	chunks atomic.Pointer[[]*chunk] // grown by the goroutine that sets
}

const chunkBits = 12

type chunk [1 << chunkBits / 64]atomic.Uint64

func (m *marks) set(fd int32) {
	var all []*chunk
	if p := m.chunks.Load(); p != nil {
		all = *p
	}
	i := int(fd >> chunkBits)
	if i >= len(all) || all[i] == nil {
		grown := make([]*chunk, max(i+1, len(all)))
		copy(grown, all)
		grown[i] = new(chunk)
		all = grown
		m.chunks.Store(&grown)
	}
	all[i].word(fd).Or(bit(fd))
}

func (m *marks) has(fd int32) bool {
	c := m.chunk(fd)
	return c != nil && c.word(fd).Load()&bit(fd) != 0
}

func (m *marks) clear(fd int32) {
	if c := m.chunk(fd); c != nil && c.word(fd).Load()&bit(fd) != 0 {
		c.word(fd).And(^bit(fd))
	}
}

func (m *marks) chunk(fd int32) *chunk {
	p := m.chunks.Load()
	if i := int(fd >> chunkBits); p != nil && i < len(*p) {
		return (*p)[i]
	}
	return nil
}

func (c *chunk) word(fd int32) *atomic.Uint64 { return &c[fd&(1<<chunkBits-1)/64] }

func bit(fd int32) uint64 { return 1 << (fd % 64) }
