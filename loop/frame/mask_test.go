package frame_test

import (
	"bytes"
	"fmt"
	"testing"

	"peal/loop/frame"
)

func counted(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

func TestUnmaskEqualsItsPlainTwin(t *testing.T) {
	const guard = 16
	sizes := []int{255, 256, 257, 1000, 4096, 65537}
	for n := range 140 {
		sizes = append(sizes, n)
	}
	for _, n := range sizes {
		for align := range 9 {
			for _, offset := range []int{0, 1, 2, 3, 4, 5, 6, 7, 65535} {
				got := counted(align + n + guard)
				want := bytes.Clone(got)
				frame.Unmask(got[align:align+n], testMask, offset)
				frame.UnmaskPlain(want[align:align+n], testMask, offset)
				if !bytes.Equal(got, want) {
					t.Fatalf("%d bytes at %d, offset %d: differs", n, align, offset)
				}
			}
		}
	}
}

func TestUnmaskInPieces(t *testing.T) {
	whole := counted(200)
	want := bytes.Clone(whole)
	frame.UnmaskPlain(want, testMask, 0)
	for cut := range len(whole) + 1 {
		got := bytes.Clone(whole)
		frame.Unmask(got[:cut], testMask, 0)
		frame.Unmask(got[cut:], testMask, cut)
		if !bytes.Equal(got, want) {
			t.Fatalf("cut at %d: differs", cut)
		}
	}
}

// RFC 6455 §5.7.
func TestUnmaskHello(t *testing.T) {
	b := []byte{0x7f, 0x9f, 0x4d, 0x51, 0x58}
	if frame.Unmask(b, testMask, 0); string(b) != "Hello" {
		t.Errorf("%q", b)
	}
}

func BenchmarkUnmask(b *testing.B) {
	for _, way := range []struct {
		name   string
		unmask func([]byte, uint32, int)
	}{{"words", frame.Unmask}, {"plain", frame.UnmaskPlain}} {
		for _, n := range []int{5, 32, 128, 1024, 65536} {
			b.Run(fmt.Sprintf("way=%s/bytes=%d", way.name, n), func(b *testing.B) {
				p := counted(n)
				b.SetBytes(int64(n))
				for b.Loop() {
					way.unmask(p, testMask, 0)
				}
			})
		}
	}
}
