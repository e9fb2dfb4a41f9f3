package secure_test

import (
	"crypto/tls"
	"fmt"
	"runtime"
	"testing"

	"peal/loop"
)

// maxIdleBytes is what an idle connection may cost on the heap: 3,282 to 3,626 were measured
// with go1.26.8. The target is 8 KiB resident.
const maxIdleBytes = 4400

// An idle connection costs what crypto/tls needs for its keys, whatever its client has sent.
func TestMemoryOfIdleConnections(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, resumed := range []bool{false, true} {
			for _, sent := range []int{400, 40_000} {
				name := fmt.Sprintf("%s resumed=%v sent=%d", tls.VersionName(version), resumed, sent)
				bytes, objects := idle(t, version, resumed, sent)
				t.Logf("%s: %d B in %.1f objects for each idle connection", name, bytes, objects)
				if bytes > maxIdleBytes {
					t.Errorf("%s: %d B for each idle connection, want at most %d", name, bytes, maxIdleBytes)
				}
			}
		}
	}
}

// idle measures what connections hold after a request of so many bytes and a small response.
func idle(t *testing.T, version uint16, resumed bool, sent int) (bytes int, objects float64) {
	const n = 200
	r := newRoom(t, 1, nil)
	cache := tls.NewLRUClientSessionCache(0)
	if resumed {
		r.dial(func(c *tls.Config) { only(version)(c); c.ClientSessionCache = cache }).shook()
	}
	before := r.layer.Stats()
	var sockets []*socket
	for range n {
		c := r.dial(func(c *tls.Config) {
			only(version)(c)
			if resumed {
				c.ClientSessionCache = cache
			}
		}).shook()
		c.write(make([]byte, sent))
		c.flow().send(make([]byte, 200))
		c.flow()
		if len(c.upper().got) != sent {
			t.Fatalf("%d of %d bytes", len(c.upper().got), sent)
		}
		c.upper().got, c.upper().owed = nil, nil
		c.s.in, c.s.out = nil, nil
		sockets = append(sockets, c.s)
		*c = client{r: r, gone: true, err: errEmpty{}} // the client is not what is measured
	}
	if s := r.layer.Stats(); (s.Resumed-before.Resumed == n) != resumed {
		t.Fatalf("%+v", s)
	}
	r.m.now += 1e12
	r.m.settle() // deadlines hold connections, too
	with := heap()
	for _, s := range sockets {
		r.above.close(r.above.conns[s.fd])
	}
	without := heap()
	return int(with.HeapAlloc-without.HeapAlloc) / n, float64(with.HeapObjects-without.HeapObjects) / n
}

func heap() (m runtime.MemStats) {
	runtime.GC()
	runtime.GC() // what finalizers have held
	runtime.ReadMemStats(&m)
	return m
}

// What is sent and received costs no allocation.
func TestAllocationsOfRecords(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes pools forget what they keep")
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		r := newRoom(t, 1, nil)
		c := r.dial(only(version)).shook()
		u := c.upper()
		b := make([]byte, 200)
		c.s.out = make([]byte, 0, 1<<20)
		if n := testing.AllocsPerRun(500, func() {
			r.above.kernel.Send(u.fd, b)
		}); n > 0 {
			t.Errorf("%s: %v allocations for each record that is sent", tls.VersionName(version), n)
		}
		const records = 500
		for range records + 1 {
			c.write(b)
		}
		size := len(c.wire) / (records + 1)
		wire := c.wire
		if n := testing.AllocsPerRun(records, func() {
			c.s.in = wire[:size]
			wire = wire[size:]
			for n, err := 0, loop.ErrAgain; n == 0; n, err = r.above.kernel.Read(u.fd, b) {
				if err != loop.ErrAgain || len(c.s.in) == 0 {
					t.Fatalf("%v; %+v", err, r.layer.Stats())
				}
			}
		}); n > 0 {
			t.Errorf("%s: %v allocations for each record that is read", tls.VersionName(version), n)
		}
		c.wire = nil
	}
}
