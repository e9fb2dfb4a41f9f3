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

// A failover: the store that takes over has less than was shown. What was shown keeps
// its name, what is lost of it does not resolve, and no name is given twice.
func TestAnEpochThatBeginsBehindLostEntries(t *testing.T) {
	l := log.NewLineage(10)
	before := l.Cursor(90)
	l.Begin(20, 120, log.Predecessor{Epoch: 10, Last: 100}) // shown up to 120, of which 100 are there
	if l.Epoch() != 20 || l.Cursor(90) != before {
		t.Errorf("epoch %v, 90 is named %v and was %v", l.Epoch(), l.Cursor(90), before)
	}
	for _, c := range []struct {
		sequence uint64
		epoch    log.Epoch
		known    bool
	}{{0, 10, true}, {100, 10, true}, {101, 10, false}, {120, 10, false}, {121, 20, true}, {150, 20, true}} {
		at := l.Cursor(c.sequence)
		if at != (log.Cursor{Epoch: c.epoch, Sequence: c.sequence}) {
			t.Errorf("sequence %d is named %v, want epoch %v", c.sequence, at, c.epoch)
		}
		if _, ok := l.Resolve(at, 150); ok != c.known {
			t.Errorf("%v resolves: %v, want %v", at, ok, c.known)
		}
	}
}
