package dialect

import (
	"peal/loop"
	"peal/loop/deflate"
	"peal/loop/ring"
)

// Coding is what the bytes of a row are compressed with.
type Coding uint8

const (
	Plain         Coding = iota
	Deflate              // WebSocket: permessage-deflate (RFC 7692)
	DeflateNarrow        // the same for clients that want a small window
	Gzip                 // EventStream: Content-Encoding
	GzipBody             // Held: the same, of each response by itself
	codings
)

// codingsOf are those of the rows of a framing, beside Plain.
func codingsOf(f loop.Framing) []Coding {
	switch f {
	case loop.WebSocket:
		return []Coding{Deflate, DeflateNarrow}
	case loop.EventStream:
		return []Coding{Gzip}
	case loop.Held:
		return []Coding{GzipBody}
	}
	return nil
}

var suffixes = [codings]string{Deflate: "+deflate", DeflateNarrow: "+deflate-narrow", Gzip: "+gzip", GzipBody: "+gzip"}

// DeflateOf is the Coding for what was negotiated.
func DeflateOf(a deflate.Agreement) Coding {
	switch {
	case !a.Agreed:
		return Plain
	case a.Window == deflate.Narrow:
		return DeflateNarrow
	}
	return Deflate
}

// form is what a row of a table is beside its dialect.
type form struct {
	coding Coding
	plain  ring.Encoding          // the row that is compressed, itself if none is
	coded  [codings]ring.Encoding // of a plain row: its compressed rows
	has    [codings]bool
}

// addCoded adds a row for each coding of each row: its messages have bytes of their own,
// which all connections with that coding share. Nobody chooses these rows by name.
func (t *Table) addCoded() {
	t.forms = make([]form, len(t.rows))
	for i := range t.rows {
		t.forms[i].plain = ring.Encoding(i)
	}
	for i := range t.plain {
		for _, c := range codingsOf(t.rows[i].Framing) {
			k := ring.Encoding(len(t.rows))
			if int(k) != len(t.rows) {
				panic("dialect: more rows than a ring.Encoding can number")
			}
			row := t.rows[i]
			row.Name += suffixes[c]
			if c == Gzip {
				row.store()
			}
			t.rows = append(t.rows, row)
			t.forms[i].coded[c], t.forms[i].has[c] = k, true
			t.forms = append(t.forms, form{coding: c, plain: ring.Encoding(i)})
			same := t.bytes[i] // is before i, or i
			if same != ring.Encoding(i) {
				k = t.forms[same].coded[c]
			}
			t.bytes = append(t.bytes, k)
		}
	}
}

// Recode has the subscription, which is one of a plain row, receive the compressed form
// of it. It returns false if there is none.
func (t *Table) Recode(s *loop.Subscription, c Coding) bool {
	f := &t.forms[s.Dialect]
	if c == Plain || !f.has[c] {
		return c == Plain
	}
	s.Dialect = f.coded[c]
	s.Encoding = t.bytes[s.Dialect]
	return true
}

// PlainOf is the row of which k is a compressed form, k itself if it is none.
func (t *Table) PlainOf(k ring.Encoding) ring.Encoding { return t.forms[k].plain }
