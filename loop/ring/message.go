package ring

import "sync/atomic"

// Encoding numbers one way of writing a message on the wire. The ring only
// stores the results; who encodes decides what each number means.
type Encoding uint8

// MaxEncodings bounds Encoding: each message carries one slot for each.
const MaxEncodings = 8

// Message is one publication as the loops and the history see it: the same
// object everywhere, immutable after it was appended but for its encodings,
// which whoever needs them first fills in and a Cache takes away again.
type Message struct {
	// Fixed before the message enters the ring.
	Sequence uint64   // number in the log, first is 1
	Channel  string   // where it was published
	Also     []string // further channels that carry the same message; usually nil
	Exclude  uint64   // session that must not receive it, 0 for none
	Size     int      // bytes charged to the history of its channel
	Saved    int      // of Size: what a message before it is charged with already in the ring, since they share data
	Entry    any      // what an encoder needs; the ring never looks inside
	Accepted int64    // when the log accepted it: nanoseconds of the writer's clock, 0 for unknown

	// Shared. A store publishes the finished bytes; the load in Kept relies on it.
	encoded [MaxEncodings]atomic.Pointer[encoded]
}

// Encoded returns the bytes of m in encoding k, encoding it when nobody has
// needed them before or they were taken away since. Two callers may both encode;
// both get the bytes of the first to finish. The result is shared and must not
// be changed; it stays valid while the caller holds it. c is the caller's own.
func (m *Message) Encoded(k Encoding, c *Cache) []byte {
	for {
		before := m.encoded[k].Load()
		if before != nil {
			if b, ok := before.bytes(); ok {
				return b
			}
		}
		e := newEncoded(c.encode(m, k))
		if m.encoded[k].CompareAndSwap(before, e) {
			c.keep(e) // which takes away others, never e itself
			b, _ := e.bytes()
			return b
		}
	}
}

// Kept returns the bytes of m in encoding k if they are there: nobody may have
// encoded it, or a cache has taken them away. Any goroutine may call it.
func (m *Message) Kept(k Encoding) (b []byte, ok bool) {
	if e := m.encoded[k].Load(); e != nil {
		return e.bytes()
	}
	return nil, false
}

// Barred reports whether m must not reach session.
func (m *Message) Barred(session uint64) bool { return m.Exclude != 0 && m.Exclude == session }
