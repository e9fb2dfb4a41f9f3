package ring_test

import (
	"bytes"
	"sync"
	"testing"

	"peal/loop/ring"
)

// name is an encoder whose results say of what they are made.
func name(m *ring.Message, k ring.Encoding) []byte { return []byte{byte(m.Sequence), byte(k)} }

func TestAMessageHasTheEncodingsThatAreAskedFor(t *testing.T) {
	c := ring.NewCache(name, func() int { return 1 << 30 })
	m := &ring.Message{Sequence: 7}
	const most = ring.MostEncodings
	for k := range most {
		if _, ok := m.Kept(ring.Encoding(k)); ok {
			t.Fatalf("encoding %d is there before anybody asked for it", k)
		}
		m.Encoded(ring.Encoding(k), c)
	}
	for k := range most {
		if b, ok := m.Kept(ring.Encoding(k)); !ok || !bytes.Equal(b, []byte{7, byte(k)}) {
			t.Fatalf("encoding %d: % x, %v", k, b, ok)
		}
	}
	if want := most * (2 + ring.EncodingOverhead); c.Bytes() != want {
		t.Errorf("the cache keeps %d bytes, want %d", c.Bytes(), want)
	}
}

// Goroutines that ask for many encodings of the same messages in different orders
// get one result for each, whoever was first.
func TestManyEncodingsAtOnce(t *testing.T) {
	const readers, encodings, messages = 4, ring.MostEncodings, 200
	steps := [readers]int{1, 3, 5, 7} // an order of its own for each: they have no divisor in common with encodings
	var (
		wg   sync.WaitGroup
		m    [messages]ring.Message
		seen [readers][messages][encodings]*byte
	)
	for r := range readers {
		wg.Go(func() {
			c := ring.NewCache(name, nil)
			for i := range m {
				for n := range encodings {
					k := ring.Encoding(n * steps[r] % encodings)
					seen[r][i][k] = &m[i].Encoded(k, c)[0]
				}
			}
		})
	}
	wg.Wait()
	for i := range m {
		for k := range encodings {
			for r := range readers {
				if seen[r][i][k] == nil || seen[r][i][k] != seen[0][i][k] {
					t.Fatalf("message %d, encoding %d: readers hold different bytes", i, k)
				}
			}
		}
	}
}

// An encoder that gives another length than before is obeyed, but its result is
// nobody else's: the size of what is kept is fixed.
func TestAResultOfAnotherLengthIsNotKept(t *testing.T) {
	length := 10
	c := ring.NewCache(func(*ring.Message, ring.Encoding) []byte { return make([]byte, length) }, func() int { return 0 })
	m := &ring.Message{}
	m.Encoded(0, c)
	length = ring.CacheFloor
	(&ring.Message{}).Encoded(0, c) // and the first has to go
	length = 11
	if b := m.Encoded(0, c); len(b) != 11 {
		t.Errorf("%d bytes, want those of the encoder", len(b))
	}
	if _, ok := m.Kept(0); ok {
		t.Error("a result of another length is kept")
	}
	length = 10
	if b := m.Encoded(0, c); len(b) != 10 {
		t.Errorf("%d bytes, want 10", len(b))
	}
	if b, ok := m.Kept(0); !ok || len(b) != 10 {
		t.Errorf("%d bytes kept (%v), want 10", len(b), ok)
	}
}

// A message keeps a limited number of results; in further encodings it has the same bytes,
// encoded each time.
func TestFurtherEncodingsAreNotKept(t *testing.T) {
	calls := map[ring.Encoding]int{}
	c := ring.NewCache(func(_ *ring.Message, k ring.Encoding) []byte { calls[k]++; return []byte{byte(k)} }, nil)
	m := &ring.Message{}
	for range 3 {
		for k := range ring.Encoding(ring.MostEncodings + 3) {
			if b := m.Encoded(k, c); len(b) != 1 || b[0] != byte(k) {
				t.Fatalf("in encoding %d it is %v", k, b)
			}
		}
	}
	for k, n := range calls {
		if want := map[bool]int{true: 1, false: 3}[k < ring.MostEncodings]; n != want {
			t.Errorf("encoded %d times in encoding %d, want %d", n, k, want)
		}
	}
	if _, ok := m.Kept(ring.MostEncodings); ok {
		t.Error("a further one is kept")
	}
}
