package file

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"strings"

	"peal/server/log"
)

// marker is what a good stop leaves behind: the state that the next start must
// find to go on in the same epoch. Whoever restores a backup or takes files
// away has another state, and so another epoch.
type marker struct {
	epoch   log.Epoch
	head    uint64
	segment string // the last one
	bytes   int64  // its size
}

// text is the whole file: one line for people, its checksum behind.
func (m marker) text() string {
	line := fmt.Sprintf("peal log 1, closed: epoch %s, sequence %d, %s with %d bytes", m.epoch, m.head, m.segment, m.bytes)
	return fmt.Sprintf("%s, checksum %08x\n", line, crc32.Checksum([]byte(line), castagnoli))
}

// readMarker returns the marker in the directory, the zero one if there is none
// that can be read: then the stop was not a good one.
func readMarker(fs files) (m marker) {
	r, err := fs.Open(markerName)
	if err != nil {
		return marker{}
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, 1<<10))
	if err != nil {
		return marker{}
	}
	var epoch string
	_, err = fmt.Sscanf(string(b), "peal log 1, closed: epoch %s sequence %d, %s with %d bytes", &epoch, &m.head, &m.segment, &m.bytes)
	if err != nil {
		return marker{}
	}
	c, err := log.ParseCursor(strings.TrimSuffix(epoch, ",") + "-0")
	if m.epoch = c.Epoch; err != nil || m.text() != string(b) {
		return marker{} // not as it was written, checksum and all
	}
	return m
}

// write makes m durable, as a whole or not at all.
func (m marker) write(fs files) error { return writeWhole(fs, markerName, []byte(m.text())) }

// removeMarker makes durable that there is none.
func removeMarker(f files) error {
	if err := f.Remove(markerName); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return f.SyncDir()
}

// writeWhole makes a small file durable under its name at one moment, in place
// of whatever had that name.
func writeWhole(fs files, name string, content []byte) error {
	f, err := createWhole(fs, name, content)
	if err != nil {
		return err
	}
	return f.Close()
}

// createWhole is writeWhole; what is written to the file later goes on behind
// content.
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
	if err == nil {
		err = fs.SyncDir()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
