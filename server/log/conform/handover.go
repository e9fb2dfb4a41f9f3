package conform

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"peal/server/log"
)

// EachRetained implements log.Retainer: of an engine that keeps nothing, this tail has what there is.
func (t *Tail) EachRetained(after, upto uint64, f func(batch []*log.Entry) error) error {
	t.mu.Lock()
	all := slices.Concat(t.before, t.entries)
	t.mu.Unlock()
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].Shared != nil && all[n].Shared.First != all[n].Sequence {
			n++ // the rest of a message on several channels
		}
		if s := all[0].Sequence; s > after && s <= upto {
			if err := f(all[:n]); err != nil {
				return err
			}
		}
		all = all[n:]
	}
	return nil
}

// successor is an engine that goes on with the log of another one.
type successor struct {
	*Node
	in   log.Incoming
	from log.Outgoing
	head uint64 // up to which it has retained entries
}

// send sends what of retained is behind after, as another process would receive it.
func send(from log.Outgoing, after, upto uint64) log.Batches {
	r, w := io.Pipe()
	go func() { // ends with the last, or when r is closed
		enc := gob.NewEncoder(w)
		w.CloseWithError(from.EachRetained(after, upto, func(batch []*log.Entry) error { return enc.Encode(log.Pack(batch)) }))
	}()
	return func(yield func([]*log.Entry, error) bool) {
		defer r.Close()
		dec := gob.NewDecoder(r)
		for {
			var p log.Packed
			err := dec.Decode(&p)
			if errors.Is(err, io.EOF) {
				return
			}
			var batch []*log.Entry
			if err == nil {
				batch, err = p.Unpack()
			}
			if !yield(batch, err) || err != nil {
				return
			}
		}
	}
}

// sent is h as another process has it.
func sent(t *testing.T, h log.Handover) (got log.Handover) {
	t.Helper()
	r, w := io.Pipe()
	go func() { w.CloseWithError(gob.NewEncoder(w).Encode(h)) }()
	if err := gob.NewDecoder(r).Decode(&got); err != nil {
		t.Fatal(err)
	}
	return got
}

// prepare begins a hand-over: the successor has what there is up to now.
func (w *world) prepare(t *testing.T, n *Node) *successor {
	t.Helper()
	from := n.Engine.(log.Outgoing)
	h, err := from.Offer()
	if err != nil {
		t.Fatal(err)
	}
	in, err := w.Succeed(t, sent(t, h))
	if err != nil {
		t.Fatal(err)
	}
	s := &successor{Node: &Node{Engine: in, Tail: &Tail{}}, in: in, from: from, head: h.Head}
	t.Cleanup(func() { s.Close() })
	if in.Head() != h.Head {
		t.Errorf("a successor has the head %d, want %d", in.Head(), h.Head)
	}
	in.Keep(s.Tail)
	if err := in.Prepare(send(from, 0, h.Head), s.restore); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *successor) restore(batch []*log.Entry) {
	s.Restored = append(s.Restored, batch...)
	s.Tail.mu.Lock()
	s.Tail.before = append(s.Tail.before, batch...)
	s.Tail.mu.Unlock()
	s.Tail.orders(batch)
}

// pause pauses the log, and has the successor catch up.
func (s *successor) pause(t *testing.T) log.Handover {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	h, err := s.from.Pause(ctx)
	if err != nil {
		t.Fatal(err)
	}
	h = sent(t, h)
	if err := s.in.CatchUp(h, send(s.from, s.head, h.Head), s.restore); err != nil {
		t.Fatal(err)
	}
	return h
}

// commit has the successor begin.
func (s *successor) commit(t *testing.T) *Node {
	t.Helper()
	if err := s.from.Release(); err != nil {
		t.Fatal(err)
	}
	if err := s.in.Begin(s.Tail); err != nil {
		t.Fatal(err)
	}
	return s.Node
}

// handOver does all of it.
func (w *world) handOver(t *testing.T, n *Node) *Node {
	t.Helper()
	s := w.prepare(t, n)
	s.pause(t)
	return s.commit(t)
}

// has fails the test unless the node was given exactly those, in order, and no other.
func (n *Node) has(t *testing.T, what string, want ...string) {
	t.Helper()
	if got := dataOf(n.Entries()); !slices.Equal(got, want) {
		t.Errorf("%s: it has %q, want %q", what, got, want)
	}
	increasing(t, what, n.Entries())
}

