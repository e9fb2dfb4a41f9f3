package distributed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"peal/server/log"
)

// ErrNoRoom is returned by Follow when a tail has no room for what was read: call it again
// when there is, which Run knows by log.Waiting.
var ErrNoRoom = errors.New("log: a tail has no room")

// Entries and bytes of a read. Entries are read by their number, so it follows their size.
const (
	leastRead, mostRead = 16, 1024
	readBytes           = 4 << 20
)

// applyBatch is how many entries are applied under one lock.
const applyBatch = 64

// Follow reads the next entries, for which it waits as long as wait, and applies them. After
// an error it is to be called again soon; see ErrNoRoom.
func (l *Log) Follow(ctx context.Context, wait time.Duration) error {
	defer l.settle()
	if err := l.applyBacklog(); err != nil {
		return err
	}
	if l.suspect.Load() {
		if err := l.recover(ctx); err != nil {
			if !errors.Is(err, ErrMoved) {
				l.fail(errors.Join(log.ErrUnavailable, err))
			}
			return err
		}
		l.suspect.Store(false)
		signal(l.adopted)
	}
	records, err := l.store.Read(ctx, l.position.Sequence, l.most, wait)
	if err != nil {
		l.suspect.Store(true)
		return err
	}
	if len(records) == 0 {
		now := l.now()
		same, err := l.look(ctx, now)
		if same {
			l.setCurrent(now)
		}
		return err
	}
	if moved, err := l.hasMoved(ctx, records[0].Sequence); moved || err != nil {
		l.suspect.Store(true)
		return err
	}
	began := l.now()
	caughtUp := len(records) < l.most
	l.sizeReads(records)
	for i := range records {
		if !l.next(&records[i]) {
			caughtUp = false
			break
		}
	}
	l.noteUnread()
	if err := l.applyBacklog(); err != nil {
		return err
	}
	l.time(Timing{Apply: l.now().Sub(began)})
	if caughtUp {
		l.setCurrent(began)
		l.looked = began
	}
	if l.strangers.wanted.Load() {
		_, err = l.look(ctx, l.now()) // which says nothing of what is not applied yet
	}
	return err
}

// hasMoved reports whether an entry behind a hole may be of another epoch than the node knows: since the store was looked at,
// it may have lost the epoch that is behind the hole, and another one has lower sequences. A look says that it was
// the same all the time.
func (l *Log) hasMoved(ctx context.Context, sequence uint64) (bool, error) {
	if !l.verified || sequence == l.position.Sequence+1 || sequence == l.began+1 {
		return false, nil
	}
	m, ready, err := l.store.Look(ctx, false)
	return !ready || m.Epoch != l.lineage.Epoch(), err
}

// noteUnread notes that when the oldest entry that is not applied was appended, by the clock of
// its node, this node had everything: a store that was away has nothing that is old.
func (l *Log) noteUnread() {
	if len(l.backlog) == 0 {
		return
	}
	now := l.now()
	age := max(0, now.Sub(time.UnixMilli(l.backlog[0].Time)))
	if then := now.Add(-age); then.After(*l.current.Load()) {
		l.setCurrent(then)
	}
}

// lookEvery is how often a silent store is asked whether it is still the same.
const lookEvery = time.Second

// look finds out whether the store is still what it was, if that was not done a moment ago.
func (l *Log) look(ctx context.Context, now time.Time) (same bool, err error) {
	asked := l.strangers.wanted.Load() && now.Sub(l.asked) >= askedEvery
	if !asked && now.Sub(l.looked) < lookEvery {
		return true, nil
	}
	l.strangers.wanted.Store(false)
	l.asked = now
	m, ready, err := l.store.Look(ctx, false)
	if err != nil || !ready || m.Epoch != l.lineage.Epoch() || m.Head < l.sawUpto() {
		l.suspect.Store(true)
		return false, err
	}
	l.looked = now
	l.noteOldest(&m, now)
	l.strangers.lookedAt(now)
	return true, nil
}

// next takes a record into the backlog. It reports false if the store may not be what it was:
// then recover comes first, and the record is read again.
func (l *Log) next(r *Record) bool {
	if r.Check == 0 { // somebody else's
		l.read(r)
		l.position.Sequence = r.Sequence
		l.seenMu.Lock()
		l.seen = max(l.seen, r.Sequence) // so that an epoch begins beyond it
		l.seenMu.Unlock()
		return true
	}
	known := l.named[0] <= r.Sequence && r.Sequence <= l.named[1] || r.Sequence == l.named[2]
	linked := l.position.Check == 0 || r.Before == l.position.Check
	first := r.Sequence == l.began+1 && l.position.Check != 0 // of the epoch, if it is linked
	follows := r.Sequence == l.position.Sequence+1 || first || l.verified && known
	if !follows || !linked {
		if !l.verified || !known || !l.doubted { // perhaps of an epoch that this node does not know, or some were removed meanwhile
			l.doubted, l.verified = l.verified && known, false
			l.suspect.Store(true)
			return false
		}
		// The store was looked at a moment ago: something that is not ours has changed it.
		l.config.Log.Error("an entry of the log is not linked to the one before it: something else writes to the stream", "sequence", r.Sequence, "before", l.position.Sequence)
		l.missed(l.position.Sequence, r.Sequence-1)
	}
	l.verified, l.doubted = false, false
	l.note(r.Link)
	l.position = r.Link
	raise(&l.known, r.Sequence)
	if e := l.read(r); e != nil {
		l.backlog = append(l.backlog, e)
	}
	return true
}

