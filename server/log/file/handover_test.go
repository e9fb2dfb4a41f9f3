package file_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"peal/server/log"
	"peal/server/log/file"
)

// process is what one process does with a directory: it may die in the middle.
type process struct {
	*faulty
	mu   sync.Mutex
	left int // operations until it dies; negative: it lives
	met  int // operations there were
}

func (p *process) step() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.met++
	switch {
	case p.left == 0:
		return errDead
	case p.left > 0:
		p.left--
	}
	return nil
}

func (p *process) dieAfter(operations int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left, p.met = operations, 0
}

func (p *process) isDead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.left == 0
}

func (p *process) Create(name string) (file.File, error) {
	if err := p.step(); err != nil {
		return nil, err
	}
	f, err := p.faulty.Create(name)
	return &processFile{f, p}, err
}

func (p *process) Open(name string) (file.Reader, error) {
	if err := p.step(); err != nil {
		return nil, err
	}
	return p.faulty.Open(name)
}

func (p *process) Rename(from, to string) error {
	return errors.Join(p.step(), p.ifAlive(func() error { return p.faulty.Rename(from, to) }))
}
func (p *process) Remove(name string) error {
	return errors.Join(p.step(), p.ifAlive(func() error { return p.faulty.Remove(name) }))
}
func (p *process) SyncDir() error { return errors.Join(p.step(), p.ifAlive(p.faulty.SyncDir)) }
func (p *process) Present(name string, f file.File) error {
	return errors.Join(p.step(), p.ifAlive(func() error { return p.faulty.Present(name, f.(*processFile).File) }))
}

func (p *process) ifAlive(f func() error) error {
	if p.isDead() {
		return errDead
	}
	return f()
}

func (p *process) List() ([]string, error) {
	if err := p.step(); err != nil {
		return nil, err
	}
	return p.faulty.List()
}

type processFile struct {
	file.File
	p *process
}

// Write is cut off where the process dies.
func (f *processFile) Write(b []byte) (int, error) {
	if err := f.p.step(); err != nil {
		return 0, err
	}
	if f.p.isDead() {
		n, _ := f.File.Write(b[:len(b)/2])
		return n, errDead
	}
	return f.File.Write(b)
}

func (f *processFile) Sync() error { return errors.Join(f.p.step(), f.p.ifAlive(f.File.Sync)) }
func (f *processFile) Truncate(size int64) error {
	return errors.Join(f.p.step(), f.p.ifAlive(func() error { return f.File.Truncate(size) }))
}

// crash is one hand-over in which a process dies, and what was acknowledged.
type crash struct {
	t            *testing.T
	config       file.Config
	fs           *faulty
	acknowledged map[log.Cursor]string
	serial       int
}

func (c *crash) append(l *file.Log) error {
	c.serial++
	e := &log.Entry{Channel: "a", Data: fmt.Append(nil, c.serial, strings.Repeat("x", 100))}
	done := make(chan error, 1)
	err := l.Append([]*log.Entry{e}, func(err error) { done <- err })
	if err == nil {
		err = <-done
	}
	if err == nil {
		c.acknowledged[l.Lineage().Cursor(e.Sequence)] = string(e.Data)
	}
	return err
}

// run hands over from one process to the other, and returns the one that goes on, which is perhaps dead.
func (c *crash) run(from, to *process, old *file.Log, begin func()) (goesOn *file.Log) {
	begin()
	n, err := c.prepare(from, to, old)
	if err == nil {
		err = old.Release()
		if err != nil { // no commit: the other ends, and this one has
			n.Close()
			return old
		}
		if err = n.Begin(&tail{}); err != nil {
			n.Close()
			return n
		}
		old.Close()
		return n
	}
	if n != nil {
		n.Close()
	}
	old.Resume()
	if err := c.append(old); err != nil && !from.isDead() {
		c.t.Errorf("the one that goes on refuses: %v", err)
	}
	return old
}

func (c *crash) prepare(from, to *process, old *file.Log) (n *file.Log, err error) {
	h, err := old.Offer()
	if err != nil {
		return nil, err
	}
	_ = c.append(old)
	if n, err = file.SucceedOn(c.config, to, time.Now, log.NewEpoch, h); err != nil {
		return nil, err
	}
	restored := func([]*log.Entry) {}
	if err := n.Prepare(nil, restored); err != nil {
		return n, err
	}
	_ = c.append(old)
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	if h, err = old.Pause(ctx); err != nil {
		return n, err
	}
	return n, n.CatchUp(h, nil, restored)
}

