package ring

import "sync/atomic"

// Encoding is the number of one wire format. The ring only stores the results; the
// encoder decides what each number means. A message has memory only for the
// encodings in use.
type Encoding uint8

// Message is one publication as the loops and the history see it: the same
// object everywhere, immutable after it was appended except for its encodings,
// which the first caller that needs them stores and a Cache drops.
type Message struct {
	// Fixed before the message enters the ring.
	Sequence uint64     // number in the log, first is 1
	Channel  string     // where it was published
	Also     []string   // further channels that carry the same message; usually nil
	Exclude  *Exclusion // who must not receive it, nil for nobody
	Size     int        // bytes charged to the history of its channel
	Saved    int        // part of Size that the ring has charged to an earlier message with the same data
	Entry    any        // for the encoders; the ring does not use it
	Accepted int64      // when the log accepted it: nanoseconds of the writer's clock, 0 for unknown

	// Shared: the results of encoders, in the order in which they were first needed.
	// A store publishes the finished bytes; the load in find relies on it.
	encoded atomic.Pointer[encoded]
}

// Encoded returns the bytes of m in encoding k. It encodes m if the bytes were not
// needed before or have been dropped. Two callers may both encode; both get the
// bytes of the first to finish. The result is shared and must not be changed; it
// stays valid while the caller holds it. c is the caller's own cache.
//
// The result of an encoder must have the same length each time. One with another
// length is returned to its caller, and not kept; nor is one beyond MostEncodings.
func (m *Message) Encoded(k Encoding, c *Cache) []byte {
	e, end := m.find(k)
	if e == nil {
		if end == nil {
			return c.encode(m, k)
		}
		fresh := newEncoded(k, c.encode(m, k))
		for e == nil {
			if end == nil {
				b, _ := fresh.bytes()
				return b
			}
			if end.CompareAndSwap(nil, fresh) {
				c.keep(fresh) // may drop others, never fresh itself
				b, _ := fresh.bytes()
				return b
			}
			e, end = m.find(k) // another goroutine has appended a result, of this encoding or another
		}
	}
	for {
		if b, ok := e.bytes(); ok {
			return b
		}
		b := c.encode(m, k)
		if e.restore(b) {
			c.keep(e)
			return b[:len(b):len(b)]
		}
		if len(b) != int(e.size) {
			return b
		}
	}
}

// Kept returns the bytes of m in encoding k if they are stored: they may not have
// been needed yet, or a cache may have dropped them. Any goroutine may call it.
func (m *Message) Kept(k Encoding) (b []byte, ok bool) {
	if e, _ := m.find(k); e != nil {
		return e.bytes()
	}
	return nil, false
}

// find returns the result in encoding k, or where the list ends without it: nil if it is
// full.
func (m *Message) find(k Encoding) (e *encoded, end *atomic.Pointer[encoded]) {
	end = &m.encoded
	for range MostEncodings {
		if e = end.Load(); e == nil || e.encoding == k {
			return e, end
		}
		end = &e.next
	}
	return nil, nil
}

// With returns a message that has another entry, and is else the same. It has encodings of
// its own.
func (m *Message) With(entry any) *Message {
	return &Message{
		Sequence: m.Sequence, Channel: m.Channel, Also: m.Also, Exclude: m.Exclude,
		Size: m.Size, Saved: m.Saved, Entry: entry, Accepted: m.Accepted,
	}
}

// Exclusion names the session that a message must not reach: that of every connection
// which is known by ID, by its own session number or because it has adopted ID.
type Exclusion struct {
	ID      [16]byte
	Session uint64 // the number that ID stands for in this process, 0 for none
}
