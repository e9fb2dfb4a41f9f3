package file

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"peal/server/log"
)

// The hand-over of a log in files; see log.Outgoing and log.Incoming. The successor reads the directory without
// its lock, up to what the predecessor says that it has shown. Between Offer and the end, no segment is removed. Pause
// syncs everything, so the files are the whole log whoever dies then, and whenever: a successor that takes the lock
// does what every start does, and a later start finds what was shown.

// pause is how far the writer is with one.
type pause uint8

const (
	pauseNone     pause = iota
	pauseAsked          // the writer takes the queue once more
	pauseOn             // the queue waits
	pauseReleased       // and is refused: the log ends
)

// Offer implements log.Outgoing. If a segment is being removed, it waits for that.
func (l *Log) Offer() (h log.Handover, err error) {
	for range removalTries {
		if h, err = l.offer(); !errors.Is(err, errRemoving) {
			break
		}
		time.Sleep(removalPause)
	}
	return h, err
}

const (
	removalTries = 400
	removalPause = 5 * time.Millisecond
)

// errRemoving: a successor would miss the segment, or see it go.
var errRemoving = errors.New("log: an old segment is being removed, and the disk takes long: try again later")

func (l *Log) offer() (h log.Handover, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.removing:
		return h, errRemoving
	case l.closed || !l.started:
		return h, log.ErrClosed
	case l.offered:
		return h, log.ErrPaused
	case l.failure != nil:
		return h, l.failure
	}
	l.offered = true
	return l.standLocked(), nil
}

func (l *Log) standLocked() (h log.Handover) {
	h.Engine, h.Head = "file", l.head.Load()
	l.lineage.HandOver(&h)
	return h
}

// beginRemoval tells whether a segment may be removed. If so, endRemoval must follow.
func (l *Log) beginRemoval() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.removing = !l.offered || l.failure != nil // a full disk needs the room: then the successor misses what it reads, and ends
	return l.removing
}

func (l *Log) endRemoval() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.removing = false
}

// EachRetained implements log.Outgoing: a successor reads the files.
func (l *Log) EachRetained(_, _ uint64, _ func(batch []*log.Entry) error) error { return nil }

