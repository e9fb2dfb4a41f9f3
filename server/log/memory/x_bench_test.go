package memory_test

import (
	"fmt"
	"testing"
	"time"

	"peal/server/log"
	"peal/server/log/memory"
)

func BenchmarkAppend(b *testing.B) {
	for _, entries := range []int{1, 16} {
		b.Run(fmt.Sprintf("batch=%d", entries), func(b *testing.B) {
			l := memory.Open(time.Now)
			l.Start(noTail{}, nil)
			batch := make([]*log.Entry, entries)
			for i := range batch {
				batch[i] = &log.Entry{Channel: "scores", Data: make([]byte, 100)}
			}
			b.ReportAllocs()
			for b.Loop() {
				for _, e := range batch {
					e.Time = 0
				}
				if err := l.Append(batch, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
