package file_test

import (
	"bytes"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"peal/server/log"
	"peal/server/log/file"
)

var (
	_ log.Engine = (*file.Log)(nil)
	_ log.Reader = (*file.Log)(nil)
)

// tail keeps what it is given.
type tail struct {
	mu      sync.Mutex
	full    bool
	entries []*log.Entry
	asked   [2]int // of Room, the last time
	wakes   int
}

func (t *tail) Room(entries, bytes int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asked = [2]int{entries, bytes}
	return !t.full
}

func (t *tail) Apply(batch []*log.Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.entries = append(t.entries, batch...)
}

func (t *tail) Wake() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wakes++
}

func (t *tail) shown() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.entries)
}

// newDir is a directory in memory.
func newDir() *faulty { return newFaulty(rand.New(rand.NewPCG(1, 1))) }

// copyOf has the same files, as cp would find them; nobody has it open.
func (f *faulty) copyOf() *faulty {
	f.mu.Lock()
	defer f.mu.Unlock()
	other := newDir()
	for name, n := range f.names {
		other.put(name, n.now)
	}
	return other
}

func (f *faulty) put(name string, content []byte) {
	n := &inode{now: bytes.Clone(content)}
	n.sync()
	f.names[name], f.lasts[name] = n, n
}

// segments are the names of the segments, in order.
func (f *faulty) segments() (names []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name := range f.names {
		if strings.HasSuffix(name, ".log") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (f *faulty) size(name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.names[name].now)
}

var quiet = slog.New(slog.DiscardHandler)

// openAll opens and starts the log of a directory, and returns what it restored.
func openAll(fs file.Files, config file.Config, to *tail) (l *file.Log, restored []uint64, err error) {
	config.Log = quiet
	if l, err = file.OpenOn(config, fs, time.Now, log.NewEpoch); err != nil {
		return nil, nil, err
	}
	err = l.Start(to, func(batch []*log.Entry) {
		for _, e := range batch {
			restored = append(restored, e.Sequence)
		}
	})
	if err != nil {
		_ = l.Close() // of a log that was not started: it only lets go of the directory
		return nil, restored, err
	}
	return l, restored, nil
}

func mustOpen(t testing.TB, fs file.Files, config file.Config) (*file.Log, *tail) {
	t.Helper()
	to := &tail{}
	l, _, err := openAll(fs, config, to)
	if err != nil {
		t.Fatal(err)
	}
	return l, to
}

func mustClose(t testing.TB, l *file.Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// appendOne appends an entry and waits until it is done.
func appendOne(t testing.TB, l *file.Log, data string) *log.Entry {
	t.Helper()
	e := &log.Entry{Channel: "a", Data: []byte(data)}
	done := make(chan error, 1)
	if err := l.Append([]*log.Entry{e}, func(err error) { done <- err }); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return e
}

// putDir puts the files of a real directory into fs.
func putDir(t testing.TB, fs *faulty, dir string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		fs.put(f.Name(), b)
	}
}
