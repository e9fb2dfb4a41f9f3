package file_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"peal/server/log"
	"peal/server/log/file"
)

func TestTheDirectoryIsMadeAndClosedToOthers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "log")
	l, err := file.Open(dir, file.Config{Log: quiet}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, l)
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory is open to others: %v, %v", info.Mode(), err)
	}
}

func TestASecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	first, err := file.Open(dir, file.Config{Log: quiet}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	// flock is between open files, so two of one process do for two processes.
	if _, err := file.Open(dir, file.Config{Log: quiet}, time.Now); err == nil || !strings.Contains(err.Error(), "another process uses it") {
		t.Errorf("a second open: %v", err)
	}
	mustClose(t, first)
	second, err := file.Open(dir, file.Config{Log: quiet}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, second)
}

// stuck keeps the writer from syncing until it is let go.
type stuck struct {
	*faulty
	gate chan struct{}
}

func (s stuck) Create(name string) (file.File, error) {
	f, err := s.faulty.Create(name)
	return stuckFile{f, s.gate}, err
}

func (s stuck) Present(name string, f file.File) error {
	return s.faulty.Present(name, f.(stuckFile).File)
}

type stuckFile struct {
	file.File
	gate chan struct{}
}

func (f stuckFile) Write(b []byte) (int, error) {
	<-f.gate
	return f.File.Write(b)
}

func TestAppendNeverBlocksAndIsFullAtItsLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{}, 1)
		gate <- struct{}{} // for the header
		fs := stuck{newDir(), gate}
		l, to := mustOpen(t, fs, file.Config{QueueEntries: 4, QueueBytes: 10 * log.EntryOverhead})
		for range 2 {
			if err := l.Append([]*log.Entry{{}, {}}, nil); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if err := l.Append([]*log.Entry{{}}, nil); !errors.Is(err, log.ErrFull) {
			t.Errorf("a fifth entry of four: %v", err)
		}
		if to.asked != [2]int{4, 4 * log.EntryOverhead} {
			t.Errorf("room was asked for %v, want it for all that is pending", to.asked)
		}
		close(gate)
		synctest.Wait()
		if to.shown() != 4 {
			t.Errorf("%d shown, want 4", to.shown())
		}
		to.full = true
		if err := l.Append([]*log.Entry{{}}, nil); !errors.Is(err, log.ErrFull) {
			t.Errorf("without room in the tail: %v", err)
		}
		to.full = false
		big := &log.Entry{Data: make([]byte, 11*log.EntryOverhead)}
		if err := l.Append([]*log.Entry{big}, nil); err != nil {
			t.Errorf("alone, an entry may be larger than the queue: %v", err)
		}
		synctest.Wait()
		if e := appendOne(t, l, ""); e.Sequence != 6 {
			t.Errorf("sequence %d after refusals, want 6", e.Sequence)
		}
		mustClose(t, l)
	})
}

// unsynced is how many bytes of the last segment a power failure may take.
func (f *faulty) unsynced() int {
	names := f.segments()
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.names[names[len(names)-1]]
	return len(n.now) - len(n.durable)
}

func TestWhenEachPolicySyncs(t *testing.T) {
	for policy, want := range map[string][3]bool{ // unsynced: when done, before the interval, after it
		file.Always:   {false, false, false},
		file.Interval: {true, true, false},
		file.Never:    {true, true, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			fs := newDir()
			l, _ := mustOpen(t, fs, file.Config{Fsync: policy, FsyncInterval: time.Second})
			time.Sleep(10 * time.Hour)
			for range 2 {
				appendOne(t, l, "x")
				got := [3]bool{fs.unsynced() > 0}
				synctest.Wait()
				time.Sleep(999 * time.Millisecond)
				appendOne(t, l, "y")
				got[1] = fs.unsynced() > 0
				time.Sleep(2 * time.Millisecond)
				synctest.Wait()
				got[2] = fs.unsynced() > 0
				if got != want {
					t.Errorf("%s: unsynced when done, before the interval is over, and after: %v, want %v", policy, got, want)
				}
				time.Sleep(time.Minute)
			}
			mustClose(t, l)
			if fs.unsynced() > 0 {
				t.Errorf("%s: a good stop leaves something unsynced", policy)
			}
		})
	}
}

func TestAFullDiskIsRefusedUntilItIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newDir()
		l, to := mustOpen(t, fs, file.Config{Fsync: file.Always})
		appendOne(t, l, "before")
		fs.mu.Lock()
		fs.room = 20 // less than a record
		fs.mu.Unlock()
		var failed error
		if err := l.Append([]*log.Entry{{Data: []byte("lost")}}, func(err error) { failed = err }); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !errors.Is(failed, log.ErrStorage) || !errors.Is(failed, errSpace) || to.shown() != 1 {
			t.Errorf("done with %v, %d shown", failed, to.shown())
		}
		if report, err := file.ReadOn(fs); err != nil || report.Torn != 0 {
			t.Errorf("the torn part is still there: %+v, %v", report, err)
		}
		for range 3 {
			if err := l.Append([]*log.Entry{{}}, func(error) { t.Error("done was called") }); !errors.Is(err, log.ErrStorage) || l.Failing() == nil {
				t.Errorf("while full: %v, failing: %v", err, l.Failing())
			}
			time.Sleep(1500 * time.Millisecond)
			synctest.Wait()
		}
		fs.mu.Lock()
		fs.room = -1
		fs.mu.Unlock()
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		if e := appendOne(t, l, "after"); e.Sequence != 2 {
			t.Errorf("sequence %d, want 2: the lost entry was not shown", e.Sequence)
		}
		if err := l.Failing(); err != nil {
			t.Errorf("still failing when all is well: %v", err)
		}
		mustClose(t, l)
		again, restored, err := openAll(fs, file.Config{}, &tail{})
		if err != nil || len(restored) != 2 {
			t.Fatalf("%v restored, %v", restored, err)
		}
		mustClose(t, again)
	})
}

// Entries that were shown before a sync failed are not on the disk for sure:
// nothing is resumed across them after a restart.
func TestAFailedSyncLeavesAHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newDir()
		l, _ := mustOpen(t, fs, file.Config{Fsync: file.Interval})
		appendOne(t, l, "synced")
		time.Sleep(time.Second)
		synctest.Wait()
		appendOne(t, l, "shown, and then lost")
		fs.mu.Lock()
		fs.failing = 1
		fs.mu.Unlock()
		time.Sleep(time.Second)
		synctest.Wait()
		if err := l.Append([]*log.Entry{{}}, nil); !errors.Is(err, log.ErrStorage) {
			t.Errorf("after a failed sync: %v", err)
		}
		fs.mu.Lock()
		fs.failing = 0
		fs.mu.Unlock()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if e := appendOne(t, l, "after"); e.Sequence != 3 {
			t.Errorf("sequence %d, want 3", e.Sequence)
		}
		mustClose(t, l)
		again, restored, err := openAll(fs, file.Config{}, &tail{})
		if err != nil || len(restored) != 1 || restored[0] != 3 || again.Oldest() != 3 {
			t.Fatalf("restored %v, %v; want 3 alone", restored, err)
		}
		mustClose(t, again)
		report, err := file.ReadOn(fs)
		if err != nil || len(report.Damage) != 0 || report.Segments[1].Hole != 1 {
			t.Errorf("the report is %+v, %v", report, err)
		}
	})
}

func TestAppendDoesNotAllocate(t *testing.T) {
	l, err := file.Open(t.TempDir(), file.Config{Fsync: file.Never, Log: quiet}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Start(noTail{}, func([]*log.Entry) {}); err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, l)
	batch := []*log.Entry{{Channel: "a", Data: make([]byte, 100)}, {}}
	done := make(chan struct{})
	finish := func(error) { done <- struct{}{} }
	append := func() {
		if err := l.Append(batch, finish); err != nil {
			t.Fatal(err)
		}
		<-done
	}
	append() // grows the queue and the buffer
	append()
	if n := testing.AllocsPerRun(200, append); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// noTail does nothing, so that only the engine is measured.
type noTail struct{}

func (noTail) Room(entries, bytes int) bool { return true }
func (noTail) Apply(batch []*log.Entry)     {}
func (noTail) Wake()                        {}