// read decodes a record; nil if it cannot be read, which is counted and logged.
func (l *Log) read(r *Record) *log.Entry {
	e, err := l.decoder.decode(r)
	if errors.Is(err, errOrphan) { // it was removed with the entries before it, which were missed
		l.missed(r.Sequence-1, r.Sequence)
		return nil
	}
	if err != nil {
		l.counts.skipped.Add(1)
		l.config.Log.Error("an entry of the log was skipped: it cannot be read", "sequence", r.Sequence, "error", err)
		return nil
	}
	return e
}

// applyBacklog applies what was read, as far as there is room.
func (l *Log) applyBacklog() error {
	for len(l.backlog) > 0 {
		n, control := 1, l.backlog[0].Kind == log.KindControl
		for n < min(len(l.backlog), applyBatch) && (l.backlog[n].Kind == log.KindControl) == control && !startsLoss(l.backlog[n]) {
			n++
		}
		if !control {
			for ; n > 0 && !l.tail.Room(n, log.Charge(l.backlog[:n])); n /= 2 {
			}
			if n == 0 {
				return ErrNoRoom
			}
		}
		if !l.apply(l.backlog[:n]) {
			return ErrNoRoom
		}
		rest := copy(l.backlog, l.backlog[n:])
		clear(l.backlog[rest:])
		l.backlog = l.backlog[:rest]
	}
	return nil
}

func startsLoss(e *log.Entry) bool {
	_, _, ok := lostOf(e)
	return ok
}

// apply reports false while the log is paused.
func (l *Log) apply(batch []*log.Entry) bool {
	l.applyMu.Lock()
	if l.still {
		l.applyMu.Unlock()
		return false
	}
	l.head.Store(batch[len(batch)-1].Sequence)
	if from, upto, ok := l.newLoss(batch[0]); ok {
		l.counts.lost.Add(1)
		l.config.Log.Warn("the store of the log has lost entries: all channels have a gap", "after", from, "upto", upto)
		l.lose(from, batch[0].Sequence) // of the new epoch: a cursor behind the loss must resolve
	}
	l.tail.Apply(batch)
	l.applyMu.Unlock()
	l.tail.Wake()
	l.settle()
	return true
}

// newLoss is lostOf for a loss that no entry before e has covered: several nodes may report the same
// one. The append lock is held, or nobody appends yet.
func (l *Log) newLoss(e *log.Entry) (from, upto uint64, ok bool) {
	if from, upto, ok = lostOf(e); !ok {
		return 0, 0, false
	}
	if n := len(l.losses); n > 0 && upto < l.losses[n-1] {
		return 0, 0, false
	}
	l.coverLosses(e.Sequence)
	return from, upto, true
}

// mostLosses is how many losses of entries are remembered.
const mostLosses = 64

// coverLosses notes that everything before those sequences is known to be lost, where it is.
func (l *Log) coverLosses(sequences ...uint64) {
	l.losses = append(l.losses, sequences...)
	l.losses = slices.Delete(l.losses, 0, max(0, len(l.losses)-mostLosses))
}

// missed tells this node's readers of entries that it can read no more.
func (l *Log) missed(from, upto uint64) {
	l.applyMu.Lock()
	defer l.applyMu.Unlock()
	l.lose(from, upto)
}

// sizeReads chooses how many entries the next read has.
func (l *Log) sizeReads(records []Record) {
	bytes := 0
	for i := range records {
		bytes += len(records[i].Entry) + 1
	}
	l.most = max(1, min(mostRead, 2*len(records), readBytes*len(records)/bytes))
	l.most = max(l.most, min(leastRead, readBytes*len(records)/bytes), 1)
}

// Read implements log.Reader.
func (l *Log) Read(dst []*log.Entry, after uint64, count, bytes int) ([]*log.Entry, error) {
	upto := l.head.Load()
	if after >= upto {
		return dst, nil
	}
	records, err := l.store.Read(context.Background(), after, min(count, mostRead), 0)
	if err != nil {
		return dst, fmt.Errorf("%w: %w", log.ErrUnavailable, err)
	}
	var d decoder
	charged, n := 0, 0
	for i := range records {
		r := &records[i]
		if r.Sequence > upto {
			break
		}
		if i == 0 && r.Sequence > max(after, l.origin.Load())+1 {
			whole, err := l.linked(after, r)
			if err != nil {
				return dst, fmt.Errorf("%w: %w", log.ErrUnavailable, err)
			}
			if !whole {
				return dst, &log.MissingError{After: after, Upto: r.Sequence - 1}
			}
		}
		e, err := d.decode(r)
		if errors.Is(err, errOrphan) && n == 0 { // reading begins in the middle of a message
			carrier, readErr := l.store.Read(context.Background(), e.Shared.First-1, 1, 0)
			if readErr != nil {
				return dst, fmt.Errorf("%w: %w", log.ErrUnavailable, readErr)
			}
			if len(carrier) == 0 || carrier[0].Sequence != e.Shared.First {
				return dst, &log.MissingError{After: after, Upto: r.Sequence}
			}
			_, _ = d.decode(&carrier[0]) // e is an orphan still
			e, err = d.decode(r)
		}
		if err != nil {
			continue // Follow has counted it
		}
		if charged += e.Size(); n > 0 && charged > bytes {
			break
		}
		dst = append(dst, e)
		n++
	}
	return dst, nil
}

// linked reports whether r is known to be the first entry behind a sequence: epochs have holes
// between them.
func (l *Log) linked(after uint64, r *Record) (bool, error) {
	records, err := l.store.Back(context.Background(), after, compareStep)
	for i := range records {
		if records[i].Check != 0 { // not somebody else's
			return records[i].Check == r.Before, err
		}
	}
	return false, err
}

// raise stores n if it is more.
func raise(to *atomic.Uint64, n uint64) {
	for {
		before := to.Load()
		if n <= before || to.CompareAndSwap(before, n) {
			return
		}
	}
}
