package ascii_test

import (
	"strings"
	"testing"

	"peal/server/ascii"
)

// Every byte against every byte: only letters of ASCII have two cases.
func TestEqualFold(t *testing.T) {
	for a := range 256 {
		for b := range 256 {
			lower := byte(b)
			if 'A' <= lower && lower <= 'Z' {
				continue // not in lower case
			}
			same := a == b || 'A' <= a && a <= 'Z' && a+'a'-'A' == b
			if got := ascii.EqualFold([]byte{'x', byte(a)}, string([]byte{'x', lower})); got != same {
				t.Fatalf("%#x and %#x: %v", a, b, got)
			}
		}
	}
	if ascii.EqualFold([]byte("host"), "hos") || !ascii.EqualFold([]byte("Content-TYPE"), strings.ToLower("Content-TYPE")) {
		t.Error("lengths, or a name")
	}
}
