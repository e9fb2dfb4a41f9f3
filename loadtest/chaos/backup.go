package chaos

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// copyDir is where Copy puts the log.
func (p *Process) copyDir() string { return p.Dir + ".copy" }

// Copy copies the directory of the log, file by file, as cp would.
func (p *Process) Copy() error {
	err := os.RemoveAll(p.copyDir())
	if err == nil {
		err = copyFiles(p.copyDir(), p.Dir)
	}
	if err != nil {
		return fmt.Errorf("copy the log: %w", err)
	}
	return nil
}

// Restore puts the copy in the place of the log.
func (p *Process) Restore() error {
	err := os.RemoveAll(p.Dir)
	if err == nil {
		err = os.Rename(p.copyDir(), p.Dir)
	}
	if err != nil {
		return fmt.Errorf("restore the copy of the log: %w", err)
	}
	return nil
}

// copyFiles copies the files of a directory without subdirectories. One that is
// gone when its turn comes is passed over.
func copyFiles(to, from string) error {
	files, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	for _, f := range files {
		if err := copyFile(filepath.Join(to, f.Name()), filepath.Join(from, f.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
