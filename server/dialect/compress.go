package dialect

import (
	"strings"

	"peal/loop/deflate"
	"peal/loop/ring"
	"peal/server/log"
	"peal/server/wsproto"
)

// compress returns the bytes of m in a compressed row. A message that is short, does not
// shrink, or is on a channel whose messages are not compressed is sent as it is: the
// same connection receives both kinds. What decides may change while m is kept; then its
// bytes have another length, as no message is compressed that does not become shorter.
func (e *Encoder) compress(m *ring.Message, f *form) []byte {
	b := e.plainBytes(m, f.plain)
	if f.coding == GzipBody {
		return b // AppendAnswer compresses all of the response
	}
	may := e.mayCompress(m, len(b))
	if f.coding == Gzip {
		return deflate.Shorter(b, may)
	}
	if !may {
		return b
	}
	w := deflate.Wide
	if f.coding == DeflateNarrow {
		w = deflate.Narrow
	}
	return wsproto.Deflated(b, w)
}

// plainBytes returns m in a plain row, whose bytes may have been needed already.
func (e *Encoder) plainBytes(m *ring.Message, k ring.Encoding) []byte {
	if b, ok := m.Kept(e.table.bytes[k]); ok {
		return b
	}
	return e.Encode(m, k)
}

// mayCompress reports whether m may be compressed, which has size bytes.
func (e *Encoder) mayCompress(m *ring.Message, size int) bool {
	if size < e.MinBytes || e.Deflates == nil || !e.Deflates(strings.TrimPrefix(m.Channel, log.PresencePrefix)) {
		return false
	}
	for _, name := range m.Also {
		if !e.Deflates(name) {
			return false
		}
	}
	return true
}

// What compressing costs a loop, in nanoseconds (BenchmarkAppend of loop/deflate).
const (
	costMessage = 10_000
	costByte    = 8
)

// Compresses implements fanout.Compressor.
func (e *Encoder) Compresses(k ring.Encoding) bool { return e.table.forms[k].coding != Plain }

// CompressionCost implements fanout.Compressor.
func (e *Encoder) CompressionCost(k ring.Encoding, answer bool, size int) int {
	if size < e.MinBytes || !e.Compresses(k) || answer != (e.table.forms[k].coding == GzipBody) {
		return 0
	}
	return costMessage + size*costByte
}

// gzip returns the body of a response compressed, nil if it is short or does not become
// shorter.
func (e *Encoder) gzip(body []byte) []byte {
	if len(body) < e.MinBytes {
		return nil
	}
	if z := deflate.AppendGzip(make([]byte, 0, len(body)/2), body); len(z) < len(body) {
		return z
	}
	return nil
}
