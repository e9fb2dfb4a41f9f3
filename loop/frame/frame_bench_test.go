package frame_test

import (
	"fmt"
	"strings"
	"testing"

	"peal/loop/frame"
)

func BenchmarkParseHeader(b *testing.B) {
	for _, n := range []int{100, 1000, 70_000} {
		b.Run(fmt.Sprintf("length=%d", n), func(b *testing.B) {
			head := frame.AppendMaskedHeader(nil, true, frame.OpText, n, testMask)
			for b.Loop() {
				if _, n, _ := frame.ParseHeader(head); n != len(head) {
					b.Fatal(n)
				}
			}
		})
	}
}

// One read with 32 frames in it, as from a busy client. The copy is included.
func BenchmarkNext(b *testing.B) {
	const frames = 32
	for _, c := range []struct {
		name  string
		first byte
		n     int
	}{{"text", finText, 16}, {"text", finText, 128}, {"binary", finBinary, 128}, {"text", finText, 1024}, {"ping", finPing, 8}} {
		b.Run(fmt.Sprintf("kind=%s/bytes=%d", c.name, c.n), func(b *testing.B) {
			var fresh []byte
			for range frames {
				fresh = append(fresh, clientFrame(c.first, strings.Repeat("x", c.n))...)
			}
			buffer := make([]byte, len(fresh))
			b.SetBytes(int64(c.n))
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += frames {
				copy(buffer, fresh)
				var r frame.Reader
				for rest := buffer; len(rest) > 0; {
					var ev frame.Event
					if ev, rest, _ = r.Next(rest, 64<<10); len(ev.Payload) != c.n {
						b.Fatal(ev)
					}
				}
			}
		})
	}
}

// One message of 64 KiB in pieces, as the socket gives them.
func BenchmarkNextInPieces(b *testing.B) {
	const size = 64 << 10
	fresh := clientFrame(finText, strings.Repeat("x", size))
	for _, piece := range []int{1, 1460, 16 << 10, len(fresh)} {
		b.Run(fmt.Sprintf("piece=%d", piece), func(b *testing.B) {
			buffer := make([]byte, 0, len(fresh))
			b.SetBytes(size)
			for b.Loop() {
				var r frame.Reader
				rest := buffer
				for s := fresh; len(s) > 0; {
					n := min(piece, len(s))
					rest, s = append(rest, s[:n]...), s[n:]
					_, rest, _ = r.Next(rest, size)
				}
			}
		})
	}
}

func BenchmarkAppendSwitching(b *testing.B) {
	dst := make([]byte, 0, 512)
	key := []byte(rfcKey)
	b.ReportAllocs()
	for b.Loop() {
		frame.AppendSwitching(dst, key, "peal.v1", nil)
	}
}

func BenchmarkAppendMessage(b *testing.B) {
	for _, n := range []int{16, 128, 1024} {
		b.Run(fmt.Sprintf("bytes=%d", n), func(b *testing.B) {
			dst, payload := make([]byte, 0, 2048), counted(n)
			b.SetBytes(int64(n))
			for b.Loop() {
				frame.AppendMessage(dst, false, payload)
			}
		})
	}
}
