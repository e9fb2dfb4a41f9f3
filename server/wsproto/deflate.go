package wsproto

import (
	"bytes"
	"sync"

	"peal/loop/deflate"
	"peal/loop/frame"
)

// Deflated returns the message of b, one whole frame, as a compressed frame (RFC 7692
// §7.2.1), or b itself if that is not longer.
func Deflated(b []byte, w deflate.Window) []byte {
	op, payload, ok := frame.SplitMessage(b)
	if !ok {
		return b
	}
	scratch := pool.Get().(*[]byte)
	defer pool.Put(scratch)
	// The header needs the length: as in AppendJSON.
	out := append((*scratch)[:0], make([]byte, maxHeader)...)
	out = deflate.AppendMessage(out, payload, w)
	if cap(out) <= keptBytes {
		*scratch = out
	}
	packed := out[maxHeader:]
	var header [maxHeader]byte
	head := frame.AppendCompressedHeader(header[:0], op, len(packed))
	if len(head)+len(packed) >= len(b) {
		return b
	}
	return bytes.Join([][]byte{head, packed}, nil)
}

// pool has memory for results until their length is known.
var pool = sync.Pool{New: func() any { return new([]byte) }}

const keptBytes = 256 << 10
