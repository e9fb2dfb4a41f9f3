package file

import "peal/server/log"

// ErrLocked is what Files.Lock fails with.
var ErrLocked = errLocked

// Names and sizes that tests look for in a directory.
const (
	MarkerName      = markerName
	RecordBytes     = recordBytes
	MaxPredecessors = maxPredecessors
)

// ForgeMarker leaves the clean marker that fits to what is in fs, though
// nobody has stopped well: the planted bug of an engine that goes on in its
// epoch after a lost tail.
func ForgeMarker(fs Files) error {
	found, err := readSegments(fs, "")
	if err != nil || len(found) == 0 {
		return err
	}
	last := found[len(found)-1]
	if _, err := last.scan(fs, all, func(*log.Entry) {}); err != nil {
		return err
	}
	if err := cut(fs, last.name, last.end); err != nil {
		return err
	}
	return marker{last.header.epoch, last.last, last.name, last.end}.write(fs)
}

// ReadOn is Read on another directory than the disk's.
func ReadOn(fs Files) (Report, error) { return read(fs, "dir") }
