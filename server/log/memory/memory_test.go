package memory_test

import (
	"testing"
	"time"

	"peal/server/log"
	"peal/server/log/memory"
)

var _ log.Engine = (*memory.Log)(nil)

// fakeTail keeps sequences and the order of its calls.
type fakeTail struct {
	head      func() uint64
	entries   int
	bytes     int
	sequences []uint64
	calls     []string
}

func (f *fakeTail) Room(entries, bytes int) bool {
	f.entries, f.bytes = entries, bytes
	f.calls = append(f.calls, "room")
	return true
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
