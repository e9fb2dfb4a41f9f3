package log

import "slices"

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
// A Lineage never changes; any goroutine may use it.
type Lineage struct {
	epoch        Epoch
	began        uint64        // the sequence before its first
	predecessors []Predecessor // the oldest first; Last never falls
}

// NewLineage returns the lineage of a log whose present epoch goes on behind the
// last sequence of its predecessors, the oldest of which is first. It keeps
// predecessors.
func NewLineage(epoch Epoch, predecessors ...Predecessor) *Lineage {
	l := &Lineage{epoch: epoch, predecessors: predecessors}
	if n := len(predecessors); n > 0 {
		l.began = predecessors[n-1].Last
	}
	return l
}

// Epoch is the present epoch.
func (l *Lineage) Epoch() Epoch { return l.epoch }

// Predecessors are the epochs before, the oldest first. They must not be changed.
func (l *Lineage) Predecessors() []Predecessor { return l.predecessors }

// Cursor is the position behind that sequence of the log, for a client. It does
// not allocate.
func (l *Lineage) Cursor(sequence uint64) Cursor {
	if sequence > l.began || len(l.predecessors) == 0 {
		return Cursor{l.epoch, sequence}
	}
	i, _ := slices.BinarySearchFunc(l.predecessors, sequence, func(p Predecessor, s uint64) int {
		if p.Last < s {
			return -1
		}
		return 1 // the first that reaches s
	})
	return Cursor{l.predecessors[i].Epoch, sequence}
}

// Resolve tells what c means in a log whose newest sequence is head; see
// Log.Resolve. It does not allocate.
func (l *Lineage) Resolve(c Cursor, head uint64) (sequence uint64, ok bool) {
	if c.Epoch == l.epoch {
		return c.Sequence, c.Sequence <= head
	}
	for i := len(l.predecessors) - 1; i >= 0; i-- { // clients mostly have young ones
		if p := l.predecessors[i]; c.Epoch == p.Epoch {
			return c.Sequence, c.Sequence <= p.Last
		}
	}
	return 0, false
}
