package memory

import (
	"context"
	"errors"
	"time"

	"peal/server/log"
)

// The hand-over of a log in memory; see log.Outgoing and log.Incoming. What is retained is with the tail
// that is a log.Retainer, and the state is part of what Pause returns: nothing is lost by an upgrade.

// Most entries and bytes of the batches that wait while the log is paused, and as much again for control entries.
const (
	mostHeld      = 1 << 14
	mostHeldBytes = 32 << 20
)

// held are the batches that were appended while the log is paused.
type held struct {
	batches []heldBatch
	pending [2]load // messages, and control
}

type heldBatch struct {
	entries []*log.Entry
	done    func(error)
}

type load struct{ entries, bytes int }

// add has the batch wait, if the tail has room for all that does: it will not have less when the pause ends.
func (h *held) add(batch []*log.Entry, bytes int, done func(error), tail log.Tail) error {
	lane := 0
	if log.IsControl(batch) {
		lane = 1
	}
	with := load{h.pending[lane].entries + len(batch), h.pending[lane].bytes + bytes}
	switch {
	case h.pending[lane].entries > 0 && (with.entries > mostHeld || with.bytes > mostHeldBytes):
		return log.ErrFull
	case lane == 0 && !tail.Room(with.entries, with.bytes):
		return log.ErrFull
	}
	h.pending[lane] = with
	h.batches = append(h.batches, heldBatch{batch, done})
	return nil
}

// take returns what waits, which then does not any more.
func (h *held) take() (batches []heldBatch) {
	batches = h.batches
	*h = held{}
	return batches
}

// Offer implements log.Outgoing.
func (l *Log) Offer() (h log.Handover, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed || !l.begun:
		return h, log.ErrClosed
	case l.paused:
		return h, log.ErrPaused
	}
	return l.standLocked(), nil
}

func (l *Log) standLocked() (h log.Handover) {
	h.Engine, h.Head = "memory", l.head.Load()
	l.lineage.HandOver(&h)
	return h
}

// EachRetained implements log.Outgoing: the tail has what there is.
func (l *Log) EachRetained(after, upto uint64, f func(batch []*log.Entry) error) error {
	if r, ok := l.tail.(interface {
		EachRetained(after, upto uint64, f func(batch []*log.Entry) error) error
	}); ok {
		return r.EachRetained(after, upto, f)
	}
	return nil
}

// pauseLook is how often Pause looks whether the callbacks of publishers have returned.
const pauseLook = 100 * time.Microsecond

// Pause implements log.Outgoing. It waits for callbacks of publishers only.
func (l *Log) Pause(ctx context.Context) (h log.Handover, err error) {
	l.mu.Lock()
	if l.closed || !l.begun {
		l.mu.Unlock()
		return h, log.ErrClosed
	}
	if l.paused {
		l.mu.Unlock()
		return h, log.ErrPaused
	}
	l.paused = true
	h = l.standLocked()
	l.mu.Unlock()
	for l.ending.Load() > 0 {
		select {
		case <-ctx.Done():
			l.Resume()
			return log.Handover{}, ctx.Err()
		case <-time.After(pauseLook):
		}
	}
	if l.state != nil {
		h.State = l.state.Save()
	}
	return h, nil
}

// Resume implements log.Outgoing. What is appended meanwhile waits behind what waits already, so that the
// batches of one goroutine are done in their order.
func (l *Log) Resume() {
	for {
		l.mu.Lock()
		batches := l.held.take()
		if len(batches) == 0 {
			l.paused = false
			l.mu.Unlock()
			return
		}
		for _, b := range batches {
			l.apply(b.entries)
		}
		l.mu.Unlock()
		l.tail.Wake()
		end(batches, nil)
	}
}

// Release implements log.Outgoing.
func (l *Log) Release() error {
	l.mu.Lock()
	if !l.paused {
		l.mu.Unlock()
		return log.ErrPaused
	}
	l.closed, l.paused = true, false
	batches := l.held.take()
	l.mu.Unlock()
	end(batches, log.ErrClosed)
	return nil
}

func end(batches []heldBatch, err error) {
	for _, b := range batches {
		if b.done != nil {
			b.done(err)
		}
	}
}

// Succeed returns the engine that goes on with the log of another process, which h describes; see log.Incoming. now is the
// clock, time.Now outside tests.
func Succeed(now func() time.Time, h log.Handover) (*Log, error) {
	return SucceedIn(now, log.NewEpoch, h)
}

// SucceedIn is Succeed with epochs from newEpoch, as OpenIn.
func SucceedIn(now func() time.Time, newEpoch func() log.Epoch, h log.Handover) (*Log, error) {
	if h.Engine != "memory" {
		return nil, errors.New("log: the process before keeps its log in " + h.Engine + ", and this one in memory: configure the same")
	}
	l := &Log{lineage: &log.Lineage{}, now: now, epochs: newEpoch}
	if err := l.lineage.TakeOver(&h); err != nil {
		return nil, err
	}
	l.head.Store(h.Head)
	return l, nil
}

// Prepare implements log.Incoming.
func (l *Log) Prepare(retained log.Batches, restore func(batch []*log.Entry)) error {
	return take(retained, 0, l.head.Load(), restore)
}

// take passes on the entries behind after and up to upto.
func take(retained log.Batches, after, upto uint64, restore func(batch []*log.Entry)) error {
	if retained == nil {
		return nil
	}
	for batch, err := range retained {
		if err != nil {
			return err
		}
		for _, e := range batch {
			if e.Sequence <= after || e.Sequence > upto {
				return errors.New("log: entries were handed over out of order")
			}
			after = e.Sequence
		}
		if len(batch) > 0 {
			restore(batch)
		}
	}
	return nil
}

// CatchUp implements log.Incoming.
func (l *Log) CatchUp(h log.Handover, retained log.Batches, restore func(batch []*log.Entry)) error {
	before := l.head.Load()
	if h.Head < before {
		return errors.New("log: the log that was handed over has become shorter")
	}
	if err := l.lineage.TakeOver(&h); err != nil {
		return err
	}
	if err := take(retained, before, h.Head, restore); err != nil {
		return err
	}
	l.head.Store(h.Head)
	if l.state == nil {
		return nil
	}
	return l.state.Load(h.State, h.Head)
}

// Begin implements log.Incoming. It does not fail.
func (l *Log) Begin(tail log.Tail) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.begun {
		return log.ErrClosed
	}
	l.lineage.Succeed(l.epochs(), l.head.Load())
	l.tail, l.begun = tail, true
	return nil
}

var (
	_ log.Outgoing = (*Log)(nil)
	_ log.Incoming = (*Log)(nil)
)
