package ring

import (
	"sync/atomic"
	"unsafe"
)

// encoded is one result of an encoder: a slice whose bytes can be taken away.
// It is a pointer and a size, not an atomic.Pointer[[]byte], because the latter
// needs an object for the slice header besides: one allocation more for each
// encoding (BenchmarkEncodedMiss).
type encoded struct {
	// Fixed.
	size int

	// Shared. nil after the cache has taken the bytes away.
	first atomic.Pointer[byte]
}

// none stands for the first byte of an empty result.
var none byte

func newEncoded(b []byte) *encoded {
	e := &encoded{size: len(b)}
	if len(b) == 0 {
		e.first.Store(&none)
	} else {
		e.first.Store(unsafe.SliceData(b))
	}
	return e
}

// bytes returns the result; ok is false after it was taken away. Any goroutine
// may call it.
func (e *encoded) bytes() (b []byte, ok bool) {
	p := e.first.Load()
	if p == nil {
		return nil, false
	}
	return unsafe.Slice(p, e.size)[:e.size:e.size], true
}

func (e *encoded) charge() int { return e.size + EncodingOverhead }

func (e *encoded) clear() { e.first.Store(nil) }
