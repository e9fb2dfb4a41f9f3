package publication_test

import (
	"bytes"
	"fmt"
	"testing"

	"peal/server/log"
	"peal/server/publication"
)

func BenchmarkAppendJSON(b *testing.B) {
	for _, size := range []int{32, 1024, 65_536} {
		for kind, text := range map[string]string{"ascii": "0123456789abcdef", "escapes": "01234\n6789\"bcdef", "control": "\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01", "utf8": "0123456789abäé"} {
			e := &log.Entry{Channel: "main", Time: 1732395600123, Data: bytes.Repeat([]byte(text), size/16)}
			b.Run(fmt.Sprintf("text=%s/bytes=%d", kind, size), func(b *testing.B) {
				dst := make([]byte, 0, 6*size+256)
				b.SetBytes(int64(len(e.Data)))
				b.ReportAllocs()
				for b.Loop() {
					dst = publication.AppendJSON(dst[:0], e, e.Channel, cursor)
				}
			})
		}
	}
}

// BenchmarkAppendJSONFresh is what an encoder pays: memory of the size that is
// expected, and more where much is escaped.
func BenchmarkAppendJSONFresh(b *testing.B) {
	for kind, text := range map[string]string{"ascii": "0123456789abcdef", "escapes": "01234\n6789\"bcdef", "control": "\x01\x01\x01\x01"} {
		for _, size := range []int{128, 65_536} {
			e := &log.Entry{Channel: "main", Time: 1732395600123, Data: bytes.Repeat([]byte(text), size/len(text))}
			b.Run(fmt.Sprintf("text=%s/bytes=%d", kind, size), func(b *testing.B) {
				b.SetBytes(int64(len(e.Data)))
				b.ReportAllocs()
				for b.Loop() {
					publication.AppendJSON(make([]byte, 0, publication.SizeHint(e, e.Channel)), e, e.Channel, cursor)
				}
			})
		}
	}
}
