package file_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"peal/server/log/file"
)

func (f *faulty) total() (bytes int) {
	for _, name := range f.segments() {
		bytes += f.size(name)
	}
	return bytes
}

func TestRetentionBySize(t *testing.T) {
	fs := newDir()
	l, _ := mustOpen(t, fs, file.Config{SegmentBytes: 500, TotalBytes: 2000, Age: -1})
	for range 100 {
		appendOne(t, l, strings.Repeat("x", 60))
		if n := fs.total(); n > 2500 {
			t.Fatalf("%d bytes, want at most the limit and a segment", n)
		}
	}
	mustClose(t, l)
	again, restored, err := openAll(fs, file.Config{}, &tail{})
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, again)
	if len(restored) < 10 || restored[0] != again.Oldest() || again.Oldest() < 70 || again.Head() != 100 {
		t.Errorf("restored %v, oldest %d", restored, again.Oldest())
	}
}

func TestRetentionByAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newDir()
		l, _ := mustOpen(t, fs, file.Config{Age: time.Hour, TotalBytes: -1})
		appendOne(t, l, "old")
		time.Sleep(50 * time.Minute)
		appendOne(t, l, "younger")
		time.Sleep(15 * time.Minute)
		synctest.Wait()
		if n := len(fs.segments()); n != 2 {
			t.Errorf("%d segments, want the one with both entries, which is too old to grow, and a new one", n)
		}
		time.Sleep(65 * time.Minute)
		synctest.Wait()
		if n := len(fs.segments()); n != 1 {
			t.Errorf("%d segments, want the new one", n)
		}
		if e := appendOne(t, l, "new"); e.Sequence != 3 {
			t.Errorf("sequence %d, want 3", e.Sequence)
		}
		time.Sleep(10 * time.Minute)
		mustClose(t, l)

		time.Sleep(2 * time.Hour) // nobody looks
		again, restored, err := openAll(fs, file.Config{Age: time.Hour}, &tail{})
		if err != nil || len(restored) != 1 {
			t.Fatalf("restored %v, %v", restored, err)
		}
		synctest.Wait()
		if n := len(fs.segments()); n != 1 {
			t.Errorf("%d segments after the start, want the new one", n)
		}
		if e := appendOne(t, again, "x"); e.Sequence != 4 {
			t.Errorf("sequence %d, want 4: numbers go on though nothing is left", e.Sequence)
		}
		mustClose(t, again)
	})
}

func TestASegmentThatCannotBeRemovedIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newDir()
		l, _ := mustOpen(t, fs, file.Config{Age: time.Hour, Fsync: file.Never})
		appendOne(t, l, "old")
		time.Sleep(90 * time.Minute)
		synctest.Wait()
		fs.mu.Lock()
		fs.failing = 1
		fs.mu.Unlock()
		time.Sleep(60 * time.Minute)
		synctest.Wait()
		if n := len(fs.segments()); n != 2 {
			t.Errorf("%d segments, want 2: none could be removed", n)
		}
		appendOne(t, l, "publishing does not care")
		fs.mu.Lock()
		fs.failing = 0
		fs.mu.Unlock()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n := len(fs.segments()); n != 1 {
			t.Errorf("%d segments, want 1", n)
		}
		mustClose(t, l)
	})
}
