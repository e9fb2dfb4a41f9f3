package ring_test

import (
	"bytes"
	"sync"
	"testing"

	"peal/loop/ring"
)

// counting is an encoder of results of that many bytes, which counts its calls.
func counting(size int, calls *int) func(*ring.Message, ring.Encoding) []byte {
	return func(m *ring.Message, k ring.Encoding) []byte {
		*calls++
		return bytes.Repeat([]byte{byte(m.Sequence), byte(k)}, size/2)
	}
}

func TestCacheKeepsNoMoreThanItsLimit(t *testing.T) {
	const size, limit = 1000, 2 * ring.CacheFloor
	calls := 0
	c := ring.NewCache(counting(size, &calls), func() int { return limit })
	messages := make([]*ring.Message, 10_000)
	for i := range messages {
		messages[i] = &ring.Message{Sequence: uint64(i + 1)}
		for k := range ring.Encoding(3) {
			messages[i].Encoded(k, c)
		}
		if c.Bytes() > limit {
			t.Fatalf("%d bytes are kept after %d messages, want at most %d", c.Bytes(), i+1, limit)
		}
	}
	kept := 0
	for i, m := range messages {
		for k := range ring.Encoding(3) {
			if b, ok := m.Kept(k); ok {
				kept += len(b) + ring.EncodingOverhead
			} else if i == len(messages)-1 {
				t.Errorf("encoding %d of the newest message was dropped", k)
			}
		}
	}
	if kept != c.Bytes() || kept < limit-size-ring.EncodingOverhead {
		t.Errorf("messages hold %d bytes of encodings, the cache says %d, the limit is %d", kept, c.Bytes(), limit)
	}
	if _, ok := messages[0].Kept(0); ok {
		t.Error("the oldest encoding is still there")
	}
	calls = 0
	if b := messages[0].Encoded(1, c); len(b) != size || b[0] != 1 || b[1] != 1 || calls != 1 {
		t.Errorf("a dropped encoding came back as %d bytes % x… by %d calls", len(b), b[:2], calls)
	}
	if messages[0].Encoded(1, c); calls != 1 {
		t.Errorf("%d calls for an encoding that is kept again, want 1", calls)
	}
}

func TestCacheFollowsALimitThatShrinks(t *testing.T) {
	calls, limit := 0, 4*ring.CacheFloor
	c := ring.NewCache(counting(1000, &calls), func() int { return limit })
	for i := range 5000 {
		(&ring.Message{Sequence: uint64(i)}).Encoded(0, c)
	}
	limit = 0
	(&ring.Message{}).Encoded(0, c)
	if c.Bytes() > ring.CacheFloor {
		t.Errorf("%d bytes are kept, want at most %d", c.Bytes(), ring.CacheFloor)
	}
}

func TestCacheKeepsAResultThatIsLargerThanItsLimit(t *testing.T) {
	calls := 0
	c := ring.NewCache(counting(3*ring.CacheFloor, &calls), func() int { return 0 })
	m := &ring.Message{Sequence: 1}
	m.Encoded(0, c)
	if m.Encoded(0, c); calls != 1 {
		t.Errorf("%d calls, want 1", calls)
	}
	(&ring.Message{}).Encoded(0, c)
	if _, ok := m.Kept(0); ok {
		t.Error("it stays though another came")
	}
}

func TestEncodedOfNothing(t *testing.T) {
	calls := 0
	c := ring.NewCache(counting(0, &calls), nil)
	m := &ring.Message{}
	if b := m.Encoded(0, c); len(b) != 0 || calls != 1 {
		t.Errorf("%d bytes, %d calls", len(b), calls)
	}
	if _, ok := m.Kept(0); !ok {
		t.Error("an empty encoding is not kept")
	}
	if b := m.Encoded(0, c); len(b) != 0 || calls != 1 {
		t.Errorf("again: %d bytes, %d calls", len(b), calls)
	}
}

// Two goroutines whose caches are too small for what they share take results
// away from under each other; the bytes that each holds stay right.
func TestCachesTakeAwayUnderEachOther(t *testing.T) {
	messages := make([]*ring.Message, 64)
	for i := range messages {
		messages[i] = &ring.Message{Sequence: uint64(i)}
	}
	const size = ring.CacheFloor / 16
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			calls := 0
			c := ring.NewCache(counting(size, &calls), func() int { return 0 })
			for round := range 50 {
				for i := range messages {
					m := messages[(i*7+round)%len(messages)]
					if b := m.Encoded(1, c); len(b) != size || b[0] != byte(m.Sequence) || b[size-1] != 1 {
						t.Errorf("message %d: %d bytes, % x…", m.Sequence, len(b), b[:2])
						return
					}
				}
			}
			if calls <= len(messages) {
				t.Errorf("%d calls: nothing was ever dropped", calls)
			}
		})
	}
	wg.Wait()
}
