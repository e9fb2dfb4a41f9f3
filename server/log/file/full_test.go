package file_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"peal/server/log"
	"peal/server/log/file"
)

// fill leaves room for that many bytes; negative for no end.
func (f *faulty) fill(room int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.room = room
}

// all are the names of all files.
func (f *faulty) all() (names []string) {
	names, _ = f.List()
	slices.Sort(names)
	return names
}

func TestAFullDiskDoesNotPreventTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newDir()
		l, _ := mustOpen(t, fs, file.Config{SegmentBytes: 300})
		for range 8 {
			appendOne(t, l, strings.Repeat("x", 60))
		}
		before := l.Lineage().Cursor(8)
		mustClose(t, l)
		fs.fill(0)
		names := fs.all()

		l, restored, err := openAll(fs, file.Config{SegmentBytes: 300}, &tail{})
		if err != nil || len(restored) != 8 {
			t.Fatalf("%d restored, %v", len(restored), err)
		}
		for range 3 {
			if err := outcome(t, l); !errors.Is(err, log.ErrStorage) || l.Failing() == nil {
				t.Errorf("an entry is answered %v, failing %v", err, l.Failing())
			}
			resolves(t, l, before, true)
			pass(1500 * time.Millisecond)
		}
		mustClose(t, l) // a stop changes nothing
		if got := fs.all(); !slices.Equal(got, names) {
			t.Errorf("the stop leaves %v, want %v", got, names)
		}

		l, _ = mustOpen(t, fs, file.Config{SegmentBytes: 300})
		if l.Failing() == nil {
			t.Error("the disk is full, and the log is not failing")
		}
		fs.fill(-1)
		pass(1100 * time.Millisecond)
		if e := appendOne(t, l, "after"); e.Sequence != 9 {
			t.Errorf("sequence %d", e.Sequence)
		}
		mustClose(t, l)
		l, restored, err = openAll(fs, file.Config{}, &tail{})
		if err != nil || len(restored) != 9 {
			t.Fatalf("%d restored, %v", len(restored), err)
		}
		resolves(t, l, before, true)
		mustClose(t, l)
	})
}

// Any other fault of the disk does: somebody should look before a server runs.
func TestABrokenDiskPreventsTheStart(t *testing.T) {
	fs := newDir()
	fs.failing = 1
	l, err := file.OpenOn(file.Config{Log: quiet}, fs, time.Now, log.NewEpoch)
	if err == nil {
		err = errors.Join(l.Start(&tail{}, func([]*log.Entry) {}), l.Close())
	}
	if !errors.Is(err, errIO) {
		t.Errorf("started with %v", err)
	}
}

// A full disk at any moment: a stop loses nothing that was shown, says so, and
// leaves nothing behind that is not a segment.
func TestAStopOnAFullDisk(t *testing.T) {
	for _, policy := range policies {
		for room := 0; room < 400; room += 7 {
			synctest.Test(t, func(t *testing.T) {
				fs := newDir()
				l, to := mustOpen(t, fs, file.Config{Fsync: policy, SegmentBytes: 300})
				fs.fill(room)
				for range 8 {
					_ = outcome(t, l) // some are refused
				}
				if room%2 == 0 {
					pass(1500 * time.Millisecond)
				}
				mustClose(t, l)
				for _, name := range fs.all() {
					if !strings.HasSuffix(name, ".log") {
						t.Errorf("%s with room for %d: %s is left", policy, room, name)
					}
				}
				again, restored, err := openAll(fs, file.Config{}, &tail{})
				if err != nil || len(restored) != to.shown() {
					t.Fatalf("%s with room for %d: %d shown, %d restored, %v", policy, room, to.shown(), len(restored), err)
				}
				mustClose(t, again)
			})
		}
	}
}

// smallDisk mounts a real file system of that size.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if os.Getuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "peal-test", dir).CombinedOutput(); err != nil {
		t.Skipf("a small file system cannot be mounted here: %v %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount %s: %v %s", dir, err, out)
		}
	})
	return dir
}

// What a smaller limit is good for: the start on a full disk removes what is
// beyond it first.
func TestASmallerLimitFreesAFullDisk(t *testing.T) {
	dir := smallDisk(t, "1m")
	open := func(total int) (l *file.Log, restored int) {
		t.Helper()
		l, err := file.Open(filepath.Join(dir, "log"), file.Config{Fsync: file.Always, SegmentBytes: 1 << 16, TotalBytes: total, Log: quiet}, time.Now)
		if err == nil {
			err = l.Start(noTail{}, func(batch []*log.Entry) { restored += len(batch) })
		}
		if err != nil {
			t.Fatal(err)
		}
		return l, restored
	}
	publish := func(l *file.Log, n int) error {
		done := make(chan error, 1)
		if err := l.Append([]*log.Entry{{Data: make([]byte, n)}}, func(err error) { done <- err }); err != nil {
			return err
		}
		return <-done
	}
	l, _ := open(-1)
	stored := 0
	for publish(l, 10_000) == nil {
		stored++
	}
	mustClose(t, l)
	filler, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil { // to the last byte
		_, err = filler.Write(make([]byte, 512))
	}
	filler.Close()

	l, restored := open(-1)
	if restored != stored || stored < 50 || !errors.Is(l.Failing(), log.ErrStorage) {
		t.Errorf("%d restored of %d, failing: %v", restored, stored, l.Failing())
	}
	if err := publish(l, 1); !errors.Is(err, log.ErrStorage) {
		t.Errorf("on a full disk: %v", err)
	}
	mustClose(t, l)
	files, err := os.ReadDir(filepath.Join(dir, "log"))
	for _, f := range files {
		if name := f.Name(); err != nil || !strings.HasSuffix(name, ".log") && name != "lock" {
			t.Errorf("%s is left, %v", name, err)
		}
	}

	l, restored = open(1 << 18)
	if restored != stored || l.Failing() != nil {
		t.Errorf("%d restored of %d, failing: %v", restored, stored, l.Failing())
	}
	if err := publish(l, 1); err != nil {
		t.Error(err)
	}
	mustClose(t, l)
	if report, err := file.Read(filepath.Join(dir, "log")); err != nil || len(report.Damage) > 0 || !report.ClosedWell {
		t.Errorf("%s", fmt.Sprint(report, err))
	}
}
