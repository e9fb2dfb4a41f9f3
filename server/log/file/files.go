package file

import "io"

// files is the directory as the engine needs it; disk is the real one. What
// was written is durable after file.Sync, and what was created, renamed or
// removed after SyncDir.
type files interface {
	Create(name string) (file, error) // empty, whatever was there
	Open(name string) (reader, error)
	Rename(from, to string) error // whatever was at to is gone, at one moment
	Remove(name string) error
	List() ([]string, error) // in no order
	SyncDir() error

	// Present reports, as an error, that name at the path of the directory is not
	// f: the file or the directory was deleted, moved or replaced, also by a mount.
	Present(name string, f file) error

	// Reopen goes on in the directory that is at the path now, with its lock. It
	// fails where there is none, or another that has segments.
	Reopen() error

	// Lock keeps other processes out until release, or fails at once with errLocked.
	Lock() (release func() error, err error)
}

// file is a file being written, always at its end.
type file interface {
	io.WriteCloser
	Sync() error
	Truncate(size int64) error
}

// reader is a file being read, from its start.
type reader interface {
	io.ReadSeekCloser
	Size() (int64, error)

	// Cut shortens the file and syncs what is left of it. It is the one thing
	// that is changed in an old segment, once, at the start.
	Cut(size int64) error
}
