package loop_test

import (
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"peal/loop"
)

// Each poll allocates one Subscription: 80 bytes are a size class, one more costs 96.
func TestSubscriptionIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(loop.Subscription{}); size > 80 {
		t.Errorf("a Subscription has %d bytes, want at most 80", size)
	}
}

// allocations counts what all goroutines allocate while f runs.
func allocations(f func()) int {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int(after.Mallocs - before.Mallocs)
}

// crew is many connections whose goroutines work on command without allocating.
type crew struct {
	begin []chan struct{}
	done  chan error
}

// newCrew runs work, once for each round, for each connection.
func newCrew(t *testing.T, all []*client, work func(c net.Conn, buffer []byte) error) *crew {
	w := &crew{done: make(chan error, len(all))}
	for _, c := range all {
		begin := make(chan struct{}, 1)
		w.begin = append(w.begin, begin)
		c.SetDeadline(time.Now().Add(3 * patience))
		go func() { // ends when the test does
			buffer := make([]byte, 64<<10)
			for range begin {
				w.done <- work(c.Conn, buffer)
			}
		}()
	}
	t.Cleanup(func() {
		for _, b := range w.begin {
			close(b)
		}
	})
	return w
}

func (w *crew) start() {
	for _, b := range w.begin {
		b <- struct{}{}
	}
}

func (w *crew) wait(t *testing.T) {
	t.Helper()
	for range w.begin {
		if err := <-w.done; err != nil {
			t.Fatal(err)
		}
	}
}

// A delivered frame costs no allocation; a published message some, whoever
// receives it.
func TestAllocationsOfDeliveredFrames(t *testing.T) {
	onlyPlain(t)
	for _, tc := range []struct {
		name, words string
		at          int // together in flight
	}{
		{"one at a time", "sse a now", 1},
		{"sixteen together", "sse a now", 16},
		{"two channels", "sse a,b now", 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			const subscribers, messages, perMessage, slack = 200, 208, 40, 2000
			s := start(t, options{keep: 10})
			var all []*client
			for range subscribers {
				c := s.dial()
				c.send(tc.words, "\n")
				all = append(all, c)
			}
			for _, c := range all {
				c.expect("stream", "open 0")
			}
			for range 1000 { // so that sequences have as many digits now as later
				s.publish("nobody", "x")
			}
			data := strings.Repeat("x", 100)
			size := tc.at * len("m 1000 a \n"+data)
			w := newCrew(t, all, func(c net.Conn, buffer []byte) error {
				_, err := io.ReadFull(c, buffer[:size])
				return err
			})
			round := func() {
				w.start()
				for range tc.at {
					s.publish("a", data)
				}
				w.wait(t)
			}
			for range 32 / tc.at {
				round() // pools and buffers grow to their size
			}
			n := allocations(func() {
				for range messages / tc.at {
					round()
				}
			})
			t.Logf("%d allocations for %d deliveries of %d messages", n, subscribers*messages, messages)
			if n > messages*perMessage+slack {
				t.Errorf("%d allocations for %d deliveries of %d messages, want at most %d a message", n, subscribers*messages, messages, perMessage)
			}
		})
	}
}

// A received frame costs no allocation, whole or in pieces.
func TestAllocationsOfReceivedFrames(t *testing.T) {
	for _, tc := range []struct {
		name   string
		pieces int
		wire   string
	}{
		{"whole", 1, string(masked(0x80|opText, "#"+strings.Repeat("f", 299)))},
		{"in three pieces", 3, string(masked(0x80|opText, "#"+strings.Repeat("f", 299)))},
		{"compressed", 1, compressed("#" + strings.Repeat("f", 2999))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			const senders, rounds, slack = 200, 200, 3000
			s := start(t, options{})
			var all []*client
			for range senders {
				c := s.dial()
				c.ws("wsraw", "a now publish deflate")
				all = append(all, c)
			}
			wire := []byte(tc.wire)
			w := newCrew(t, all, func(c net.Conn, _ []byte) error {
				for i := range tc.pieces {
					if _, err := c.Write(wire[i*len(wire)/tc.pieces : (i+1)*len(wire)/tc.pieces]); err != nil {
						return err
					}
				}
				return nil
			})
			target := int64(0)
			round := func() {
				target += senders
				w.start()
				w.wait(t)
				for deadline := time.Now().Add(patience); s.received.Load() < target; {
					if time.Now().After(deadline) {
						t.Fatalf("%d of %d messages were received", s.received.Load(), target)
					}
					runtime.Gosched()
				}
			}
			for range 10 {
				round()
			}
			n := allocations(func() {
				for range rounds {
					round()
				}
			})
			t.Logf("%d allocations for %d frames", n, senders*rounds)
			if n > slack {
				t.Errorf("%d allocations for %d frames", n, senders*rounds)
			}
		})
	}
}
