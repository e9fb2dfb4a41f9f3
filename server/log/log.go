package log

// Log is an ordered log of entries: one engine, one life. An engine that
// survives a restart goes on numbering where the life before ended, in a new
// epoch.
type Log interface {
	// Lineage names the sequences of this log. It is the same while the log is open.
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
	// is zero, Time. It keeps neither batch nor done once done has run.
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

	// Close ends the log. Appends under way are finished first.
	Close() error
}

// Tail is the reader that an engine feeds with every entry, in order.
type Tail interface {
	// Room reports whether that many entries and bytes can be applied now. The
	// engine asks under its append lock, before it numbers anything.
	Room(entries, bytes int) bool

	// Apply takes the next entries. It runs under the append lock: no I/O, no waiting.
	Apply(batch []*Entry)

	// Wake runs after the append lock was released, once for one or more
	// Applies. It must not block.
	Wake()
}
