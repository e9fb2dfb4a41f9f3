package dialect_test

import (
	"testing"

	"peal/loop/ring"
	"peal/server/dialect"
	"peal/server/log"
)

// All Pusher subscribers share the bytes of a message, whatever their app: a delivery makes
// nothing.
func TestPusherDeliveriesShareTheirBytes(t *testing.T) {
	e := dialect.NewEncoder(table, log.NewLineage(epoch), func(n int64) int64 { return n / 2 })
	cache := ring.NewCache(e.Encode, nil)
	m := &ring.Message{Sequence: 1042, Channel: "shop:orders", Entry: &log.Entry{Channel: "shop:orders", Event: "shipped", Data: []byte(`{"id":5}`)}}
	for _, k := range []ring.Encoding{dialect.Pusher, dialect.PusherCursors} {
		if table.Encoding(k) != k {
			t.Errorf("row %s shares the bytes of another", table.At(k).Name)
		}
		first := m.Encoded(k, cache)
		if n := testing.AllocsPerRun(100, func() {
			if b := m.Encoded(k, cache); &b[0] != &first[0] {
				t.Fatal("other bytes")
			}
		}); n != 0 {
			t.Errorf("row %s: %v allocations for a delivery", table.At(k).Name, n)
		}
	}
	if _, ok := table.Named("pusher"); !ok {
		t.Error("there is no row pusher")
	}
}
