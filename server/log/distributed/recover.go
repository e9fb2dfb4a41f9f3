package distributed

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"peal/server/log"
)

// compareStep is how many entries are compared at once with those that the node has seen.
const compareStep = 16

// recover finds out what the store has become, begins an epoch there if that is needed, and
// goes on behind what the node has applied.
func (l *Log) recover(ctx context.Context) error {
	l.calling <- struct{}{}
	defer func() { <-l.calling }()
	m, ready, err := l.store.Look(ctx, false)
	if err != nil {
		return err
	}
	seen := l.sawUpto()
	common, err := l.common(ctx, &m, seen)
	if err != nil {
		return err
	}
	lost := common < seen
	if own := m.Format > 0 && m.Epoch == l.lineage.Epoch(); !ready || m.Head < seen || own && lost {
		b := l.begin(&m)
		b.Seen = seen
		if lost && own {
			b.Common = common
		}
		if m, err = l.store.Begin(ctx, b); err != nil {
			return err
		}
		if m.Head < seen { // another node was faster, and has seen less
			return ErrMoved
		}
		// Until now it may have lost more: nothing but Begin notices that it was started once again.
		if common, err = l.common(ctx, &m, seen); err != nil {
			return err
		}
	}
	return l.adopt(ctx, &m, common, seen)
}

// common is the newest entry of the store that is what it was: seen, if nothing is lost.
// Entries that the node has not read are, if they are of an epoch that it knows: between others that it
// has appended, or before them.
func (l *Log) common(ctx context.Context, m *Meta, seen uint64) (uint64, error) {
	l.seenMu.Lock()
	oldest := l.checks.oldest()
	l.seenMu.Unlock()
	if oldest == 0 { // it has seen none: it knows nothing but names, if there was anything
		if l.head.Load() == 0 {
			return seen, nil
		}
		return l.namedUpto(m, seen), nil
	}
	newestSeen, newest, named := l.newestSeen(), uint64(0), l.namedUpto(m, seen)
	begun := min(l.began, named) // what was before an epoch that is there is there
	for at, first := seen, true; ; first = false {
		records, err := l.store.Back(ctx, at, compareStep)
		if err != nil {
			return 0, err
		}
		if len(records) == 0 {
			if first && named == seen {
				return seen, nil // trimmed, and nothing is lost
			}
			return max(min(newest, named), begun), nil
		}
		for i := range records {
			r := &records[i]
			at = r.Sequence - 1
			same, known := l.hasSeen(r.Link)
			switch {
			case same && r.Sequence == newestSeen:
				return seen, nil
			case same:
				return max(min(newest, named), r.Sequence), nil
			case r.Sequence < oldest && newest > 0:
				return max(min(newest, named), begun), nil
			case r.Sequence < oldest:
				return max(min(r.Sequence, named), begun), nil
			case known: // another entry has its number
				newest = 0
			case newest == 0:
				newest = r.Sequence
			}
		}
	}
}

// newestSeen is the newest entry that the node has seen. Its position may be behind it, where an
// epoch begins.
func (l *Log) newestSeen() uint64 {
	l.seenMu.Lock()
	defer l.seenMu.Unlock()
	return l.checks.links[len(l.checks.links)-1].Sequence
}

// hasSeen reports whether the node has seen an entry of that number, and that one.
func (l *Log) hasSeen(k Link) (same, known bool) {
	l.seenMu.Lock()
	defer l.seenMu.Unlock()
	i, known := l.checks.find(k.Sequence)
	return known && l.checks.links[i].Check == k.Check, known
}

// namedUpto is how far the store knows the node's epoch, at most to that sequence; 0 if it does not.
func (l *Log) namedUpto(m *Meta, sequence uint64) uint64 {
	own := l.lineage.Epoch()
	if m.Epoch == own {
		return min(m.Head, sequence)
	}
	for _, p := range m.Predecessors {
		if p.Epoch == own {
			return min(p.Last, sequence)
		}
	}
	return 0
}

// adopt goes on in the store as it is.
func (l *Log) adopt(ctx context.Context, m *Meta, common, seen uint64) error {
	applied := l.position.Sequence
	f, err := l.find(ctx, m, common)
	if err != nil {
		return err
	}
	// What was read, one call after another, counts only if the store was in one epoch all the time: entries of
	// another one would have the names of this one.
	missing := f.behind > 0 || f.anew
	last, ready, err := l.store.Look(ctx, missing)
	if err != nil {
		return err
	}
	if !ready || last.Epoch != m.Epoch {
		return ErrMoved
	}
	if f.behind > 0 {
		l.config.Log.Warn("entries that this node has not read are not retained any more: it was too slow, or the store has lost them", "after", applied, "upto", f.behind)
	}
	// Of what it has not read, some may have been removed. A state that is older than what it has read
	// says nothing of that.
	if missing && last.Saved > min(common, applied) {
		if err := l.load(&last); err != nil {
			return err
		}
	}
	if m.Epoch != l.lineage.Epoch() {
		l.counts.epochs.Add(1)
		l.config.Log.Info("a new epoch of the log", "epoch", m.Epoch.String(), "behind", m.Began, "seen", seen, "left", common)
		l.begins(m)
	}
	l.position, l.verified, l.named = f.position, true, [3]uint64{m.Oldest, m.Newest.Sequence, m.Head + 1}
	upto := applied
	if common < applied && applied < m.Began {
		upto++ // who stands behind the newest lost entry lacks those, too, that have lower sequences
	}
	if f.behind > 0 {
		upto = max(upto, m.named(f.behind))
	}
	if missing {
		l.missed(min(common, applied), upto)
	}
	// An entry that told of a loss, and is lost, covers nothing: other nodes never had it, and take the next one.
	l.losses = slices.DeleteFunc(l.losses, func(sequence uint64) bool { return sequence > common })
	if f.anew {
		l.coverLosses(f.losses...)
		l.applyMu.Lock()
		for batch := range slices.Chunk(f.orders, applyBatch) {
			l.tail.Apply(batch)
		}
		l.applyMu.Unlock()
	}
	l.seenMu.Lock()
	l.seen = max(l.seen, m.Head) // if the store loses this epoch, the next one is beyond it
	l.seenMu.Unlock()
	raise(&l.known, m.Newest.Sequence)
	if common < seen {
		l.report(common, seen)
	}
	l.note(f.links...)
	return nil
}

