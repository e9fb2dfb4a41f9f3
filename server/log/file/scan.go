package file

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"

	"peal/server/log"
)

// DamageError says where a log is damaged: not torn at its end, which a power
// failure explains and the start repairs, but changed or missing in its midst.
type DamageError struct {
	File   string // with its directory
	Offset int64  // where the damage begins, in bytes
	Reason string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("log: %s is damaged at byte %d: %s", e.File, e.Offset, e.Reason)
}

// Advice is what an operator can do, one sentence.
func (e *DamageError) Advice() string {
	dir := filepath.Dir(e.File)
	if filepath.Base(e.File) == stateName {
		return fmt.Sprintf("restore the directory from a backup, or move %s away: then clients that were disconnected long ago may come back, and tokens that were issued before the next start are refused", e.File)
	}
	return fmt.Sprintf("`peal log verify %s` lists all damage; restore the directory from a backup, or go on with what is before the damage: "+
		"truncate -s %d %s (where that is 0, move the file away instead), and move all later .log files out of the directory", dir, e.Offset, e.File)
}

// segment is one segment as it was found.
type segment struct {
	// Found by readSegments.
	dir    string
	name   string
	header header
	size   int64 // of the file

	// Found by scan.
	end            int64  // where its records end
	last           uint64 // sequence of the last one, first-1 without any
	control        uint64 // sequence of the newest control entry, 0 for none
	closed         bool   // behind them is a footer
	oldest, newest int64  // times of the first and the last, milliseconds, 0 without any
}

func (s *segment) damage(offset int64, reason string) *DamageError {
	return &DamageError{filepath.Join(s.dir, s.name), offset, reason}
}

// readSegments reads the headers of all segments, the oldest first, and holds
// them against each other.
func readSegments(fs files, dir string) (all []*segment, err error) {
	names, err := fs.List()
	if err != nil {
		return nil, fmt.Errorf("log: read the directory %s: %w", dir, err)
	}
	slices.Sort(names)
	for _, name := range names {
		first, ok := parseSegmentName(name)
		if !ok {
			continue
		}
		s := &segment{dir: dir, name: name}
		if err := s.readHeader(fs); err != nil {
			return nil, err
		}
		if s.header.first != first {
			return nil, s.damage(0, fmt.Sprintf("it begins with sequence %d, and its name says another", s.header.first))
		}
		if n := len(all); n > 0 && s.header.before+1 < all[n-1].header.first {
			return nil, s.damage(0, fmt.Sprintf("it goes on behind sequence %d, which is in no segment", s.header.before))
		}
		all = append(all, s)
	}
	return all, nil
}

