package memory_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"peal/server/log"
	"peal/server/log/memory"
)

var _ log.Engine = (*memory.Log)(nil)

// fakeTail keeps sequences and the order of its calls.
type fakeTail struct {
	head      func() uint64
	full      bool
	entries   int
	bytes     int
	sequences []uint64
	calls     []string
}

func (f *fakeTail) Room(entries, bytes int) bool {
	f.entries, f.bytes = entries, bytes
	f.calls = append(f.calls, "room")
	return !f.full
}

func (f *fakeTail) Apply(batch []*log.Entry) {
	for _, e := range batch {
		f.sequences = append(f.sequences, e.Sequence)
	}
	if last := f.sequences[len(f.sequences)-1]; f.head() != last {
		panic("the head is not the last entry while it is applied")
	}
	f.calls = append(f.calls, "apply")
}

func (f *fakeTail) Wake() { f.calls = append(f.calls, "wake") }

func newLog() (*memory.Log, *fakeTail) {
	tail := &fakeTail{}
	l := memory.Open(func() time.Time { return time.UnixMilli(5000) })
	l.Start(tail, nil)
	tail.head = l.Head
	return l, tail
}

func TestAppendNumbersAppliesWakesAndIsDone(t *testing.T) {
	l, tail := newLog()
	batch := []*log.Entry{{Channel: "a"}, {Channel: "b", Time: 7}}
	err := l.Append(batch, func(err error) {
		if err != nil || batch[1].Sequence != 2 {
			t.Errorf("done with %v, sequence %d", err, batch[1].Sequence)
		}
		tail.calls = append(tail.calls, "done")
	})
	if err != nil || batch[0].Sequence != 1 || batch[0].Time != 5000 || batch[1].Time != 7 {
		t.Errorf("%v: %+v %+v", err, batch[0], batch[1])
	}
	if tail.entries != 2 || tail.bytes != 2*log.EntryOverhead+2 {
		t.Errorf("asked room for %d entries, %d bytes", tail.entries, tail.bytes)
	}
	if got := len(tail.calls); got != 4 || tail.calls[0] != "room" || tail.calls[1] != "apply" || tail.calls[2] != "wake" || tail.calls[3] != "done" {
		t.Errorf("calls: %v", tail.calls)
	}
	if l.Head() != 2 || l.Lineage().Epoch() == 0 {
		t.Errorf("head %d, epoch %d", l.Head(), l.Lineage().Epoch())
	}
}

func TestResolveKnowsThisLifeUpToItsHead(t *testing.T) {
	l, _ := newLog()
	if err := l.Append([]*log.Entry{{}, {}}, nil); err != nil {
		t.Fatal(err)
	}
	for sequence, want := range []bool{true, true, true, false} {
		got, ok := l.Resolve(log.Cursor{Epoch: l.Lineage().Epoch(), Sequence: uint64(sequence)})
		if ok != want || ok && got != uint64(sequence) {
			t.Errorf("sequence %d of 2: %d, %v", sequence, got, ok)
		}
	}
	if _, ok := l.Resolve(log.Cursor{Epoch: l.Lineage().Epoch() + 1, Sequence: 1}); ok {
		t.Error("a cursor of another life resolves")
	}
}

func TestDoneMayAppend(t *testing.T) {
	l, tail := newLog()
	err := l.Append([]*log.Entry{{}}, func(error) {
		if err := l.Append([]*log.Entry{{}}, nil); err != nil {
			t.Error(err)
		}
	})
	if err != nil || len(tail.sequences) != 2 {
		t.Errorf("%v, %v", err, tail.sequences)
	}
}

func TestRefusedBatchLeavesNoTrace(t *testing.T) {
	l, tail := newLog()
	done := func(error) { t.Error("done was called") }
	tail.full = true
	e := &log.Entry{}
	if err := l.Append([]*log.Entry{e}, done); !errors.Is(err, log.ErrFull) {
		t.Errorf("full: %v", err)
	}
	tail.full = false
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := l.Append([]*log.Entry{e}, done); !errors.Is(err, log.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if l.Head() != 0 || e.Sequence != 0 || e.Time != 0 || len(tail.sequences) != 0 {
		t.Errorf("head %d, entry %+v, applied %v", l.Head(), e, tail.sequences)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestConcurrentAppendsMakeOneOrder(t *testing.T) {
	_, tail := newLog()
	var wg sync.WaitGroup
	tailWake := &quietTail{fakeTail: tail}
	l := memory.Open(time.Now)
	l.Start(tailWake, nil)
	tail.head = l.Head
	for range 8 {
		wg.Go(func() {
			for range 500 {
				batch := []*log.Entry{{}, {}, {}}
				if err := l.Append(batch, nil); err != nil {
					t.Error(err)
				}
				if batch[1].Sequence != batch[0].Sequence+1 || batch[2].Sequence != batch[0].Sequence+2 {
					t.Error("a batch was torn")
				}
			}
		})
	}
	wg.Wait()
	for i, sequence := range tail.sequences {
		if sequence != uint64(i+1) {
			t.Fatalf("entry %d has sequence %d", i, sequence)
		}
	}
	if len(tail.sequences) != 12_000 || l.Head() != 12_000 {
		t.Errorf("%d entries, head %d", len(tail.sequences), l.Head())
	}
}

// quietTail may be woken by several goroutines at once.
type quietTail struct{ *fakeTail }

func (quietTail) Wake() {}

// noTail does nothing, so that only the engine is measured.
type noTail struct{}

func (noTail) Room(entries, bytes int) bool { return true }
func (noTail) Apply(batch []*log.Entry)     {}
func (noTail) Wake()                        {}

func TestAppendDoesNotAllocate(t *testing.T) {
	l := memory.Open(time.Now)
	l.Start(noTail{}, nil)
	batch := []*log.Entry{{}, {}}
	done := func(error) {}
	if n := testing.AllocsPerRun(100, func() { _ = l.Append(batch, done) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
