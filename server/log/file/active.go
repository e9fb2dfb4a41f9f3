package file

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// active is the segment being written.
type active struct {
	file   file
	name   string
	header header

	size int64  // up to the end of the last whole record
	last uint64 // sequence of the last record; before the first one, that before it

	// What is known to be on the disk.
	syncedSize int64
	syncedLast uint64

	begun time.Time // when the first record was written, zero before

	// sealed says why nothing more may be written here: a sync has failed, or what
	// a short write left could not be cut off. The next segment follows.
	sealed error
	now    func() time.Time
}

func (a *active) isEmpty() bool    { return a.size == int64(a.header.bytes()) }
func (a *active) isUnsynced() bool { return a.size > a.syncedSize }

func (a *active) isOlderThan(t time.Time) bool { return !a.begun.IsZero() && a.begun.Before(t) }

// write appends whole records, or nothing: of a short write the torn part is
// cut off. last is the sequence of the last of them.
func (a *active) write(records []byte, last uint64) error {
	if a.sealed != nil {
		return a.sealed
	}
	if _, err := a.file.Write(records); err != nil {
		if cutErr := a.file.Truncate(a.size); cutErr != nil {
			a.sealed = fmt.Errorf("%w, and then: %w", err, cutErr)
		}
		return err
	}
	a.size += int64(len(records))
	a.last = last
	if a.begun.IsZero() && len(records) > 0 {
		a.begun = a.now()
	}
	return nil
}

// sync makes durable what was written.
//
// When it fails nobody knows what is on the disk behind syncedSize: the kernel
// reports the failure once, and may have marked the pages as clean, so a second
// sync that succeeds proves nothing. The rest is cut off and given up. Under
// "always" none of it was shown; under the other policies entries may be lost
// that were, and the next segment says so: its header has a hole.
func (a *active) sync() error {
	if err := a.file.Sync(); err != nil {
		a.sealed = err
		a.size, a.last = a.syncedSize, a.syncedLast
		_ = a.file.Truncate(a.size) // if this fails too, what is left does not count: see header.before
		return err
	}
	a.syncedSize, a.syncedLast = a.size, a.last
	return nil
}

// settle syncs what is unsynced and returns the last sequence that is durable.
func (a *active) settle() (durable uint64) {
	if a.isUnsynced() {
		_ = a.sync() // a.sealed keeps the error
	}
	return a.syncedLast
}

// create begins the segment behind what was shown, of which the segments there
// are hold everything up to before. It is durable, empty, when create returns:
// whatever the older ones have beyond before does not count from then on.
func (l *Log) create(before uint64) (*active, error) {
	first := l.head.Load() + 1
	h := header{epoch: l.epoch, first: first, before: before, predecessors: l.predecessors}
	for h.mark == 0 {
		h.mark = rand.Uint32() // seeded by the system: nobody outside can know it
	}
	name := segmentName(first)
	f, err := createWhole(l.files, name, appendHeader(nil, &h))
	if err != nil {
		return nil, err
	}
	size := int64(h.bytes())
	return &active{file: f, name: name, header: h, size: size, last: first - 1, syncedSize: size, syncedLast: first - 1, now: l.now}, nil
}

// rotate begins the next segment. The old one is synced under every policy:
// only the end of the last segment may ever be torn.
func (l *Log) rotate() error {
	durable := l.active.settle()
	next, err := l.create(before(&l.active.header, durable, l.head.Load()))
	if err != nil {
		return err
	}
	if err := l.active.file.Close(); err != nil {
		l.config.Log.Warn("closing a segment of the log failed", "file", l.active.name, "error", err)
	}
	if l.active.name != next.name { // else it was empty, and has been replaced
		l.keep(past{l.active.name, l.active.size, l.now().UnixMilli()})
	}
	l.active = next
	l.retain()
	return nil
}

// before is header.before of the segment that follows the one with header h
// behind head, when what is durable in that ends with durable. If nothing of it
// was shown, the new one takes its place, and its hole.
func before(h *header, durable, head uint64) uint64 {
	if h.first == head+1 {
		return h.before
	}
	return durable
}

const (
	probeName  = "probe" + temporarySuffix
	probeBytes = 64 << 10
)

// probe reports whether the disk takes more than a header: otherwise a full one
// would be given up and taken up again every second.
func (l *Log) probe() error {
	f, err := l.files.Create(probeName)
	if err != nil {
		return err
	}
	if _, err = f.Write(make([]byte, probeBytes)); err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if removeErr := l.files.Remove(probeName); err == nil {
		err = removeErr
	}
	return err
}
