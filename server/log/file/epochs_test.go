package file_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"peal/server/log"
	"peal/server/log/file"
)

// resolves wants to know whether a log takes c for a position of its own.
func resolves(t *testing.T, l *file.Log, c log.Cursor, want bool) {
	t.Helper()
	if sequence, ok := l.Resolve(c); ok != want || ok && sequence != c.Sequence {
		t.Errorf("%v resolves %v to %d, want %v", c, ok, sequence, want)
	}
}

func TestARestoredCopyDoesNotKnowWhatCameAfterIt(t *testing.T) {
	fs := newDir()
	l, _ := mustOpen(t, fs, file.Config{})
	appendOne(t, l, "kept")
	kept := l.Lineage().Cursor(1)
	mustClose(t, l)
	saved := fs.copyOf()

	l, _ = mustOpen(t, fs, file.Config{})
	appendOne(t, l, "lost")
	between := l.Lineage().Cursor(2)
	mustClose(t, l)
	branch := fs.copyOf()
	fs.restore(saved)

	l, _ = mustOpen(t, fs, file.Config{})
	resolves(t, l, between, false)
	appendOne(t, l, "new")
	appendOne(t, l, "newer")
	after := l.Lineage().Cursor(2)
	resolves(t, l, kept, true)
	resolves(t, l, between, false)
	mustClose(t, l)

	l, _ = mustOpen(t, branch, file.Config{})
	resolves(t, l, kept, true)
	resolves(t, l, between, true)
	resolves(t, l, after, false)
	mustClose(t, l)
}

// A record that was refused may be on the disk when a copy is made. Its number is
// given again, but never under the same cursor.
func TestARefusedRecordInACopyHasACursorOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newDir()
		l, _ := mustOpen(t, fs, file.Config{Fsync: file.Always})
		appendOne(t, l, "shown")
		first := l.Lineage().Cursor(1)
		fs.mu.Lock()
		fs.failing = 1 // neither synced nor cut off
		fs.mu.Unlock()
		if err := outcome(t, l); !errors.Is(err, log.ErrStorage) {
			t.Fatalf("done with %v", err)
		}
		saved := fs.copyOf()
		fs.mu.Lock()
		fs.failing = 0
		fs.mu.Unlock()
		pass(1500 * time.Millisecond)
		if e := appendOne(t, l, "with the same number"); e.Sequence != 2 {
			t.Fatalf("sequence %d, want 2", e.Sequence)
		}
		second := l.Lineage().Cursor(2)
		if l.Lineage().Cursor(1) != first {
			t.Error("a name that was given has changed")
		}
		resolves(t, l, first, true)
		mustClose(t, l)

		again, restored, err := openAll(saved, file.Config{}, &tail{})
		if err != nil || len(restored) != 2 {
			t.Fatalf("restored %v, %v", restored, err)
		}
		resolves(t, again, first, true)
		resolves(t, again, second, false)
		mustClose(t, again)
	})
}

// A start after which nothing is appended leaves no trace, and the cursors that it
// hands out are good for ever.
func TestIdleStartsUseUpNoPredecessor(t *testing.T) {
	fs := newDir()
	l, _ := mustOpen(t, fs, file.Config{})
	nothing := l.Lineage().Cursor(0)
	mustClose(t, l)
	for range 3 {
		l, _ = mustOpen(t, fs, file.Config{})
		resolves(t, l, nothing, true)
		mustClose(t, l)
	}
	l, _ = mustOpen(t, fs, file.Config{})
	appendOne(t, l, "x")
	x := l.Lineage().Cursor(1)
	mustClose(t, l)
	var size int
	for i := range 2 * file.MaxPredecessors {
		l, _ = mustOpen(t, fs, file.Config{})
		if at := l.Lineage().Cursor(1); at != x || len(l.Lineage().Predecessors()) != 2 {
			t.Fatalf("after %d idle starts the head is named %v with %d predecessors, want %v", i, at, len(l.Lineage().Predecessors()), x)
		}
		resolves(t, l, nothing, true)
		if i%3 == 0 {
			fs.mu.Lock()
			fs.dead = 0 // killed
			fs.mu.Unlock()
		}
		_ = l.Close() // of a log that was killed
		fs.kill()
		if n := fs.total(); i == 1 {
			size = n
		} else if i > 1 && n > size+2*file.RecordBytes {
			t.Fatalf("%d bytes after %d idle starts, %d after the first", n, i, size)
		}
	}
}

func TestAThousandRestarts(t *testing.T) {
	fs := newDir()
	var handed []log.Cursor
	for i := range 1000 {
		l, _ := mustOpen(t, fs, file.Config{SegmentBytes: 1 << 13, TotalBytes: 1 << 13})
		appendOne(t, l, fmt.Sprint(i))
		handed = append(handed, l.Lineage().Cursor(l.Head()))
		mustClose(t, l)
	}
	l, _ := mustOpen(t, fs, file.Config{})
	defer mustClose(t, l)
	for i, c := range handed {
		resolves(t, l, c, i >= len(handed)-file.MaxPredecessors)
	}
	if n := len(l.Lineage().Predecessors()); n != file.MaxPredecessors || fs.total() > 1<<16 {
		t.Errorf("%d predecessors and %d bytes", n, fs.total())
	}
	if n := testing.AllocsPerRun(100, func() { l.Resolve(log.Cursor{Epoch: 1}) }); n != 0 {
		t.Errorf("resolving allocates %v times", n)
	}
}

// The directories of format 1, of which one ended well and the other was killed.
// Its epoch went on after a good stop and named older entries, too.
func TestTheFormatBeforeIsRead(t *testing.T) {
	for _, kind := range []string{"closed", "killed"} {
		fs := newDir()
		putDir(t, fs, "testdata/version1-"+kind)
		l, to := mustOpen(t, fs, file.Config{})
		if _, there := fs.names["clean"]; there || l.Head() != 3 || to.shown() != 0 {
			t.Errorf("%s: head %d, the marker is there: %v", kind, l.Head(), there)
		}
		handed := l.Lineage().Predecessors()
		if len(handed) == 0 {
			t.Fatalf("%s: no predecessor", kind)
		}
		last := handed[len(handed)-1].Epoch
		for sequence := range uint64(5) {
			resolves(t, l, log.Cursor{Epoch: last, Sequence: sequence}, sequence <= 3)
		}
		appendOne(t, l, "in the new format")
		mustClose(t, l)
		l, _ = mustOpen(t, fs, file.Config{})
		resolves(t, l, log.Cursor{Epoch: last, Sequence: 3}, true)
		resolves(t, l, log.Cursor{Epoch: last, Sequence: 4}, false)
		mustClose(t, l)
	}
}
