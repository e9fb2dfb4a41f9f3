package conform

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"peal/server/log"
)

func controlEntriesAlwaysHaveRoom(t *testing.T, w *world) {
	n := w.node(t)
	n.publish(t, "1")
	n.Tail.SetFull(true)
	asked := n.Tail.asked
	n.order(t, "2")
	n.order(t, "3")
	if n.Tail.asked != asked {
		t.Error("a control entry asked for room")
	}
	n.Tail.SetFull(false)
	n.publish(t, "4")
	Until(t, "all are applied", func() bool { return len(n.Tail.Entries()) == 4 })
	if got := fmt.Sprint(n.Tail.Data()); got != "[1 2 3 4]" || n.Tail.Order() != "3" {
		t.Errorf("%s, newest order %s", got, n.Tail.Order())
	}
}

// A tail that refuses leaves no trace in a log that is its own; in one that is shared, the
// entries wait for it.
func aTailWithoutRoom(t *testing.T, w *world) {
	n := w.node(t)
	n.publish(t, "1")
	n.Tail.SetFull(true)
	e := &log.Entry{Channel: "a", Data: []byte("2")}
	if !w.subject.Distributed {
		err := n.Append([]*log.Entry{e}, func(error) { t.Error("done was called") })
		if !errors.Is(err, log.ErrFull) || n.Head() != n.base(t)+1 || e.Sequence != 0 || e.Time != 0 {
			t.Errorf("%v; head %d, the entry is %s", err, n.Head(), describe(e))
		}
		n.Tail.SetFull(false)
		n.publish(t, "3")
		if got := fmt.Sprint(n.Tail.Data()); got != "[1 3]" {
			t.Error(got)
		}
		return
	}
	if err := n.try(e); err != nil { // it is in the store, though this node cannot show it
		t.Fatal(err)
	}
	if n.Head() != n.base(t)+1 || len(n.Tail.Entries()) != 1 {
		t.Errorf("shown without room: head %d", n.Head())
	}
	if err := n.try(&log.Entry{Channel: "a", Data: []byte("3")}); err != nil {
		t.Fatal(err)
	}
	n.Tail.SetFull(false)
	Until(t, "what waited is shown", func() bool { return len(n.Tail.Entries()) == 3 })
	if got := fmt.Sprint(n.Tail.Data()); got != "[1 2 3]" {
		t.Error(got)
	}
}

func closeFinishesWhatWasAccepted(t *testing.T, w *world) {
	n := w.node(t)
	const batches = 200
	var done, good atomic.Int64
	for i := range batches {
		err := n.Append([]*log.Entry{{Channel: "a", Data: fmt.Append(nil, i)}}, func(err error) {
			done.Add(1)
			if err == nil {
				good.Add(1)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	n.close(t)
	if done.Load() != batches || good.Load() != batches {
		t.Errorf("%d of %d are done, %d of them well", done.Load(), batches, good.Load())
	}
	if err := n.Append([]*log.Entry{{}}, func(error) { t.Error("done was called") }); !errors.Is(err, log.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	n.close(t)
	if w.subject.Persistent {
		again := w.node(t)
		if len(again.Restored) != batches {
			t.Errorf("%d are there again, want %d", len(again.Restored), batches)
		}
	}
}

func readFromAnySequence(t *testing.T, w *world) {
	n := w.node(t)
	r, ok := n.Engine.(log.Reader)
	if !ok {
		return // its tails hold what they need
	}
	const entries = 300
	for i := 0; i < entries; i += 3 {
		n.append(t, &log.Entry{Data: fmt.Append(nil, i+1)}, &log.Entry{Data: fmt.Append(nil, i+2)}, &log.Entry{Data: fmt.Append(nil, i+3)})
	}
	base := n.base(t)
	for after := range uint64(entries + 1) {
		for _, count := range []int{1, 7, entries} {
			got, err := r.Read(nil, base+after, count, 1<<20)
			if want := min(count, entries-int(after)); err != nil || len(got) != want {
				t.Fatalf("behind %d, %d at most: %d entries, want %d; %v", after, count, len(got), want, err)
			}
			for i, e := range got {
				if want := after + uint64(i) + 1; e.Sequence != base+want || string(e.Data) != fmt.Sprint(want) {
					t.Fatalf("behind %d: entry %d is %s", after, i, describe(e))
				}
			}
		}
	}
	given := []*log.Entry{{Data: []byte("before")}}
	got, err := r.Read(given, base+10, 50, log.EntryOverhead)
	if err != nil || len(got) != 2 && len(got) != 3 || got[0] != given[0] || got[1].Sequence != base+11 {
		t.Errorf("with bytes for less than two entries, behind one that was there: %d entries; %v", len(got), err)
	}
	if got, err := r.Read(nil, base+entries+1000, 5, 1000); err != nil || len(got) != 0 {
		t.Errorf("beyond the head: %d entries; %v", len(got), err)
	}
}
