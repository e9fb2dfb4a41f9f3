package file

import (
	"errors"
	"io/fs"
	"path/filepath"
)

// past is a segment that is not written any more.
type past struct {
	name          string
	first, before uint64 // of its header
	last          uint64 // the last sequence of it that counts; first-1 without any
	control       uint64 // sequence of the newest control entry that may be in it, 0 for none
	bytes         int64
	newest        int64 // no entry of it is younger, milliseconds
}

// adopt takes the segments that were found.
func (l *Log) adopt() {
	for _, s := range l.found {
		l.keep(past{s.name, s.header.first, s.header.before, s.last, s.control, s.size, s.newest})
	}
	l.found = nil
}

func (l *Log) keep(p past) {
	l.segments = append(l.segments, p)
	l.pastSize += p.bytes
}

// retain removes the oldest segments beyond the limits of size and age. What
// cannot be removed is tried again the next time. Each removal is durable
// before the next: a segment missing between others would be damage. The newest
// one stays: it has the lineage. While a successor may be reading, all stay. Before control entries go the state is saved that
// stands for them; where that cannot be, they stay.
func (l *Log) retain() {
	oldest := l.now().Add(-l.config.Age).UnixMilli()
	stay, active := 1, int64(0)
	if l.active != nil {
		stay, active = 0, l.active.size
	}
	for len(l.segments) > stay {
		p := l.segments[0]
		tooMuch := l.config.TotalBytes > 0 && l.pastSize+active > int64(l.config.TotalBytes)
		tooOld := l.config.Age > 0 && p.newest < oldest
		if !tooMuch && !tooOld || !l.beginRemoval() {
			return
		}
		removed := l.remove(p)
		l.endRemoval()
		if !removed {
			return
		}
		l.segments = l.segments[1:]
		l.pastSize -= p.bytes
		l.expose()
	}
}

func (l *Log) remove(p past) bool {
	if l.saveFor(p) != nil {
		return false
	}
	err := l.files.Remove(p.name)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // another program has removed it
	}
	if err == nil {
		err = l.files.SyncDir()
	}
	if err != nil {
		l.config.Log.Warn("an old segment of the log could not be removed", "file", filepath.Join(l.dir, p.name), "error", err)
		return false
	}
	return true
}
