package publication_test

import (
	"bytes"
	"testing"

	"peal/server/publication"
)

// That the bounds hold for each dialect is a test of server/dialect.
func TestWhatFitsWhateverItIs(t *testing.T) {
	if !publication.FitsAnyway(64<<10, 1<<20) || publication.FitsAnyway(1<<20, 1<<20) {
		t.Error("what fits whatever it is")
	}
	if n := testing.AllocsPerRun(10, func() { publication.MostBytes(bytes.Repeat(nil, 1), false) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
