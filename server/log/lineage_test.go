package log_test

import (
	"testing"

	"peal/server/log"
)

func TestAnEpochNamesOnlyWhatWasAppendedInIt(t *testing.T) {
	l := log.NewLineage(30, log.Predecessor{Epoch: 10, Last: 90}, log.Predecessor{Epoch: 20, Last: 120})
	for sequence, epoch := range map[uint64]log.Epoch{0: 10, 1: 10, 90: 10, 91: 20, 120: 20, 121: 30, 9000: 30} {
		c := l.Cursor(sequence)
		if c != (log.Cursor{Epoch: epoch, Sequence: sequence}) {
			t.Errorf("sequence %d is named %v, want epoch %v", sequence, c, epoch)
		}
		if got, ok := l.Resolve(c, 9000); !ok || got != sequence {
			t.Errorf("%v resolves to %d, %v", c, got, ok)
		}
	}
	for _, c := range []log.Cursor{{Epoch: 10, Sequence: 91}, {Epoch: 20, Sequence: 121}, {Epoch: 30, Sequence: 9001}, {Epoch: 40, Sequence: 1}} {
		if _, ok := l.Resolve(c, 9000); ok {
			t.Errorf("%v resolves", c)
		}
	}
	if c := log.NewLineage(7).Cursor(0); c != (log.Cursor{Epoch: 7}) {
		t.Errorf("the position before the first entry of a new log is %v", c)
	}
	if n := testing.AllocsPerRun(100, func() { l.Resolve(l.Cursor(50), 9000) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
