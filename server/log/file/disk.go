package file

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// errLocked means that another process has the directory.
var errLocked = errors.New("another process uses it")

// disk is a directory of the real file system. Messages may be private, so
// nobody but the owner may read it.
type disk struct{ dir string }

// newDisk makes the directory where it does not exist.
func newDisk(dir string) (*disk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	// The entry of a new directory is in its parent.
	parent := disk{filepath.Dir(filepath.Clean(dir))}
	return &disk{dir}, parent.SyncDir()
}

func (d *disk) path(name string) string { return filepath.Join(d.dir, name) }

func (d *disk) Create(name string) (file, error) {
	return os.OpenFile(d.path(name), os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
}

func (d *disk) Open(name string) (reader, error) {
	f, err := os.Open(d.path(name))
	if err != nil {
		return nil, err
	}
	return diskReader{f}, nil
}

func (d *disk) Rename(from, to string) error { return os.Rename(d.path(from), d.path(to)) }
func (d *disk) Remove(name string) error     { return os.Remove(d.path(name)) }

func (d *disk) List() ([]string, error) {
	f, err := os.Open(d.dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

func (d *disk) SyncDir() error {
	f, err := os.Open(d.dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// Lock takes a lock that ends with the process, however it ends.
func (d *disk) Lock() (release func() error, err error) {
	f, err := os.OpenFile(d.path(lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errLocked
		}
		return nil, fmt.Errorf("flock %s: %w", d.path(lockName), err)
	}
	return f.Close, nil
}

// locked reports whether a process has the directory, without making anything.
func (d *disk) locked() bool {
	f, err := os.Open(d.path(lockName))
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

type diskReader struct{ *os.File }

func (r diskReader) Size() (int64, error) {
	info, err := r.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (r diskReader) Cut(size int64) error {
	f, err := os.OpenFile(r.Name(), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	err = f.Truncate(size)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
