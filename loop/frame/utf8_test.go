package frame_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"peal/loop/frame"
)

// texts has the borders of RFC 3629 §4, on both sides.
var texts = []string{
	"", "a", "plain ASCII, longer than eight bytes", "\x00\x7f",
	"\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xe0\xbf\xbf", "\xe1\x80\x80", "\xec\xbf\xbf", "\xed\x80\x80", "\xed\x9f\xbf",
	"\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf0\xbf\xbf\xbf", "\xf1\x80\x80\x80", "\xf3\xbf\xbf\xbf", "\xf4\x80\x80\x80", "\xf4\x8f\xbf\xbf",
	"κόσμε", "1234567€", "12345678€12345678", "😀 über 日本語, and ASCII again",
	"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2\x7f", "\xc2\xc0", "\xdf\x7f", "\xe0\x9f\xbf", "\xe0\x80\x80", "\xe1\x80", "\xe1\x80\x7f", "\xe1\xc0\x80",
	"\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf", "\xf0\x90\x80", "\xf1\x80\x80\xc0", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf8\x88\x80\x80\x80", "\xff", "\xfe",
	"12345678\xff2345678", "1234567\xe2\x82", "123456\xf0\x9f\x98\x80\x80",
}

func valid(pieces ...string) bool {
	var u frame.UTF8
	for _, p := range pieces {
		u.Feed([]byte(p))
	}
	return u.Complete()
}

func TestUTF8CutAnywhere(t *testing.T) {
	for _, s := range texts {
		want := utf8.ValidString(s)
		for i := range len(s) + 1 {
			for j := i; j <= len(s); j++ {
				if got := valid(s[:i], s[i:j], s[j:]); got != want {
					t.Errorf("% x cut at %d and %d: %v, want %v", s, i, j, got, want)
				}
			}
		}
	}
}

func TestUTF8OnAllShortStrings(t *testing.T) {
	check := func(s string) {
		if got, want := valid(s), utf8.ValidString(s); got != want {
			t.Fatalf("% x: %v, want %v", s, got, want)
		}
	}
	tails := []byte{0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xed, 0xf4, 0xff}
	for a := range 256 {
		check(string([]byte{byte(a)}))
		for b := range 256 {
			check(string([]byte{byte(a), byte(b)}))
			for _, c := range tails {
				check(string([]byte{byte(a), byte(b), c}))
				for _, d := range tails {
					check(string([]byte{byte(a), byte(b), c, d}))
				}
			}
		}
	}
}

func TestUTF8FeedFailsAtTheFirstSpoiltByte(t *testing.T) {
	for _, s := range texts {
		var u frame.UTF8
		for i := range len(s) {
			want := startsUTF8([]byte(s[:i+1]))
			if got := u.Feed([]byte{s[i]}); got != want {
				t.Errorf("first %d of % x: %v, want %v", i+1, s, got, want)
			}
		}
	}
}

func TestUTF8OnRandomMixtures(t *testing.T) {
	const seed = 3629
	random := rand.New(rand.NewPCG(seed, 0))
	for range 20_000 {
		var s strings.Builder
		for range random.IntN(12) {
			s.WriteString(texts[random.IntN(24+random.IntN(2)*(len(texts)-24))])
		}
		b := []byte(s.String())
		if len(b) > 0 && random.IntN(3) == 0 {
			b[random.IntN(len(b))] = byte(random.Uint32())
		}
		cut := random.IntN(len(b) + 1)
		if got, want := valid(string(b[:cut]), string(b[cut:])), utf8.Valid(b); got != want {
			t.Fatalf("seed %d: % x cut at %d: %v, want %v", seed, b, cut, got, want)
		}
	}
}

func BenchmarkUTF8(b *testing.B) {
	mixed := strings.Repeat(`{"text":"naïve café — grüße, 1€"}`, 200)
	for _, c := range []struct{ name, text string }{
		{"ascii/bytes=128", strings.Repeat("a", 128)},
		{"ascii/bytes=4096", strings.Repeat("a", 4096)},
		{"mixed/bytes=128", strings.ToValidUTF8(mixed[:128], "?")},
		{"mixed/bytes=4096", strings.ToValidUTF8(mixed[:4096], "?")},
		{"cjk/bytes=4096", strings.Repeat("日本語", 455)},
		{"emoji/bytes=4096", strings.Repeat("😀", 1024)},
	} {
		p := []byte(c.text)
		b.Run("way=feed/text="+c.name, func(b *testing.B) {
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				var u frame.UTF8
				if !u.Feed(p) {
					b.Fatal("invalid")
				}
			}
		})
		b.Run("way=stdlib/text="+c.name, func(b *testing.B) {
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				if !utf8.Valid(p) {
					b.Fatal("invalid")
				}
			}
		})
	}
}
