package ring

// CacheFloor is what a Cache may always keep, whatever its limit: a burst to many
// different subscribers is then encoded once even if no history holds it.
const CacheFloor = 1 << 20

// EncodingOverhead is what a Cache charges for a result beside its bytes: the
// object that holds them, its place in the queue, the rounding of the allocator.
const EncodingOverhead = 64

// Cache encodes messages for one goroutine, and keeps the results with the
// messages, where the caches of other goroutines find them. When its own results
// exceed the limit, it drops the oldest, so that encodings cannot outgrow the
// messages themselves.
//
// Bytes that a caller holds stay valid: after a result was dropped, the next caller
// encodes again.
type Cache struct {
	// Fixed at creation.
	encode func(*Message, Encoding) []byte
	limit  func() int

	// Owned by the goroutine. kept is a queue in a ring buffer whose capacity
	// is a power of two. It refers to results and not to messages, so it does not
	// keep a message in memory.
	kept  []*encoded
	first int
	count int
	bytes int
}

// NewCache returns a cache of the results of encode. limit returns how many bytes
// it may keep now, at least CacheFloor; nil is no limit. The cache
// calls both on its goroutine.
func NewCache(encode func(*Message, Encoding) []byte, limit func() int) *Cache {
	return &Cache{encode: encode, limit: limit}
}

// Bytes is the size of the results that the cache keeps, EncodingOverhead for
// each included.
func (c *Cache) Bytes() int { return c.bytes }

// keep records that e is one of the cache's results, and makes room for it. e
// itself stays even if it is larger than the limit: it is about to be sent.
func (c *Cache) keep(e *encoded) {
	if c.limit == nil {
		return
	}
	limit := max(c.limit(), CacheFloor) - e.charge()
	for c.count > 0 && c.bytes > limit {
		c.drop()
	}
	if c.count == len(c.kept) {
		c.resize(max(64, 2*len(c.kept)))
	}
	c.kept[(c.first+c.count)&(len(c.kept)-1)] = e
	c.count++
	c.bytes += e.charge()
}

// drop drops the oldest result.
func (c *Cache) drop() {
	e := c.kept[c.first]
	c.kept[c.first] = nil
	c.first = (c.first + 1) & (len(c.kept) - 1)
	c.count--
	c.bytes -= e.charge()
	e.clear()
	if len(c.kept) > 1024 && c.count < len(c.kept)/8 {
		c.resize(len(c.kept) / 2)
	}
}

func (c *Cache) resize(n int) {
	kept := make([]*encoded, n)
	for i := range c.count {
		kept[i] = c.kept[(c.first+i)&(len(c.kept)-1)]
	}
	c.kept, c.first = kept, 0
}
