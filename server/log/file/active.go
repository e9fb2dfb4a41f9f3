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

	control uint64 // sequence of the newest control entry that may be here, 0 for none
	size    int64  // up to the end of the last whole record
	last    uint64 // sequence of the last record; before the first one, that before it

	// What is known to be on the disk.
	syncedSize int64
	syncedLast uint64

	begun time.Time // when the first record was written, zero before

	// sealed says why nothing more may be written here: a sync has failed, or what
	// a short write left could not be cut off. The next segment follows.
	sealed error
	uncut  bool // bytes behind size could not be cut off
	gone   bool // the file is not in the directory any more
	now    func() time.Time
}

func (a *active) isEmpty() bool    { return a.size == int64(a.header.bytes()) }
func (a *active) isUnsynced() bool { return a.size > a.syncedSize }

func (a *active) isOlderThan(t time.Time) bool { return !a.begun.IsZero() && a.begun.Before(t) }

// write appends whole records, or nothing: of a short write the torn part is
// cut off. last is the sequence of the last of them. spoiled: it was more than the
// torn part of one.
func (a *active) write(records []byte, last uint64) (spoiled bool, err error) {
	if a.sealed != nil {
		return false, a.sealed
	}
	if n, err := a.file.Write(records); err != nil {
		if cutErr := a.cut(); cutErr != nil {
			a.sealed = fmt.Errorf("%w, and then: %w", err, cutErr)
		}
		return n >= recordBytes && n >= recordLength(records, a.header.mark), err
	}
	a.size += int64(len(records))
	a.last = last
	if a.begun.IsZero() && len(records) > 0 {
		a.begun = a.now()
	}
	return false, nil
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
		_ = a.cut() // if this fails too, what is left does not count: see header.before
		return err
	}
	a.syncedSize, a.syncedLast = a.size, a.last
	return nil
}

// cut removes what is behind size.
func (a *active) cut() error {
	err := a.file.Truncate(a.size)
	a.uncut = err != nil
	return err
}

// giveUp takes back what was synced behind size, of which nothing was shown: the
// file is not where it was, and why.
func (a *active) giveUp(size int64, last uint64, why error) {
	a.size, a.last, a.sealed = size, last, why
	a.syncedSize, a.syncedLast = min(a.syncedSize, size), min(a.syncedLast, last)
	_ = a.cut()
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
// whatever the older ones have beyond before does not count from then on. But a
// copy of the directory may have been made in between, and have it: where such
// numbers are given again the segment begins a new epoch, too.
func (l *Log) create(before uint64) (*active, error) {
	first := l.head.Load() + 1
	h := header{version: formatVersion, epoch: l.lineage.Epoch(), first: first, before: before, predecessors: l.lineage.Predecessors()}
	if l.spoiled {
		h.predecessors = succeed(&h, first-1)
		h.epoch = l.epochs()
	}
	for h.mark == 0 {
		h.mark = rand.Uint32() // seeded by the system: clients cannot know it
	}
	name := segmentName(first)
	f, err := createWhole(l.files, name, appendHeader(nil, &h))
	if err != nil {
		return nil, err
	}
	size := int64(h.bytes())
	return &active{file: f, name: name, header: h, size: size, last: first - 1, syncedSize: size, syncedLast: first - 1, now: l.now}, nil
}

// rotate begins the next segment, or the first one. The old one is synced under
// every policy: only the end of the last segment may ever be torn.
func (l *Log) rotate() error {
	before := l.behind()
	if before < l.head.Load() || l.active != nil && (l.active.gone || l.look() != nil) {
		if err := l.save(); err != nil { // orders may be among what is lost
			return err
		}
	}
	next, err := l.create(before)
	if err != nil {
		return err
	}
	if a := l.active; a != nil {
		if err := a.file.Close(); err != nil {
			l.config.Log.Warn("closing a segment of the log failed", "file", a.name, "error", err)
		}
		if !a.gone {
			l.keep(past{a.name, a.header.first, a.header.before, a.syncedLast, a.control, a.size, l.now().UnixMilli()})
		}
	}
	if n := len(l.segments); n > 0 && l.segments[n-1].name == next.name { // it was empty, and has been replaced
		l.pastSize -= l.segments[n-1].bytes
		l.segments = l.segments[:n-1]
	}
	if l.spoiled {
		l.lineage.Begin(next.header.epoch, next.header.first-1, next.header.predecessors...)
		l.spoiled = false
	}
	l.active, l.lookAt = next, l.now().Add(lookEvery)
	l.expose()
	l.retain()
	return nil
}

// behind settles the active segment and returns header.before of the one that
// follows. A segment of which nothing was shown is replaced, so the next one
// inherits its hole. The first one in a directory has nothing before it, and no
// hole.
func (l *Log) behind() uint64 {
	head := l.head.Load()
	var p past
	switch a := l.active; {
	case a != nil && !a.gone:
		p = past{first: a.header.first, before: a.header.before, last: min(a.settle(), head)}
	case len(l.segments) > 0:
		p = l.segments[len(l.segments)-1]
	default:
		return head
	}
	if p.first == head+1 {
		return p.before
	}
	return p.last
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
