package file

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"peal/server/log"
)

// Log is the file engine. It implements log.Engine and log.Reader.
type Log struct {
	// Fixed at Open.
	dir     string // for messages
	config  Config
	files   files
	now     func() time.Time
	epochs  func() log.Epoch
	release func() error // of the lock on the directory
	lineage *log.Lineage
	oldest  uint64

	// Fixed at Start.
	tail    log.Tail
	state   log.State // nil for none
	started bool

	work  chan struct{} // one signal: there is something for the writer
	ended chan struct{} // closed by the writer when it ends

	// Shared. The newest entry that was shown: stored under mu before the tail
	// is given the entry.
	head atomic.Uint64

	// Shared. For readers: the segments there are, stored by the writer before an entry
	// of a new one is shown; and where they have read to.
	index  atomic.Pointer[index]
	places places

	// The append lock: numbers, the queue, and the tail, whose Room and Apply it
	// keeps apart. Held for no I/O.
	mu       sync.Mutex
	next     uint64     // sequence of the next entry to be accepted
	queue    []accepted // not yet taken by the writer
	pending  [2]load    // accepted and not yet shown, in the queue or with the writer: messages, and control
	failure  error      // why nothing is accepted; nil when all is well
	closed   bool
	pause    pause
	offered  bool       // a successor may be reading: nothing is removed
	removing bool       // an old segment is: a successor would miss it
	quiet    chan error // of pauseAsked: what became of it

	// Writer-owned from Start on, without a lock.
	found       []*segment // before Start: what is in the directory
	restored    uint64     // likewise: the last entry that Prepare has handed on
	segments    []past     // closed, the oldest first
	pastSize    int64      // of all of them
	saved       uint64     // the state that was saved stands for all up to here
	stateThere  bool       // one was saved
	stateFailed bool       // it could not be, the last time
	incomplete  bool       // until Start has saved it: control entries may be missing
	active      *active    // nil while the disk has been too full for one since the start
	spoiled     bool       // records may be on the disk whose numbers will be given again
	spare       []accepted // becomes the queue when the writer takes that
	asked       chan error // quiet, when the queue was taken the last time
	handed      *incoming  // of a successor, until Begin
	buffer      []byte     // records being written
	retryAt     time.Time  // while failure is set
	syncAt      time.Time  // while something is unsynced, under the policy interval
	lookAt      time.Time  // when to see whether the directory is still there
	retainAt    time.Time  // when entries may have become too old
	endErr      error      // what Close returns; read after ended is closed
}

// accepted is one batch on its way.
type accepted struct {
	entries []*log.Entry
	bytes   int // log.Charge
	done    func(error)
}

// lane is its place in Log.pending.
func (a accepted) lane() int {
	if log.IsControl(a.entries) {
		return 1
	}
	return 0
}

// load is what waits.
type load struct{ entries, bytes int }

// Lineage names the sequences of the log: what is appended now by the epoch of
// this life, what was found by those before.
func (l *Log) Lineage() *log.Lineage { return l.lineage }

// Head is the sequence of the newest entry that was shown, 0 before the first.
func (l *Log) Head() uint64 { return l.head.Load() }

// Failing is why nothing can be written at the moment, nil when all is well. Any
// goroutine may call it.
func (l *Log) Failing() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failure
}

// Oldest is the sequence of the oldest entry that Start restores, Head+1 if
// there is none.
func (l *Log) Oldest() uint64 { return l.oldest }

// Resolve knows the cursors of this epoch up to Head, and those of the last 256
// before it in which something was appended, up to the last sequence recovered
// from each; see log.Log.
func (l *Log) Resolve(c log.Cursor) (sequence uint64, ok bool) {
	return l.lineage.Resolve(c, l.head.Load())
}

// errTooLarge: server.Config keeps messages below it.
var errTooLarge = fmt.Errorf("log: an entry of more than %d bytes", MaxMessageBytes)

// Append accepts the batch; see log.Log. It returns before the batch is
// written: done runs on the writer's goroutine, after the tail was given the
// entries. Both happen in the order of sequences.
//
// log.ErrFull also means that the queue of Config is full, of which control entries
// have one of their own: many publishers do not keep them out. log.ErrStorage means that
// nothing can be written. The error that done is given is one of
// log.ErrStorage with its cause. Append does not allocate once its queue has
// grown.
func (l *Log) Append(batch []*log.Entry, done func(error)) error {
	for _, e := range batch {
		if e.Size() > MaxMessageBytes+log.EntryOverhead {
			return errTooLarge
		}
	}
	if err := l.accept(accepted{batch, log.Charge(batch), done}); err != nil {
		return err
	}
	l.signal()
	return nil
}

func (l *Log) accept(a accepted) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	lane := a.lane()
	waits := l.pending[lane].entries > 0
	with := load{l.pending[lane].entries + len(a.entries), l.pending[lane].bytes + a.bytes}
	switch {
	case l.closed:
		return log.ErrClosed
	case l.failure != nil:
		return log.ErrStorage
	case waits && (with.entries > l.config.QueueEntries || with.bytes > l.config.QueueBytes):
		return log.ErrFull
	case lane == 0 && !l.tail.Room(with.entries, with.bytes):
		return log.ErrFull // what is pending will need its room too
	}
	log.Number(a.entries, l.next, l.now().UnixMilli())
	l.next += uint64(len(a.entries))
	l.pending[lane] = with
	l.queue = append(l.queue, a)
	return nil
}

// signal tells the writer that there is something to do. It never blocks.
func (l *Log) signal() {
	select {
	case l.work <- struct{}{}:
	default: // a signal waits already
	}
}

// Close ends the log: what was accepted is written, synced under every policy,
// shown and done; then the directory is let go. An error means that something
// that was shown is not on the disk. Closing again changes nothing.
func (l *Log) Close() error {
	l.mu.Lock()
	again := l.closed
	l.closed = true
	if l.pause != pauseReleased {
		l.pause = pauseNone // what waits is written
	}
	l.mu.Unlock()
	if !l.started {
		if again {
			return nil
		}
		return l.release()
	}
	l.signal()
	<-l.ended
	if again {
		return nil
	}
	return errors.Join(l.endErr, l.release())
}
