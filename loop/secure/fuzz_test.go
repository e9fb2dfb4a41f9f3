package secure_test

import (
	"crypto/tls"
	"math/rand/v2"
	"testing"
	"time"
)

// FuzzUnauthenticated: whatever a client sends, in whatever pieces, the connection
// ends when its time is over, or earlier, and leaves nothing behind.
func FuzzUnauthenticated(f *testing.F) {
	hello := clientHello(f, &tls.Config{ServerName: "localhost"})
	f.Add(hello, uint64(0))
	f.Add(inRecords(hello[5:], 33), uint64(1))
	f.Add(append(hello[:len(hello):len(hello)], 20, 3, 3, 0, 1, 1, 23, 3, 3, 0, 3, 1, 2, 3), uint64(2))
	f.Add([]byte("POST / HTTP/1.1\r\nHost: x\r\n\r\n"), uint64(3))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		if len(b) > 1<<17 {
			return
		}
		r := newRoom(t, seed, nil)
		s := r.m.connect("192.0.2.1:1")
		for len(b) > 0 && !s.closed {
			n := 1 + r.m.rnd.IntN(len(b))
			s.deliver(b[:n])
			b = b[n:]
			if r.m.rnd.IntN(4) > 0 {
				r.m.settle()
			}
		}
		r.m.settle()
		r.m.elapse(11 * time.Second)
		r.m.elapse(2 * time.Second)
		if stats := r.layer.Stats(); !s.closed || stats.Full != 0 || stats.Open != 0 || stats.Input != 0 {
			t.Fatalf("closed %v; %+v", s.closed, stats)
		}
	})
}

// Records of any type and content, sealed with the right keys or damaged, in any pieces: the
// server reads the data up to the first violation, or closes.
func TestAnyRecords(t *testing.T) {
	for seed := range uint64(150) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		r := newRoom(t, seed, nil)
		c, s := r.dialSealing()
		u := c.upper()
		var wire []byte
		said := 0
		for range 1 + rnd.IntN(30) {
			switch rnd.IntN(8) {
			case 0:
				wire = append(wire, s.keyUpdate()...)
			case 1:
				n := rnd.IntN(100)
				said += n // it may be data
				wire = append(wire, s.record(byte(rnd.IntN(30)), payload(n, seed))...)
			case 2:
				wire = append(wire, payload(rnd.IntN(30), seed)...)
			default:
				n := rnd.IntN(16384)
				said += n
				wire = append(wire, s.record(23, make([]byte, n))...)
			}
		}
		for len(wire) > 0 && !u.closed {
			n := 1 + rnd.IntN(min(len(wire), 20_000))
			c.s.deliver(wire[:n])
			wire = wire[n:]
			if rnd.IntN(3) > 0 {
				r.m.settle()
			}
		}
		r.m.settle()
		if len(u.got) > said {
			t.Fatalf("seed %d: %d bytes of %d", seed, len(u.got), said)
		}
		r.m.elapse(31 * time.Second)
		r.m.elapse(31 * time.Second)
		if s := r.layer.Stats(); !u.closed && !u.ended && s.Input != 0 {
			t.Fatalf("seed %d: %+v", seed, s)
		}
	}
}
