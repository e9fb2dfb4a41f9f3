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
	if oldest == 0 { // it has seen none
		return seen, nil
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
				return max(newest, r.Sequence), nil
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
	position := l.position
	applied := position.Sequence
	before, err := l.store.Back(ctx, applied, 1)
	behind := Record{} // the oldest entry, if those up to the position are gone
	if err == nil && len(before) == 0 && m.Newest.Sequence > applied {
		behind, err = l.oldestBehind(ctx, applied)
	}
	next := position.Check != 0 && behind.Before == position.Check // of an epoch in which nothing was appended
	var orders []*log.Entry
	anew := false // entries have lower sequences than this node has applied, which it has not
	if err == nil && len(before) > 0 && common < applied && before[0].Check != 0 {
		same, _ := l.hasSeen(before[0].Link)
		if anew = !same; anew {
			orders, err = l.controlEntries(ctx, common, applied)
		}
	}
	if err != nil {
		return err
	}
	if m.Epoch != l.lineage.Epoch() {
		l.counts.epochs.Add(1)
		l.config.Log.Info("a new epoch of the log", "epoch", m.Epoch.String(), "behind", m.Began, "seen", seen, "left", common)
		l.begins(m)
	}
	l.position, l.verified, l.named = Link{Sequence: applied}, true, [3]uint64{m.Oldest, m.Newest.Sequence, m.Head + 1}
	if m.Newest.Sequence <= applied {
		l.position.Check = m.Check
	} else if len(before) > 0 {
		l.position.Check = before[0].Check
	} else if next {
		l.position.Check = position.Check
	} else if behind.Sequence == applied+1 {
		l.position.Check = behind.Before
	} else {
		l.config.Log.Warn("entries that this node has not read are not retained any more: it was too slow, or the store has lost them", "after", applied, "upto", behind.Sequence-1)
		if err := l.reload(ctx); err != nil {
			return err
		}
		l.missed(applied, max(applied, m.named(behind.Sequence-1)))
		l.position = Link{behind.Sequence - 1, behind.Before}
	}
	if anew {
		l.missed(common, applied)
		l.applyMu.Lock()
		for batch := range slices.Chunk(orders, applyBatch) {
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
	return nil
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

// controlEntries reads the control entries behind a sequence up to another. After a store was emptied, one of another
// node may have begun with lower sequences than this node has applied: then subscribers here have a
// gap, but orders must be followed all the same.
func (l *Log) controlEntries(ctx context.Context, after, upto uint64) (orders []*log.Entry, err error) {
	for after < upto {
		records, err := l.store.Read(ctx, after, mostRead, 0)
		if err != nil || len(records) == 0 {
			return orders, err
		}
		var d decoder
		for i := range records {
			e, err := d.decode(&records[i])
			if after = records[i].Sequence; err == nil && e.Kind == log.KindControl && e.Event != EventLost && after <= upto {
				orders = append(orders, e)
			}
		}
	}
	return orders, nil
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
	if m.Saved == 0 { // the store was emptied: what this node has is all there is
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
