package logging

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// maxLines is how many lines wait for a writer that blocks.
const maxLines = 256

// closeLimit is how long close waits for such a writer.
const closeLimit = time.Second

// lines is an io.Writer that never blocks and never fails: each Write is a line
// that a goroutine writes to the underlying writer. Lines that do not fit into
// the queue, and lines that the writer refuses, are counted.
type lines struct {
	w     io.Writer
	queue chan []byte
	ended chan struct{}
	lost  atomic.Uint64 // since the start; any goroutine reads it
	torn  bool          // the goroutine's: the last line was written in part

	mu     sync.Mutex // guards closed
	closed bool
}

// newLines starts the goroutine, which ends with close. At most most lines wait.
// When a line could be written again after others were lost, report is called on
// that goroutine with their number; it returns the line that reports them.
func newLines(w io.Writer, most int, report func(lost uint64) []byte) *lines {
	l := &lines{w: w, queue: make(chan []byte, most), ended: make(chan struct{})}
	go func() {
		defer close(l.ended)
		reported := uint64(0)
		for b := range l.queue {
			if !l.put(b) {
				l.lost.Add(1)
				continue
			}
			if n := l.lost.Load(); n > reported && report != nil && l.put(report(n-reported)) {
				reported = n
			}
		}
	}()
	return l
}

// put writes all of b and reports whether it could. After a failure the next line
// is tried nevertheless: a FIFO may have a new reader by then, and a full disk space
// again.
func (l *lines) put(b []byte) bool {
	if l.torn {
		b = append([]byte{'\n'}, b...)
	}
	for len(b) > 0 {
		n, err := l.w.Write(b)
		l.torn = n > 0 && n < len(b) || n == 0 && l.torn
		b = b[min(n, len(b)):]
		switch {
		case err == nil:
		case errors.Is(err, unix.EAGAIN):
			// Another process that uses this pipe or terminal made it non-blocking.
			awaitRoom(l.w)
		case errors.Is(err, unix.EINTR):
		default:
			return false
		}
	}
	return true
}

// awaitRoom blocks until w can accept more, or has no reader, at most a second.
func awaitRoom(w io.Writer) {
	if f, ok := w.(*os.File); ok {
		// The result does not matter: the next write reports it.
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLOUT}}, 1000)
	}
}

// Write queues a copy of b, or counts it as lost. It never fails.
func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return len(b), nil
	}
	select {
	case l.queue <- bytes.Clone(b):
	default:
		l.lost.Add(1)
	}
	return len(b), nil
}

func (l *lines) close() {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.queue)
	}
	l.mu.Unlock()
	select {
	case <-l.ended:
	case <-time.After(closeLimit):
	}
}

// lossLine returns a function that formats the line about lost lines in the format
// of the log. Only the goroutine of a lines calls it.
func lossLine(handler func(io.Writer) slog.Handler) func(lost uint64) []byte {
	var b bytes.Buffer
	own := slog.New(handler(&b))
	return func(lost uint64) []byte {
		b.Reset()
		own.Warn("lines of the log were lost: its reader had exited, or was too slow", "left_out", lost)
		return b.Bytes()
	}
}
