package logging

import (
	"fmt"
	"io"
	"os"
)

// Words of the setting of the access log, beside the path of a file.
const (
	AccessOff    = "off"
	AccessStderr = "stderr"
)

// accessLines is how many lines of the access log wait for the disk.
const accessLines = 4096

// Access is where the lines of the access log go: to a file, or to standard error,
// by a goroutine of its own. It never blocks who writes.
type Access struct {
	lines *lines
	file  *os.File // nil for standard error
}

// OpenAccess opens the access log: a file, which is appended to and made if need be
// (readable for its group), or AccessStderr. AccessOff gives nil. It starts a
// goroutine, which ends with Close.
func OpenAccess(where string) (*Access, error) {
	a := &Access{}
	var w io.Writer = os.Stderr
	switch where {
	case AccessOff, "":
		return nil, nil
	case AccessStderr:
	default:
		file, err := os.OpenFile(where, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
		if err != nil {
			return nil, fmt.Errorf("open the access log: %w", err)
		}
		a.file, w = file, file
	}
	a.lines = newLines(w, accessLines, func(lost uint64) []byte {
		return fmt.Appendf(nil, "{\"left_out\":%d}\n", lost)
	})
	return a, nil
}

// Write queues a copy of one line, or leaves it out and counts it. It never fails
// and never blocks. Any goroutine may call it.
func (a *Access) Write(line []byte) (int, error) { return a.lines.Write(line) }

// Lost is how many lines were left out since the start. Any goroutine may call it.
func (a *Access) Lost() uint64 {
	if a == nil {
		return 0
	}
	return a.lines.lost.Load()
}

// Close writes what is queued, at most for a second, and closes the file.
func (a *Access) Close() {
	if a == nil {
		return
	}
	a.lines.close()
	if a.file != nil {
		_ = a.file.Close() // what could not be written was counted
	}
}
