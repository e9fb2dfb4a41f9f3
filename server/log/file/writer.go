package file

import (
	"errors"
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

	// lookEvery is how often it is looked whether the directory is still there,
	// where no sync asks for it. It bounds what is acknowledged and gone with a
	// deleted directory under the policy never.
	lookEvery = time.Second
)

// write is the writer: it takes all that is queued, commits it, and does what
// is due, until the log is closed and nothing is queued.
func (l *Log) write() {
	defer close(l.ended)
	timer := time.NewTimer(retainEvery)
	defer timer.Stop()
	for {
		group, pause, closed := l.takeQueue()
		l.commit(group)
		clear(group)
		l.spare = group[:0]
		switch pause {
		case pauseAsked:
			l.becomeQuiet()
			continue
		case pauseOn:
			<-l.work // the end of the pause, or of the log
			continue
		case pauseReleased:
			l.refuseQueue()
		}
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

// takeQueue takes what is queued, but for what waits for the end of a pause.
func (l *Log) takeQueue() (group []accepted, p pause, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pause == pauseOn || l.pause == pauseReleased {
		return l.spare, l.pause, l.closed // which is empty
	}
	group, l.queue = l.queue, l.spare
	l.asked = l.quiet
	return group, l.pause, l.closed
}

// commit makes batches as durable as the policy promises and shows them, a
// piece at a time.
func (l *Log) commit(group []accepted) {
	for len(group) > 0 {
		n, last, err := l.encode(group)
		if err == nil {
			err = l.store(last)
		}
		if err != nil {
			l.fail(group, err)
			return
		}
		l.show(group[:n])
		group = group[n:]
	}
}

// store writes the buffer, up to the sequence last, and makes it as durable as
// the policy promises. What is synced in a file that nobody will find is not
// durable.
func (l *Log) store(last uint64) error {
	a := l.active
	size, before := a.size, a.last
	spoiled, err := a.write(l.buffer, last)
	if err != nil || l.config.Fsync != Always {
		l.spoiled = l.spoiled || spoiled
		return err
	}
	if err = a.sync(); err == nil {
		if err = l.look(); err != nil {
			a.giveUp(size, before, err)
		}
	}
	l.spoiled = l.spoiled || err != nil
	return err
}

// look reports, as an error, that the active segment is not where the next start
// would look for it.
func (l *Log) look() error {
	l.lookAt = l.now().Add(lookEvery)
	return l.files.Present(l.active.name, l.active.file)
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
			if e.Kind == log.KindControl {
				l.active.control = last
			}
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
		waits := &l.pending[a.lane()]
		waits.entries -= len(a.entries)
		waits.bytes -= a.bytes
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
	l.pending = [2]load{}
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
	if l.active != nil && l.retryAt.IsZero() {
		l.doDueTo(l.active, now)
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

// doDueTo syncs the active segment when the policy asks for it, and looks whether
// it is still there.
func (l *Log) doDueTo(a *active, now time.Time) {
	if l.config.Fsync == Interval && a.isUnsynced() {
		switch {
		case l.syncAt.IsZero():
			l.syncAt = now.Add(l.config.FsyncInterval)
		case !now.Before(l.syncAt):
			if err := a.sync(); err != nil {
				l.fail(nil, err)
				return
			}
			l.lookAt = now
		}
	}
	if !a.isUnsynced() {
		l.syncAt = time.Time{}
	}
	if now.Before(l.lookAt) {
		return
	}
	if err := l.look(); err != nil {
		a.sealed = err
		l.fail(nil, err)
	}
}

// untilDue is how long the writer may sleep.
func (l *Log) untilDue() time.Duration {
	now := l.now()
	if !l.retryAt.IsZero() {
		return max(0, l.retryAt.Sub(now)) // nothing else is done before that
	}
	wait := retainEvery
	for _, at := range []time.Time{l.syncAt, l.lookAt} {
		if !at.IsZero() {
			wait = min(wait, at.Sub(now))
		}
	}
	return max(0, wait)
}

// retry accepts again if a new segment can be begun and there is some room.
func (l *Log) retry(now time.Time) {
	if err := l.resume(); err != nil {
		l.retryAt = now.Add(retryEvery)
		return
	}
	l.retryAt = time.Time{}
	l.mu.Lock()
	l.failure = nil
	l.mu.Unlock()
	l.config.Log.Info("the log can be written again", "directory", l.dir)
}

func (l *Log) resume() error {
	l.retain() // what has become too old makes room
	if err := l.reopen(); err != nil {
		return err
	}
	if err := l.probe(); err != nil {
		return err
	}
	if err := l.save(); err != nil { // orders may have been refused meanwhile
		return err
	}
	return l.rotate()
}

// reopen finds out what has become of a directory in which the active segment was
// not found. It may be there again, be empty, or be a new one: then the log goes
// on in it, though the next start will miss what was in the old one.
func (l *Log) reopen() error {
	if l.active != nil && l.files.Present(l.active.name, l.active.file) == nil {
		return nil
	}
	if err := l.files.Reopen(); err != nil {
		return err
	}
	names, err := l.files.List()
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, name := range names {
		if _, ok := parseSegmentName(name); ok {
			there[name] = true
		}
	}
	kept := l.segments
	l.segments, l.pastSize = nil, 0
	for _, p := range kept {
		if there[p.name] {
			l.keep(p)
		}
	}
	if l.active != nil {
		l.active.gone = !there[l.active.name]
	}
	l.expose()
	return nil
}

// finish ends the writer. What was shown is on the disk then, and what was not
// shown is not, or it returns an error.
func (l *Log) finish() error {
	a := l.active
	if a == nil {
		return nil // nothing could be written since the start, and nothing was shown
	}
	durable, head := a.settle(), l.head.Load()
	if a.uncut && a.cut() == nil {
		a.uncut = a.file.Sync() != nil
	}
	var err error
	switch gone := l.files.Present(a.name, a.file); {
	case gone != nil:
		err = fmt.Errorf("log: %w: what is in it may be lost", gone)
	case durable < head && head >= a.header.first:
		err = fmt.Errorf("log: the end of %s, from sequence %d to %d, may be lost: %w", a.name, durable+1, head, a.sealed)
	case a.uncut:
		if err = l.rotate(); err != nil { // its header says what does not count
			err = fmt.Errorf("log: the end of %s has entries that were refused: %w", a.name, err)
		}
		a = l.active
	case a.sealed == nil:
		l.close(a)
	}
	if closeErr := a.file.Close(); closeErr != nil {
		err = errors.Join(err, fmt.Errorf("log: close %s: %w", a.name, closeErr))
	}
	return err
}

// close writes the footer, if there is room for it: it helps to tell damage from
// a torn tail, and nothing depends on it.
func (l *Log) close(a *active) {
	_, err := a.file.Write(appendFooter(nil, a.header.mark))
	if err != nil {
		err = a.cut()
	}
	if err == nil {
		err = a.file.Sync()
	}
	if err != nil {
		l.config.Log.Warn("closing a segment of the log failed", "file", a.name, "error", err)
	}
}
