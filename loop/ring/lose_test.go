package ring_test

import (
	"testing"

	"peal/loop/ring"
)

// A loss is seen with the first message behind it at the latest, and lies between those
// before and those behind.
func TestALossLiesBetweenTheMessages(t *testing.T) {
	r := newRing(t, 8, 1<<20)
	d := r.Reader()
	publish := func(sequence uint64) {
		t.Helper()
		if !r.Room(1, 1) {
			t.Fatal("no room")
		}
		r.Publish(&ring.Message{Sequence: sequence, Size: 1})
	}
	take := func(most int, lost uint64, waiting bool) {
		t.Helper()
		d.Next(nil, most, 1<<20)
		if d.Lost() != lost || d.Waiting() != waiting {
			t.Errorf("lost %d, waiting %v; want %d, %v", d.Lost(), d.Waiting(), lost, waiting)
		}
	}
	publish(1)
	publish(2)
	take(1, 0, true)
	r.Lose(10)
	take(1, 10, false)
	publish(11)
	take(8, 10, false)
	r.Lose(20) // nothing is published: a look is enough
	take(8, 20, false)
	r.Lose(15)
	take(8, 20, false)
	defer func() {
		if recover() == nil {
			t.Error("a message that lies within the loss is published")
		}
	}()
	publish(18)
}
