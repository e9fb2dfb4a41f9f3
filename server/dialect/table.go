package dialect

import (
	"fmt"
	"math"
	"slices"

	"peal/loop"
	"peal/loop/ring"
)

// Table is the dialects of a server, by ring.Encoding. It does not change.
type Table struct {
	rows      []Dialect       // those of NewTable, then their compressed forms
	plain     int             // number of the former
	forms     []form          // by row
	bytes     []ring.Encoding // by row: the row whose Encode it has, itself or that of SameAs
	protocols []string
}

// NewTable returns a table of rows. The first row of a framing is its standard. It
// panics on rows that contradict each other, because rows are source code.
func NewTable(rows ...Dialect) *Table {
	if len(rows) > math.MaxUint8+1 {
		panic("dialect: more rows than a ring.Encoding can number")
	}
	t := &Table{rows: slices.Clone(rows), plain: len(rows)}
	for i := range t.rows {
		d := &t.rows[i]
		if slices.IndexFunc(rows, func(other Dialect) bool { return other.Name == d.Name }) != i {
			panic("dialect: two rows are named " + d.Name)
		}
		t.bytes = append(t.bytes, ring.Encoding(i))
		if d.SameAs != "" {
			t.bytes[i] = t.share(d)
		}
		if d.Encode == nil || (d.Framing == loop.Held) != (d.Respond != nil) {
			panic(fmt.Sprintf("dialect: %s lacks Encode, or has Respond without being Held, or the reverse", d.Name))
		}
		for _, p := range d.Protocols {
			if p != "" && !slices.Contains(t.protocols, p) {
				t.protocols = append(t.protocols, p)
			}
		}
	}
	t.addCoded()
	return t
}

// share gives d the functions of the row that SameAs names, and returns its index.
func (t *Table) share(d *Dialect) ring.Encoding {
	i := slices.IndexFunc(t.rows, func(other Dialect) bool { return other.Name == d.SameAs })
	if i < 0 || t.rows[i].Framing != d.Framing || t.rows[i].SameAs != "" || d.Encode != nil || d.Presence != nil {
		panic(fmt.Sprintf("dialect: %s cannot be sent the same as %q", d.Name, d.SameAs))
	}
	same := &t.rows[i]
	d.Encode, d.Presence, d.Names = same.Encode, same.Presence, same.Names
	if d.Open == nil {
		d.Open = same.Open
	}
	if d.Heartbeat == nil {
		d.Heartbeat = same.Heartbeat
	}
	if d.Gap == nil {
		d.Gap = same.Gap
	}
	if d.Close == nil {
		d.Close = same.Close
	}
	return ring.Encoding(i)
}

// Len is the number of rows without their compressed forms, which come behind them.
func (t *Table) Len() int { return t.plain }

// At is the row of k. Do not change it.
func (t *Table) At(k ring.Encoding) *Dialect { return &t.rows[k] }

// Encoding is the encoding of the messages of row k. Rows with the same bytes have the
// same, so that the fan-out shares them.
func (t *Table) Encoding(k ring.Encoding) ring.Encoding { return t.bytes[k] }

// Subscription returns a subscription in row k to a number of channels, with the fields
// that the row determines.
func (t *Table) Subscription(k ring.Encoding, channels int) *loop.Subscription {
	d := t.At(k)
	s := &loop.Subscription{Dialect: k, Framing: d.Framing, Commands: d.Commands != nil || d.Room != "", Publishes: d.Publishes && channels == 1}
	s.Encoding, s.Most = t.bytes[k], d.Most
	return s
}

// Protocols are the subprotocols that can be negotiated, in the order of the rows.
func (t *Table) Protocols() []string { return t.protocols }

// Named returns the row of that name; ok is false if there is none.
func (t *Table) Named(name string) (k ring.Encoding, ok bool) {
	for i := range t.plain {
		if t.rows[i].Name == name {
			return ring.Encoding(i), true
		}
	}
	return 0, false
}

// Choose finds the row for a client on framing f that has negotiated a subprotocol
// ("" for none) and asks for a format ("" for the standard). ok is false if there is
// none.
func (t *Table) Choose(f loop.Framing, protocol, format string) (k ring.Encoding, ok bool) {
	for i := range t.plain {
		d := &t.rows[i]
		if d.Framing == f && !d.Internal && (format == "" || format == d.Format) && (f != loop.WebSocket || slices.Contains(d.Protocols, protocol)) {
			return ring.Encoding(i), true
		}
	}
	return 0, false
}
