package distributed_test

import (
	"context"
	"testing"
	"time"

	"peal/server/log"
)

// Cursors of epochs that somebody makes up cost others nothing: a client with a cursor of a lost
// epoch has its gap when it comes back, and the store is not looked at for each of them.
func TestCursorsThatAreMadeUp(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	made := log.Epoch(1 << 40)
	flood := func(cursors int) {
		for range cursors {
			made++
			n.Ahead(log.Cursor{Epoch: made, Sequence: 1})
		}
	}
	early, late, later := log.Cursor{Epoch: 7, Sequence: 9}, log.Cursor{Epoch: 8, Sequence: 9}, log.Cursor{Epoch: 9, Sequence: 9}
	if !n.Ahead(early) {
		t.Error("the first client has a gap before the store was looked at")
	}
	flood(10_000)
	w.clock = w.clock.Add(time.Second)
	n.step()
	if n.Ahead(early) {
		t.Error("a client that comes back is sent away again")
	}
	w.clock = w.clock.Add(2 * time.Second)
	if !n.Ahead(late) {
		t.Error("a client has a gap, although the store was not looked at for 2 s")
	}
	flood(10_000)
	n.step()
	w.clock = w.clock.Add(900 * time.Millisecond)
	if n.Ahead(late) {
		t.Error("a client that comes while there is no room is sent away again and again")
	}
	if n.Ahead(later) {
		t.Error("there is room")
	}

	w.looks = 0
	for range 1000 {
		flood(3)
		n.publish("x")
		_, _ = n.Flush(context.Background())
		if err := n.Follow(context.Background(), 0); err != nil {
			t.Fatal(err)
		}
		w.clock = w.clock.Add(time.Millisecond)
	}
	if w.looks == 0 || w.looks > 12 {
		t.Errorf("the store was looked at %d times in a second", w.looks)
	}
	w.clock = w.clock.Add(2 * time.Minute)
	n.step()
	if !n.Ahead(later) {
		t.Error("there is no room, although all that was made up is old")
	}
}
