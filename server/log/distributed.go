package log

import "time"

// Distributed is an engine whose log other nodes append to, too: its place is a store
// that several servers share. Its Head is the newest entry that this node has applied,
// and Append numbers a batch in the store. An entry comes to the tails when the node reads
// it there, in the one order of all nodes.
type Distributed interface {
	Engine

	// Node is this server's random name among the nodes of the log, for this life of
	// the engine; never 0.
	Node() uint64

	// Ahead reports whether c, which does not resolve, may be a position that another
	// node has handed out, and that this one has not read yet. Its client is to come
	// back later, or to another node; there is no gap. For an epoch that the node has not
	// heard of it is true until the node has looked for a newer one, soon. It never blocks, and any
	// goroutine may call it.
	Ahead(c Cursor) bool

	// Progress is how far the node has read. Any goroutine may call it.
	Progress() Progress
}

// Timed is an engine that tells how long it takes to use its store.
type Timed interface {
	// OnTiming has f called with each duration, on any goroutine. f must not block.
	OnTiming(f func(Timing))
}

// Timing is one duration; the other is 0.
type Timing struct {
	Append time.Duration // from the first sending of a call, which has the batches of many publishers, to its answer
	Apply  time.Duration // from reading entries to having applied them
}

// Progress is how far a node has read the log that it shares with others.
type Progress struct {
	Head  uint64 // the newest entry that was applied
	Known uint64 // the newest entry that the store is known to have; Head or later

	// Current is the last moment at which the node knew that it had applied everything
	// that the store had, by the monotonic clock.
	Current time.Time

	Reconnects uint64 // connections to the store that were replaced
	Epochs     uint64 // epochs that began while the node ran
	Lost       uint64 // times that acknowledged entries were found to be lost
	Skipped    uint64 // entries that could not be read
}

// Waiting is a tail that says when it has room again: then nobody polls.
type Waiting interface {
	Tail

	// OnRoom has f called when there may be room again after Room has said no. f runs
	// on any goroutine and must not block. Call it before anything is applied.
	OnRoom(f func())
}

// Loser is a tail that must tell its readers of entries that the store has lost after
// some node had shown them.
type Loser interface {
	Tail

	// Lose says that entries behind from and up to upto are lost. It runs under the append
	// lock, before the entries behind upto. A reader that stands before upto has a gap up to there.
	Lose(from, upto uint64)
}

// OnRoom has each tail that says when it has room call f.
func (t Tails) OnRoom(f func()) {
	for _, tail := range t {
		if w, ok := tail.(Waiting); ok {
			w.OnRoom(f)
		}
	}
}

// Lose tells each tail that has readers.
func (t Tails) Lose(from, upto uint64) {
	for _, tail := range t {
		if l, ok := tail.(Loser); ok {
			l.Lose(from, upto)
		}
	}
}