func (s *segment) readHeader(fs files) error {
	r, err := fs.Open(s.name)
	if err != nil {
		return fmt.Errorf("log: open %s: %w", filepath.Join(s.dir, s.name), err)
	}
	defer r.Close()
	var b [maxHeaderBytes]byte
	n, err := io.ReadFull(r, b[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("log: read %s: %w", filepath.Join(s.dir, s.name), err)
	}
	if s.size, err = r.Size(); err != nil {
		return fmt.Errorf("log: read %s: %w", filepath.Join(s.dir, s.name), err)
	}
	s.header, err = parseHeader(b[:n])
	switch {
	case errors.Is(err, errVersion):
		return fmt.Errorf("log: %s cannot be read: %w; use that version, or another directory", filepath.Join(s.dir, s.name), err)
	case err != nil:
		return s.damage(0, err.Error())
	}
	return nil
}

// all is for scans that have no end but that of the file.
const all = math.MaxUint64

// scan reads the records in order up to the sequence upto and hands each entry,
// which is its own, to each. What lies behind upto is not looked at: see
// header.before. damage is where the bytes are no next record; whether that is
// a torn tail or worse is the caller's to judge.
func (s *segment) scan(fs files, upto uint64, each func(*log.Entry)) (damage *DamageError, err error) {
	s.end, s.last = int64(s.header.bytes()), s.header.first-1
	return s.scanOn(fs, upto, each)
}

// scanOn is scan for what lies behind the last record that was scanned, which does not share its data with one there.
func (s *segment) scanOn(fs files, upto uint64, each func(*log.Entry)) (damage *DamageError, err error) {
	r, err := fs.Open(s.name)
	if err == nil {
		defer r.Close()
		_, err = r.Seek(s.end, io.SeekStart)
	}
	if err != nil {
		return nil, fmt.Errorf("log: open %s: %w", filepath.Join(s.dir, s.name), err)
	}
	in := bufio.NewReaderSize(r, 256<<10)
	var record []byte      // reused
	var carrier *log.Entry // the last one whose data others refer to
	for s.last < upto {
		if rest, _ := in.Peek(recordBytes + 1); isFooter(rest, s.header.mark) {
			s.closed = true
			break
		}
		record, err = readRecord(in, record, s.header.mark)
		if errors.Is(err, io.EOF) {
			break
		}
		var e *log.Entry
		if err == nil {
			e, err = parseRecord(record)
		}
		switch {
		case errors.Is(err, errRead):
			return nil, fmt.Errorf("log: read %s behind byte %d: %w", filepath.Join(s.dir, s.name), s.end, err)
		case err != nil:
			return s.damage(s.end, err.Error()), nil
		case e.Sequence != s.last+1:
			return s.damage(s.end, fmt.Sprintf("sequence %d follows %d", e.Sequence, s.last)), nil
		case e.Refers():
			if !e.Take(carrier) {
				return s.damage(s.end, fmt.Sprintf("sequence %d refers to the data of %d, which does not carry any for others", e.Sequence, e.Shared.First)), nil
			}
		case e.Shared != nil:
			carrier = e
		}
		s.end += int64(len(record))
		s.last, s.newest = e.Sequence, e.Time
		if s.oldest == 0 {
			s.oldest = e.Time
		}
		if e.Kind == log.KindControl {
			s.control = e.Sequence
		}
		each(e)
	}
	if s.last < upto && upto != all {
		return s.damage(s.end, fmt.Sprintf("it ends with sequence %d, and the next segment goes on behind %d", s.last, upto)), nil
	}
	return nil, nil
}

// errRead marks what the file system says, as opposed to what the bytes say.
var errRead = errors.New("the file system fails")

// readRecord reads the next record into buffer, or a larger one. io.EOF means
// that there is nothing more; other errors that there is, and it is no record.
func readRecord(in *bufio.Reader, buffer []byte, mark uint32) (record []byte, err error) {
	head, err := in.Peek(recordBytes)
	switch {
	case err == nil:
	case !errors.Is(err, io.EOF):
		return buffer, fmt.Errorf("%w: %w", errRead, err)
	case len(head) == 0:
		return buffer, io.EOF
	default:
		return buffer, errors.New("a record is cut short")
	}
	length := recordLength(head, mark)
	if length == 0 {
		return buffer, errors.New("no record begins here")
	}
	// A damaged length must not cost its memory: the buffer grows with what is there.
	record = buffer[:0]
	for len(record) < length {
		from := len(record)
		record = slices.Grow(record, min(length-from, max(4096, from)))
		record = record[:min(length, cap(record))]
		if _, err := io.ReadFull(in, record[from:]); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return record, errors.New("a record is cut short")
			}
			return record, fmt.Errorf("%w: %w", errRead, err)
		}
	}
	return record, nil
}

// isTorn reports whether the end of the last segment, which from offset on has
// no record, looks like what a stop in mid-write leaves. It does not if there
// is a record behind offset, or a footer: then bytes have changed that were good
// before.
func (s *segment) isTorn(fs files, offset int64) (bool, error) {
	behind, err := s.recordBehind(fs, offset)
	return !behind, err
}

// recordBehind reports whether a whole record, or a footer, lies anywhere behind
// offset.
func (s *segment) recordBehind(fs files, offset int64) (found bool, err error) {
	r, err := fs.Open(s.name)
	if err != nil {
		return false, fmt.Errorf("log: open %s: %w", filepath.Join(s.dir, s.name), err)
	}
	defer r.Close()
	if _, err = r.Seek(offset+1, io.SeekStart); err != nil {
		return false, fmt.Errorf("log: read %s: %w", filepath.Join(s.dir, s.name), err)
	}
	rest, err := io.ReadAll(r)
	if err != nil {
		return false, fmt.Errorf("log: read %s: %w", filepath.Join(s.dir, s.name), err)
	}
	mark := binary.LittleEndian.AppendUint32(nil, s.header.mark)
	for {
		at := bytes.Index(rest, mark)
		if at < 0 || len(rest)-at < recordBytes {
			return false, nil
		}
		rest = rest[at:]
		if isFooter(rest, s.header.mark) {
			return true, nil
		}
		if n := recordLength(rest, s.header.mark); n > 0 && n <= len(rest) {
			if _, err := parseRecord(rest[:n]); err == nil {
				return true, nil
			}
		}
		rest = rest[1:]
	}
}
