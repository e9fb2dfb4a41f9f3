package file

import (
	"time"

	"peal/server/log"
)

// The file layer under other names, for tests outside this package whose disk
// fails.
type (
	Files  = files
	File   = file
	Reader = reader
)

// OpenOn is Open on another file layer than the disk's, with epochs from newEpoch.
func OpenOn(config Config, fs Files, now func() time.Time, newEpoch func() log.Epoch) (*Log, error) {
	return open("dir", config, fs, now, newEpoch)
}

// SucceedOn is Succeed likewise. Begin takes the lock of fs.
func SucceedOn(config Config, fs Files, now func() time.Time, newEpoch func() log.Epoch, h log.Handover) (*Log, error) {
	lock := func() (files, func() error, error) {
		release, err := fs.Lock()
		return fs, release, err
	}
	return openSuccessor("dir", config, fs, now, newEpoch, h, &incoming{lock: lock})
}
