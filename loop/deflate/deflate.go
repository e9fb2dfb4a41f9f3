package deflate

import (
	"encoding/binary"
	"sync"

	"github.com/klauspost/compress/flate"
)

// Window is how far back the bytes of a message may refer.
type Window uint8

const (
	Wide   Window = iota // 32 KiB: windows of 15 bits
	Narrow               // not at all: windows of any size
)

// tail is the end of a flush, an empty stored block without its first bits.
const tail = "\x00\x00\xff\xff"

// AppendFlushed appends data as blocks of DEFLATE that end at a byte, with an empty
// stored block (RFC 1951 §3.2.4). They refer to nothing before data.
//
// The compressor for Wide keeps no state between messages: for small ones it costs less
// than a writer with a window. For Narrow only the frequency of bytes is used: a search in
// a small window costs ten times as much for a megabyte, and clients choose the window.
func AppendFlushed(dst, data []byte, w Window) []byte {
	out := sink(dst)
	if w == Wide {
		_ = flate.StatelessDeflate(&out, data, false, nil) // a sink returns no error
		return out
	}
	z := narrow.Get().(*flate.Writer)
	z.Reset(&out)
	_, _ = z.Write(data)
	_ = z.Flush()
	z.Reset(nil)
	narrow.Put(z)
	return out
}

// narrow has the compressors for Narrow, of 70 KiB each.
var narrow = sync.Pool{New: func() any {
	z, _ := flate.NewWriter(nil, flate.HuffmanOnly) // the level is legal
	return z
}}

// AppendMessage appends the payload of a compressed WebSocket message (RFC 7692 §7.2.1).
func AppendMessage(dst, data []byte, w Window) []byte {
	dst = AppendFlushed(dst, data, w)
	return dst[:len(dst)-len(tail)]
}

// chunks yields data in parts of at most n bytes, an empty one if there is none.
func chunks(data []byte, n int) func(yield func(part []byte) bool) {
	return func(yield func(part []byte) bool) {
		for len(data) > n {
			if !yield(data[:n]) {
				return
			}
			data = data[n:]
		}
		yield(data)
	}
}

// storedHeader is the length of the header of a stored block that begins at a byte.
const storedHeader = 5

// maxStored is the length of the longest stored block (RFC 1951 §3.2.4).
const maxStored = 1<<16 - 1

// AppendStored appends data as stored blocks: it is not compressed, and SumStored finds
// it again. An empty block ends them, at which readers hand over what they have: that of
// Go waits for one.
func AppendStored(dst, data []byte) []byte {
	for part := range chunks(data, maxStored) {
		dst = append(dst, 0)
		dst = binary.LittleEndian.AppendUint16(dst, uint16(len(part)))
		dst = binary.LittleEndian.AppendUint16(dst, ^uint16(len(part)))
		dst = append(dst, part...)
	}
	return append(dst, flush...)
}

// flush is an empty stored block that begins at a byte.
const flush = "\x00" + tail

// StoredBytes is the length of n bytes as stored blocks.
func StoredBytes(n int) int {
	return n + storedHeader*max(1, (n+maxStored-1)/maxStored) + len(flush)
}

// CloseStored makes stored blocks of what was appended to dst from start on, where
// OpenStored had appended before: none if that is nothing.
func CloseStored(dst []byte, start int) []byte {
	n := len(dst) - start - storedHeader
	switch {
	case n == 0:
		return dst[:start]
	case n > maxStored:
		return AppendStored(dst[:start], append([]byte(nil), dst[start+storedHeader:]...))
	}
	binary.LittleEndian.PutUint16(dst[start+1:], uint16(n))
	binary.LittleEndian.PutUint16(dst[start+3:], ^uint16(n))
	return append(dst, flush...)
}

// OpenStored appends room for the header of a stored block.
func OpenStored(dst []byte) []byte { return append(dst, make([]byte, storedHeader)...) }

// Shorter returns data as blocks that end at a byte: compressed if they may be and are
// shorter then, else stored. The result has the length that it needs.
func Shorter(data []byte, compressed bool) []byte {
	if compressed {
		scratch := pool.Get().(*[]byte)
		defer pool.Put(scratch)
		out := AppendFlushed((*scratch)[:0], data, Wide)
		if cap(out) <= keptBytes {
			*scratch = out
		}
		if len(out) < StoredBytes(len(data)) {
			return append(make([]byte, 0, len(out)), out...)
		}
	}
	return AppendStored(make([]byte, 0, StoredBytes(len(data))), data)
}

// pool has memory for results until their length is known.
var pool = sync.Pool{New: func() any { return new([]byte) }}

// sink appends what is written to it.
type sink []byte

func (s *sink) Write(p []byte) (int, error) {
	*s = append(*s, p...)
	return len(p), nil
}
