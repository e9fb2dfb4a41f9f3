package engine_test

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"peal/server/engine"
	"peal/server/log"
	"peal/server/log/file"
)

// follower is a tail that may wait: it stands for webhooks, whose receiver may be
// slow, down, or restarted. It holds nothing but its position. Publishers never wait
// for it, and it asks for nothing until it is woken.
type follower struct {
	from log.Reader
	out  chan *log.Entry // to its receiver, which takes an entry at a time
	more chan struct{}   // one signal: there is something to read
	stop chan struct{}
	done sync.WaitGroup

	// The goroutine's; read after end.
	position uint64
	missing  []log.MissingError
	reads    int
}

func newFollower(from log.Reader, position uint64) *follower {
	return &follower{from: from, position: position, out: make(chan *log.Entry), more: make(chan struct{}, 1), stop: make(chan struct{})}
}

func (f *follower) Room(int, int) bool { return true }
func (f *follower) Apply([]*log.Entry) {}
func (f *follower) Wake() {
	select {
	case f.more <- struct{}{}:
	default: // a signal waits already
	}
}

func (f *follower) start() { f.done.Go(f.run) }

// run ends with stop.
func (f *follower) run() {
	for {
		entries, err := f.from.Read(nil, f.position, 7, 4096)
		f.reads++
		var missing *log.MissingError
		if errors.As(err, &missing) {
			f.missing = append(f.missing, *missing)
			f.position = missing.Upto
			continue
		}
		for _, e := range entries {
			select {
			case f.out <- e:
				f.position = e.Sequence
			case <-f.stop:
				return
			}
		}
		if len(entries) > 0 {
			continue
		}
		select {
		case <-f.more:
		case <-f.stop:
			return
		}
	}
}

// take receives n entries, and wants them to be those.
func (f *follower) take(t *testing.T, want []*log.Entry) {
	t.Helper()
	for _, w := range want {
		e := <-f.out
		if e.Sequence != w.Sequence || string(e.Data) != string(w.Data) || e.Kind != w.Kind || e.Channel != w.Channel {
			t.Fatalf("entry %d, %q on %q, want %d, %q on %q", e.Sequence, e.Data, e.Channel, w.Sequence, w.Data, w.Channel)
		}
	}
}

func (f *follower) end() {
	close(f.stop)
	f.done.Wait()
}

// publish appends n batches, of messages on one channel or two and of orders, and
// waits until they are done.
func publish(t *testing.T, l log.Engine, n int) (all []*log.Entry) {
	t.Helper()
	var done sync.WaitGroup
	for i := range n {
		data := fmt.Appendf(nil, "%d %0100d", len(all), i)
		batch := []*log.Entry{{Channel: "a", Data: data}}
		switch i % 5 {
		case 1:
			batch = append(batch, &log.Entry{Channel: "b", Data: data}, &log.Entry{Channel: "c", Data: data})
			log.Share(batch)
		case 2:
			batch[0].Kind = log.KindControl
		}
		done.Add(1)
		err := l.Append(batch, func(err error) {
			defer done.Done()
			if err != nil {
				t.Error(err)
			}
		})
		if err != nil {
			t.Fatalf("a waiting tail keeps publishers waiting: %v", err)
		}
		all = append(all, batch...)
	}
	done.Wait()
	return all
}

