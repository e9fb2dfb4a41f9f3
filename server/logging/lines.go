package logging

import (
	"bytes"
	"io"
	"log/slog"
	"sync"
	"time"
)

// maxLines is how many lines wait for a writer that does not take them.
const maxLines = 256

// closeLimit is how long close waits for such a writer.
const closeLimit = time.Second

// lines is an io.Writer that never blocks: each Write is a line that a goroutine
// writes.
type lines struct {
	queue chan []byte
	ended chan struct{}

	mu      sync.Mutex // guards the fields below
	leftOut int        // since the last line that was written
	closed  bool
}

// newLines starts the goroutine, which ends with close. own writes to w too: it
// says how many lines were left out.
func newLines(w io.Writer, own *slog.Logger) *lines {
	l := &lines{queue: make(chan []byte, maxLines), ended: make(chan struct{})}
	go func() {
		defer close(l.ended)
		for b := range l.queue {
			_, _ = w.Write(b) // there is nowhere to say that the log cannot be written
			if n := l.takeLeftOut(); n > 0 {
				own.Warn("lines of the log were left out: they are not taken fast enough", "left_out", n)
			}
		}
	}()
	return l
}

func (l *lines) takeLeftOut() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.leftOut
	l.leftOut = 0
	return n
}

// Write queues a copy of b, or leaves it out. It never fails.
func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return len(b), nil
	}
	select {
	case l.queue <- bytes.Clone(b):
	default:
		l.leftOut++
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
