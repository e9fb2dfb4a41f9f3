package child

import (
	"strings"
	"testing"
)

func TestTailKeepsTheEnd(t *testing.T) {
	var tail Tail
	for range 3 {
		if n, err := tail.Write([]byte(strings.Repeat("x", tailBytes-1))); n != tailBytes-1 || err != nil {
			t.Fatalf("wrote %d, %v", n, err)
		}
	}
	if _, err := tail.Write([]byte("the end")); err != nil {
		t.Fatal(err)
	}
	if s := tail.String(); len(s) != tailBytes || !strings.HasSuffix(s, "xthe end") {
		t.Errorf("%d bytes are kept, ending in %q", len(s), s[max(0, len(s)-10):])
	}
}
