package deflate_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	standard "compress/flate"

	"github.com/klauspost/compress/flate"

	"peal/loop/deflate"
)

// A message that consists of tables of codes is refused when it is longer than those
// whose blocks are not counted, and the counting stops at the limit.
func TestTooManyTablesAreRefused(t *testing.T) {
	var f deflate.Inflater
	for _, n := range []int{5 << 10, 64_000} {
		packed := tables(n)
		if _, err := f.Inflate(packed, 64<<10); !errors.Is(err, deflate.ErrTables) {
			t.Errorf("%d bytes: %v, want ErrTables", n, err)
		}
		most := deflate.MostTables(len(packed))
		if got, _, err := deflate.CountTables(packed, 64<<10, most); got != most+1 || !errors.Is(err, deflate.ErrTables) {
			t.Errorf("%d bytes: %d tables were counted, want %d; %v", n, got, most+1, err)
		}
		if all, _, err := deflate.CountTables(packed, 64<<10, n); all < n/12 || err != nil {
			t.Errorf("%d bytes: %d tables in all, want more than %d; %v", n, all, n/12, err)
		}
	}
	if got, err := f.Inflate(tables(3500), 64<<10); len(got) != 0 || err != nil {
		t.Errorf("a short message: %d bytes, %v", len(got), err)
	}
	if got, err := f.Inflate([]byte("\xf2\x48\xcd\xc9\xc9\x07\x00"), 5); string(got) != "Hello" || err != nil {
		t.Errorf("the next message: %q, %v", got, err)
	}
}

// What compressors write has far fewer tables than are allowed, whatever their level, and
// also if they are flushed every 200 bytes.
func TestCompressorsWriteFewTables(t *testing.T) {
	type compressor interface {
		io.Writer
		Flush() error
		Close() error
	}
	writers := map[string]func(w io.Writer, level int) (compressor, error){
		"klauspost": func(w io.Writer, level int) (compressor, error) { return flate.NewWriter(w, level) },
		"standard":  func(w io.Writer, level int) (compressor, error) { return standard.NewWriter(w, level) },
	}
	hex := []byte(fmt.Sprintf("%x", noise(15_000)))
	for name, open := range writers {
		for _, level := range []int{-2, 1, 6} {
			for kind, data := range map[string][]byte{"text": text(30_000), "noise": noise(20_000), "hex": hex, "zeros": make([]byte, 60_000)} {
				for _, each := range []int{200, len(data)} {
					var packed bytes.Buffer
					z, err := open(&packed, level)
					if err != nil {
						t.Fatal(err)
					}
					for rest := data; len(rest) > 0; rest = rest[min(each, len(rest)):] {
						_, _ = z.Write(rest[:min(each, len(rest))])
						_ = z.Flush()
					}
					b := bytes.TrimSuffix(packed.Bytes(), []byte("\x00\x00\xff\xff"))
					most := deflate.MostTables(len(b))
					n, length, err := deflate.CountTables(b, 1<<20, 1<<20)
					if err != nil || length != len(data) || each > 200 && n > most/4 {
						t.Errorf("%s, level %d, %s, flushed each %d bytes: %d tables in %d bytes, at most %d; %d bytes of %d, %v", name, level, kind, each, n, len(b), most, length, len(data), err)
					}
					var f deflate.Inflater
					if got, err := f.Inflate(b, len(data)); !bytes.Equal(got, data) || err != nil {
						t.Errorf("%s, level %d, %s, flushed each %d bytes: %d tables of at most %d, %d bytes of %d, %v", name, level, kind, each, n, most, len(got), len(data), err)
					}
				}
			}
		}
	}
}
