package file

import "time"

// The file layer under other names, for tests outside this package whose disk
// fails.
type (
	Files  = files
	File   = file
	Reader = reader
)

// OpenOn is Open on another file layer than the disk's.
func OpenOn(config Config, fs Files, now func() time.Time) (*Log, error) {
	return open("dir", config, fs, now)
}
