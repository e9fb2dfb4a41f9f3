package ring_test

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"peal/loop/ring"
)

// A no is followed by one call, when a reader has taken something. Without a no there
// is none.
func TestRoomIsSignalledOnce(t *testing.T) {
	r := newRing(t, 2, 1<<20)
	d := r.Reader()
	calls := 0
	r.OnRoom(func() { calls++ })
	publish := func(sequence uint64) {
		t.Helper()
		if !r.Room(1, 1) {
			t.Fatalf("no room for %d", sequence)
		}
		r.Publish(&ring.Message{Sequence: sequence, Size: 1})
	}
	take := func(want int) {
		t.Helper()
		if d.Next(nil, 1, 1<<20); calls != want {
			t.Fatalf("%d calls, want %d", calls, want)
		}
	}
	publish(1)
	take(0)
	publish(2)
	publish(3)
	for range 2 {
		if r.Room(1, 1) {
			t.Fatal("room in a full ring")
		}
	}
	take(1)
	take(1)
	take(1) // nothing to take
	publish(4)
	take(1)
	publish(5)
	if r.Room(1, 1<<21) { // too many bytes
		t.Fatal("room for more than the limit")
	}
	take(2)
}

// A writer that waits for nothing but the signal publishes all; and with a Room that
// loses a signal it would be stuck.
func TestNoSignalOfRoomIsLost(t *testing.T) {
	if !signalled(t, (*ring.Ring).Room, 20_000, time.Minute) {
		t.Error("the writer waits, and there is room")
	}
}

// The test of the test: what a reader takes between the no of such a Room and its notice
// leaves the writer waiting, and nothing to take that would signal it.
func TestPlantedRoomLosesTheSignal(t *testing.T) {
	r := newRing(t, 2, 1<<20)
	d := r.Reader()
	signals := 0
	r.OnRoom(func() { signals++ })
	for sequence := range uint64(2) {
		r.Room(1, 1)
		r.Publish(&ring.Message{Sequence: sequence + 1, Size: 1})
	}
	if r.RoomWithoutLastLook(1, 1, func() { d.Next(nil, 8, 1<<20) }) {
		t.Fatal("room in a full ring")
	}
	if signals != 0 || d.Waiting() {
		t.Errorf("%d signals, waiting %v: it is not stuck", signals, d.Waiting())
	}
	if !r.Room(1, 1) {
		t.Error("a further look finds no room")
	}
}

// signalled has a writer publish so many messages to two readers, with room to ask,
// and reports whether it has. It is stuck when nothing was published for patience.
func signalled(t *testing.T, room func(r *ring.Ring, messages, bytes int) bool, count uint64, patience time.Duration) bool {
	t.Helper()
	r := newRing(t, 2, 1<<20)
	signal := make(chan struct{}, 1)
	r.OnRoom(func() {
		select {
		case signal <- struct{}{}:
		default:
		}
	})
	var (
		wg        sync.WaitGroup
		published atomic.Uint64
		over      atomic.Bool
	)
	defer wg.Wait()
	defer over.Store(true)
	for range 2 {
		d := r.Reader()
		wg.Go(func() {
			var batch []*ring.Message
			for !over.Load() {
				if batch = d.Next(batch[:0], 1, 1<<20); len(batch) == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	written, stuck := make(chan struct{}), make(chan struct{})
	wg.Go(func() {
		defer close(written)
		for next := uint64(1); next <= count; next++ {
			for !room(r, 1, 1) {
				select {
				case <-signal:
				case <-stuck:
					return
				}
			}
			r.Publish(&ring.Message{Sequence: next, Size: 1})
			published.Store(next)
		}
	})
	for before := uint64(0); ; {
		select {
		case <-written:
			return true
		case <-time.After(patience):
		}
		now := published.Load()
		if now == before {
			close(stuck)
			return false
		}
		before = now
	}
}

// A call of Notify is followed by one call of OnTaken's function, when a reader, whichever,
// has taken something, or had nothing to take. Without Notify there is none.
func TestWhatIsTakenIsAnnouncedOnce(t *testing.T) {
	r := newRing(t, 8, 1<<20)
	first, second := r.Reader(), r.Reader()
	calls := 0
	r.OnTaken(func() { calls++ })
	for i := range uint64(3) {
		r.Publish(&ring.Message{Sequence: i + 1, Size: 1})
	}
	take := func(d *ring.Reader, place uint64, want int) {
		t.Helper()
		if d.Next(nil, 1, 1<<20); calls != want || d.Place() != place {
			t.Fatalf("%d calls at place %d, want %d at %d", calls, d.Place(), want, place)
		}
	}
	take(first, 1, 0)
	first.Notify()
	first.Notify()
	take(second, 1, 1)
	take(second, 2, 1)
	second.Notify()
	take(first, 2, 2)
	if n := second.Newest(); n != 3 {
		t.Errorf("the newest place is %d, want 3", n)
	}
}
