package file

import (
	"path/filepath"
)

// past is a segment that is not written any more.
type past struct {
	name   string
	bytes  int64
	newest int64 // no entry of it is younger, milliseconds
}

// adopt makes a the active segment of a log that was found.
func (l *Log) adopt(a *active) {
	for _, s := range l.found {
		if s.name != a.name { // else it was empty, and has been replaced
			l.keep(past{s.name, s.size, s.newest})
		}
	}
	l.found = nil
	l.active = a
}

func (l *Log) keep(p past) {
	l.segments = append(l.segments, p)
	l.pastSize += p.bytes
}

// retain removes the oldest segments beyond the limits of size and age. What
// cannot be removed is tried again the next time. Each removal is durable
// before the next: a segment missing between others would be damage.
func (l *Log) retain() {
	oldest := l.now().Add(-l.config.Age).UnixMilli()
	for len(l.segments) > 0 {
		p := l.segments[0]
		tooMuch := l.config.TotalBytes > 0 && l.pastSize+l.active.size > int64(l.config.TotalBytes)
		tooOld := l.config.Age > 0 && p.newest < oldest
		if !tooMuch && !tooOld {
			return
		}
		err := l.files.Remove(p.name)
		if err == nil {
			err = l.files.SyncDir()
		}
		if err != nil {
			l.config.Log.Warn("an old segment of the log could not be removed", "file", filepath.Join(l.dir, p.name), "error", err)
			return
		}
		l.segments = l.segments[1:]
		l.pastSize -= p.bytes
	}
}
