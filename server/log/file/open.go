package file

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"peal/server/log"
)

// Open takes the directory, which it makes if there is none, and finds out where
// its log stands: Epoch, Head and Oldest are valid then. It changes no file.
// Start must follow, or Close.
//
// The errors say what to do: another process has the directory, the format is
// of another version, or the log is damaged (a *DamageError is among them). now
// is the clock, time.Now outside tests.
func Open(dir string, config Config, now func() time.Time) (*Log, error) {
	d, err := newDisk(dir)
	if err != nil {
		return nil, fmt.Errorf("log: make the directory %s: %w", dir, err)
	}
	return open(dir, config, d, now, log.NewEpoch)
}

func open(dir string, config Config, fs files, now func() time.Time, newEpoch func() log.Epoch) (*Log, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	config = config.WithDefaults()
	release, err := fs.Lock()
	switch {
	case errors.Is(err, errLocked):
		return nil, fmt.Errorf("log: the directory %s: %w; one server can have it: stop the other, or give this one another directory", dir, err)
	case err != nil:
		return nil, fmt.Errorf("log: lock the directory %s: %w", dir, err)
	}
	l := &Log{
		dir:     dir,
		config:  config,
		files:   fs,
		now:     now,
		epochs:  newEpoch,
		release: release,
		work:    make(chan struct{}, 1),
		ended:   make(chan struct{}),
	}
	if err := l.find(); err != nil {
		return nil, errors.Join(withAdvice(err), release())
	}
	return l, nil
}

func withAdvice(err error) error {
	if d, ok := errors.AsType[*DamageError](err); ok {
		return fmt.Errorf("%w; %s", err, d.Advice())
	}
	return err
}

// find sets where the log stands: lineage, oldest, head.
func (l *Log) find() error {
	found, err := readSegments(l.files, l.dir)
	if err != nil {
		return err
	}
	l.found = found
	if len(found) == 0 {
		l.lineage, l.oldest, l.next = log.NewLineage(l.epochs()), 1, 1
		return nil
	}
	last := found[len(found)-1]
	damage, err := last.scan(l.files, all, func(*log.Entry) {})
	if err != nil {
		return err
	}
	if damage != nil {
		torn, err := last.isTorn(l.files, damage.Offset)
		if err != nil {
			return err
		}
		if !torn {
			return damage
		}
	}
	l.head.Store(last.last)
	l.next = last.last + 1
	l.oldest = afterHoles(found)
	l.lineage = log.NewLineage(l.epochs(), succeed(&last.header, last.last)...)
	return nil
}

// afterHoles returns where the entries begin that have no hole behind them:
// nothing can be resumed across one.
func afterHoles(found []*segment) (oldest uint64) {
	oldest = found[0].header.first
	for _, s := range found[1:] {
		if s.header.before+1 < s.header.first {
			oldest = s.header.first
		}
	}
	return oldest
}

// succeed returns the predecessors of a new epoch that begins behind last, the last
// sequence that was found; h is the header of the newest segment. What was shown beyond last, if anything, is
// lost: the end by a power failure, or whatever came after a backup was made that
// is there now. Its cursors must not mean the entries that take such numbers
// again. No start can know that there was nothing of that kind, so each does it,
// and nothing depends on how the life before ended.
//
// An epoch of which nothing is held has no cursor that could be resumed
// (log.Lineage), and uses up no predecessor: not that of a start after which
// nothing was published, nor one whose every entry is lost. Format 1 named older
// entries by it, too, and in a log without a predecessor it names the beginning.
func succeed(h *header, last uint64) []log.Predecessor {
	chain := h.predecessors
	if n := len(chain); n == 0 || h.version == 1 || last > chain[n-1].Last {
		chain = append(slices.Clone(chain), log.Predecessor{Epoch: h.epoch, Last: last})
	}
	return chain[max(0, len(chain)-maxPredecessors):]
}

// restoreBatch is how many entries Start hands over at a time.
const restoreBatch = 256

// Start loads the state, hands every entry from Oldest to Head to restore, and before
// them the control entries that are older, in order, which owns
// them from then on but not the slice; tells the state if it may be incomplete, and
// saves it then; repairs a torn tail; and begins a segment, and with it the writer. Then tail is fed with what is appended. Where
// the disk is too full for a segment the log starts all the same: it is failing,
// as it would be had the disk filled up later.
//
// After an error, which may again be damage, only Close is left to call.
func (l *Log) Start(tail log.Tail, restore func(batch []*log.Entry)) error {
	if err := l.load(); err != nil {
		return withAdvice(err)
	}
	if err := l.replay(restore); err != nil {
		return withAdvice(err)
	}
	l.judge()
	return l.begin(tail)
}

// begin makes the directory ready for a life, and begins it.
func (l *Log) begin(tail log.Tail) error {
	if err := l.repair(); err != nil {
		return err
	}
	l.tail = tail
	l.adopt()
	l.expose()
	l.retain() // first: it may make the room that is needed
	err := l.settle()
	if err == nil {
		err = l.rotate()
	}
	if isFull(err) {
		l.fail(nil, err)
	} else if err != nil {
		return fmt.Errorf("log: begin a segment in %s: %w", l.dir, err)
	}
	l.started = true
	go l.write() // ends with Close
	return nil
}

func (l *Log) replay(restore func(batch []*log.Entry)) error {
	batch := make([]*log.Entry, 0, restoreBatch)
	for i, s := range l.found {
		upto := l.head.Load()
		if i+1 < len(l.found) {
			upto = l.found[i+1].header.before
		}
		wanted := s.header.first >= l.oldest
		damage, err := s.scan(l.files, upto, func(e *log.Entry) {
			if !wanted && e.Kind != log.KindControl {
				return
			}
			if batch = append(batch, e); len(batch) == restoreBatch {
				restore(batch)
				batch = batch[:0]
			}
		})
		if err != nil {
			return err
		}
		if damage != nil {
			return damage
		}
	}
	if len(batch) > 0 {
		restore(batch)
	}
	return nil
}

// repair leaves whole records, synced, and nothing else. A record that is only in
// the page cache must not be shown before it is synced.
func (l *Log) repair() error {
	if err := l.removeTemporary(); err != nil {
		return fmt.Errorf("log: tidy up %s: %w", l.dir, err)
	}
	if n := len(l.found); n > 0 {
		last := l.found[n-1]
		if torn := l.torn(); torn > 0 {
			l.config.Log.Warn("the end of the log is torn, and was truncated", "file", filepath.Join(last.dir, last.name), "offset", last.end, "bytes", torn)
		}
		if err := cut(l.files, last.name, last.end); err != nil {
			return fmt.Errorf("log: cut %s to %d bytes: %w", filepath.Join(last.dir, last.name), last.end, err)
		}
		last.size = last.end
	}
	return nil
}

func cut(fs files, name string, size int64) error {
	r, err := fs.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(r.Cut(size), r.Close())
}

// removeTemporary removes what was being written when an earlier life ended, and
// what an earlier version left behind.
func (l *Log) removeTemporary() error {
	names, err := l.files.List()
	if err != nil {
		return err
	}
	for _, name := range names {
		if !strings.HasSuffix(name, temporarySuffix) && name != cleanName {
			continue
		}
		if err := l.files.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
