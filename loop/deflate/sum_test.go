package deflate_test

import (
	"bytes"
	"compress/gzip"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"testing"

	"peal/loop/deflate"
)

func TestSumsOfPartsAreTheSumOfTheWhole(t *testing.T) {
	for range 200 {
		var whole []byte
		var sum deflate.Sum
		for range rand.IntN(20) {
			part := noise(rand.IntN(1000) * rand.IntN(2))
			whole = append(whole, part...)
			sum = sum.Then(deflate.SumOf(part))
		}
		if want := (deflate.Sum{CRC: crc32.ChecksumIEEE(whole), Length: uint32(len(whole))}); sum != want {
			t.Fatalf("%+v, want %+v", sum, want)
		}
	}
}

// Lengths as of a stream that lives for weeks: by parts that double.
func TestSumsOfLongStreams(t *testing.T) {
	sum, twice := deflate.SumOf([]byte("x")), deflate.SumOf([]byte("x"))
	whole := crc32.ChecksumIEEE([]byte("x"))
	for i := range 20 {
		twice = twice.Then(twice)
		whole = crc32.Update(whole, crc32.IEEETable, bytes.Repeat([]byte("x"), 1<<i))
		if twice.CRC != whole || twice.Length != 2<<i {
			t.Fatalf("%d bytes: %+v, want %x", 2<<i, twice, whole)
		}
	}
	for range 40 {
		sum = sum.Then(sum)
	}
	if sum.Length != 0 { // modulo 2^32
		t.Errorf("%+v", sum)
	}
}

func TestGzip(t *testing.T) {
	for name, message := range messages() {
		r, err := gzip.NewReader(bytes.NewReader(deflate.AppendGzip(nil, message)))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, message) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		stored := deflate.AppendStored(nil, message)
		if len(stored) != deflate.StoredBytes(len(message)) || deflate.SumStored(stored) != deflate.SumOf(message) {
			t.Errorf("%s: %d bytes stored, sum %+v", name, len(stored), deflate.SumStored(stored))
		}
		later := deflate.CloseStored(append(deflate.OpenStored([]byte("before")), message...), len("before"))
		if len(message) == 0 {
			stored = nil
		}
		if string(later) != "before"+string(stored) {
			t.Errorf("%s: stored afterwards it is something else", name)
		}
		for _, compressed := range []bool{false, true} {
			b := deflate.Shorter(message, compressed)
			if len(b) > deflate.StoredBytes(len(message)) || cap(b) > len(b)+len(b)/4+64 || !bytes.Equal(inflateAll(t, b), message) {
				t.Errorf("%s: %d bytes of %d", name, len(b), len(message))
			}
		}
	}
}

func BenchmarkSum(b *testing.B) {
	message := text(200)
	sum, part := deflate.Sum{}, deflate.SumOf(message)
	by := deflate.ShiftOf(part.Length)
	b.Run("then", func(b *testing.B) {
		for b.Loop() {
			sum = sum.Then(part)
		}
	})
	b.Run("then-by", func(b *testing.B) {
		for b.Loop() {
			sum = sum.ThenBy(part, by)
		}
	})
}