// judge starts a log as after the end of both processes: everything that was acknowledged is there under its name.
func (c *crash) judge(what string) {
	c.t.Helper()
	found := map[uint64]string{}
	l, err := file.OpenOn(c.config, c.fs, time.Now, log.NewEpoch)
	if err != nil {
		c.t.Errorf("%s: %v", what, err)
		return
	}
	if err := l.Start(&tail{}, func(batch []*log.Entry) {
		for _, e := range batch {
			found[e.Sequence] = string(e.Data)
		}
	}); err != nil {
		c.t.Errorf("%s: %v", what, err)
	}
	defer l.Close()
	for cursor, data := range c.acknowledged {
		if got, ok := l.Resolve(cursor); !ok || found[got] != data {
			c.t.Errorf("%s: %v was acknowledged as %.10q, and is %.10q, %v", what, cursor, data, found[got], ok)
		}
	}
}

// TestAHandOverLosesNothingWhereAProcessDies: at each operation on the directory, of either process, before the
// commit and behind it; and where the machine fails with it, under the policy that promises it.
func TestAHandOverLosesNothingWhereAProcessDies(t *testing.T) {
	for _, policy := range []string{file.Always, file.Interval, file.Never} {
		for _, victim := range []string{"old", "new", "none"} {
			for _, power := range []bool{false, true} {
				if power && policy != file.Always {
					continue
				}
				points := 0
				for k, met := 0, true; met; k++ {
					c := &crash{t: t, fs: newDir(), acknowledged: map[log.Cursor]string{},
						config: file.Config{Fsync: policy, FsyncInterval: time.Hour, SegmentBytes: 700, Log: quiet}}
					from, to := &process{faulty: c.fs, left: -1}, &process{faulty: c.fs, left: -1}
					old, _, err := openAll(from, c.config, &tail{})
					if err != nil {
						t.Fatal(err)
					}
					for range 8 { // several segments
						if err := c.append(old); err != nil {
							t.Fatal(err)
						}
					}
					dying := map[string]*process{"old": from, "new": to}[victim]
					last := c.run(from, to, old, func() {
						if dying != nil {
							dying.dieAfter(k)
						}
					})
					if err := c.append(last); err != nil && !from.isDead() && !to.isDead() {
						t.Errorf("%s, %s dies at %d: the log cannot be appended to: %v", policy, victim, k, err)
					}
					met = dying != nil && dying.met >= k
					points = k
					if power {
						c.fs.powerLoss()
					}
					last.Close()
					old.Close()
					c.fs.kill()
					c.judge(fmt.Sprintf("%s, %s dies at %d, power failure %v", policy, victim, k, power))
					if t.Failed() {
						return
					}
				}
				t.Logf("%s: %s died at %d points", policy, victim, points)
				if victim != "none" && points < 10 {
					t.Errorf("%s: %s died at %d points only", policy, victim, points)
				}
			}
		}
	}
}

// TestASuccessorMeetsRotation: segments that begin and end while it reads.
func TestASuccessorMeetsRotation(t *testing.T) {
	c := &crash{t: t, fs: newDir(), acknowledged: map[log.Cursor]string{}, config: file.Config{SegmentBytes: 500, TotalBytes: 2000, Age: -1, Log: quiet}}
	old, _ := mustOpen(t, c.fs, c.config)
	defer old.Close()
	some := func(n int) {
		for range n {
			if err := c.append(old); err != nil {
				t.Fatal(err)
			}
		}
	}
	some(40)
	segments := len(c.fs.segments())
	h, err := old.Offer()
	if err != nil {
		t.Fatal(err)
	}
	some(20)
	if got := len(c.fs.segments()); got <= segments+2 {
		t.Errorf("%d segments during the hand-over, %d before: some were removed", got, segments)
	}
	n, err := file.SucceedOn(c.config, c.fs, time.Now, log.NewEpoch, h)
	if err != nil {
		t.Fatal(err)
	}
	var got []uint64
	restore := func(batch []*log.Entry) {
		for _, e := range batch {
			got = append(got, e.Sequence)
		}
	}
	if err := n.Prepare(nil, restore); err != nil {
		t.Fatal(err)
	}
	some(20)
	if h, err = old.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := n.CatchUp(h, nil, restore); err != nil {
		t.Fatal(err)
	}
	if first := n.Oldest(); len(got) != int(80-first+1) || got[0] != first || got[len(got)-1] != 80 {
		t.Errorf("restored %d entries from %d to %d, oldest %d", len(got), got[0], got[len(got)-1], first)
	}
	if err := old.Release(); err != nil {
		t.Fatal(err)
	}
	if err := n.Begin(&tail{}); err != nil {
		t.Fatal(err)
	}
	if got := len(c.fs.segments()); got > segments+2 {
		t.Errorf("%d segments afterwards: none was removed", got)
	}
	appendOne(t, n, "81")
	mustClose(t, n)
}

