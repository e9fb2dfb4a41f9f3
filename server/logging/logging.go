package logging

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"
)

// Values of the settings.
const (
	Auto = "auto" // Text on a terminal, JSON otherwise
	Text = "text"
	JSON = "json"

	DefaultLevel = "info"
)

// Check reports whether Open knows these words.
func Check(format, level string) error {
	var errs []error
	switch format {
	case Auto, Text, JSON:
	default:
		errs = append(errs, fmt.Errorf("log-format %q: must be auto, text or json", format))
	}
	if _, ok := levels[level]; !ok {
		errs = append(errs, fmt.Errorf("log-level %q: must be debug, info, warn or error", level))
	}
	return errors.Join(errs...)
}

var levels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

// Logger is a slog.Logger with its format, level and losses.
type Logger struct {
	*slog.Logger
	Format string // Text or JSON
	level  slog.LevelVar
	lines  *lines
}

// Open returns a logger that writes to w. format and level are words that Check
// knows. It starts a goroutine, which ends with Close.
func Open(w io.Writer, format, level string) *Logger {
	if format == Auto {
		format = JSON
		if isTerminal(w) {
			format = Text
		}
	}
	l := &Logger{Format: format}
	l.level.Set(levels[level])
	handler := func(w io.Writer) slog.Handler {
		options := &slog.HandlerOptions{Level: &l.level, ReplaceAttr: readable}
		if format == JSON {
			return slog.NewJSONHandler(w, options)
		}
		return slog.NewTextHandler(w, options)
	}
	l.lines = newLines(w, maxLines, lossLine(handler))
	l.Logger = slog.New(handler(l.lines))
	return l
}

// SetLevel changes the lowest level that is logged, to a word that Check knows.
func (l *Logger) SetLevel(level string) { l.level.Set(levels[level]) }

// Lost is how many lines were lost since the start: the reader of the log had
// exited, or was too slow.
func (l *Logger) Lost() uint64 { return l.lines.lost.Load() }

// Queue returns a writer to w that never blocks and never fails, like that of a
// Logger, for other output of the server. close writes the queued lines, at most for
// a second.
func Queue(w io.Writer) (_ io.Writer, close func()) {
	l := newLines(w, maxLines, nil)
	return l, l.close
}

// Close writes the queued lines, at most for a second, and ends the goroutine.
// Lines logged afterwards are dropped.
func (l *Logger) Close() { l.lines.close() }

// readable writes durations as 10s in JSON too, where slog writes nanoseconds.
func readable(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
