package file

import "peal/server/log"

// StateName is the file of the state.
const StateName = stateName

// ErrLocked is what Files.Lock fails with.
var ErrLocked = errLocked

// Names and sizes that tests look for in a directory.
const (
	RecordBytes     = recordBytes
	MaxPredecessors = maxPredecessors
)

// GoOnInEpoch has a log that was opened and not yet started go on in the epoch of
// the newest segment: the planted bug of an engine that believes it knows the end.
func (l *Log) GoOnInEpoch() {
	if n := len(l.found); n > 0 {
		h := l.found[n-1].header
		l.lineage = log.NewLineage(h.epoch, h.predecessors...)
	}
}

// KeepEpoch plants a log that gives numbers of refused records again in the same
// epoch.
func (l *Log) KeepEpoch() {
	same := l.lineage.Epoch()
	l.epochs = func() log.Epoch { return same }
}

// NoPredecessors plants a log that forgets the epochs before its own.
func (l *Log) NoPredecessors() { l.lineage = log.NewLineage(l.lineage.Epoch()) }

// ReadOn is Read on another directory than the disk's.
func ReadOn(fs Files) (Report, error) { return read(fs, "dir") }
