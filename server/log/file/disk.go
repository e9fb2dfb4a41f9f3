package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// errLocked means that another process has the directory.
var errLocked = errors.New("another process uses it")

// errOther: two logs cannot be made one.
var errOther = errors.New("another log is in the place of its directory: restart the server to take that one, or move it away")

// errGone means that what is written to can be found no more, now or after a restart.
var errGone = errors.New("its directory was deleted, moved or replaced")

// disk is a directory of the real file system. Messages may be private, so only
// the owner may read it.
type disk struct {
	dir   string
	info  os.FileInfo // of the directory
	locks []*os.File

	// The directory itself: it is the same wherever it is moved. The writer replaces it,
	// which mu is for: readers open files of it.
	mu   sync.RWMutex
	root *os.Root
}

// newDisk makes the directory where it does not exist.
func newDisk(dir string) (*disk, error) {
	_, err := os.Stat(dir)
	if err == nil {
		return openDisk(dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	d, err := openDisk(dir)
	if err != nil {
		return nil, err
	}
	return d, syncDir(filepath.Dir(filepath.Clean(dir))) // it has the entry of the new directory
}

func openDisk(dir string) (*disk, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	info, err := root.Stat(".")
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &disk{dir: dir, root: root, info: info}, nil
}

// close lets go of the directory and its locks.
func (d *disk) close() error {
	err := d.root.Close()
	for _, f := range d.locks {
		err = errors.Join(err, f.Close())
	}
	d.locks = nil
	return err
}

func (d *disk) Create(name string) (file, error) {
	return d.root.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
}

func (d *disk) Open(name string) (reader, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	f, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	return diskReader{f, d.root, name}, nil
}

func (d *disk) Rename(from, to string) error { return d.root.Rename(from, to) }
func (d *disk) Remove(name string) error     { return d.root.Remove(name) }

func (d *disk) List() ([]string, error) {
	f, err := d.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

func (d *disk) SyncDir() error {
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// Present compares by device and inode, so it takes two calls of stat.
func (d *disk) Present(name string, f file) error {
	was, err := f.(*os.File).Stat()
	if err != nil {
		return err
	}
	is, err := os.Stat(filepath.Join(d.dir, name))
	switch {
	case err == nil && os.SameFile(was, is):
		return nil
	case err == nil || errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %s is not there any more", errGone, filepath.Join(d.dir, name))
	}
	return err
}

// Reopen does not make the directory: it may have been moved away for a moment.
// It keeps the old one open until it has another, so that no other gets its inode.
func (d *disk) Reopen() error {
	next, err := openDisk(d.dir)
	if err != nil {
		return err
	}
	if os.SameFile(d.info, next.info) {
		return next.close()
	}
	if _, err := next.Lock(); err != nil {
		return err // it is closed
	}
	names, err := next.List()
	if err == nil && slices.ContainsFunc(names, func(name string) bool { _, ok := parseSegmentName(name); return ok }) {
		err = errOther
	}
	if err != nil {
		return errors.Join(err, next.close())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	_ = d.close() // nothing is written there any more
	d.root, d.info, d.locks = next.root, next.info, next.locks
	return nil
}

// Lock takes a lock that ends with the process, however it ends: one on the
// directory, and one on a file in it, for file systems that know no locks of
// directories, and for earlier versions, which know of no other. On a full disk
// there may be no place for the file.
func (d *disk) Lock() (release func() error, err error) {
	dir, err := d.root.Open(".")
	if err != nil {
		return nil, err
	}
	d.locks = append(d.locks, dir)
	dirErr := flock(dir)
	if errors.Is(dirErr, errLocked) {
		return nil, errors.Join(dirErr, d.close())
	}
	f, err := d.root.OpenFile(lockName, os.O_CREATE|os.O_RDWR, 0o600)
	switch {
	case err == nil:
		d.locks = append(d.locks, f)
		err = flock(f)
	case dirErr == nil && isFull(err):
		err = nil
	}
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d.close, nil
}

func flock(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return errLocked
	case err != nil:
		return fmt.Errorf("flock %s: %w", f.Name(), err)
	}
	return nil
}

// locked reports whether a process has the directory, without making anything.
func (d *disk) locked() bool {
	for _, name := range []string{".", lockName} {
		f, err := d.root.Open(name)
		if err != nil {
			continue
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return true
		}
	}
	return false
}

// isFull reports whether err says that there is no room.
func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

type diskReader struct {
	*os.File
	root *os.Root
	name string
}

func (r diskReader) Size() (int64, error) {
	info, err := r.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (r diskReader) Cut(size int64) error {
	f, err := r.root.OpenFile(r.name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	err = f.Truncate(size)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