// TestASuccessorRefuses what is not the log of the process before.
func TestASuccessorRefuses(t *testing.T) {
	old, _ := mustOpen(t, newDir(), file.Config{})
	defer old.Close()
	appendOne(t, old, "1")
	h, err := old.Offer()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.Offer(); !errors.Is(err, log.ErrPaused) {
		t.Errorf("a second hand-over: %v", err)
	}
	for what, c := range map[string]struct {
		fs   *faulty
		h    func(h *log.Handover)
		want string
	}{
		"another engine":       {newDir(), func(h *log.Handover) { h.Engine = "memory" }, "keeps its log in memory"},
		"an empty directory":   {newDir(), func(*log.Handover) {}, "there is no log in the directory"},
		"no epoch":             {newDir(), func(h *log.Handover) { h.Epoch = 0 }, "is none"},
		"epochs out of order":  {newDir(), func(h *log.Handover) { h.Predecessors = []log.Predecessor{{Epoch: 1, Last: 5}, {Epoch: 2, Last: 4}} }, "out of order"},
		"a head before it all": {newDir(), func(h *log.Handover) { h.Began = 7 }, "begins before"},
	} {
		changed := h
		c.h(&changed)
		if _, err := file.SucceedOn(file.Config{Log: quiet}, c.fs, time.Now, log.NewEpoch, changed); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
	other := newDir()
	another, _ := mustOpen(t, other, file.Config{})
	n, err := file.SucceedOn(file.Config{Log: quiet}, other, time.Now, log.NewEpoch, h)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Prepare(nil, func([]*log.Entry) {}); err == nil || !strings.Contains(err.Error(), "ends with sequence") {
		t.Errorf("a log that is shorter: %v", err)
	}
	n.Close()
	mustClose(t, another)
}

// Entries that a failed sync has cut off before a hand-over began are no reason to refuse it: nobody has read them.
func TestASuccessorTakesALogWithAHoleAtItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := newDir()
		old, _ := mustOpen(t, fs, file.Config{Fsync: file.Interval})
		appendOne(t, old, "synced")
		time.Sleep(time.Second)
		synctest.Wait()
		appendOne(t, old, "shown, and then lost")
		for _, failing := range []float64{1, 0} {
			fs.mu.Lock()
			fs.failing = failing
			fs.mu.Unlock()
			time.Sleep(2 * time.Second)
			synctest.Wait()
		}
		h, err := old.Offer()
		if err != nil {
			t.Fatal(err)
		}
		n, err := file.SucceedOn(file.Config{Log: quiet}, fs, time.Now, log.NewEpoch, h)
		if err != nil {
			t.Fatal(err)
		}
		var restored []uint64
		note := func(batch []*log.Entry) {
			for _, e := range batch {
				restored = append(restored, e.Sequence)
			}
		}
		if err := n.Prepare(nil, note); err != nil {
			t.Fatal(err)
		}
		appendOne(t, old, "after")
		if h, err = old.Pause(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := n.CatchUp(h, nil, note); err != nil || !slices.Equal(restored, []uint64{3}) {
			t.Errorf("restored %v, %v; want 3, the one behind the hole", restored, err)
		}
		n.Close()
		old.Resume()
		mustClose(t, old)
	})
}