// Pause implements log.Outgoing. What is synced then is the whole log, under every policy.
func (l *Log) Pause(ctx context.Context) (h log.Handover, err error) {
	l.mu.Lock()
	switch {
	case l.closed || !l.started:
		err = log.ErrClosed
	case l.pause != pauseNone || !l.offered:
		err = log.ErrPaused
	case l.failure != nil:
		err = l.failure
	}
	if err != nil {
		l.mu.Unlock()
		return h, err
	}
	quiet := make(chan error, 1)
	l.pause, l.quiet = pauseAsked, quiet
	l.mu.Unlock()
	l.signal()
	select {
	case err = <-quiet:
	case <-ctx.Done():
		err = ctx.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil && l.pause == pauseOn {
		return l.standLocked(), nil
	}
	if err == nil { // the log was closed meanwhile
		err = log.ErrClosed
	}
	l.endPauseLocked()
	return log.Handover{}, err
}

// becomeQuiet ends the queue before the pause of asked. The writer calls it when it has committed what was queued then.
func (l *Log) becomeQuiet() {
	err := l.quieten()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pause != pauseAsked || l.quiet != l.asked {
		return // it was called off
	}
	l.pause = pauseNone
	if err == nil {
		l.pause = pauseOn
	}
	l.quiet <- err // once, for which there is room
}

// quieten makes what was shown durable, or says why it is not.
func (l *Log) quieten() error {
	a := l.active
	if err := l.Failing(); err != nil {
		return err
	}
	if a.isUnsynced() {
		if err := a.sync(); err != nil {
			l.fail(nil, err)
			return l.Failing()
		}
	}
	if err := l.look(); err != nil {
		a.sealed = err
		l.fail(nil, err)
		return l.Failing()
	}
	l.syncAt = time.Time{}
	return nil
}

// Resume implements log.Outgoing.
func (l *Log) Resume() {
	l.mu.Lock()
	l.endPauseLocked()
	l.offered = false
	l.mu.Unlock()
	l.signal()
}

func (l *Log) endPauseLocked() {
	if l.pause == pauseAsked || l.pause == pauseOn {
		l.pause = pauseNone
	}
	l.signal()
}

// Release implements log.Outgoing.
func (l *Log) Release() error {
	l.mu.Lock()
	if l.pause != pauseOn {
		l.mu.Unlock()
		return log.ErrPaused
	}
	l.pause = pauseReleased
	l.mu.Unlock()
	return l.Close()
}

// refuseQueue ends what waits. Nothing is accepted any more.
func (l *Log) refuseQueue() {
	l.mu.Lock()
	queued := l.queue
	l.queue = nil
	l.next, l.pending = l.head.Load()+1, [2]load{}
	l.mu.Unlock()
	for _, a := range queued {
		if a.done != nil {
			a.done(log.ErrClosed)
		}
	}
}

// incoming is what a successor needs until it begins.
type incoming struct {
	// lock opens the directory anew, with its lock. Until then, what a successor uses has none.
	lock func() (files, func() error, error)
}

// errPreparing: nothing is appended before Begin.
var errPreparing = errors.New("log: another process has the log still")

// Succeed returns the engine that goes on with the log of another process in the directory, which h describes; see
// log.Incoming. It needs no lock, and changes no file before Begin. now is the clock, time.Now outside tests.
func Succeed(dir string, config Config, now func() time.Time, h log.Handover) (*Log, error) {
	d, err := openDisk(dir)
	if err != nil {
		return nil, fmt.Errorf("log: open the directory %s: %w", dir, err)
	}
	in := &incoming{lock: func() (files, func() error, error) { return lockAgain(dir) }}
	l, err := openSuccessor(dir, config, d, now, log.NewEpoch, h, in)
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	l.release = d.close
	return l, nil
}

func openSuccessor(dir string, config Config, fs files, now func() time.Time, newEpoch func() log.Epoch, h log.Handover, in *incoming) (*Log, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if h.Engine != "file" {
		return nil, fmt.Errorf("log: the process before keeps its log in %s, and this one in %s: configure the same", h.Engine, dir)
	}
	l := &Log{
		dir:     dir,
		config:  config.WithDefaults(),
		files:   fs,
		now:     now,
		epochs:  newEpoch,
		release: func() error { return nil },
		lineage: &log.Lineage{},
		work:    make(chan struct{}, 1),
		ended:   make(chan struct{}),
		failure: errPreparing,
		handed:  in,
	}
	if err := l.lineage.TakeOver(&h); err != nil {
		return nil, err
	}
	found, err := readSegments(fs, dir)
	if err != nil {
		return nil, withAdvice(err)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("log: there is no log in the directory %s: it is not the one of the process before, or was moved", dir)
	}
	for _, s := range found {
		s.end, s.last = int64(s.header.bytes()), s.header.first-1
	}
	l.found = found
	l.oldest = min(afterHoles(found), h.Head+1)
	l.head.Store(h.Head)
	l.next = h.Head + 1
	return l, nil
}

// lockAgain opens the directory with its lock. Somebody may look whether it is locked at this moment, by taking the
// lock: it tries again for a while.
func lockAgain(dir string) (files, func() error, error) {
	for try := 0; ; try++ {
		d, err := openDisk(dir)
		if err != nil {
			return nil, nil, err
		}
		release, err := d.Lock() // which closes d if it fails
		if err == nil {
			return d, release, nil
		}
		if !errors.Is(err, errLocked) || try == lockTries {
			return nil, nil, err
		}
		time.Sleep(lockPause)
	}
}

const (
	lockTries = 1000
	lockPause = time.Millisecond // publishers wait for it behind a commit
)

// Prepare implements log.Incoming.
func (l *Log) Prepare(_ log.Batches, restore func(batch []*log.Entry)) error {
	if err := l.load(); err != nil {
		return withAdvice(err)
	}
	return withAdvice(l.replayOn(l.head.Load(), func(batch []*log.Entry) {
		l.restored = batch[len(batch)-1].Sequence
		restore(batch)
	}))
}

// CatchUp implements log.Incoming.
func (l *Log) CatchUp(h log.Handover, _ log.Batches, restore func(batch []*log.Entry)) error {
	before := l.head.Load()
	if h.Head < before {
		return errors.New("log: the log that was handed over has become shorter")
	}
	if err := l.lineage.TakeOver(&h); err != nil {
		return err
	}
	if err := l.lookAgain(); err != nil {
		return withAdvice(err)
	}
	for _, s := range l.found {
		if s.header.first > before && s.header.before < l.restored {
			return fmt.Errorf("log: the directory %s has lost entries since the hand-over began, which the other process still has: try again later", l.dir)
		}
	}
	if err := l.replayOn(h.Head, restore); err != nil {
		return withAdvice(err)
	}
	l.head.Store(h.Head)
	l.next = h.Head + 1
	return nil
}

// replayOn hands the entries up to upto to restore that were not scanned yet.
func (l *Log) replayOn(upto uint64, restore func(batch []*log.Entry)) error {
	var batch []*log.Entry
	flush := func() {
		if len(batch) > 0 {
			restore(batch)
			batch = batch[:0]
		}
	}
	for i, s := range l.found {
		counts := upto
		if i+1 < len(l.found) {
			counts = min(upto, l.found[i+1].header.before)
		}
		wanted := s.header.first >= l.oldest
		damage, err := s.scanOn(l.files, counts, func(e *log.Entry) {
			if !wanted && e.Kind != log.KindControl {
				return
			}
			if len(batch) >= restoreBatch && !e.Refers() && (e.Shared == nil || e.Shared.First == e.Sequence) {
				flush()
			}
			batch = append(batch, e)
		})
		if err != nil {
			return err
		}
		if damage != nil {
			return damage
		}
	}
	flush()
	return nil
}

// lookAgain takes note of the segments that were begun, or replaced, since the directory was read.
func (l *Log) lookAgain() error {
	now, err := readSegments(l.files, l.dir)
	if err != nil {
		return err
	}
	known := map[uint32]*segment{}
	for _, s := range l.found {
		known[s.header.mark] = s
	}
	for i, s := range now {
		s.end, s.last = int64(s.header.bytes()), s.header.first-1
		if k := known[s.header.mark]; k != nil && k.name == s.name {
			k.size, now[i] = s.size, k
		}
	}
	if len(now) == 0 || now[0].header.first > l.found[0].header.first {
		return fmt.Errorf("log: segments of the directory %s were removed while another process took the log over", l.dir)
	}
	l.found = now
	return nil
}

// Begin implements log.Incoming. It does what Start does once everything is restored.
func (l *Log) Begin(tail log.Tail) error {
	in := l.handed
	l.mu.Lock()
	closed := l.closed
	l.mu.Unlock()
	if in == nil || closed {
		return log.ErrClosed
	}
	fs, release, err := in.lock()
	if err != nil {
		return fmt.Errorf("log: lock the directory %s: %w", l.dir, err)
	}
	err = l.release() // of what had no lock
	l.files, l.release, l.handed = fs, release, nil
	if err != nil {
		return fmt.Errorf("log: close the directory %s: %w", l.dir, err)
	}
	if err := l.lookAgain(); err != nil {
		return withAdvice(err)
	}
	newest := l.found[len(l.found)-1]
	if err := l.isWhole(newest); err != nil {
		return withAdvice(err)
	}
	head := l.head.Load()
	l.lineage.Begin(l.epochs(), head, succeed(&newest.header, head)...)
	l.incomplete = l.state != nil && !l.stateThere
	l.mu.Lock()
	l.failure = nil
	l.mu.Unlock()
	return l.begin(tail)
}

// isWhole reports, as an error, that the newest segment does not end where the process before has said.
func (l *Log) isWhole(newest *segment) error {
	head, more := l.head.Load(), uint64(0)
	damage, err := newest.scanOn(l.files, all, func(e *log.Entry) { more = e.Sequence })
	switch {
	case err != nil:
		return err
	case damage != nil:
		return damage
	case more > head || newest.last != head:
		return fmt.Errorf("log: %s ends with sequence %d, and the process before has handed over up to %d: something else has written to it", filepath.Join(l.dir, newest.name), newest.last, head)
	}
	return nil
}

var (
	_ log.Outgoing = (*Log)(nil)
	_ log.Incoming = (*Log)(nil)
)
