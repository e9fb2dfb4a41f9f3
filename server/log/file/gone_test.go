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

// pass lets a bubble's time pass, and what is due then.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// outcome appends an entry and returns what becomes of it.
func outcome(t *testing.T, l *file.Log) error {
	t.Helper()
	result := errors.New("neither refused nor done")
	if err := l.Append([]*log.Entry{{Channel: "a", Data: []byte("x")}}, func(err error) { result = err }); err != nil {
		return err
	}
	synctest.Wait()
	return result
}

// Whatever happens to the directory, nothing is acknowledged beyond the window of
// the policy, and the log goes on by itself once the directory can be used again.
func TestADirectoryThatGoesAwayIsNoticed(t *testing.T) {
	away := func(fs *faulty, is bool) {
		fs.mu.Lock()
		defer fs.mu.Unlock()
		fs.away = is
	}
	for name, c := range map[string]struct {
		goes, returns func(fs *faulty)
		keeps         bool // what was there before
	}{
		"deleted": {(*faulty).remove, (*faulty).remake, false},
		"moved":   {func(fs *faulty) { away(fs, true) }, func(fs *faulty) { away(fs, false) }, true},
		"emptied": {func(fs *faulty) { fs.remove(); fs.remake() }, func(*faulty) {}, false},
	} {
		for policy, window := range map[string]time.Duration{file.Always: 0, file.Interval: 300 * time.Millisecond, file.Never: time.Second} {
			t.Run(name+"/"+policy, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					fs := newDir()
					config := file.Config{Fsync: policy, FsyncInterval: 100 * time.Millisecond, SegmentBytes: 200}
					l, to := mustOpen(t, fs, config)
					for range 5 {
						appendOne(t, l, strings.Repeat("x", 60))
					}
					pass(1500 * time.Millisecond)
					c.goes(fs)
					shown := 5
					if window > 0 {
						if err := outcome(t, l); err == nil {
							shown++ // within the window
						}
						pass(window)
					}
					if name != "emptied" {
						if err := outcome(t, l); !errors.Is(err, log.ErrStorage) || l.Failing() == nil {
							t.Errorf("an entry is answered %v, failing %v", err, l.Failing())
						}
						pass(5 * time.Second)
						if err := outcome(t, l); !errors.Is(err, log.ErrStorage) {
							t.Errorf("5 s later an entry is answered %v", err)
						}
					}
					if to.shown() != shown {
						t.Errorf("%d shown, want %d", to.shown(), shown)
					}
					c.returns(fs)
					pass(1500 * time.Millisecond)
					if e := appendOne(t, l, "after"); e.Sequence != uint64(shown+1) || l.Failing() != nil {
						t.Errorf("sequence %d after %d, failing %v", e.Sequence, shown, l.Failing())
					}
					last := l.Lineage().Cursor(l.Head())
					mustClose(t, l)

					again, restored, err := openAll(fs, config, &tail{})
					if err != nil {
						t.Fatal(err)
					}
					defer mustClose(t, again)
					want := 1
					if c.keeps {
						want = shown + 1
					}
					if len(restored) != want || restored[want-1] != last.Sequence {
						t.Errorf("restored %v, want the last %d", restored, want)
					}
					resolves(t, again, last, true)
				})
			})
		}
	}
}

func TestAnIdleLogNoticesToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newDir()
		l, _ := mustOpen(t, fs, file.Config{})
		pass(time.Hour)
		fs.remove()
		pass(1100 * time.Millisecond)
		if l.Failing() == nil {
			t.Error("it is not failing")
		}
		fs.remake()
		pass(1100 * time.Millisecond)
		if err := l.Failing(); err != nil {
			t.Errorf("the directory is there again, failing: %v", err)
		}
		appendOne(t, l, "x")
		fs.remove()
		if err := l.Close(); err == nil || !strings.Contains(err.Error(), "may be lost") {
			t.Errorf("closed with %v, though what was shown is nowhere", err)
		}
	})
}

// On a real disk: deleted, moved and put back, replaced by another log, and by an
// empty directory. The writer looks at each batch, so nothing here waits for time
// but the recovery, which the test asks for until it is there.
func TestARealDirectoryThatGoesAway(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	config := file.Config{Fsync: file.Always, Log: quiet}
	open := func(dir string) *file.Log {
		t.Helper()
		l, err := file.Open(dir, config, time.Now)
		if err == nil {
			err = l.Start(noTail{}, func([]*log.Entry) {})
		}
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	l := open(dir)
	publish := func() error {
		done := make(chan error, 1)
		if err := l.Append([]*log.Entry{{Data: []byte("x")}}, func(err error) { done <- err }); err != nil {
			return err
		}
		return <-done
	}
	refused := func(why string) {
		t.Helper()
		for range 2 {
			if err := publish(); !errors.Is(err, log.ErrStorage) {
				t.Errorf("%s: %v", why, err)
			}
		}
	}
	recovers := func(why string) {
		t.Helper()
		for end := time.Now().Add(time.Minute); publish() != nil; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: does not recover: %v", why, l.Failing())
			}
		}
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	recovers("a new log")
	do(os.Rename(dir, dir+".moved"))
	refused("moved")
	do(os.Rename(dir+".moved", dir))
	recovers("moved back")
	segments, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	if len(segments) != 2 {
		t.Errorf("%d segments after it was moved and came back, want 2", len(segments))
	}

	other := open(dir + ".other")
	mustClose(t, other)
	do(os.Rename(dir, dir+".moved"))
	do(os.Rename(dir+".other", dir))
	refused("another log")
	do(os.Rename(dir, dir+".other"))
	do(os.Rename(dir+".moved", dir))
	recovers("moved back again")

	do(os.RemoveAll(dir))
	refused("deleted")
	do(os.Mkdir(dir, 0o700))
	recovers("made again")
	if _, err := file.Open(dir, config, time.Now); err == nil || !strings.Contains(err.Error(), "another process uses it") {
		t.Errorf("a second open of the new directory: %v", err)
	}
	head := l.Head()
	mustClose(t, l)
	l = open(dir)
	defer mustClose(t, l)
	if l.Head() != head || l.Oldest() != head {
		t.Errorf("oldest %d, head %d, want %d alone", l.Oldest(), l.Head(), head)
	}
}