// findings are what a node that is to go on in a store has found there.
type findings struct {
	position Link         // it goes on behind it
	behind   uint64       // entries that it has not read are gone up to here; 0: none
	anew     bool         // entries have lower sequences than it has applied, which it has not
	orders   []*log.Entry // the control entries among them
	losses   []uint64     // of these, those that tell of a loss, which others have followed
	links    []Link       // the newest of the entries
}

// find finds out where the node goes on in a store that has m, of which everything up to common is
// what it was. It changes nothing.
func (l *Log) find(ctx context.Context, m *Meta, common uint64) (f findings, err error) {
	applied := l.position.Sequence
	before, err := l.store.Back(ctx, applied, 1)
	if err != nil {
		return f, err
	}
	f.position = Link{Sequence: applied}
	switch {
	case m.Newest.Sequence <= applied:
		f.position.Check = m.Check
	case len(before) > 0:
		f.position.Check = before[0].Check
	default: // those up to the position are gone
		oldest, err := l.oldestBehind(ctx, applied)
		switch {
		case err != nil:
			return f, err
		case l.position.Check != 0 && oldest.Before == l.position.Check: // of an epoch in which nothing was appended
			f.position.Check = l.position.Check
		case oldest.Sequence == applied+1:
			f.position.Check = oldest.Before
		default:
			f.behind = oldest.Sequence - 1
			f.position = Link{f.behind, oldest.Before}
		}
	}
	if len(before) > 0 && common < applied && before[0].Check != 0 {
		same, _ := l.hasSeen(before[0].Link)
		if f.anew = !same; f.anew {
			err = l.readAnew(ctx, common, applied, &f)
		}
	}
	return f, err
}

// oldestBehind is the oldest entry behind a sequence, when there is one. It may have come to be the oldest since the store
// was looked at.
func (l *Log) oldestBehind(ctx context.Context, sequence uint64) (Record, error) {
	records, err := l.store.Read(ctx, sequence, compareStep, 0)
	for i := range records {
		if records[i].Check != 0 { // not somebody else's
			return records[i], err
		}
	}
	if err == nil {
		err = ErrMoved // look again
	}
	return Record{}, err
}

// readAnew reads the entries behind a sequence up to another, for their orders. After a store was emptied, or has lost the
// beginning of an epoch, another node may have begun one with lower sequences than this node has applied: then
// subscribers here have a gap, but orders must be followed all the same.
func (l *Log) readAnew(ctx context.Context, after, upto uint64, f *findings) error {
	var d decoder
	for after < upto {
		records, err := l.store.Read(ctx, after, mostRead, 0)
		if err != nil || len(records) == 0 {
			return err
		}
		for i := range records {
			r := &records[i]
			if after = r.Sequence; after > upto {
				break
			}
			if r.Check == 0 { // somebody else's
				continue
			}
			f.links = append(f.links, r.Link)
			if e, err := d.decode(r); err != nil || e.Kind != log.KindControl {
				continue
			} else if startsLoss(e) {
				f.losses = append(f.losses, r.Sequence)
			} else {
				f.orders = append(f.orders, e)
			}
		}
		f.links = f.links[max(0, len(f.links)-maxChecks):]
	}
	return nil
}

// reload takes the state that control entries have led to which this node can read no more. The store
// keeps one that is later than what it removes.
func (l *Log) reload(ctx context.Context) error {
	if l.state == nil {
		return nil
	}
	m, _, err := l.store.Look(ctx, true)
	if err != nil {
		return err
	}
	return l.load(&m)
}

// load is reload for a store that was looked at with its state.
func (l *Log) load(m *Meta) error {
	if l.state == nil || m.Saved == 0 { // the store was emptied: what this node has is all there is
		return nil
	}
	if err := l.state.Load(m.State, m.Saved); err != nil {
		return fmt.Errorf("the control state in the store: %w", err)
	}
	return nil
}

// report appends the entry that says that entries are lost, and forgets them.
func (l *Log) report(common, seen uint64) {
	l.seenMu.Lock()
	i, _ := l.checks.find(common + 1)
	l.checks.links = l.checks.links[:i]
	l.seenMu.Unlock()
	data := binary.AppendUvarint(binary.AppendUvarint(nil, common), seen)
	l.say(data)
}

// say appends an entry of EventLost, again and again until it is in the log.
func (l *Log) say(data []byte) {
	err := l.Append([]*log.Entry{{Kind: log.KindControl, Event: EventLost, Data: data}}, func(err error) {
		if err != nil {
			l.say(data)
		}
	})
	if err != nil {
		l.config.Log.Error("cannot tell the other nodes that entries of the log are lost", "error", err)
	}
}
