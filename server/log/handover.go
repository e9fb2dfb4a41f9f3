package log

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// A hand-over: another process, the successor, goes on with a log while this one, its predecessor, still
// serves. Each process has its own engine of the log:
//
//	predecessor (Outgoing)                      successor (Incoming)
//	Offer ──────────── Handover ──────────────► opened, Prepare: restores up to Handover.Head
//	  appends go on
//	Pause: appends wait ── Handover ──────────► CatchUp: restores the rest
//	Release, or Resume ── the commit ─────────► Begin, or Close
//
// Until Begin the successor changes nothing, so Resume is possible at any moment before Release, and the
// predecessor goes on as if nothing had happened. Begin begins an epoch whose predecessor is that of the
// Handover up to its head: all cursors stay good (docs/decisions/0017-a-hand-over-begins-an-epoch.md).

// Handover is where a log stands that another process is to go on with. It is a value for encoding/gob: fields may be
// added, and none changes its meaning.
type Handover struct {
	Engine string // the kind of the engine, as the scheme of its name: "memory", "file", "redis"

	// The lineage: the epoch, the sequence behind which it began, and those before, the oldest first.
	Epoch        Epoch
	Began        uint64
	Predecessors []Predecessor

	Head uint64 // the newest entry that was shown

	// State is what log.State.Save returned, as of Head, of an engine that keeps it nowhere else. It is nil in
	// what Offer returns.
	State []byte

	// Of a Distributed engine: its name among the nodes, which the successor goes on with, and the number of its newest
	// call of the store.
	Node, Calls uint64
}

// Outgoing is an engine whose log another process can go on with. It has one hand-over at a time. The methods may
// be called after Start, by one goroutine at a time, and beside Append.
type Outgoing interface {
	Engine

	// Offer begins a hand-over. Appends go on; but until Resume or Release nothing is removed that a successor may
	// have to read, unless the disk is full. An error says why the log cannot be handed over now.
	Offer() (Handover, error)

	// EachRetained calls f with the entries behind after and up to upto that a successor cannot read
	// elsewhere, in order, in batches of which none ends within a message on several channels. It does so while the log is
	// appended to; upto must be the head of Offer or of Pause. It returns the first error of f. Neither may change
	// the entries.
	EachRetained(after, upto uint64, f func(batch []*Entry) error) error

	// Pause has appends wait, from now on: they are accepted as long as the queue has room (ErrFull beyond), and
	// neither shown nor done before Resume or Release. It returns when everything that was accepted before is shown and
	// done, and as durable as a closed log. An error, which may be that of ctx, says that the log is not paused.
	Pause(ctx context.Context) (Handover, error)

	// Resume ends the hand-over without a commit, at any moment before Release: what waits is shown and done as if
	// it was appended now. Without an Offer it does nothing.
	Resume()

	// Release is Close for the commit, after Pause: what waits is done with ErrClosed. When it returns, a
	// successor may begin. An error is that of Close.
	Release() error
}

// Incoming is an engine that goes on with the log of another process, in place of Start. Close ends it at any moment;
// before Begin that changes nothing for the other process. Before Begin it accepts no appends, and its
// Lineage is that of the other process. Head and Oldest are valid at once: Oldest as for Start, and Head is that of Offer.
// Keep is called before Prepare.
type Incoming interface {
	Engine

	// Prepare restores the log up to the head of Offer, beside the process that appends to it: retained, which
	// may be nil, has what Outgoing.EachRetained has given there. restore is that of Start.
	Prepare(retained Batches, restore func(batch []*Entry)) error

	// CatchUp restores what has come since, up to the head of Pause. A Distributed engine may restore more.
	CatchUp(paused Handover, retained Batches, restore func(batch []*Entry)) error

	// Begin takes the log over, after Release, and begins an epoch: tail is fed with what is appended. After an
	// error only Close is left to call, and the log is as a process leaves it that ends there.
	Begin(tail Tail) error
}

// Batches are entries in order. An error ends them.
type Batches iter.Seq2[[]*Entry, error]

