package dialect

import (
	"slices"

	"peal/loop/ring"
)

// EncodingName is the name of a row, compressed forms included. The same name means the
// same row in another process, where its number may be another.
func (t *Table) EncodingName(k ring.Encoding) string { return t.rows[k].Name }

// EncodingOf returns the row of that name, of all rows; ok is false if there is none.
func (t *Table) EncodingOf(name string) (k ring.Encoding, ok bool) {
	i := slices.IndexFunc(t.rows, func(d Dialect) bool { return d.Name == name })
	return ring.Encoding(max(i, 0)), i >= 0
}