func aHandOverGoesOn(t *testing.T, w *world) {
	n := w.node(t)
	n.publish(t, "1")
	n.order(t, "2")
	base := n.base(t)
	s := w.prepare(t, n)
	n.publish(t, "3") // while the other prepares
	n.order(t, "4")
	before := n.Lineage().Epoch()
	h := s.pause(t)
	if h.Head != base+4 || s.Head() < base+4 {
		t.Errorf("paused at %d, and the successor has %d, want %d", h.Head, s.Head(), base+4)
	}
	if err := s.in.Append([]*log.Entry{{Channel: "a"}}, func(error) { t.Error("done before the commit") }); err == nil {
		t.Error("a successor appends before the commit")
	}
	var refused atomic.Int64
	late := func(err error) {
		if refused.Add(1); !errors.Is(err, log.ErrClosed) {
			t.Errorf("what waits at the commit is done with %v", err)
		}
	}
	for range 3 {
		if err := n.Append([]*log.Entry{{Channel: "a", Data: []byte("never")}}, late); err != nil {
			t.Error(err)
		}
	}
	again := s.commit(t)
	if refused.Load() != 3 {
		t.Errorf("%d of 3 that waited are done", refused.Load())
	}
	if err := n.Append([]*log.Entry{{Channel: "a"}}, nil); !errors.Is(err, log.ErrClosed) {
		t.Errorf("the one before appends: %v", err)
	}
	again.has(t, "a successor", "1", "2", "3", "4")
	if again.Tail.Order() != "4" || len(again.Tail.lost) > 0 {
		t.Errorf("the newest order is %q; lost: %q", again.Tail.Order(), again.Tail.lost)
	}
	if epoch := again.Lineage().Epoch(); !w.subject.Distributed && epoch == before {
		t.Error("the epoch goes on")
	}
	if e := again.publish(t, "5"); e.Sequence != base+5 {
		t.Errorf("it goes on with %d, want %d", e.Sequence, base+5)
	}
	for i := range uint64(6) {
		if got, ok := again.Resolve(again.cursor(base + i)); !ok || got != base+i {
			t.Errorf("the cursor %v resolves as %d, %v, want %d", again.cursor(base+i), got, ok, base+i)
		}
		if c := n.cursor(base + i); i <= 4 && again.cursor(base+i) != c {
			t.Errorf("position %d was called %v, and is called %v", base+i, c, again.cursor(base+i))
		}
	}
	if got, ok := again.Resolve(log.Cursor{Epoch: before, Sequence: base + 5}); ok && !w.subject.Distributed {
		t.Errorf("a cursor that the epoch before never gave resolves as %d", got)
	}
}

func aHandOverIsCalledOff(t *testing.T, w *world) {
	n := w.node(t)
	n.publish(t, "1")
	base, epoch := n.base(t), n.Lineage().Epoch()
	for round, stage := range []string{"prepared", "paused", "paused and closed"} {
		s := w.prepare(t, n)
		var order []int
		var mu sync.Mutex
		if stage != "prepared" {
			s.pause(t)
			for i := range 3 {
				err := n.Append([]*log.Entry{{Channel: "a", Data: fmt.Append(nil, round, "-", i)}}, func(err error) {
					mu.Lock()
					defer mu.Unlock()
					order = append(order, i)
					if err != nil {
						t.Error(err)
					}
				})
				if err != nil {
					t.Error(err)
				}
			}
			if mu.Lock(); len(order) > 0 || n.Head() != base+1+uint64(3*(round-1)) {
				t.Errorf("%s: done and shown during the pause: %v, head %d", stage, order, n.Head())
			}
			mu.Unlock()
		}
		if stage == "paused and closed" {
			s.close(t)
		}
		s.from.Resume()
		if stage != "prepared" {
			Until(t, "what waited is done", func() bool { mu.Lock(); defer mu.Unlock(); return len(order) == 3 })
			if !slices.Equal(order, []int{0, 1, 2}) {
				t.Errorf("%s: done in the order %v", stage, order)
			}
		}
		s.from.Resume() // again, which changes nothing
		s.close(t)
	}
	n.has(t, "the one that goes on", "1", "1-0", "1-1", "1-2", "2-0", "2-1", "2-2")
	if got := n.Lineage().Epoch(); got != epoch || n.Head() != base+7 {
		t.Errorf("the epoch is %v, was %v; head %d", got, epoch, n.Head())
	}
	again := w.handOver(t, n)
	again.publish(t, "last")
	again.has(t, "the successor in the end", "1", "1-0", "1-1", "1-2", "2-0", "2-1", "2-2", "last")
}

func handOversInARow(t *testing.T, w *world) {
	n := w.node(t)
	n.publish(t, "0")
	base := n.base(t)
	want := []string{"0"}
	cursors := []log.Cursor{n.cursor(base), n.cursor(base + 1)}
	for i := range 5 {
		n = w.handOver(t, n)
		if i == 2 {
			continue // nothing is appended in this epoch
		}
		want = append(want, fmt.Sprint(i+1))
		e := n.publish(t, want[len(want)-1])
		cursors = append(cursors, n.cursor(e.Sequence))
		n.has(t, fmt.Sprint("hand-over ", i), want...)
		for k, c := range cursors {
			if got, ok := n.Resolve(c); !ok || got != base+uint64(k) {
				t.Errorf("hand-over %d: %v resolves as %d, %v, want %d", i, c, got, ok, base+uint64(k))
			}
		}
	}
	if w.subject.Persistent && !w.subject.Distributed {
		n.close(t)
		w.node(t).has(t, "a start afterwards", want...)
	}
}

