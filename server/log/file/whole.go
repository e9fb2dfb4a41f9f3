package file

import "errors"

// createWhole makes a small file durable under its name at one moment, in place
// of whatever had that name. What is written to it later goes on behind content.
// Where it fails nothing is left of it, if the directory lets it be removed.
func createWhole(fs files, name string, content []byte) (file, error) {
	temporary := name + temporarySuffix
	f, err := fs.Create(temporary)
	if err != nil {
		return nil, err
	}
	if _, err = f.Write(content); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = fs.Rename(temporary, name)
	}
	if err != nil {
		_ = fs.Remove(temporary) // else the next start does
		return nil, errors.Join(err, f.Close())
	}
	if err = fs.SyncDir(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
