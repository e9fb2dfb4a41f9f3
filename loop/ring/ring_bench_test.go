package ring_test

import (
	"fmt"
	"testing"

	"peal/loop/ring"
)

func BenchmarkPublish(b *testing.B) {
	for _, loops := range []int{1, 2, 8} {
		b.Run(fmt.Sprintf("loops=%d", loops), func(b *testing.B) {
			r := newRing(b, 1<<14, 1<<30)
			readers := make([]*ring.Reader, loops)
			for i := range readers {
				readers[i] = r.Reader()
			}
			m := make([]ring.Message, 1<<14)
			batch := make([]*ring.Message, 0, 256)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				p := &m[i&(1<<14-1)]
				p.Sequence = uint64(i + 1)
				r.Room(1, 128)
				r.Publish(p)
				if i&255 == 255 {
					for _, d := range readers {
						batch = d.Next(batch[:0], 256, 1<<30)
					}
				}
			}
		})
	}
}

func BenchmarkEncodedHit(b *testing.B) {
	for _, before := range []int{0, 5} { // encodings that were asked for first
		b.Run(fmt.Sprintf("before=%d", before), func(b *testing.B) {
			m := &ring.Message{Sequence: 1}
			cache := ring.NewCache(func(*ring.Message, ring.Encoding) []byte { return []byte("x") }, nil)
			for k := range before {
				m.Encoded(ring.Encoding(k), cache)
			}
			for range b.N {
				m.Encoded(ring.Encoding(before), cache)
			}
		})
	}
}

func BenchmarkEncodedMiss(b *testing.B) {
	for _, limit := range []int{0, 1 << 20} {
		b.Run(fmt.Sprintf("limit=%d", limit), func(b *testing.B) {
			encode := func(*ring.Message, ring.Encoding) []byte { return make([]byte, 100) }
			cache := ring.NewCache(encode, nil)
			if limit > 0 {
				cache = ring.NewCache(encode, func() int { return limit })
			}
			b.ReportAllocs()
			for range b.N {
				m := &ring.Message{Sequence: 1}
				m.Encoded(0, cache)
			}
		})
	}
}
