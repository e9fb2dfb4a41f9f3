package dialect_test

import (
	"testing"

	"peal/loop/ring"
	"peal/server/dialect"
)

// Each row has a name of its own, compressed forms too.
func TestRowsAreFoundByTheirNames(t *testing.T) {
	rows := 0
	for k := range ring.Encoding(255) {
		if int(k) >= table.Rows() {
			break
		}
		rows++
		name := table.EncodingName(k)
		if got, ok := table.EncodingOf(name); !ok || got != k {
			t.Errorf("row %d is named %q, and %d is found by that (%v)", k, name, got, ok)
		}
	}
	if rows <= table.Len() {
		t.Errorf("%d rows with compressed forms, of %d", rows, table.Len())
	}
	if _, ok := table.EncodingOf("morse"); ok {
		t.Error("a row is named morse")
	}
	if got := table.EncodingName(dialect.WSRaw); got != "ws-raw" {
		t.Errorf("ws-raw is named %q", got)
	}
}
