package distributed

import (
	"context"
	"errors"
	"strconv"
	"time"

	"peal/server/log"
)

// Jump is how far the sequences of a new epoch are at least beyond everything that the node that begins
// it has seen, also in an empty store. Another node may have seen more of what is lost, but not so much more. A
// random part of as much again is added: the store may lose the beginning of an epoch too, and
// the next one must not give the same sequences once more.
const Jump = 1 << 32

// FormatVersion is that of what is kept in the store. A program does not touch a store of a
// later version.
const FormatVersion = 1

// Errors of a Store. All others mean that it cannot be reached, or has not answered: what it
// was sent may have had its effect or not.
var (
	// ErrMoved means that the store is in another epoch than the node, in none, or has less
	// than the node has seen. Nothing was appended: find out and begin again.
	ErrMoved = errors.New("log: the store has moved on without this node")

	// ErrRefused means that the store has no room or no permission, and that nothing was appended.
	ErrRefused = errors.New("log: the store refuses entries")

	// ErrUnconfirmed means that the store has the entries, but not as safely as it should.
	ErrUnconfirmed = errors.New("log: the store has not confirmed entries")
)

// FormatError says that a store has a later format than this program reads.
type FormatError struct{ Version int }

// Meta is what the nodes agree on.
type Meta struct {
	Format       int // 0: the store is empty, and so is the rest
	Epoch        log.Epoch
	Began        uint64 // the epoch's sequences are behind it
	Origin       uint64 // nothing was in the log up to here; 0: it may have been emptied
	Head         uint64 // the newest sequence that was given
	Predecessors []log.Predecessor
	Check        uint64 // before the next entry: that of the one before it, or of Begin in an empty store

	Entries uint64 // how many are there, about; 0 if it is not known. Only with state
	Oldest  uint64 // the oldest entry that is there; Newest+1 where there is none
	Newest  Link   // the newest entry that is there; zero where there is none

	State  []byte // the newest checkpoint of log.State, only from Open
	Saved  uint64 // and its sequence
	Digest uint64 // and its digest
}

// named is the sequence that has a name and is at the same position as one that may be that behind which
// the epoch begins.
func (m *Meta) named(sequence uint64) uint64 {
	if n := len(m.Predecessors); n > 0 && sequence == m.Began {
		return m.Predecessors[n-1].Last
	}
	return sequence
}

// Link is an entry's sequence and check.
type Link struct{ Sequence, Check uint64 }

// Record is an entry as it is in the store.
type Record struct {
	Link
	Before uint64 // the check of the entry before
	Entry  []byte // encode
}

// Call is what one node appends at once. Its batches are appended in order, each as a
// whole or not at all.
type Call struct {
	Node   uint64
	Number uint64 // from 1 on; a call that has been answered is not repeated
	Epoch  log.Epoch
	Seen   uint64 // the newest entry that the node has seen
	Window time.Duration
	Batch  [][]Item
}

// Item is one entry of a call.
type Item struct {
	Check  uint64
	Entry  []byte
	Key    string // names the message among those of the window, "" for none
	Digest string // of its content
}

// Result is what became of one batch.
type Result struct {
	Sequences []uint64 // of its items
	Old       []bool   // which were there already, by their keys, and have the check of another; nil: none
	Conflict  bool     // nothing was appended: a key names another content
}

// Begin is what a node knows that begins an epoch.
type Begin struct {
	Known  log.Epoch // begin only if the store is still in this one; 0: only if it is empty
	Common uint64    // the newest entry that the store and the node have in common
	Seen   uint64    // the newest entry that the node has seen
	Jump   uint64    // from Jump to 2*Jump
	First  bool      // the store is empty, and the node knows of nothing before
	Next   log.Epoch
	Check  uint64 // that of the entry before the first, in an empty store
}

// Store keeps the log. All methods but Close return early when ctx ends. Append and Read may be
// called at the same time; nothing else.
type Store interface {
	// Look returns what the nodes agree on. ready is false if the store accepts no calls
	// because nobody has begun an epoch since it was started or replaced another one. state: with
	// the checkpoint.
	Look(ctx context.Context, state bool) (m Meta, ready bool, err error)

	// Begin begins an epoch, if the store is still in the one that b knows: min(Common, the
	// newest entry) becomes the last sequence of it, and Head max(Head, Seen) + Jump, which is the Origin of the first. From now on the store
	// accepts calls. m is what is there afterwards, whoever has begun it.
	Begin(ctx context.Context, b Begin) (m Meta, err error)

	// Append appends the batches of c, or returns the results again that it had when it
	// came before. It keeps nothing of c.
	Append(ctx context.Context, c *Call) ([]Result, error)

	// Read returns the entries behind a sequence, the oldest first, at most so many. If there is
	// none it waits for one as long as wait.
	Read(ctx context.Context, after uint64, most int, wait time.Duration) ([]Record, error)

	// Back returns the entries up to a sequence, the newest first, at most so many.
	Back(ctx context.Context, upto uint64, most int) ([]Record, error)

	// Checkpoint keeps a state as of the sequence upto of that epoch, unless a later one is kept, and then
	// removes the oldest entries, as far as a checkpoint has what they led to: about retain
	// remain. If the digest is that of the state that is kept, state may be nil; if it is not
	// and state is nil, ok is false and nothing was done. ErrMoved: the store is in another epoch, in which upto may
	// be beyond entries that the state does not have.
	Checkpoint(ctx context.Context, epoch log.Epoch, upto, digest uint64, state []byte, retain int) (ok bool, err error)

	// Reconnects is how many connections were replaced.
	Reconnects() uint64

	Close()
}

func (e *FormatError) Error() string {
	return "log: the store has format " + strconv.Itoa(e.Version) + ", and this program reads up to " + strconv.Itoa(FormatVersion) + ": start a newer version of peal"
}
