package log

import (
	"slices"
	"sync/atomic"
)

// Predecessor is an epoch before the present one of a log.
type Predecessor struct {
	Epoch Epoch
	Last  uint64 // the last sequence that the log holds of it: beyond it its cursors mean nothing
}

// Lineage names the sequences of a log for its clients. An entry keeps for ever
// the epoch in which it was numbered, and so does a position behind it; the
// present epoch names only what is appended in it:
//
//	predecessors │ A to 90 │ B to 120 │
//	cursors      │ A-0 … A-90 │ B-91 … B-120 │ C-121 … in the present epoch C
//
// So an epoch in which nothing was appended has named nothing. It can be
// forgotten, and the cursors that were handed out in it are still good.
//
// A name that was given never changes, also where an engine begins another epoch
// in the middle of its life: because refused entries may be in its store under numbers
// that it gives again, or because the store was replaced by one that has less (a
// failover). Sequences go on behind Head, so that whatever was shown keeps its number
// and its name; the cursors of what the store lost do not resolve any more. Connected
// subscribers notice nothing.
//
// Any goroutine may use a Lineage, and none keeps the epoch it has read.
type Lineage struct {
	state atomic.Pointer[lineage] // what it points to does not change
}

type lineage struct {
	epoch        Epoch
	began        uint64        // what is behind this sequence is of the epoch
	predecessors []Predecessor // the oldest first; Last never falls
}

// NewLineage returns the lineage of a log whose present epoch goes on behind the
// last sequence of its predecessors, the oldest of which is first. It keeps
// predecessors.
func NewLineage(epoch Epoch, predecessors ...Predecessor) *Lineage {
	l := &Lineage{}
	head := uint64(0)
	if n := len(predecessors); n > 0 {
		head = predecessors[n-1].Last
	}
	l.Begin(epoch, head, predecessors...)
	return l
}

// Begin begins an epoch behind head, the newest sequence that was shown: at least
// the last one of predecessors, which it keeps. What lies between was shown and is
// lost. The engine calls it while nothing behind head is shown.
func (l *Lineage) Begin(epoch Epoch, head uint64, predecessors ...Predecessor) {
	l.state.Store(&lineage{epoch: epoch, began: head, predecessors: predecessors})
}

// Epoch is the present epoch.
func (l *Lineage) Epoch() Epoch { return l.state.Load().epoch }

// Predecessors are the epochs before, the oldest first. They must not be changed.
func (l *Lineage) Predecessors() []Predecessor { return l.state.Load().predecessors }

// Cursor is the position behind that sequence of the log, for a client. It does
// not allocate.
func (l *Lineage) Cursor(sequence uint64) Cursor {
	s := l.state.Load()
	if sequence > s.began || len(s.predecessors) == 0 {
		return Cursor{s.epoch, sequence}
	}
	i, _ := slices.BinarySearchFunc(s.predecessors, sequence, func(p Predecessor, sequence uint64) int {
		if p.Last < sequence {
			return -1
		}
		return 1 // the first that reaches s
	})
	i = min(i, len(s.predecessors)-1) // of the last one, and lost
	return Cursor{s.predecessors[i].Epoch, sequence}
}

// Resolve tells what c means in a log whose newest sequence is head; see
// Log.Resolve. It does not allocate.
func (l *Lineage) Resolve(c Cursor, head uint64) (sequence uint64, ok bool) {
	s := l.state.Load()
	if c.Epoch == s.epoch {
		return c.Sequence, c.Sequence <= head
	}
	for i := len(s.predecessors) - 1; i >= 0; i-- { // clients mostly have young ones
		if p := s.predecessors[i]; c.Epoch == p.Epoch {
			return c.Sequence, c.Sequence <= p.Last
		}
	}
	return 0, false
}