func openFile(t *testing.T, dir string, c file.Config) log.Engine {
	t.Helper()
	c.Log, c.SegmentBytes, c.Fsync = slog.New(slog.DiscardHandler), 3000, file.Never
	l, err := engine.Open("file:"+dir, engine.Settings{File: c}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func closeLog(t *testing.T, l log.Engine) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// A tail falls behind over many segments, and over a restart, and misses nothing.
func TestATailThatMayWaitCatchesUp(t *testing.T) {
	dir := t.TempDir()
	l := openFile(t, dir, file.Config{})
	f := newFollower(l.(log.Reader), 0)
	if err := l.Start(log.Tails{f}, func([]*log.Entry) {}); err != nil {
		t.Fatal(err)
	}
	f.start()
	all := publish(t, l, 300) // its receiver takes nothing
	f.take(t, all[:120])
	all = append(all, publish(t, l, 100)...)
	f.take(t, all[120:300]) // in the middle of a batch or not
	f.end()
	if at := f.position; at < 299 || at > 300 {
		t.Errorf("position %d, want that of the last entry that was taken", at)
	}
	text := l.Lineage().Cursor(300).String() // what webhooks would store
	closeLog(t, l)

	l = openFile(t, dir, file.Config{})
	at, err := log.ParseCursor(text)
	if err != nil {
		t.Fatal(err)
	}
	position, ok := l.Resolve(at)
	if !ok || position != 300 {
		t.Fatalf("%s resolves to %d, %v", text, position, ok)
	}
	f = newFollower(l.(log.Reader), position)
	if err := l.Start(log.Tails{f}, func([]*log.Entry) {}); err != nil {
		t.Fatal(err)
	}
	f.start()
	all = append(all, publish(t, l, 100)...) // while it reads what was there
	f.take(t, all[300:])
	for range 50 { // in step: each is a signal
		f.take(t, publish(t, l, 1))
	}
	f.end()
	if len(f.missing) > 0 {
		t.Errorf("missing: %v", f.missing)
	}
	closeLog(t, l)
}

// A tail that falls behind by more than the log keeps learns what is missing, and
// goes on.
func TestATailThatIsTooLateLearnsWhatIsMissing(t *testing.T) {
	l := openFile(t, t.TempDir(), file.Config{TotalBytes: 20_000})
	f := newFollower(l.(log.Reader), 0)
	if err := l.Start(log.Tails{f}, func([]*log.Entry) {}); err != nil {
		t.Fatal(err)
	}
	all := publish(t, l, 1000)
	f.start()
	first := <-f.out
	f.take(t, all[first.Sequence:])
	f.end()
	if want := []log.MissingError{{After: 0, Upto: first.Sequence - 1}}; !slices.Equal(f.missing, want) || first.Sequence < 1000 {
		t.Errorf("missing %v, the first is %d", f.missing, first.Sequence)
	}
	closeLog(t, l)
}

// sparse is an engine in memory whose sequences have holes, and whose epoch changes.
type sparse struct {
	lineage *log.Lineage
	tail    log.Tail
	mu      sync.Mutex
	entries []*log.Entry
}

func (s *sparse) append(n int) (all []*log.Entry) {
	for i := range n {
		s.mu.Lock()
		head := uint64(0)
		if n := len(s.entries); n > 0 {
			head = s.entries[n-1].Sequence
		}
		if i%20 == 0 {
			s.lineage.Begin(s.lineage.Epoch()+1, head, append(slices.Clone(s.lineage.Predecessors()), log.Predecessor{Epoch: s.lineage.Epoch(), Last: head})...)
		}
		e := &log.Entry{Sequence: head + 1 + head%1001, Channel: "a", Data: fmt.Append(nil, i)}
		s.entries = append(s.entries, e)
		s.mu.Unlock()
		s.tail.Apply([]*log.Entry{e})
		s.tail.Wake()
		all = append(all, e)
	}
	return all
}

func (s *sparse) Read(dst []*log.Entry, after uint64, count, _ int) ([]*log.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := 0
	for i < len(s.entries) && s.entries[i].Sequence <= after {
		i++
	}
	return append(dst, s.entries[i:min(i+count, len(s.entries))]...), nil
}

// Holes are no gaps, and a stored cursor is good whatever the epoch is by then.
func TestATailThatMayWaitMeetsHoles(t *testing.T) {
	s := &sparse{lineage: log.NewLineage(1)}
	f := newFollower(s, 0)
	s.tail = log.Tails{f}
	f.start()
	all := s.append(100)
	f.take(t, all[:50])
	f.end()
	stored := s.lineage.Cursor(f.position)
	all = append(all, s.append(100)...)
	position, ok := s.lineage.Resolve(stored, all[len(all)-1].Sequence)
	if !ok || position != all[49].Sequence {
		t.Fatalf("%v resolves to %d, %v", stored, position, ok)
	}
	f = newFollower(s, position)
	s.tail = log.Tails{f}
	f.start()
	f.take(t, all[50:])
	f.take(t, s.append(30))
	f.end()
	if len(f.missing) > 0 {
		t.Errorf("missing: %v", f.missing)
	}
}

// It is woken, and does not poll: without entries it reads once.
func TestATailThatMayWaitDoesNotPoll(t *testing.T) {
	l := openFile(t, t.TempDir(), file.Config{})
	f := newFollower(l.(log.Reader), 0)
	if err := l.Start(log.Tails{f}, func([]*log.Entry) {}); err != nil {
		t.Fatal(err)
	}
	f.start()
	for range 20 {
		f.take(t, publish(t, l, 1))
	}
	f.end()
	if most := 1 + 20*3; f.reads > most { // entries, nothing more, and a signal that came late
		t.Errorf("%d reads for 20 entries, want at most %d", f.reads, most)
	}
	closeLog(t, l)
}
