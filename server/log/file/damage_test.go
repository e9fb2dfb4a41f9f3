package file_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"peal/server/log"
	"peal/server/log/file"
)

// headerBytes is the length of a header without predecessors.
const headerBytes = 52

// written is a log of two segments that ended well, and where the records of
// each begin.
func written(t *testing.T) (fs *faulty, names []string, begins map[string][]int) {
	fs = newDir()
	l, _ := mustOpen(t, fs, file.Config{Fsync: file.Always, SegmentBytes: 400})
	begins = map[string][]int{}
	for i := range 9 {
		before := fs.segments()
		last := before[len(before)-1]
		at := fs.size(last)
		appendOne(t, l, strings.Repeat("x", 20+i))
		if after := fs.segments(); len(after) > len(before) {
			last = after[len(after)-1]
			at = headerBytes
		}
		begins[last] = append(begins[last], at)
	}
	mustClose(t, l)
	names = fs.segments()
	if len(names) != 2 || len(begins[names[1]]) < 3 {
		t.Fatalf("segments %v with records at %v: the test wants two, with a few records", names, begins)
	}
	return fs, names, begins
}

func TestATailCutAtAnyByteIsRepaired(t *testing.T) {
	fs, names, begins := written(t)
	last := names[1]
	content := fs.names[last].now
	before := len(begins[names[0]])
	content = content[:len(content)-file.RecordBytes] // the footer
	for size := begins[last][0]; size <= len(content); size++ {
		whole := 0
		for whole+1 < len(begins[last]) && begins[last][whole+1] <= size {
			whole++
		}
		if size == len(content) {
			whole = len(begins[last])
		}
		for _, rubbish := range []string{"", "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", "rubbish"} {
			torn := fs.copyOf()
			torn.put(last, append(slices.Clip(content[:size]), rubbish...))
			to := &tail{}
			l, restored, err := openAll(torn, file.Config{}, to)
			if err != nil {
				t.Fatalf("cut to %d bytes and %q: %v", size, rubbish, err)
			}
			if len(restored) != before+whole || l.Head() != uint64(before+whole) {
				t.Errorf("cut to %d bytes and %q: %d restored, head %d, want %d", size, rubbish, len(restored), l.Head(), before+whole)
			}
			if e := appendOne(t, l, "y"); e.Sequence != l.Head() || e.Sequence != uint64(before+whole+1) {
				t.Errorf("cut to %d bytes: the next is %d", size, e.Sequence)
			}
			mustClose(t, l)
			l, restored, err = openAll(torn, file.Config{}, to)
			if err != nil || len(restored) != before+whole+1 {
				t.Fatalf("cut to %d bytes and opened again: %d restored, %v", size, len(restored), err)
			}
			mustClose(t, l)
		}
	}
}

func TestAFlippedByteIsNamed(t *testing.T) {
	fs, names, begins := written(t)
	check := func(name string, at, want int, keepFooter bool) {
		t.Helper()
		bad := fs.copyOf()
		bad.names[name].now[at] ^= 0x40
		if n := bad.names[name]; !keepFooter && name == names[1] {
			n.now = n.now[:len(n.now)-file.RecordBytes]
		}
		_, _, err := openAll(bad, file.Config{}, &tail{})
		d, ok := errors.AsType[*file.DamageError](err)
		if !ok || d.Offset != int64(want) || d.File != "dir/"+name {
			t.Errorf("byte %d of %s flipped: %v, want damage at byte %d", at, name, err, want)
			return
		}
		if !strings.Contains(err.Error(), "peal log verify dir") || !strings.Contains(err.Error(), fmt.Sprintf("at byte %d", want)) {
			t.Errorf("the error helps nobody: %v", err)
		}
		if _, err := bad.Lock(); err != nil {
			t.Errorf("the directory is not let go: %v", err)
		}
	}
	for i, name := range names {
		for r, begin := range begins[name] {
			end := fs.size(name) - (i * file.RecordBytes) // the footer
			isLast := r+1 == len(begins[name])
			if !isLast {
				end = begins[name][r+1]
			}
			for at := begin; at < end; at++ {
				check(name, at, begin, true)
				if !isLast || i == 0 {
					check(name, at, begin, false)
				}
			}
		}
		for at := range begins[name][0] {
			if at < 8 || at >= 12 { // the version: see below
				check(name, at, 0, true)
			}
		}
	}
}

