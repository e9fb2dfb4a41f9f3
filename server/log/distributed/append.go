package distributed

import (
	"context"
	"errors"
	"time"

	"peal/server/log"
)

// Most entries and bytes of a call, but for a first batch that is larger.
const (
	callEntries = 1024
	callBytes   = 1 << 20
)

// applyWait is how long a batch that is in the log waits until this node has read it. Until
// then its publisher could not read what it has published.
const applyWait = 500 * time.Millisecond

// refusedPause is how long a store that can be read takes no entries after it took none, unless
// it takes a control entry: longer than between two of them, so that the log does not fail by turns.
const refusedPause = 3 * time.Second

// pending is a batch on its way.
type pending struct {
	entries []*log.Entry
	done    func(error)
	bytes   int
	control bool
	at      time.Time // appended; then answered

	last uint64 // the newest of its sequences
	err  error
}

// call is a Call and its batches.
type call struct {
	Call
	batches []*pending
	sent    time.Time // first
}

// Append puts the batch into the queue; see log.Log. done runs when the store has it and
// this node has read it, or does not within half a second.
//
// A batch that could not be sent for Config.Wait, or whose answer has not come so long, is done
// with ErrUnavailable. One that the store had no room for is done with ErrStorage.
func (l *Log) Append(batch []*log.Entry, done func(error)) error {
	if done == nil {
		done = func(error) {}
	}
	if len(batch) == 0 {
		done(nil)
		return nil
	}
	p := &pending{entries: append([]*log.Entry(nil), batch...), done: done, bytes: log.Charge(batch), control: log.IsControl(batch), at: l.now()}
	if err := l.enqueue(p); err != nil {
		return err
	}
	signal(l.hurry)
	return nil
}