func aHandOverOfNothing(t *testing.T, w *world) {
	n := w.node(t)
	first := n.cursor(n.Head())
	again := w.handOver(t, n)
	if got, ok := again.Resolve(first); !ok || got != n.Head() {
		t.Errorf("the cursor of the beginning is %d, %v", got, ok)
	}
	again.publish(t, "1")
	again.has(t, "a successor", "1")
}

// othersAppendDuringAHandOver: what another node appends behind the pause is applied by the successor, and not restored.
func othersAppendDuringAHandOver(t *testing.T, w *world) {
	a, b := w.node(t), w.node(t)
	a.publish(t, "1")
	b.publish(t, "2")
	Until(t, "a node has both", func() bool { return len(a.Entries()) == 2 })
	s := w.prepare(t, a)
	b.publish(t, "3")
	Until(t, "the node has it", func() bool { return len(a.Entries()) == 3 })
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	h, err := s.from.Pause(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{"4", "5"} {
		b.publish(t, data)
	}
	if err := s.in.CatchUp(sent(t, h), nil, s.restore); err != nil {
		t.Fatal(err)
	}
	b.publish(t, "6")
	if got := dataOf(a.Entries()); !slices.Equal(got, []string{"1", "2", "3"}) || a.Head() != h.Head {
		t.Errorf("a node that is paused applies: %q, head %d", got, a.Head())
	}
	n := s.commit(t)
	if got := dataOf(n.Restored); !slices.Equal(slices.DeleteFunc(got, func(s string) bool { return s == "" }), []string{"1", "2", "3"}) {
		t.Errorf("restored are %q", got)
	}
	n.publish(t, "7")
	for _, node := range []*Node{n, b} {
		Until(t, "all have everything", func() bool { return len(node.Entries()) >= 7 })
		node.has(t, "a node", "1", "2", "3", "4", "5", "6", "7")
	}
	if n.Engine.(log.Distributed).Node() != a.Engine.(log.Distributed).Node() {
		t.Error("the successor is another node")
	}
}

// sharedDataIsHandedOverOnce: a message on several channels is one, also if its first entry is not retained.
func sharedDataIsHandedOverOnce(t *testing.T, w *world) {
	n := w.node(t)
	n.append(t, wide(5, "first")...)
	s := w.prepare(t, n)
	n.append(t, wide(5, "second")...)
	s.pause(t)
	again := s.commit(t)
	all := again.Entries()
	if len(all) != 10 {
		t.Fatalf("%d entries, want 10", len(all))
	}
	for i, e := range all {
		if group := all[i/5*5]; e.Shared == nil || e.Shared != group.Shared || &e.Data[0] != &group.Data[0] {
			t.Errorf("entry %d does not share its data", i)
		}
	}
}

// aHandOverUnderTraffic: publishers wait for the pause, and go on with the successor. Nothing is lost or there twice.
func aHandOverUnderTraffic(t *testing.T, w *world) {
	n := w.node(t)
	var mu sync.Mutex
	now := n
	acknowledged := map[string]uint64{}
	stop := make(chan struct{})
	var running sync.WaitGroup
	for k := range 4 {
		running.Go(func() {
			for i := 0; ; i++ {
				data := fmt.Sprint(k, "-", i)
				for { // a publisher whose server has ended its connection asks the next one
					select {
					case <-stop:
						return
					default:
					}
					mu.Lock()
					to := now
					mu.Unlock()
					e := &log.Entry{Channel: "a", Data: []byte(data)}
					err := to.try(e)
					if err == nil {
						mu.Lock()
						acknowledged[data] = e.Sequence
						mu.Unlock()
						time.Sleep(100 * time.Microsecond) // a log in memory would have millions
						break
					}
					if !errors.Is(err, log.ErrClosed) && !errors.Is(err, log.ErrFull) {
						t.Errorf("%s: %v", data, err)
						return
					}
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	more := func() {
		mu.Lock()
		want := len(acknowledged) + 50
		mu.Unlock()
		Until(t, "more are acknowledged", func() bool { mu.Lock(); defer mu.Unlock(); return len(acknowledged) >= want })
	}
	for i := range 4 {
		more()
		s := w.prepare(t, n)
		more()
		s.pause(t)
		if i == 2 {
			s.close(t)
			s.from.Resume()
			continue
		}
		n = s.commit(t)
		mu.Lock()
		now = n
		mu.Unlock()
	}
	more()
	close(stop)
	running.Wait()
	Until(t, "the last is shown", func() bool {
		for _, sequence := range acknowledged {
			if n.Head() < sequence {
				return false
			}
		}
		return true
	})
	seen := map[string]uint64{}
	for _, e := range n.Entries() {
		if seen[string(e.Data)] > 0 {
			t.Errorf("%s is there twice", e.Data)
		}
		seen[string(e.Data)] = e.Sequence
	}
	for data, sequence := range acknowledged {
		if seen[data] != sequence {
			t.Errorf("%s was acknowledged as %d, and is %d", data, sequence, seen[data])
		}
	}
	if len(seen) != len(acknowledged) {
		t.Errorf("%d are there, and %d were acknowledged", len(seen), len(acknowledged))
	}
}