func TestAMissingSegmentIsDamage(t *testing.T) {
	fs := newDir()
	l, _ := mustOpen(t, fs, file.Config{SegmentBytes: 200})
	for range 6 {
		appendOne(t, l, strings.Repeat("x", 60))
	}
	mustClose(t, l)
	names := fs.segments()
	delete(fs.names, names[1])
	_, _, err := openAll(fs, file.Config{}, &tail{})
	if d, ok := errors.AsType[*file.DamageError](err); !ok || d.File != "dir/"+names[2] && d.File != "dir/"+names[0] {
		t.Errorf("got %v, want damage where %s is missing", err, names[1])
	}
}

func TestAnotherVersionIsRefused(t *testing.T) {
	fs, names, _ := written(t)
	fs.names[names[1]].now[8] = 3
	_, _, err := openAll(fs, file.Config{}, &tail{})
	if _, damage := errors.AsType[*file.DamageError](err); err == nil || damage || !strings.Contains(err.Error(), "another version of Peal: 3") {
		t.Errorf("got %v, want a word about the version", err)
	}
}

// A publisher must not be able to make a torn tail look like damage: what it
// sends may contain records, but not with the segment's mark.
func TestForgedRecordsInATornTail(t *testing.T) {
	fs := newDir()
	l, _ := mustOpen(t, fs, file.Config{})
	appendOne(t, l, "inner")
	mustClose(t, l)
	name := fs.segments()[0]
	forged := string(fs.names[name].now)

	fs = newDir()
	l, _ = mustOpen(t, fs, file.Config{})
	appendOne(t, l, forged)
	mustClose(t, l)
	name = fs.segments()[0]
	fs.put(name, fs.names[name].now[:fs.size(name)-file.RecordBytes-1])
	l, to := mustOpen(t, fs, file.Config{})
	if l.Head() != 0 || to.shown() != 0 {
		t.Errorf("head %d", l.Head())
	}
	mustClose(t, l)
}

func TestOldCursorsAfterATornTail(t *testing.T) {
	fs, names, begins := written(t)
	last := begins[names[1]]
	fs.put(names[1], fs.names[names[1]].now[:last[len(last)-1]+1]) // into the ninth record
	l, _ := mustOpen(t, fs, file.Config{})
	defer mustClose(t, l)
	if l.Head() != 8 {
		t.Fatalf("head %d, want 8", l.Head())
	}
	report, err := file.ReadOn(fs)
	if err != nil || len(report.Predecessors) != 1 || report.Predecessors[0].Last != 8 {
		t.Fatalf("predecessors are %+v, %v", report.Predecessors, err)
	}
	old := report.Predecessors[0].Epoch
	for sequence, want := range map[uint64]bool{0: true, 8: true, 9: false} {
		if _, ok := l.Resolve(log.Cursor{Epoch: old, Sequence: sequence}); ok != want {
			t.Errorf("cursor %d of the epoch before resolves %v", sequence, ok)
		}
	}
	appendOne(t, l, "y")
	if _, ok := l.Resolve(log.Cursor{Epoch: old, Sequence: 9}); ok {
		t.Error("once sequence 9 is in use again the old cursor means the new entry")
	}
	if _, ok := l.Resolve(log.Cursor{Epoch: l.Lineage().Epoch(), Sequence: 9}); !ok {
		t.Error("the cursor of the new entry does not resolve")
	}
}
