package log_test

import (
	"bytes"
	"testing"
	"unsafe"

	"peal/server/log"
)

// What follows an entry must be in the same size of the allocator as the two alone.
func TestEntryFitsItsSize(t *testing.T) {
	if n := unsafe.Sizeof(log.Entry{}); n != 208 {
		t.Errorf("an entry has %d bytes, a size of the allocator is 208: EntryBeside has room for data behind that", n)
	}
}

func TestEntryBeside(t *testing.T) {
	for n := range 400 {
		data := bytes.Repeat([]byte{byte(n)}, n)
		want := bytes.Clone(data)
		e := log.EntryBeside(data)
		clear(data)
		if !bytes.Equal(e.Data, want) || cap(e.Data) > max(n, 512) || n > 0 && n <= 304 && cap(e.Data) != n {
			t.Fatalf("%d bytes: %d, room for %d", n, len(e.Data), cap(e.Data))
		}
		if n == 0 && (e.Data == nil || log.EntryBeside(nil).Data != nil) {
			t.Fatal("no data is not as it was")
		}
		most := 2.0
		if n <= 304 {
			most = 1
		}
		if allocs := testing.AllocsPerRun(10, func() { kept = log.EntryBeside(want) }); allocs != most {
			t.Fatalf("%d bytes: %v allocations, want %v", n, allocs, most)
		}
	}
}

var kept *log.Entry
