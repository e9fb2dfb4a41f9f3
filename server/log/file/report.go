package file

import (
	"errors"
	"fmt"
	"os"
	"time"

	"peal/server/log"
)

// Report is what Read finds in a directory.
type Report struct {
	Segments     []SegmentReport   // the oldest first
	Epoch        log.Epoch         // of the newest segment
	Predecessors []log.Predecessor // of that epoch, the oldest first
	ClosedWell   bool              // the newest segment has its footer: the last server that wrote to it ended well
	InUse        bool              // a server has the directory: the end may grow, and the start go, while it is read
	Torn         int64             // bytes at the very end that are no whole record: the next start cuts them off
	Damage       []*DamageError    // at most one for each segment
}

// SegmentReport is one segment.
type SegmentReport struct {
	Name           string
	Bytes          int64
	Epoch          log.Epoch
	First, Last    uint64    // Last is First-1 where there is no record
	Oldest, Newest time.Time // of the entries; zero without any
	Hole           uint64    // sequences missing before First: shown, and then not to be synced
}

// Read reads all that is in the directory, and changes nothing. An error means
// that it could not be read; damage is in the report.
func Read(dir string) (Report, error) {
	if info, err := os.Stat(dir); err != nil {
		return Report{}, fmt.Errorf("log: %w", err)
	} else if !info.IsDir() {
		return Report{}, fmt.Errorf("log: %s is not a directory", dir)
	}
	d, err := openDisk(dir)
	if err != nil {
		return Report{}, fmt.Errorf("log: open the directory %s: %w", dir, err)
	}
	defer d.close()
	r, err := read(d, dir)
	r.InUse = d.locked()
	return r, err
}

func read(fs files, dir string) (r Report, err error) {
	if _, _, _, err := readState(fs, dir); err != nil {
		d, ok := errors.AsType[*DamageError](err)
		if !ok {
			return r, err
		}
		r.Damage = append(r.Damage, d)
	}
	found, err := readSegments(fs, dir)
	if d, ok := errors.AsType[*DamageError](err); ok {
		r.Damage = append(r.Damage, d)
		return r, nil // what follows a header that cannot be read is anybody's guess
	}
	if err != nil {
		return r, err
	}
	for i, s := range found {
		upto, isLast := uint64(all), i+1 == len(found)
		if !isLast {
			upto = found[i+1].header.before
		}
		damage, err := s.scan(fs, upto, func(*log.Entry) {})
		if err != nil {
			return r, err
		}
		if isLast {
			r.Epoch, r.Predecessors = s.header.epoch, s.header.predecessors
			r.ClosedWell = s.closed
			if damage != nil {
				torn, err := s.isTorn(fs, damage.Offset)
				if err != nil {
					return r, err
				}
				if torn {
					r.Torn, damage = s.size-s.end, nil
				}
			}
		}
		if damage != nil {
			r.Damage = append(r.Damage, damage)
		}
		r.Segments = append(r.Segments, s.report(i == 0))
	}
	return r, nil
}

func (s *segment) report(first bool) SegmentReport {
	r := SegmentReport{Name: s.name, Bytes: s.size, Epoch: s.header.epoch, First: s.header.first, Last: s.last}
	if s.last >= s.header.first {
		r.Oldest, r.Newest = time.UnixMilli(s.oldest), time.UnixMilli(s.newest)
	}
	if !first {
		r.Hole = s.header.first - 1 - s.header.before
	}
	return r
}
