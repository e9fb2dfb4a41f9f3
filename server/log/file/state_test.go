package file_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"peal/server/log"
	"peal/server/log/file"
)

// newest is a state: the data of the newest control entry.
type newest struct {
	tail
	value string
	upto  uint64
	fails bool
	lost  []string // calls of Lost
}

func (n *newest) Lost(why string) { n.lost = append(n.lost, why) }

func (n *newest) Save() []byte { return []byte(n.value) }

func (n *newest) Load(state []byte, upto uint64) error {
	if n.fails {
		return errors.New("not a state")
	}
	n.value, n.upto = string(state), upto
	return nil
}

func (n *newest) Apply(batch []*log.Entry) {
	for _, e := range batch {
		if e.Kind == log.KindControl {
			n.value = string(e.Data)
		}
	}
	n.tail.Apply(batch)
}

// openWith opens the log of a directory with a state.
func openWith(fs file.Files, config file.Config, n *newest) (*file.Log, error) {
	config.Log = quiet
	l, err := file.OpenOn(config, fs, time.Now, log.NewEpoch)
	if err != nil {
		return nil, err
	}
	l.Keep(n)
	err = l.Start(n, func(batch []*log.Entry) {
		for _, e := range batch {
			if e.Kind == log.KindControl && e.Sequence > n.upto {
				n.value = string(e.Data)
			}
		}
	})
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func mustOpenWith(t *testing.T, fs file.Files, config file.Config) (*file.Log, *newest) {
	t.Helper()
	n := &newest{}
	l, err := openWith(fs, config, n)
	if err != nil {
		t.Fatal(err)
	}
	return l, n
}

func order(t *testing.T, l *file.Log, data string) {
	t.Helper()
	done := make(chan error, 1)
	if err := l.Append([]*log.Entry{{Kind: log.KindControl, Data: []byte(data)}}, func(err error) { done <- err }); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

var small = file.Config{SegmentBytes: 500, TotalBytes: 2000, Age: -1}

// A start that cannot know all orders tells the state so, once, and saves what that
// makes of it: the next start knows it.
func TestAStartKnowsWhetherTheStateIsComplete(t *testing.T) {
	fs := newDir()
	check := func(when, want string) {
		t.Helper()
		l, n := mustOpenWith(t, fs, small)
		if got := strings.Join(n.lost, "; "); got != want {
			t.Errorf("%s: lost %q, want %q", when, got, want)
		}
		if fs.names[file.StateName] == nil {
			t.Errorf("%s: no state was saved", when)
		}
		for range 50 {
			appendOne(t, l, strings.Repeat("x", 60)) // retention removes segments without orders
		}
		mustClose(t, l)
	}
	check("the first start", "the log is new")
	check("the next", "")
	check("the one after", "")
	if err := fs.Remove(file.StateName); err != nil {
		t.Fatal(err)
	}
	check("without the state", "the file state is missing")
	check("after that", "")
	l, _ := mustOpenWith(t, fs, small)
	for i := range 50 {
		order(t, l, fmt.Sprint(i)) // retention removes segments with orders, and saves the state
	}
	mustClose(t, l)
	check("with the state of orders", "")
	l, _ = mustOpenWith(t, fs, small)
	for i := range 50 {
		order(t, l, fmt.Sprint(i))
	}
	mustClose(t, l)
	for _, name := range fs.segments() {
		if err := fs.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	check("without the end of the log", "the end of the log was lost")
	check("after that", "")
}

// A torn end may have had orders that were acknowledged, if these were not synced.
func TestATornEndMayHaveHadOrders(t *testing.T) {
	for policy, want := range map[string]string{file.Always: "", file.Interval: "the end of the log is torn", file.Never: "the end of the log is torn"} {
		fs, config := newDir(), file.Config{Fsync: policy}
		l, _ := mustOpenWith(t, fs, config)
		appendOne(t, l, "x")
		mustClose(t, l)
		name := fs.segments()[0]
		b := fs.names[name].now
		fs.put(name, b[:len(b)-15]) // without the footer of 12 bytes, and with a record that is cut short
		l, n := mustOpenWith(t, fs, config)
		if got := strings.Join(n.lost, "; "); got != want {
			t.Errorf("%s: lost %q, want %q", policy, got, want)
		}
		mustClose(t, l)
		l, n = mustOpenWith(t, fs, config)
		if len(n.lost) != 0 {
			t.Errorf("%s: the start after that: lost %q", policy, n.lost)
		}
		mustClose(t, l)
	}
}

// A start on a full disk cannot save the state. It does so when there is room, before
// it appends anything.
func TestAStateThatIsIncompleteIsSavedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newDir()
		fs.fill(0)
		l, n := mustOpenWith(t, fs, small)
		n.value = "refuse what was before" // what Lost has made of it
		if fs.names[file.StateName] != nil || len(fs.segments()) != 0 {
			t.Fatal("the disk is not full: the test proves nothing")
		}
		fs.fill(-1)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		mustClose(t, l)
		l, n = mustOpenWith(t, fs, small)
		if n.value != "refuse what was before" || len(n.lost) != 0 {
			t.Errorf("%q, lost %q", n.value, n.lost)
		}
		mustClose(t, l)
	})
}

