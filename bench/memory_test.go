package bench

import "testing"

func TestFieldAfter(t *testing.T) {
	text := "sockets: used 9 mem 7\nTCP: inuse 3 orphan 0 mem 12\nSlab:    400 kB\n"
	for _, c := range []struct {
		line, name string
		want       int
	}{{"TCP:", "mem", 12}, {"Slab:", "Slab:", 400}} {
		if n, err := fieldAfter(text, c.line, c.name); n != c.want || err != nil {
			t.Errorf("%s of %s: %d, %v, want %d", c.name, c.line, n, err, c.want)
		}
	}
	for _, c := range [][2]string{{"TCP:", "memory"}, {"UDP:", "mem"}, {"Slab:", "kB"}} {
		if n, err := fieldAfter(text, c[0], c[1]); err == nil {
			t.Errorf("%s of %s: %d, want an error", c[1], c[0], n)
		}
	}
}
