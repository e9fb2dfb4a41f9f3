package file

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sync"

	"peal/server/log"
)

// Reading while the log is open. The writer tells which segments there are; readers
// open the files on their own goroutines and read no further than what was shown.

// span is one segment as readers know it.
type span struct {
	name          string
	first, before uint64 // of its header
}

// index is the segments, the oldest first. It does not change.
type index []span

// expose tells readers which segments there are. The writer calls it when they change.
func (l *Log) expose() {
	spans := make(index, 0, len(l.segments)+1)
	for _, p := range l.segments {
		spans = append(spans, span{p.name, p.first, p.before})
	}
	if a := l.active; a != nil {
		spans = append(spans, span{a.name, a.header.first, a.header.before})
	}
	l.index.Store(&spans)
}

// find is the segment that has the entry behind after, and the last entry of it that
// counts. ok is false where entries are missing before the next one there is, whose
// sequence is last+1.
func (x index) find(after, head uint64) (s span, last uint64, ok bool) {
	for i, s := range x {
		last := head
		if i+1 < len(x) {
			last = x[i+1].before
		}
		switch {
		case last <= after:
		case s.first > after+1:
			return span{}, s.first - 1, false
		default:
			return s, last, true
		}
	}
	return span{}, head, false
}

// Read reads entries behind the sequence after; see log.Reader. A reader that goes
// on where it was needs no search.
func (l *Log) Read(dst []*log.Entry, after uint64, count, bytes int) ([]*log.Entry, error) {
	for {
		head, x := l.head.Load(), l.index.Load() // first the head: the segments there are have it
		if x == nil || after >= head || count <= 0 {
			return dst, nil
		}
		s, last, ok := x.find(after, head)
		if !ok {
			return dst, &log.MissingError{After: after, Upto: last}
		}
		r := spanReader{log: l, span: s, after: after, last: last, count: count, bytes: bytes}
		all, err := r.read(dst)
		if err == nil || l.index.Load() == x {
			return all, err
		}
		// The segments have changed meanwhile: what was open may have been removed.
	}
}

// spanReader reads a part of one segment.
type spanReader struct {
	log          *Log
	span         span
	after, last  uint64
	count, bytes int
}

func (r *spanReader) read(dst []*log.Entry) ([]*log.Entry, error) {
	path := filepath.Join(r.log.dir, r.span.name)
	f, err := r.log.files.Open(r.span.name)
	switch {
	case errors.Is(err, fs.ErrNotExist) && r.log.Failing() != nil: // it may come back
		return dst, fmt.Errorf("%w: %s is not there", log.ErrStorage, path)
	case errors.Is(err, fs.ErrNotExist): // retention or somebody else has removed it
		return dst, &log.MissingError{After: r.after, Upto: r.last}
	case err != nil:
		return dst, fmt.Errorf("log: open %s: %w", path, err)
	}
	defer f.Close()
	at, ok := r.log.places.find(r.span.name, r.after)
	if !ok {
		var b [maxHeaderBytes]byte
		n, err := io.ReadFull(f, b[:])
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return dst, fmt.Errorf("log: read %s: %w", path, err)
		}
		h, err := parseHeader(b[:n])
		if err != nil {
			return dst, &DamageError{path, 0, err.Error()}
		}
		at = place{r.span.name, h.mark, h.first - 1, int64(h.bytes())}
	}
	if _, err := f.Seek(at.offset, io.SeekStart); err != nil {
		return dst, fmt.Errorf("log: read %s: %w", path, err)
	}
	return r.readFrom(dst, bufio.NewReaderSize(f, 64<<10), at)
}

// readFrom reads records from a place on, of which those up to after are passed over.
func (r *spanReader) readFrom(dst []*log.Entry, in *bufio.Reader, at place) ([]*log.Entry, error) {
	var record []byte // reused
	var carrier *log.Entry
	whole, sequence, offset, taken := len(dst), at.sequence, at.offset, 0
	for sequence < r.last {
		var err error
		record, err = readRecord(in, record, at.mark)
		var e *log.Entry
		if err == nil {
			e, err = parseRecord(record)
		}
		switch {
		case err != nil && len(dst) > whole:
			return dst, nil // the next call has the error
		case err != nil: // the end was cut off after a failed sync, or damage
			return dst, fmt.Errorf("%w: %s, sequence %d: %w", log.ErrStorage, filepath.Join(r.log.dir, r.span.name), sequence+1, err)
		case !e.Refers():
			at.sequence, at.offset = sequence, offset // what refers to it is read from here
			carrier = e
		case !e.Take(carrier):
			return dst, &DamageError{filepath.Join(r.log.dir, r.span.name), offset, "it refers to data that is not there"}
		}
		sequence = e.Sequence
		offset += int64(len(record))
		if sequence <= r.after {
			continue
		}
		if taken += e.Size(); len(dst) > whole && taken > r.bytes {
			break
		}
		if dst = append(dst, e); len(dst)-whole == r.count {
			break
		}
	}
	r.log.places.note(at)
	return dst, nil
}

// place is where a record begins.
type place struct {
	name     string
	mark     uint32 // of its segment
	sequence uint64 // before the record
	offset   int64
}

// places remembers where the last few readers are.
type places struct {
	mu   sync.Mutex
	all  [8]place
	next int
}

// find is the nearest place in a segment from which the entry behind after is found.
func (p *places) find(name string, after uint64) (best place, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, at := range p.all {
		if at.name == name && at.sequence <= after && (!ok || at.sequence > best.sequence) {
			best, ok = at, true
		}
	}
	return best, ok
}

func (p *places) note(at place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.all {
		if p.all[i].name == at.name && p.all[i].sequence <= at.sequence && at.sequence-p.all[i].sequence < nearPlace {
			p.all[i] = at // the same reader, one step on
			return
		}
	}
	p.all[p.next] = at
	p.next = (p.next + 1) % len(p.all)
}

// nearPlace is how many entries behind a place another one replaces it.
const nearPlace = 1 << 12
