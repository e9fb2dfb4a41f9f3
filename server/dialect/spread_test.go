package dialect_test

import (
	"strings"
	"testing"

	"peal/loop/ring"
	"peal/server/log"
	"peal/server/publication"
)

// What a message may take as it is sent is never more than what is expected of it.
func TestMostBytesBoundsEachDialect(t *testing.T) {
	name := strings.Repeat(`"`, 200)
	wide := strings.Repeat("\u2028", 60)
	at := log.Cursor{Epoch: 1 << 60, Sequence: 1 << 60}
	for _, data := range []string{"", "plain", strings.Repeat("\x01", 1000), strings.Repeat("\n", 1000), strings.Repeat("\r", 1000), strings.Repeat("\r\n", 1000),
		strings.Repeat("\"\\", 1000), strings.Repeat("\u2028", 1000), strings.Repeat("é", 1000), strings.Repeat("\xFF", 1000), strings.Repeat("\x7f\t", 1000)} {
		for _, binary := range []bool{false, true} {
			e := &log.Entry{Channel: name, Event: name, Data: []byte(data), Binary: binary, Time: 1 << 40}
			most := publication.MostBytes(e.Data, !publication.IsText(e))
			for k := range table.Len() {
				d := table.At(ring.Encoding(k))
				encoding, b := d.Name, d.Encode(e, name, at)
				if len(b) > most {
					t.Errorf("%.10q, binary %v, %s: %d bytes, bound %d", data, binary, encoding, len(b), most)
				}
				if d.Room == "" { // permit.Gate counts the copies of the others
					also := &log.Entry{Channel: name, Event: name, Data: e.Data, Binary: binary, Time: e.Time, Also: []string{wide, "x"}, Tags: map[string]string{log.AlsoTag: "2"}}
					if n := len(d.Encode(also, name, at)); n > most+publication.AlsoBytes(wide)+publication.AlsoBytes("x") || n > len(b)+publication.AlsoBytes(wide)+publication.AlsoBytes("x") {
						t.Errorf("%s with further channels: %d bytes, %d without", encoding, n, len(b))
					}
				}
				if publication.FitsAnyway(len(data), len(b)-1) {
					t.Errorf("%.10q, binary %v, %s: said to fit into %d bytes, has %d", data, binary, encoding, len(b)-1, len(b))
				}
			}
		}
	}
}