// What cannot be saved keeps its segments, and publishing goes on.
func TestSegmentsStayWhileTheStateCannotBeSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newDir()
		config := file.Config{Age: time.Hour, Fsync: file.Never}
		l, _ := mustOpenWith(t, fs, config)
		order(t, l, "first")
		time.Sleep(90 * time.Minute)
		synctest.Wait()
		fs.mu.Lock()
		fs.failing = 1
		fs.mu.Unlock()
		time.Sleep(time.Hour)
		synctest.Wait()
		fs.mu.Lock()
		fs.failing = 0
		fs.mu.Unlock()
		if n := len(fs.segments()); n != 2 {
			t.Errorf("%d segments, want 2: the order is in the first, and nowhere else", n)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n := len(fs.segments()); n != 1 || fs.names[file.StateName] == nil {
			t.Errorf("%d segments, want 1, and the state", n)
		}
		mustClose(t, l)
		again, n := mustOpenWith(t, fs, config)
		if n.value != "first" {
			t.Errorf("%q", n.value)
		}
		mustClose(t, again)
	})
}

// Where the end of the log is lost, its numbers are given again: the state must not
// stand for those.
func TestAStateBeyondTheEndOfTheLog(t *testing.T) {
	fs := newDir()
	l, _ := mustOpenWith(t, fs, small)
	for i := range 50 {
		order(t, l, fmt.Sprint(i))
		appendOne(t, l, strings.Repeat("x", 60))
	}
	mustClose(t, l)
	for _, name := range fs.segments() {
		if err := fs.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	l, n := mustOpenWith(t, fs, small)
	if l.Head() != 0 || n.value == "" {
		t.Fatalf("head %d, state %q", l.Head(), n.value)
	}
	order(t, l, "new")
	mustClose(t, l)
	l, n = mustOpenWith(t, fs, small)
	if n.value != "new" {
		t.Errorf("%q, want the order that has a number of before", n.value)
	}
	mustClose(t, l)
}

// The directory goes away, with the segments and the state: what orders led to is
// written to the new one.
func TestANewDirectoryGetsTheState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newDir()
		l, _ := mustOpenWith(t, fs, file.Config{})
		order(t, l, "first")
		fs.remove()
		time.Sleep(2 * time.Second)
		fs.remake()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		appendOne(t, l, "x")
		mustClose(t, l)
		again, n := mustOpenWith(t, fs, file.Config{})
		if n.value != "first" {
			t.Errorf("%q", n.value)
		}
		mustClose(t, again)
	})
}

// A state that is damaged anywhere is damage: the start says so, and what to do.
func TestADamagedState(t *testing.T) {
	fs := newDir()
	l, _ := mustOpenWith(t, fs, small)
	order(t, l, "first")
	for range 50 {
		appendOne(t, l, strings.Repeat("x", 60))
	}
	mustClose(t, l)
	good := fs.names[file.StateName].now
	if r, err := file.ReadOn(fs); err != nil || len(r.Damage) != 0 {
		t.Fatalf("%v, %v", r.Damage, err)
	}
	check := func(what string, b []byte) {
		t.Helper()
		fs.put(file.StateName, b)
		_, err := openWith(fs, small, &newest{})
		if _, ok := errors.AsType[*file.DamageError](err); !ok || !strings.Contains(err.Error(), "move dir/state away") {
			t.Errorf("%s: %v", what, err)
		}
		if r, err := file.ReadOn(fs); err != nil || len(r.Damage) != 1 {
			t.Errorf("%s: %v, %v", what, r.Damage, err)
		}
	}
	for i := range good {
		if i >= 8 && i < 12 {
			continue // the version
		}
		b := append([]byte{}, good...)
		b[i] ^= 0x40
		check(fmt.Sprint("byte ", i), b)
		check(fmt.Sprint("cut to ", i), good[:i])
	}
	later := append([]byte{}, good...)
	later[8]++
	fs.put(file.StateName, later)
	if _, err := openWith(fs, small, &newest{}); err == nil || !strings.Contains(err.Error(), "another version") {
		t.Errorf("a later version: %v", err)
	}
	fs.put(file.StateName, good)
	if _, err := openWith(fs, small, &newest{fails: true}); err == nil {
		t.Error("the tail cannot read it, and the log starts")
	}
	l, n := mustOpenWith(t, fs, small)
	if n.value != "first" {
		t.Errorf("%q", n.value)
	}
	mustClose(t, l)
}
