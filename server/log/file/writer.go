package file

import (
	"fmt"
	"time"

	"peal/server/log"
)

const (
	// pieceBytes is about how much is written and synced at once: a larger queue
	// is committed in pieces. 1 MiB: the buffer is kept.
	pieceBytes = 1 << 20

	// retryEvery is how often a failing disk is tried again.
	retryEvery = time.Second

	// retainEvery is how often entries are looked at that may be too old.
	retainEvery = time.Minute
)

// write is the writer: it takes all that is queued, commits it, and does what
// is due, until the log is closed and nothing is queued.
func (l *Log) write() {
	defer close(l.ended)
	timer := time.NewTimer(retainEvery)
	defer timer.Stop()
	for {
		l.mu.Lock()
		group, closed := l.queue, l.closed
		l.queue = l.spare
		l.mu.Unlock()
		l.commit(group)
		clear(group)
		l.spare = group[:0]
		l.doDue()
		if len(group) > 0 {
			continue
		}
		if closed {
			l.endErr = l.finish()
			return
		}
		timer.Reset(l.untilDue())
		select {
		case <-l.work:
		case <-timer.C:
		}
	}
}

// commit makes batches as durable as the policy promises and shows them, a
// piece at a time.
func (l *Log) commit(group []accepted) {
	for len(group) > 0 {
		n, last, err := l.encode(group)
		if err == nil {
			err = l.active.write(l.buffer, last)
		}
		if err == nil && l.config.Fsync == Always {
			err = l.active.sync()
		}
		if err != nil {
			l.fail(group, err)
			return
		}
		l.show(group[:n])
		group = group[n:]
	}
}

// encode fills the buffer with the records of the first n batches, up to the
// sequence last: as many as make a piece and fit into the active segment. Where
// not even one fits it begins the next segment; all that was encoded before has
// been shown then, so a piece that fails never leaves records in two segments.
func (l *Log) encode(group []accepted) (n int, last uint64, err error) {
	l.buffer, last = l.buffer[:0], l.active.last
	room := int64(l.config.SegmentBytes) - l.active.size
	for n < len(group) && len(l.buffer) < pieceBytes {
		whole, before := len(l.buffer), last
		for _, e := range group[n].entries {
			l.buffer = appendRecord(l.buffer, l.active.header.mark, e)
			last = e.Sequence
		}
		if int64(len(l.buffer)) > room && !(n == 0 && l.active.isEmpty()) {
			if n > 0 {
				l.buffer = l.buffer[:whole]
				return n, before, nil
			}
			if err := l.rotate(); err != nil {
				return 0, 0, err
			}
			return l.encode(group) // with the mark of the new segment
		}
		n++
	}
	return n, last, nil
}

// show gives the tail batches that are as durable as the policy promises, and
// calls their done.
func (l *Log) show(batches []accepted) {
	for _, a := range batches {
		l.mu.Lock()
		if n := len(a.entries); n > 0 {
			l.head.Store(a.entries[n-1].Sequence)
			l.tail.Apply(a.entries)
		}
		l.pendingEntries -= len(a.entries)
		l.pendingBytes -= a.bytes
		l.mu.Unlock()
	}
	l.tail.Wake()
	for _, a := range batches {
		if a.done != nil {
			a.done(nil)
		}
	}
	if cap(l.buffer) > 2*pieceBytes {
		l.buffer = nil // a batch was larger than most: its memory is not kept
	}
}

// fail gives up the batches and all that is queued behind them. None of them
// was shown, so their numbers are free again: the next segment says that it
// begins behind what was shown, and what may be left of them on the disk does
// not count (header.before).
func (l *Log) fail(batches []accepted, cause error) {
	err := fmt.Errorf("%w: %w", log.ErrStorage, cause)
	l.mu.Lock()
	queued := l.queue
	l.queue = nil
	l.next = l.head.Load() + 1
	l.pendingEntries, l.pendingBytes = 0, 0
	again := l.failure != nil
	l.failure = err
	l.mu.Unlock()
	l.retryAt = l.now().Add(retryEvery)
	if !again {
		l.config.Log.Error("the log cannot be written: publishing is refused until it can", "directory", l.dir, "error", cause, "batches", len(batches)+len(queued))
	}
	for _, group := range [][]accepted{batches, queued} {
		for _, a := range group {
			if a.done != nil {
				a.done(err)
			}
		}
	}
}

// doDue does what the clock asks for.
func (l *Log) doDue() {
	now := l.now()
	if l.config.Fsync == Interval && l.active.isUnsynced() {
		switch {
		case l.syncAt.IsZero():
			l.syncAt = now.Add(l.config.FsyncInterval)
		case !now.Before(l.syncAt):
			if err := l.active.sync(); err != nil {
				l.fail(nil, err)
			}
		}
	}
	if !l.active.isUnsynced() {
		l.syncAt = time.Time{}
	}
	if !l.retryAt.IsZero() && !now.Before(l.retryAt) {
		l.retry(now)
	}
	if l.config.Age > 0 && !now.Before(l.retainAt) && l.retryAt.IsZero() {
		l.retainAt = now.Add(retainEvery)
		if l.active.isOlderThan(now.Add(-l.config.Age)) {
			if err := l.rotate(); err != nil {
				l.fail(nil, err)
			}
		}
		l.retain()
	}
}

// untilDue is how long the writer may sleep.
func (l *Log) untilDue() time.Duration {
	now := l.now()
	wait := retainEvery
	for _, at := range []time.Time{l.retryAt, l.syncAt} {
		if !at.IsZero() {
			wait = min(wait, at.Sub(now))
		}
	}
	return max(0, wait)
}

// retry accepts again if a new segment can be begun and there is some room.
func (l *Log) retry(now time.Time) {
	err := l.probe()
	if err == nil {
		err = l.rotate()
	}
	if err != nil {
		l.retryAt = now.Add(retryEvery)
		return
	}
	l.retryAt = time.Time{}
	l.mu.Lock()
	l.failure = nil
	l.mu.Unlock()
	l.config.Log.Info("the log can be written again", "directory", l.dir)
}

// finish ends the writer. The clean marker says that whatever was shown is on
// the disk, so there is none where that is in doubt.
func (l *Log) finish() error {
	if l.active.settle(); l.active.sealed != nil || !l.retryAt.IsZero() {
		// Half a segment may have been begun, too: begin it well, or stop badly.
		if err := l.rotate(); err != nil {
			return fmt.Errorf("log: the end of %s may be lost: %w", l.active.name, err)
		}
	}
	a := l.active
	if err := a.file.Close(); err != nil {
		return fmt.Errorf("log: close %s: %w", a.name, err)
	}
	m := marker{l.epoch, a.last, a.name, a.size}
	if err := m.write(l.files); err != nil {
		return fmt.Errorf("log: leave the clean marker in %s: %w", l.dir, err)
	}
	return nil
}
