package dialect_test

import (
	"fmt"
	"strings"
	"testing"

	"peal/loop/fanout"
	"peal/loop/ring"
	"peal/server/dialect"
	"peal/server/log"
)

func BenchmarkEncoder(b *testing.B) {
	e := dialect.NewEncoder(table, log.NewLineage(epoch), func(n int64) int64 { return n / 2 })
	entry := &log.Entry{Channel: "news", Time: 1732395600123, Data: []byte(strings.Repeat("x", 64))}
	m := &ring.Message{Sequence: 1042, Channel: "news", Entry: entry}
	for k := range table.Len() {
		b.Run("encode="+table.At(ring.Encoding(k)).Name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e.Encode(m, ring.Encoding(k))
			}
		})
	}
	m.Encoded(dialect.PollJSON, ring.NewCache(e.Encode, nil)) // as the fan-out has done when it asks for an answer
	for _, n := range []int{0, 1, 16} {
		b.Run(fmt.Sprintf("answer=json/messages=%d", n), func(b *testing.B) {
			dst, a := make([]byte, 0, 8192), fanout.Answer{Sequence: 1042}
			for range n {
				a.Messages = append(a.Messages, m)
			}
			b.ReportAllocs()
			for b.Loop() {
				dst = e.AppendAnswer(dst[:0], dialect.PollJSON, a)
			}
		})
	}
}
