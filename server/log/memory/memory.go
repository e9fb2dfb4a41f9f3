package memory

import (
	"sync"
	"sync/atomic"
	"time"

	"peal/server/log"
)

// Log is the memory engine. It implements log.Engine. It is no log.Reader: a tail
// that may wait has what it holds itself, and a gap beyond that.
type Log struct {
	// Fixed at Open.
	lineage *log.Lineage
	now     func() time.Time
	epochs  func() log.Epoch

	// Fixed at Start.
	tail  log.Tail
	state log.State // nil for none

	// Shared. Stored under mu before the entries are applied, so who was shown
	// an entry never loads less than its sequence.
	head atomic.Uint64

	// Batches whose done has not returned. Counted under mu, and counted off without.
	ending atomic.Int64

	mu     sync.Mutex // the append lock
	closed bool
	paused bool
	held   held
	begun  bool // false: a successor that has not taken the log over yet
}

// Open opens an empty log in a new epoch. now is the clock, time.Now outside tests.
// It starts no goroutine, and there is nothing to let go of.
func Open(now func() time.Time) *Log { return OpenIn(now, log.NewEpoch) }

// OpenIn is Open with epochs from newEpoch, for tests whose runs must repeat.
func OpenIn(now func() time.Time, newEpoch func() log.Epoch) *Log {
	return &Log{lineage: log.NewLineage(newEpoch()), now: now, epochs: newEpoch, begun: true}
}

// Start has the log feed tail. It restores nothing and never fails.
func (l *Log) Start(tail log.Tail, _ func([]*log.Entry)) error {
	l.tail = tail
	if l.state != nil {
		l.state.Lost("the log is in memory, and ends with the server")
	}
	return nil
}

// Keep has Start tell s that it begins anew: nothing outlasts the log.
func (l *Log) Keep(s log.State) { l.state = s }

// Oldest is 1: nothing was kept.
func (l *Log) Oldest() uint64 { return 1 }

// Failing is nil: there is no disk to fail.
func (l *Log) Failing() error { return nil }

// Lineage is that of one epoch without predecessors, but for logs that were handed over.
func (l *Log) Lineage() *log.Lineage { return l.lineage }

// Head is the sequence of the newest entry, 0 before the first.
func (l *Log) Head() uint64 { return l.head.Load() }

// Resolve knows the cursors of this log only; see log.Log.
func (l *Log) Resolve(c log.Cursor) (sequence uint64, ok bool) {
	return l.lineage.Resolve(c, l.head.Load())
}

// Append numbers the batch and applies it to the tail; see log.Log. done runs
// before Append returns, on the caller's goroutine and outside the append
// lock, so it may append in turn. Batches of one goroutine are done in order;
// those of concurrent ones have no order that a caller could know.
//
// An empty batch is accepted and done. Append keeps neither batch nor done,
// and does not allocate.
func (l *Log) Append(batch []*log.Entry, done func(error)) error {
	waits, err := l.accept(batch, log.Charge(batch), done)
	if err != nil || waits {
		return err
	}
	l.tail.Wake()
	if done != nil {
		done(nil)
	}
	l.ending.Add(-1)
	return nil
}

// accept applies the batch, or has it wait for the end of a pause.
func (l *Log) accept(batch []*log.Entry, bytes int, done func(error)) (waits bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return false, log.ErrClosed
	case !l.begun:
		return false, log.ErrUnavailable
	case l.paused:
		return true, l.held.add(batch, bytes, done, l.tail)
	case !log.IsControl(batch) && !l.tail.Room(len(batch), bytes):
		return false, log.ErrFull
	}
	l.ending.Add(1)
	l.apply(batch)
	return false, nil
}

// apply numbers the batch and gives it to the tail. The lock is held.
func (l *Log) apply(batch []*log.Entry) {
	head := l.head.Load()
	// Under the lock, so that times follow the order of sequences wherever the
	// clock does not step back.
	log.Number(batch, head+1, l.now().UnixMilli())
	l.head.Store(head + uint64(len(batch)))
	l.tail.Apply(batch)
}

// Close ends the log: appends under way are finished, also those that wait for the end of a pause; later
// ones get log.ErrClosed. Closing again changes nothing.
func (l *Log) Close() error {
	l.Resume()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return nil
}
