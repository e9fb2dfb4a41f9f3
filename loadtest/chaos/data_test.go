package chaos

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"unicode/utf8"
)

func TestDataComesBack(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for size := range 500 {
		want := label{rnd.Uint64(), rnd.Int32(), rnd.Uint32()}
		data := appendData(nil, want, size, rnd)
		if got, ok := parseData(data); !ok || got != want {
			t.Fatalf("%d bytes: %+v, %v, want %+v", size, got, ok, want)
		}
		if !utf8.Valid(data) {
			t.Fatalf("%d bytes: not text", size)
		}
	}
}

func TestDamagedDataIsSeen(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	data := appendData(nil, label{123, 4, 56}, 200, rnd)
	text := bytes.LastIndexByte(data[:30], ' ') + 1
	for i := text; i < len(data); i++ {
		damaged := bytes.Clone(data)
		damaged[i] ^= 1 << rnd.IntN(8)
		if _, ok := parseData(damaged); ok {
			t.Errorf("a changed bit of byte %d is not seen", i)
		}
		if _, ok := parseData(data[:i]); ok {
			t.Errorf("the first %d bytes pass for the whole", i)
		}
	}
}
