package ring

import (
	"sync/atomic"
	"unsafe"
)

// encoded is the result of one encoder for one message: bytes that can be dropped
// and restored. The results of a message are a list, which grows at its end and
// never shrinks, so an unused encoding costs nothing.
//
// The bytes are a pointer and a size, not an atomic.Pointer[[]byte], because the
// latter needs another object for the slice header: one allocation more for each
// encoding (BenchmarkEncodedMiss).
type encoded struct {
	// Fixed.
	size     uint32
	encoding Encoding

	// Shared. The store of next makes the rest of the list visible; Message.find
	// relies on it. first is nil while the bytes are dropped; the load in bytes
	// relies on its store.
	first atomic.Pointer[byte]
	next  atomic.Pointer[encoded]
}

// MostEncodings is how many results one message has at most. Their places stay when the
// bytes are dropped, so they must not take more than the message. In a further encoding it is
// encoded each time: once for each strip of each loop, and not once for all.
const MostEncodings = 8

// none stands for the first byte of an empty result.
var none byte

func firstOf(b []byte) *byte {
	if len(b) == 0 {
		return &none
	}
	return unsafe.SliceData(b)
}

func newEncoded(k Encoding, b []byte) *encoded {
	e := &encoded{size: uint32(len(b)), encoding: k}
	e.first.Store(firstOf(b))
	return e
}

// bytes returns the result; ok is false while it is dropped. Any goroutine
// may call it.
func (e *encoded) bytes() (b []byte, ok bool) {
	p := e.first.Load()
	if p == nil {
		return nil, false
	}
	return unsafe.Slice(p, e.size)[:e.size:e.size], true
}

// restore stores b as the result again, and reports whether it did: another
// goroutine may have been faster, or b may have another length than the result had.
// Then b belongs to its caller alone.
func (e *encoded) restore(b []byte) bool {
	return len(b) == int(e.size) && e.first.CompareAndSwap(nil, firstOf(b))
}

func (e *encoded) charge() int { return int(e.size) + EncodingOverhead }

func (e *encoded) clear() { e.first.Store(nil) }
