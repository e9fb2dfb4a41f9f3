package distributed

import (
	"context"
	"errors"
	"hash/fnv"
	"time"

	"peal/server/log"
)

// Timing is one duration.
type Timing = log.Timing

// OnTiming has f get durations; see log.Timed.
func (l *Log) OnTiming(f func(Timing)) { l.timing.Store(&f) }

func (l *Log) time(t Timing) {
	if f := l.timing.Load(); f != nil {
		(*f)(t)
	}
}

// Durations of the goroutines.
const (
	readWait        = 500 * time.Millisecond // for an entry
	firstPause      = 5 * time.Millisecond   // after an error
	lastPause       = 200 * time.Millisecond
	answerLimit     = 5 * time.Second // for the store to respond
	checkpointEvery = time.Second
	oldestEvery     = 5 * time.Second // for operators
	closeLimit      = 2 * time.Second
	warnEvery       = time.Minute
)

// Run appends and follows until Close. Call it once, after Start.
func (l *Log) Run() {
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	ended := make(chan struct{}, 2)
	go func() { l.flushing(ctx); ended <- struct{}{} }()  // until stop
	go func() { l.following(ctx); ended <- struct{}{} }() // until stop
	go func() { <-ended; <-ended; close(l.stopped) }()    // until both have ended
}

func (l *Log) flushing(ctx context.Context) {
	pause := firstPause
	settle := time.NewTicker(applyWait / 2)
	defer settle.Stop()
	for ctx.Err() == nil {
		limited, cancel := context.WithTimeout(ctx, l.config.Wait)
		idle, err := l.Flush(limited)
		cancel()
		switch {
		case err != nil:
			l.sleep(ctx, pause, l.adopted)
			pause = min(2*pause, lastPause)
		case idle:
			pause = firstPause
			select {
			case <-l.hurry:
			case <-settle.C:
			case <-ctx.Done():
			}
		default:
			pause = firstPause
		}
	}
	l.giveUp(true)
	l.settle()
}

func (l *Log) following(ctx context.Context) {
	pause, checkpoint := firstPause, l.now()
	for ctx.Err() == nil {
		limited, cancel := context.WithTimeout(ctx, answerLimit)
		err := l.Follow(limited, readWait)
		cancel()
		if !errors.Is(err, ErrNoRoom) && !errors.Is(err, ErrMoved) {
			l.warn(&l.readWarned, ctx, "the log cannot be read: trying again", err)
		}
		switch {
		case errors.Is(err, ErrNoRoom):
			l.sleep(ctx, applyWait, l.room) // a signal ends it: the time is for settle
		case err != nil:
			l.sleep(ctx, pause, nil)
			pause = min(2*pause, lastPause)
		default:
			pause = firstPause
			if now := l.now(); now.Sub(checkpoint) >= checkpointEvery {
				checkpoint = now
				limited, cancel := context.WithTimeout(ctx, answerLimit)
				l.Checkpoint(limited)
				l.lookForOldest(limited)
				cancel()
			}
		}
	}
}

// Checkpoint keeps the state and has the store forget old entries. An error is logged: it
// is tried again later.
func (l *Log) Checkpoint(ctx context.Context) {
	epoch, upto := l.lineage.Epoch(), l.head.Load()
	var state []byte
	if l.state != nil {
		state = l.state.Save()
	}
	h := fnv.New64a()
	h.Write(state)
	digest := h.Sum64()
	ok, err := l.store.Checkpoint(ctx, epoch, upto, digest, nil, l.config.Entries)
	if err == nil && !ok {
		if state == nil {
			state = []byte{}
		}
		_, err = l.store.Checkpoint(ctx, epoch, upto, digest, state, l.config.Entries)
	}
	if errors.Is(err, ErrMoved) { // Follow finds out
		return
	}
	l.warn(&l.checkpointWarned, ctx, "cannot keep a checkpoint of the control state, and remove old entries: trying again every second", err)
}

// lookForOldest finds out what the store has removed, if Follow has not looked at it for a while: it
// does only when nothing comes. Follow notices by itself what an error here may come from.
func (l *Log) lookForOldest(ctx context.Context) {
	now := l.now()
	if now.Sub(l.trimmed) < oldestEvery {
		return
	}
	if m, _, err := l.store.Look(ctx, false); err == nil && m.Epoch == l.lineage.Epoch() {
		l.noteOldest(&m, now)
	}
}

// warn logs an error that may come again and again: at first and then once a minute, until there
// is none. last is when.
func (l *Log) warn(last *time.Time, ctx context.Context, text string, err error) {
	switch now := l.now(); {
	case err == nil:
		*last = time.Time{}
	case ctx.Err() == nil && (last.IsZero() || now.Sub(*last) >= warnEvery):
		*last = now
		l.config.Log.Warn(text, "error", err)
	}
}

// sleep waits for a signal, or that long.
func (l *Log) sleep(ctx context.Context, d time.Duration, signal <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-signal:
	case <-ctx.Done():
	}
}

// Close ends the log; see log.Engine. What waits has two seconds to be sent.
func (l *Log) Close() error {
	l.mu.Lock()
	closed := l.closed
	l.closed = true
	l.mu.Unlock()
	if closed {
		return nil
	}
	if l.stop != nil {
		l.Resume() // what waits is sent
		for end := l.now().Add(closeLimit); l.open.Load() > 0 && l.now().Before(end); {
			time.Sleep(firstPause)
		}
		l.stop()
		<-l.stopped
	} else {
		l.giveUp(true)
		l.settle()
	}
	l.store.Close()
	return nil
}

var (
	_ log.Distributed = (*Log)(nil)
	_ log.Reader      = (*Log)(nil)
)
