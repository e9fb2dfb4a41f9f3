package logging

import (
	"fmt"
	"io"
	"os"
)

// Values of the setting of the access log, beside the path of a file.
const (
	AccessOff    = "off"
	AccessStderr = "stderr"
)

// accessLines is how many lines of the access log wait for the disk.
const accessLines = 4096

// Access writes the lines of the access log to a file or to standard error, in a
// goroutine of its own. It never blocks its callers.
type Access struct {
	lines *lines
	file  *os.File // nil for standard error
}

// OpenAccess opens the access log: a file, to which it appends and which it creates
// if necessary (readable for its group), or AccessStderr. AccessOff returns nil. It
// starts a goroutine, which ends with Close.
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
			return nil, fmt.Errorf("open the access log (--access-log): %w", err)
		}
		a.file, w = file, file
	}
	a.lines = newLines(w, accessLines, func(lost uint64) []byte {
		return fmt.Appendf(nil, "{\"left_out\":%d}\n", lost)
	})
	return a, nil
}

// Write queues a copy of one line, or drops it and counts it. It never fails and
// never blocks. Any goroutine may call it.
func (a *Access) Write(line []byte) (int, error) { return a.lines.Write(line) }

// Lost is how many lines were dropped since the start. Any goroutine may call it.
func (a *Access) Lost() uint64 {
	if a == nil {
		return 0
	}
	return a.lines.lost.Load()
}

// Close writes the queued lines, at most for a second, and closes the file.
func (a *Access) Close() {
	if a == nil {
		return
	}
	a.lines.close()
	if a.file != nil {
		_ = a.file.Close() // lines that could not be written were counted
	}
}
