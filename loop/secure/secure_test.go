package secure_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"peal/loop/secure"
)

func payload(n int, seed uint64) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return b
}

func only(version uint16) func(*tls.Config) {
	return func(c *tls.Config) { c.MinVersion, c.MaxVersion = version, version }
}

// Whatever the pieces in which bytes come and go, and whatever the order of events, both
// sides have what the other one has sent.
func TestBytesAreThoseThatWereSent(t *testing.T) {
	seeds := uint64(50)
	if os.Getenv("PEAL_SECURE_SEEDS") != "" {
		seeds, _ = strconv.ParseUint(os.Getenv("PEAL_SECURE_SEEDS"), 10, 64)
	}
	for seed := range seeds {
		session(t, seed)
	}
	for seed := range seeds / 10 {
		secure.WithoutBuffers(func() { session(t, seed) })
	}
}

// session is one room with several clients, of which each speaks and listens.
func session(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 2))
	r := newRoom(t, seed, func(c *secure.Config) { c.Handshakes = 1 + rnd.IntN(3) })
	fail := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("seed %d: %s; %+v", seed, fmt.Sprintf(format, args...), r.layer.Stats())
	}
	cache := tls.NewLRUClientSessionCache(0)
	type speaker struct {
		*client
		said, told []byte
		pieces     int
	}
	var all []*speaker
	for i := range 1 + rnd.IntN(4) {
		version := []uint16{tls.VersionTLS12, tls.VersionTLS13}[rnd.IntN(2)]
		c := r.dialFrom(fmt.Sprintf("192.0.2.%d:1000", i%2), func(c *tls.Config) {
			c.MinVersion, c.MaxVersion = version, version
			c.DynamicRecordSizingDisabled = rnd.IntN(2) == 0
			if rnd.IntN(2) == 0 {
				c.ClientSessionCache = cache
			}
		})
		c.s.room = []int{1, 100, 5000, 1 << 20}[rnd.IntN(4)]
		all = append(all, &speaker{client: c, pieces: []int{1, 20, 3000, 1 << 20}[rnd.IntN(4)]})
	}
	move := func(s *speaker) {
		switch rnd.IntN(3) {
		case 0:
			s.give(1 + rnd.IntN(s.pieces))
		case 1:
			s.take(1 + rnd.IntN(s.pieces))
		default:
			for range 1 + rnd.IntN(3) {
				r.m.step()
			}
		}
	}
	rest := func() {
		for n := 0; ; n++ {
			quiet := true
			r.m.settle()
			for _, s := range all {
				if len(s.wire) > 0 || len(s.s.out) > 0 {
					quiet = false
				}
				s.give(s.pieces)
				s.take(max(100, s.pieces))
			}
			if quiet {
				return
			}
			if n > 200_000 {
				fail("it never ends")
			}
		}
	}
	for range 400 {
		s := all[rnd.IntN(len(all))]
		u := s.upper()
		if u != nil && rnd.IntN(4) == 0 {
			u.most = []int{0, 0, 0, 1, 7, 1000, 16384, 1 << 16}[rnd.IntN(8)]
		}
		switch what := rnd.IntN(12); {
		case !s.done || s.err != nil:
		case what == 0 && len(s.wire) < 50_000:
			b := payload([]int{1, 10, 300, 5000, 16384, 40000}[rnd.IntN(6)]/(1+min(4, 3000/s.pieces)), seed)
			s.said = append(s.said, b...)
			s.write(b)
		case what == 3 && s.pieces > 20 && rnd.IntN(4) == 0: // more records than are decrypted at once
			b := payload(300, seed)
			s.said = append(s.said, b...)
			for i := range b {
				s.write(b[i : i+1])
			}
		case what == 1 && u != nil && len(u.owed) < 50_000 && s.s.room > 1:
			b := payload([]int{1, 10, 300, 5000, 16384, 40000}[rnd.IntN(6)], seed+1)
			s.told = append(s.told, b...)
			s.send(b)
		case what == 2 && u != nil:
			u.stopped = !u.stopped
			if !u.stopped {
				r.above.read(u)
			}
		}
		move(s)
	}
	for _, s := range all {
		if u := s.upper(); u != nil {
			u.stopped = false
			r.above.read(u)
		}
		s.s.widen(1 << 20)
		s.pieces = 1 << 20
	}
	rest()
	for i, s := range all {
		u := s.upper()
		switch {
		case s.err != nil || !s.done:
			fail("client %d: handshake %v, %v", i, s.done, s.err)
		case !bytes.Equal(u.got, s.said):
			fail("client %d has said %d bytes, the server has %d", i, len(s.said), len(u.got))
		case !bytes.Equal(s.got, s.told):
			fail("client %d was told %d bytes, it has %d", i, len(s.told), len(s.got))
		case !u.secure:
			fail("client %d is not secure", i)
		}
		if rnd.IntN(2) == 0 { // the client ends first
			said := rnd.IntN(3) > 0
			if said {
				last := payload(rnd.IntN(3), seed)
				if s.said = append(s.said, last...); len(last) > 0 {
					s.write(last)
				}
				s.tls.CloseWrite()
			}
			if rnd.IntN(3) > 0 {
				rest()
				s.s.deliver(nil)
			}
			if rest(); said && !u.ended || !bytes.Equal(u.got, s.said) {
				fail("client %d has said its end, and the server has not heard it", i)
			}
		} else {
			u.shut = true
			r.above.send(u)
			rest()
			if s.end != io.EOF {
				fail("client %d: the end of the server is %v, want EOF", i, s.end)
			}
			s.tls.CloseWrite()
			s.s.deliver(nil)
		}
		rest()
		if s.s.ended && !u.ended {
			fail("client %d has ended, and the server does not know", i)
		}
		r.above.close(u)
	}
	if s := r.layer.Stats(); s.Kept != 0 || s.Input != 0 || s.Open != 0 {
		fail("something is left")
	}
}
