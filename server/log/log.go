package log

// Log is an ordered log of entries, for those who append to it and who hand out
// cursors of it.
type Log interface {
	// Lineage names the sequences of this log. It is the same object while the log
	// is open. The epoch it names may change in that time, so nobody keeps that.
	Lineage() *Lineage

	// Head is the sequence of the newest entry, 0 before the first. Any
	// goroutine may call it.
	Head() uint64

	// Resolve tells what a client's cursor means in this life of the log: the
	// sequence up to which the client has everything. ok is false where that
	// cannot be known, which to the client is a gap: a cursor of another log, one
	// ahead of Head, or one of an earlier life beyond what this life has taken
	// over from it. It never blocks nor allocates, and any goroutine may call it.
	Resolve(c Cursor) (sequence uint64, ok bool)

	// Append accepts the batch as a whole or not at all and never blocks. The
	// engine owns the entries from then on: it fills in Sequence and, where it
	// is zero, Time. It keeps neither batch nor done once done has run. A batch has
	// control entries only, or none.
	//
	// done is called exactly once after an accepted batch is as durable as the
	// engine promises, with nil or the reason why the batch was lost; batch[i].Sequence
	// is valid then. It may run before Append returns and on any goroutine, so it
	// must not block. Batches that one goroutine appends are done in that order.
	//
	// ErrFull: the slowest reader is too far behind; try again later.
	// ErrStorage: the log's disk is full or failing; try again later.
	// ErrClosed: the log is closed.
	Append(batch []*Entry, done func(error)) error
}

// Engine keeps a log: one engine, one life. One that survives a restart goes on
// numbering where the life before ended, in a new epoch. The packages beside this
// one are engines; each has a function that opens it, after which Head and Oldest
// say what it has kept.
//
// An engine may implement Reader, too.
type Engine interface {
	Log

	// Oldest is the sequence of the oldest entry that Start restores, Head+1 if there
	// is none. Later it may be that of the oldest entry that is left, as of some seconds ago.
	Oldest() uint64

	// Keep has the engine keep s, which its tail makes of control entries, beyond the
	// time for which it keeps the entries. Call it before Start, or not at all.
	Keep(s State)

	// Start loads the state that is kept. Then it hands every entry from Oldest to Head
	// to restore, in order, which owns them from then on but not the slice; control
	// entries before Oldest that are still there come first. If the state cannot be
	// known to be complete, it calls State.Lost. Then the log is open: tail is fed with
	// what is appended. After an error only Close is left to call.
	Start(tail Tail, restore func(batch []*Entry)) error

	// Failing is why nothing can be appended at the moment, nil when all is well. Any
	// goroutine may call it.
	Failing() error

	// Close ends the log, also before Start. Appends under way are finished first. An
	// error means that something that was shown is lost. Closing again changes nothing.
	Close() error
}

// Counted is an engine that knows how many entries Start restores.
type Counted interface {
	// Retained is that number, about; 0 if it is not known. Call it between Open and
	// the end of Start.
	Retained() uint64
}

// State is what a tail has made of control entries. It is small: an engine that keeps
// entries saves it as a whole before it removes any of them, so it outlasts them.
type State interface {
	// Save returns all of it, as of the newest entry that the tail was given, or
	// later; nothing where there is none. A goroutine of the engine calls it, without a
	// lock.
	Save() []byte

	// Load takes what Save has returned in an earlier life, when the newest entry was
	// upto or later. Some of the entries up to there are restored afterwards, too: they
	// must change nothing, because entries between them may be gone. An engine that several nodes
	// share calls it again, between two Applies, if entries were removed before this node had read them.
	Load(saved []byte, upto uint64) error

	// Lost says that control entries of earlier lives may be missing, together with
	// what they had led to, and why, as a clause. Start calls it at most once, when all
	// that is left was restored; it saves the state before anything is appended, so what
	// Lost changes is kept.
	Lost(why string)
}

// Reader is an engine that can read what it has kept. A tail that has fallen behind
// reads on with it; see Tail.
type Reader interface {
	// Read appends to dst the entries behind the sequence after, oldest first, until
	// their Size exceeds limit bytes (at least one, if there is one) or there are limit
	// count. None is the end: Wake says when there is more. It reads up to Head and
	// nothing that was not shown.
	//
	// A *MissingError says that entries behind after are gone; other errors that they
	// cannot be read at the moment. Any goroutine may call it; it blocks for the disk.
	Read(dst []*Entry, after uint64, count, bytes int) ([]*Entry, error)
}
