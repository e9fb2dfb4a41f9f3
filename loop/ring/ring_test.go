package ring_test

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"peal/loop/ring"
)

func newRing(t testing.TB, slots, bytes int) *ring.Ring {
	t.Helper()
	r, err := ring.New(slots, bytes, 0)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	for _, c := range []struct{ slots, bytes int }{{0, 1}, {1, 1}, {3, 1}, {4, 0}, {-4, 1}} {
		if _, err := ring.New(c.slots, c.bytes, 0); err == nil {
			t.Errorf("New(%d, %d) was accepted", c.slots, c.bytes)
		}
	}
}

func TestUnreadIsNeverOverwritten(t *testing.T) {
	r := newRing(t, 4, 1000)
	slow, fast := r.Reader(), r.Reader()
	for s := uint64(1); s <= 4; s++ {
		if !r.Room(1, 1) {
			t.Fatalf("no room for message %d of 4", s)
		}
		r.Publish(&ring.Message{Sequence: s, Size: 1})
	}
	fast.Next(nil, 100, 1<<30)
	if r.Room(1, 1) {
		t.Fatal("room although the slow reader has taken nothing")
	}
	if got := slow.Next(nil, 2, 1<<30); len(got) != 2 || got[0].Sequence != 1 || got[1].Sequence != 2 {
		t.Fatalf("slow reader took %v, want 1 and 2", got)
	}
	if !r.Room(2, 2) || r.Room(3, 3) {
		t.Fatal("after 2 of 4 were taken there is room for exactly 2")
	}
}

func TestBytesAreLimitedToo(t *testing.T) {
	r := newRing(t, 64, 100)
	d := r.Reader()
	r.Publish(&ring.Message{Sequence: 1, Size: 80})
	if r.Room(1, 21) {
		t.Error("room for 101 of 100 bytes")
	}
	if !r.Room(1, 20) {
		t.Error("no room for 100 of 100 bytes")
	}
	d.Next(nil, 10, 1<<30)
	if !r.Room(1, 5000) {
		t.Error("a message above the limit must pass when nothing is unread")
	}
}

func TestPublishRefusesWhatIsOutOfOrder(t *testing.T) {
	r := newRing(t, 4, 100)
	r.Publish(&ring.Message{Sequence: 2})
	for _, sequence := range []uint64{1, 2} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("message %d after 2 went unnoticed", sequence)
				}
			}()
			r.Publish(&ring.Message{Sequence: sequence})
		}()
	}
}

// Sequences may have holes of any size: room is for messages, not for numbers.
func TestSequencesMayHaveHoles(t *testing.T) {
	r, err := ring.New(4, 100, 1000)
	if err != nil {
		t.Fatal(err)
	}
	d := r.Reader()
	if d.Applied() != 1000 || r.Head() != 1000 || d.Waiting() {
		t.Fatalf("applied %d, head %d at the start, want 1000", d.Applied(), r.Head())
	}
	next, want := uint64(1000), uint64(1000)
	for round := range 50 {
		for range 4 {
			if !r.Room(1, 1) {
				t.Fatalf("round %d: no room for four messages", round)
			}
			next += 1 + next%1001
			r.Publish(&ring.Message{Sequence: next, Size: 1})
		}
		if r.Room(1, 1) || d.Behind() != 4 || r.Head() != next {
			t.Fatalf("round %d: room for a fifth, or %d behind, or head %d", round, d.Behind(), r.Head())
		}
		for _, m := range append(d.Next(nil, 3, 1<<30), d.Next(nil, 3, 1<<30)...) {
			if want += 1 + want%1001; m.Sequence != want {
				t.Fatalf("round %d: took %d, want %d", round, m.Sequence, want)
			}
		}
		if d.Applied() != next {
			t.Fatalf("round %d: applied %d, want %d", round, d.Applied(), next)
		}
	}
}

// Many publishers behind one lock, several loops: each takes every message
// once and in order, and its encoding is computed to one result for all.
func TestManyPublishersManyLoops(t *testing.T) {
	const publishers, loops, each = 4, 3, 20_000
	r := newRing(t, 256, 1<<20)
	var (
		lock sync.Mutex
		next uint64
		wg   sync.WaitGroup
		full atomic.Int64
		seen [loops]map[uint64]*byte
	)
	readers := make([]*ring.Reader, loops)
	for i := range readers {
		readers[i] = r.Reader()
		seen[i] = map[uint64]*byte{}
	}
	for range publishers {
		wg.Go(func() {
			for n := 0; n < each; {
				lock.Lock()
				if r.Room(1, 10) {
					next++
					r.Publish(&ring.Message{Sequence: next, Size: 10})
					n++
					lock.Unlock()
					continue
				}
				lock.Unlock()
				full.Add(1)
				runtime.Gosched()
			}
		})
	}
	for i, d := range readers {
		wg.Go(func() {
			var batch []*ring.Message
			cache := ring.NewCache(func(m *ring.Message, k ring.Encoding) []byte { return fmt.Append(nil, m.Sequence, k) }, nil)
			want := uint64(1)
			for want <= publishers*each {
				batch = d.Next(batch[:0], 64, 1<<30)
				if len(batch) == 0 {
					runtime.Gosched()
				}
				for _, m := range batch {
					if m.Sequence != want {
						t.Errorf("loop %d took %d, want %d", i, m.Sequence, want)
						return
					}
					want++
					b := m.Encoded(1, cache)
					if m.Sequence%97 == 0 {
						seen[i][m.Sequence] = &b[0]
					}
				}
			}
		})
	}
	wg.Wait()
	for s, p := range seen[0] {
		if seen[1][s] != p || seen[2][s] != p {
			t.Fatalf("message %d: the loops hold different bytes", s)
		}
	}
	if full.Load() == 0 {
		t.Log("the ring was never full: the refusal path was not met in this run")
	}
}

func TestNextDoesNotAllocate(t *testing.T) {
	r := newRing(t, 1024, 1<<20)
	d := r.Reader()
	batch := make([]*ring.Message, 0, 64)
	m := make([]ring.Message, 2000)
	s := uint64(0)
	if n := testing.AllocsPerRun(1000, func() {
		m[s].Sequence = s + 1
		r.Room(1, 1)
		r.Publish(&m[s])
		s++
		batch = d.Next(batch[:0], 64, 1<<30)
	}); n != 0 {
		t.Errorf("publish and take: %v allocations, want 0", n)
	}
}

func TestNextEndsAtBytes(t *testing.T) {
	r := newRing(t, 16, 1<<20)
	d := r.Reader()
	for s, size := range []int{10, 10, 100, 10, 10} {
		r.Publish(&ring.Message{Sequence: uint64(s + 1), Size: size})
	}
	for _, want := range []int{3, 2, 0} { // with the one that exceeds it
		if got := len(d.Next(nil, 10, 50)); got != want {
			t.Errorf("took %d messages, want %d", got, want)
		}
	}
}