func (l *Log) enqueue(p *pending) error {
	if err := l.Failing(); err != nil && !p.control {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	bytes := &l.queued
	if p.control { // they have a queue of their own
		bytes = &l.controls
	}
	switch {
	case l.closed:
		return log.ErrClosed
	case l.succeeds:
		return log.ErrUnavailable
	case *bytes > 0 && *bytes+p.bytes > l.config.QueueBytes:
		return log.ErrFull
	}
	*bytes += p.bytes
	l.open.Add(1)
	l.queue = append(l.queue, p)
	return nil
}

// take makes the next call, nil if nothing waits.
func (l *Log) take() *call {
	l.mu.Lock()
	var batches []*pending
	entries, bytes := 0, 0
	for _, p := range l.queue {
		if l.allowed >= 0 && len(batches) == l.allowed {
			break
		}
		if len(batches) > 0 && (entries+len(p.entries) > callEntries || bytes+p.bytes > callBytes) {
			break
		}
		entries, bytes = entries+len(p.entries), bytes+p.bytes
		batches = append(batches, p)
		if p.control {
			l.controls -= p.bytes
		} else {
			l.queued -= p.bytes
		}
	}
	if l.allowed > 0 {
		l.allowed -= len(batches)
	}
	rest := copy(l.queue, l.queue[len(batches):])
	clear(l.queue[rest:])
	l.queue = l.queue[:rest]
	l.mu.Unlock()
	if len(batches) == 0 {
		return nil
	}
	l.number++
	c := &call{batches: batches, Call: Call{Node: l.node, Number: l.number, Window: l.config.Window}, sent: l.now()}
	now := l.now().UnixMilli()
	for _, p := range batches {
		c.Batch = append(c.Batch, encode(p.entries, now, l.config.Window > 0, l.check))
	}
	return c
}

// errRecovering is returned by Flush while Follow finds out what the store has become.
var errRecovering = errors.New("log: the store is looked at")

// Flush sends one call with what waits, or the one before again if it was not answered. idle is
// true if there was none. After an error it is to be called again soon.
func (l *Log) Flush(ctx context.Context) (idle bool, err error) {
	defer l.settle()
	select {
	case l.calling <- struct{}{}:
	default:
		l.giveUp(false)
		return false, errRecovering
	}
	defer func() { <-l.calling }()
	if l.call == nil {
		l.call = l.take()
	}
	if l.call == nil {
		return true, l.probe(ctx)
	}
	c := l.call
	c.Epoch, c.Seen = l.lineage.Epoch(), l.sawUpto()
	results, err := l.store.Append(ctx, &c.Call)
	switch {
	case err == nil && len(results) == len(c.batches):
		l.answer(c, results)
		l.well()
	case errors.Is(err, ErrRefused):
		l.fail(errors.Join(log.ErrStorage, err))
		l.end(c, log.ErrStorage)
	default:
		if errors.Is(err, ErrMoved) {
			l.suspect.Store(true)
		}
		l.fail(errors.Join(log.ErrUnavailable, err))
		l.giveUp(false)
		return false, err
	}
	return false, nil
}

// probe finds out whether a store that could not be used can be again, when nothing is
// waiting for it.
func (l *Log) probe(ctx context.Context) error {
	f := l.failing.Load()
	if f == nil {
		return nil
	}
	if readable := errors.Is(f.err, log.ErrStorage) || errors.Is(f.err, ErrUnconfirmed); readable && l.now().Sub(f.last) < refusedPause {
		return nil
	}
	_, ready, err := l.store.Look(ctx, false)
	switch {
	case err != nil:
		return err
	case !ready:
		l.suspect.Store(true)
		return ErrMoved
	}
	l.well()
	return nil
}

// answer gives the batches of a call what became of them.
func (l *Log) answer(c *call, results []Result) {
	now := l.now()
	l.time(Timing{Append: now.Sub(c.sent)})
	var links []Link
	for i, p := range c.batches {
		r := &results[i]
		if r.Conflict || len(r.Sequences) != len(p.entries) {
			p.err = log.ErrConflict
			continue
		}
		for k, sequence := range r.Sequences {
			p.entries[k].Sequence = sequence
			p.last = max(p.last, sequence)
			if r.Old == nil || !r.Old[k] {
				links = append(links, Link{sequence, c.Batch[i][k].Check})
			}
		}
	}
	l.acknowledge(links)
	l.done(c.batches, now)
	l.call = nil
}

// acknowledge notes the entries that the store has taken.
func (l *Log) acknowledge(links []Link) {
	head := l.head.Load()
	fresh := links[:0]
	for _, k := range links {
		if k.Sequence > head {
			fresh = append(fresh, k)
		}
	}
	l.note(fresh...)
	for _, k := range fresh {
		raise(&l.known, k.Sequence)
	}
}

// end ends the batches of a call that is not sent again.
func (l *Log) end(c *call, err error) {
	for _, p := range c.batches {
		p.err = err
	}
	l.done(c.batches, l.now())
	l.call = nil
}

// giveUp ends what has waited for too long, or all.
func (l *Log) giveUp(all bool) {
	long := func(p *pending) bool { return all || l.now().Sub(p.at) >= l.config.Wait }
	if c := l.call; c != nil && long(c.batches[0]) {
		l.end(c, log.ErrUnavailable)
	}
	var old []*pending
	l.mu.Lock()
	kept := l.queue[:0]
	for _, p := range l.queue {
		switch {
		case !long(p):
			kept = append(kept, p)
			continue
		case p.control:
			l.controls -= p.bytes
		default:
			l.queued -= p.bytes
		}
		p.err = log.ErrUnavailable
		old = append(old, p)
	}
	clear(l.queue[len(kept):])
	l.queue = kept
	l.mu.Unlock()
	l.done(old, l.now())
}

func (l *Log) done(batches []*pending, now time.Time) {
	l.doneMu.Lock()
	defer l.doneMu.Unlock()
	for _, p := range batches {
		p.at = now
	}
	l.answered = append(l.answered, batches...)
}

// settle calls done for batches whose end is known. They are done in their order, on the
// goroutine that was first.
func (l *Log) settle() {
	l.doneMu.Lock()
	defer l.doneMu.Unlock()
	now, n := l.now(), 0
	for _, p := range l.answered {
		if p.err == nil && p.last > l.head.Load() && now.Sub(p.at) < applyWait {
			break
		}
		p.done(p.err)
		l.open.Add(-1)
		n++
	}
	rest := copy(l.answered, l.answered[n:])
	clear(l.answered[rest:])
	l.answered = l.answered[:rest]
}

// fail notes why nothing can be appended, since when it is so.
func (l *Log) fail(err error) {
	f := &failure{since: l.now(), err: err}
	f.last = f.since
	if before := l.failing.Load(); before != nil {
		f.since = before.since
	} else {
		l.config.Log.Error("the store of the log cannot be used: publications wait, and are refused after log-wait", "error", err)
	}
	l.failing.Store(f)
}

// well notes that all is well.
func (l *Log) well() {
	if before := l.failing.Swap(nil); before != nil {
		l.config.Log.Info("the store of the log can be used again", "after", l.now().Sub(before.since))
	}
}
