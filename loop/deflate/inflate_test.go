package deflate_test

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"peal/loop/deflate"
)

// text is n bytes of something like JSON.
func text(n int) []byte {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, `{"id":%d,"channel":"news.%d","user":"u%x","text":"the %d quick brown foxes"},`, r.IntN(1e6), r.IntN(50), r.Uint64(), r.IntN(99))
	}
	return b.Bytes()[:n]
}

// noise is n bytes that do not shrink.
func noise(n int) []byte {
	r := rand.New(rand.NewPCG(2, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// messages is what is compressed and inflated again.
func messages() map[string][]byte {
	all := map[string][]byte{"zeros": make([]byte, 70_000)}
	for _, n := range []int{0, 1, 2, 5, 125, 126, 1000, 4096, 32<<10 - 1, 32 << 10, 64 << 10, 1<<16 + 1} {
		all[fmt.Sprintf("text of %d", n)] = text(n)
		all[fmt.Sprintf("noise of %d", n)] = noise(n)
	}
	return all
}

// inflateAll is the standard library's opinion of blocks that end with a flush.
func inflateAll(t *testing.T, b []byte) []byte {
	t.Helper()
	out, err := io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(b), strings.NewReader("\x01\x00\x00\xff\xff"))))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRoundTrip(t *testing.T) {
	var f deflate.Inflater
	for name, message := range messages() {
		for _, w := range []deflate.Window{deflate.Wide, deflate.Narrow} {
			packed := deflate.AppendMessage(nil, message, w)
			if got := inflateAll(t, append(bytes.Clone(packed), "\x00\x00\xff\xff"...)); !bytes.Equal(got, message) {
				t.Errorf("%s, window %d: the standard library reads something else", name, w)
			}
			if got, err := f.Inflate(packed, len(message)); err != nil || !bytes.Equal(got, message) {
				t.Errorf("%s, window %d: %d bytes, %v", name, w, len(got), err)
			}
			if len(message) > 0 {
				if _, err := f.Inflate(packed, len(message)-1); !errors.Is(err, deflate.ErrTooLong) {
					t.Errorf("%s, window %d: a limit of one byte less: %v", name, w, err)
				}
			}
		}
	}
}

// What was compressed before, and on which goroutine, changes nothing.
func TestCompressingIsDeterministic(t *testing.T) {
	for name, message := range messages() {
		for _, w := range []deflate.Window{deflate.Wide, deflate.Narrow} {
			first := deflate.AppendFlushed(nil, message, w)
			for range 2 {
				deflate.AppendFlushed(nil, text(rand.IntN(5000)), w)
				if again := deflate.AppendFlushed([]byte("x"), message, w); !bytes.Equal(again[1:], first) {
					t.Fatalf("%s, window %d: other bytes the second time", name, w)
				}
			}
		}
	}
}

// A message with a small window refers to nothing: it follows anything.
func TestFlushedPartsFollowEachOther(t *testing.T) {
	var stream, want []byte
	for i, n := range []int{300, 5, 70_000, 0, 1000} {
		stream = deflate.AppendFlushed(stream, text(n), deflate.Window(i%2))
		want = append(want, text(n)...)
		stream = deflate.AppendStored(stream, noise(n))
		want = append(want, noise(n)...)
	}
	if got := inflateAll(t, stream); !bytes.Equal(got, want) {
		t.Errorf("%d bytes, want %d", len(got), len(want))
	}
}

// The examples of RFC 7692 §7.2.3, and what goes wrong.
func TestInflate(t *testing.T) {
	var f deflate.Inflater
	for _, c := range []struct {
		name, packed, want string
		err                error
	}{
		{"§7.2.3.1, one block", "\xf2\x48\xcd\xc9\xc9\x07\x00", "Hello", nil},
		{"§7.2.3.3, no compression", "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", "Hello", nil},
		{"§7.2.3.4, BFINAL", "\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "Hello", nil},
		{"§7.2.3.5, two blocks", "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", "Hello", nil},
		{"§7.2.3.6, empty", "\x00", "", nil},
		{"no bytes at all", "", "", nil},
		{"BFINAL, and more", "\xf3\x48\xcd\xc9\xc9\x07\x00\xf2\x48\xcd\xc9\xc9\x07\x00", "HelloHello", nil},
		{"BFINAL as the end", "\xf3\x48\xcd\xc9\xc9\x07\x00", "", deflate.ErrCorrupt},
		{"a context that was not kept", "\xf2\x00\x11\x00\x00", "", deflate.ErrCorrupt}, // §7.2.3.2
		{"a reserved kind of block", "\x07", "", deflate.ErrCorrupt},
		{"a length that is not its complement", "\x00\x05\x00\x00\x00Hello\x00", "", deflate.ErrCorrupt},
		{"half a block", "\xf2\x48\xcd", "", deflate.ErrCorrupt},
		{"a block cut in its length", "\x00\x05", "", deflate.ErrCorrupt},
		{"text", "Hello", "", deflate.ErrCorrupt},
		{"16 streams", strings.Repeat("\x03\x00", 15) + "\x00", "", nil},
		{"more streams than may be", strings.Repeat("\x03\x00", 16) + "\x00", "", deflate.ErrCorrupt},
	} {
		got, err := f.Inflate([]byte(c.packed), 100)
		if string(got) != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %q, %v; want %q, %v", c.name, got, err, c.want, c.err)
		}
		// And the next message is as if there had been none.
		if got, err := f.Inflate([]byte("\xf2\x48\xcd\xc9\xc9\x07\x00"), 5); string(got) != "Hello" || err != nil {
			t.Fatalf("after %s: %q, %v", c.name, got, err)
		}
	}
}

// A bomb of 16 MiB takes no more memory than the limit.
func TestABombIsCappedWhileItInflates(t *testing.T) {
	var bomb bytes.Buffer
	z, _ := flate.NewWriter(&bomb, 9)
	zeros := make([]byte, 1<<20)
	for range 16 {
		_, _ = z.Write(zeros)
	}
	_ = z.Flush()
	packed := bytes.TrimSuffix(bomb.Bytes(), []byte("\x00\x00\xff\xff"))
	var f deflate.Inflater
	if _, err := f.Inflate(packed, 64<<10); !errors.Is(err, deflate.ErrTooLong) {
		t.Fatal(err)
	}
	if got := testing.AllocsPerRun(10, func() { _, _ = f.Inflate(packed[:1000], 64<<10) }); got > 0 {
		t.Errorf("%.1f allocations for another", got)
	}
	if size := f.Held(); size > 128<<10+len(packed)*2 {
		t.Errorf("the inflater holds %d bytes", size)
	}
}

func TestInflateAllocatesNothing(t *testing.T) {
	var f deflate.Inflater
	packed := deflate.AppendMessage(nil, text(2000), deflate.Wide)
	if got := testing.AllocsPerRun(100, func() { _, _ = f.Inflate(packed, 64<<10) }); got > 0 {
		t.Errorf("%.1f allocations for a message", got)
	}
}

// Whatever comes in, the result is within the limit, and what the standard library says.
func FuzzInflate(f *testing.F) {
	for _, message := range messages() {
		if len(message) <= 5000 {
			f.Add(deflate.AppendMessage(nil, message, deflate.Wide), 4096)
		}
	}
	f.Add([]byte("\xf3\x48\xcd\xc9\xc9\x07\x00\xf2\x48\xcd\xc9\xc9\x07\x00"), 7)
	f.Fuzz(func(t *testing.T, packed []byte, limit int) {
		limit = min(max(limit, 0), 1<<16)
		var z deflate.Inflater
		got, err := z.Inflate(packed, limit)
		if len(got) > limit || err != nil && got != nil {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		if _, length, tables := deflate.CountTables(packed, limit, 1<<20); len(packed) > 0 && err == nil && (tables != nil || length != len(got)) {
			t.Fatalf("a message of %d bytes: %d were counted, %v", len(got), length, tables)
		}
		again, second := z.Inflate(packed, limit)
		if err == nil && (second != nil || !bytes.Equal(again, got)) {
			t.Fatalf("the second time: %d bytes, %v", len(again), second)
		}
		if err != nil {
			return
		}
		want, err := io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(packed), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff"))))
		if len(packed) > 0 && (err != nil || !bytes.HasPrefix(got, want)) { // want ends at BFINAL
			t.Fatalf("%d bytes, the standard library has %d, %v", len(got), len(want), err)
		}
	})
}

func BenchmarkInflate(b *testing.B) {
	for name, message := range map[string][]byte{"text=300": text(300), "text=64000": text(64_000), "zeros=65536": make([]byte, 64<<10), "tables=3500": nil} {
		packed := deflate.AppendMessage(nil, message, deflate.Wide)
		if message == nil {
			packed = tables(3500) // with more the message is refused
		}
		b.Run(name, func(b *testing.B) {
			var f deflate.Inflater
			b.SetBytes(int64(len(packed)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f.Inflate(packed, 64<<10); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// tables is a message of n bytes that is empty: blocks with nothing but their codes, the
// most work that a byte of input can cause.
func tables(n int) []byte {
	var b []byte
	bits := 0
	put := func(v, k int) {
		for i := range k {
			if bits%8 == 0 {
				b = append(b, 0)
			}
			b[len(b)-1] |= byte(v>>i&1) << (bits % 8)
			bits++
		}
	}
	for len(b) < n {
		put(0b100, 3) // BTYPE 2
		put(0, 5+5)   // 257 literals and lengths, 1 distance
		put(18-4, 4)  // lengths of 18 codes of lengths: 18 and 1 have one bit
		for i := range 18 {
			put(map[int]int{2: 1, 17: 1}[i], 3)
		}
		put(1|127<<1, 1+7) // 138 zeros
		put(1|107<<1, 1+7) // 118
		put(0, 1+1)        // 256 and the distance: one bit
		put(0, 1)          // the end of the block
	}
	put(0, 3)
	return b
}

func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{100, 256, 1000, 4000, 16_000, 64_000} {
		for name, w := range map[string]deflate.Window{"wide": deflate.Wide, "narrow": deflate.Narrow} {
			b.Run(fmt.Sprintf("window=%s/bytes=%d", name, n), func(b *testing.B) {
				message := text(n)
				var out []byte
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					out = deflate.AppendMessage(out[:0], message, w)
				}
				b.ReportMetric(float64(len(out))/float64(n), "ratio")
			})
		}
	}
}