// Retainer is a tail that holds the entries of a log whose engine keeps none.
type Retainer interface {
	Tail

	// EachRetained is that of Outgoing.
	EachRetained(after, upto uint64, f func(batch []*Entry) error) error
}

// EachRetained calls that of the first tail that is a Retainer.
func (t Tails) EachRetained(after, upto uint64, f func(batch []*Entry) error) error {
	for _, tail := range t {
		if r, ok := tail.(Retainer); ok {
			return r.EachRetained(after, upto, f)
		}
	}
	return nil
}

// ErrPaused is the error of a second hand-over, and of Release without Pause.
var ErrPaused = errors.New("log: a hand-over is under way, or has not been paused")

// MaxPredecessors is how many epochs before its own a log remembers.
const MaxPredecessors = 256

// HandOver sets the lineage of h to that of l.
func (l *Lineage) HandOver(h *Handover) {
	s := l.state.Load()
	h.Epoch, h.Began, h.Predecessors = s.epoch, s.began, s.predecessors
}

// TakeOver makes l the lineage of h, or says what is wrong with it.
func (l *Lineage) TakeOver(h *Handover) error {
	last := uint64(0)
	for _, p := range h.Predecessors {
		if p.Epoch == 0 || p.Last < last {
			return errors.New("log: the lineage that was handed over is out of order")
		}
		last = p.Last
	}
	if h.Epoch == 0 || h.Began < last || h.Head < h.Began {
		return errors.New("log: the epoch that was handed over is none, or begins before another has ended")
	}
	l.Begin(h.Epoch, h.Began, h.Predecessors...)
	return nil
}

// Succeed begins epoch behind head, with the present epoch as the last predecessor if it has named anything.
func (l *Lineage) Succeed(epoch Epoch, head uint64) {
	s := l.state.Load()
	chain := s.predecessors
	if len(chain) == 0 || head > s.began {
		chain = append(chain[:len(chain):len(chain)], Predecessor{s.epoch, head})
	}
	l.Begin(epoch, head, chain[max(0, len(chain)-MaxPredecessors):]...)
}

// Packed are entries for encoding/gob, in the binary form of AppendEntry.
type Packed struct {
	Count int
	Bytes []byte
}

// Pack packs entries, which are in order. Data that they share is in it once, also if the entry that carries it is
// not among them. It neither changes nor keeps them.
func Pack(entries []*Entry) (p Packed) {
	p.Count = len(entries)
	var first, given uint64 // of the message before: as it is, and in p
	for _, e := range entries {
		if e.Shared == nil {
			p.Bytes = AppendEntry(p.Bytes, e)
			continue
		}
		if e.Shared.First != first || given == 0 {
			first, given = e.Shared.First, e.Sequence
		}
		copied := *e
		copied.Shared = &Shared{First: given}
		p.Bytes = AppendEntry(p.Bytes, &copied)
	}
	return p
}

// Unpack returns the entries, which keep nothing of p.
func (p Packed) Unpack() (entries []*Entry, err error) {
	rest := p.Bytes
	var carrier *Entry
	for len(rest) > 0 {
		e, n, err := ParseEntry(rest)
		if err == nil && n == 0 {
			err = fmt.Errorf("%w: it is cut short", ErrEntry)
		}
		switch {
		case err != nil:
			return nil, err
		case e.Refers():
			if !e.Take(carrier) {
				return nil, fmt.Errorf("%w: sequence %d refers to data that is not there", ErrEntry, e.Sequence)
			}
		case e.Shared != nil:
			carrier = &e
		}
		if len(entries) > 0 && e.Sequence <= entries[len(entries)-1].Sequence {
			return nil, fmt.Errorf("%w: sequence %d is out of order", ErrEntry, e.Sequence)
		}
		entries = append(entries, &e)
		rest = rest[n:]
	}
	if len(entries) != p.Count {
		return nil, fmt.Errorf("%w: %d of %d are there", ErrEntry, len(entries), p.Count)
	}
	return entries, nil
}
