package distributed_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"peal/server/log"
	"peal/server/log/distributed"
)

// reader is a tail that notes what it is given.
type reader struct {
	got  []*log.Entry
	lost []uint64 // upto
	room int      // entries; everything without a limit
	full func()
}

func (r *reader) Room(entries, _ int) bool { return len(r.got)+entries <= r.room }
func (r *reader) Apply(batch []*log.Entry) { r.got = append(r.got, batch...) }
func (r *reader) Wake()                    {}
func (r *reader) OnRoom(f func())          { r.full = f }
func (r *reader) Lose(_, upto uint64)      { r.lost = append(r.lost, upto) }

// texts is the data of the publications.
func (r *reader) texts() (all []string) {
	for _, e := range r.got {
		if e.Kind == log.KindPublication {
			all = append(all, string(e.Data))
		}
	}
	return all
}

// node is a Log that a test steps.
type node struct {
	*distributed.Log
	*reader
	t        *testing.T
	restored []string
	clock    *time.Time
}

type world struct {
	*shelf
	t     *testing.T
	clock time.Time
	next  uint64
	first uint64 // before the entries of the first epoch
}

func newWorld(t *testing.T) *world {
	return &world{shelf: &shelf{keys: map[string]key{}}, t: t, clock: time.Unix(1_800_000_000, 0)}
}

func (w *world) node() *node {
	w.t.Helper()
	random := func() uint64 { w.next++; return w.next * 0x9e3779b97f4a7c15 }
	l, err := distributed.Open(context.Background(), w.shelf, distributed.Config{Window: time.Minute}, func() time.Time { return w.clock }, random)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.first == 0 {
		w.first = w.meta.Began
	}
	n := &node{Log: l, reader: &reader{room: everything}, t: w.t, clock: &w.clock}
	if err := l.Start(log.Tails{n.reader}, func(batch []*log.Entry) {
		for _, e := range batch {
			n.restored = append(n.restored, string(e.Data))
		}
	}); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// publish appends one message, and returns what becomes of it.
func (n *node) publish(text string, change ...func(*log.Entry)) *fate {
	e := &log.Entry{Channel: "a", Data: []byte(text)}
	for _, f := range change {
		f(e)
	}
	f := &fate{entry: e}
	if err := n.Append([]*log.Entry{e}, func(err error) { f.ended, f.err = true, err }); err != nil {
		f.ended, f.err = true, err
	}
	return f
}

type fate struct {
	entry *log.Entry
	ended bool
	err   error
}

// step appends and follows for as long as anything can take.
func (n *node) step() {
	n.t.Helper()
	for range 20 {
		_, _ = n.Flush(context.Background()) // some stores fail; the test says what comes of it
		_ = n.Follow(context.Background(), 0)
	}
}

func (n *node) want(texts ...string) {
	n.t.Helper()
	if got := n.texts(); !slices.Equal(got, texts) {
		n.t.Errorf("applied %q, want %q", got, texts)
	}
}

func TestNodesReadOneOrder(t *testing.T) {
	w := newWorld(t)
	a, b := w.node(), w.node()
	one := a.publish("one")
	a.step()
	two := b.publish("two")
	b.step()
	a.step()
	for _, f := range []*fate{one, two} {
		if !f.ended || f.err != nil {
			t.Errorf("%s: ended %t, %v", f.entry.Data, f.ended, f.err)
		}
	}
	a.want("one", "two")
	b.want("one", "two")
	if one.entry.Sequence != w.first+1 || two.entry.Sequence != w.first+2 || a.Head() != w.first+2 {
		t.Errorf("sequences %d and %d, head %d", one.entry.Sequence, two.entry.Sequence, a.Head())
	}
	c := w.node()
	if !slices.Equal(c.restored, []string{"one", "two"}) || c.Head() != w.first+2 || c.Oldest() != 1 {
		t.Errorf("a new node restores %q, head %d, oldest %d", c.restored, c.Head(), c.Oldest())
	}
	if at, ok := c.Resolve(a.Lineage().Cursor(w.first + 1)); at != w.first+1 || !ok {
		t.Errorf("a cursor of another node resolves to %d, %t", at, ok)
	}
	three := a.publish("three")
	a.step()
	ahead := a.Lineage().Cursor(three.entry.Sequence)
	if _, ok := c.Resolve(ahead); ok || !c.Ahead(ahead) {
		t.Error("a cursor that this node has not read up to is not ahead")
	}
	c.step()
	if at, ok := c.Resolve(ahead); at != w.first+3 || !ok || c.Ahead(ahead) {
		t.Errorf("then it resolves to %d, %t", at, ok)
	}
}

// A call whose answer was lost is repeated, and has its effect once.
func TestALostAnswer(t *testing.T) {
	w := newWorld(t)
	a := w.node()
	w.forgetful = 2
	f := a.publish("one")
	a.step()
	if !f.ended || f.err != nil || f.entry.Sequence != w.first+1 {
		t.Errorf("ended %t, %v, sequence %d", f.ended, f.err, f.entry.Sequence)
	}
	a.want("one")
	a.publish("two")
	a.step()
	a.want("one", "two")
}

func TestKeysAreKnownToAllNodes(t *testing.T) {
	w := newWorld(t)
	a, b := w.node(), w.node()
	key := func(e *log.Entry) { e.IdempotencyKey = "k" }
	one, again, other := a.publish("one", key), b.publish("one", key), b.publish("other", key)
	shared := func(channel string, e *log.Entry) *log.Entry { e.Channel = channel; return e }
	a.step()
	b.step()
	if one.entry.Sequence != w.first+1 || again.entry.Sequence != w.first+1 || again.err != nil {
		t.Errorf("the same message is at %d and %d: %v", one.entry.Sequence, again.entry.Sequence, again.err)
	}
	if !errors.Is(other.err, log.ErrConflict) {
		t.Errorf("another message with its key: %v", other.err)
	}
	// On two channels, of which one has it.
	data := []byte("one")
	both := []*log.Entry{
		shared("a", &log.Entry{Data: data, IdempotencyKey: "k"}),
		shared("b", &log.Entry{Data: data, IdempotencyKey: "k"}),
	}
	log.Share(both)
	if err := b.Append(both, nil); err != nil {
		t.Fatal(err)
	}
	b.step()
	a.step()
	if both[0].Sequence != w.first+1 || both[1].Sequence != w.first+2 {
		t.Errorf("at %d and %d", both[0].Sequence, both[1].Sequence)
	}
	a.want("one", "one")
	if got := a.got[1]; got.Channel != "b" {
		t.Errorf("on %q", got.Channel)
	}
}

func TestSharedDataIsReadOnce(t *testing.T) {
	w := newWorld(t)
	a, b := w.node(), w.node()
	data := bytes.Repeat([]byte("x"), 1000)
	batch := []*log.Entry{{Channel: "a", Data: data}, {Channel: "b", Data: data}, {Channel: "c", Data: data}}
	log.Share(batch)
	a.publish("before")
	if err := a.Append(batch, nil); err != nil {
		t.Fatal(err)
	}
	a.step()
	b.step()
	if n := len(w.records[1].Entry) + len(w.records[2].Entry) + len(w.records[3].Entry); n > 1200 {
		t.Errorf("%d bytes in the store", n)
	}
	for _, e := range b.got[1:] {
		if !bytes.Equal(e.Data, data) || e.Shared == nil || e.Shared.First != w.first+2 {
			t.Errorf("entry %d: %d bytes, %+v", e.Sequence, len(e.Data), e.Shared)
		}
	}
}

func TestATailWithoutRoom(t *testing.T) {
	w := newWorld(t)
	a, b := w.node(), w.node()
	b.room = 2
	for i := range 5 {
		a.publish(fmt.Sprint(i))
	}
	a.step()
	if err := b.Follow(context.Background(), 0); !errors.Is(err, distributed.ErrNoRoom) {
		t.Fatal(err)
	}
	b.want("0", "1")
	if p := b.Progress(); p.Head != w.first+2 || p.Known != w.first+5 {
		t.Errorf("%+v", p)
	}
	if b.full == nil {
		t.Fatal("nobody asks for room")
	}
	calls := w.calls
	if err := b.Follow(context.Background(), 0); !errors.Is(err, distributed.ErrNoRoom) || w.calls != calls {
		t.Errorf("it reads on without room: %v", err)
	}
	b.room = everything
	b.step()
	b.want("0", "1", "2", "3", "4")
}

// What is not Peal's is skipped.
func TestForeignEntries(t *testing.T) {
	w := newWorld(t)
	a := w.node()
	a.publish("one")
	a.step()
	w.mu.Lock()
	w.records = append(w.records, distributed.Record{Link: distributed.Link{Sequence: w.first + 1000}, Entry: []byte("rubbish")})
	w.mu.Unlock()
	a.step()
	if a.Progress().Skipped != 1 {
		t.Errorf("%+v", a.Progress())
	}
	a.want("one")
}

func TestQueueIsLimited(t *testing.T) {
	w := newWorld(t)
	w.gone = true
	w.gone = false
	a := w.node()
	w.gone = true
	big := func(e *log.Entry) { e.Data = make([]byte, 5<<20) }
	for range 3 {
		if f := a.publish("", big); f.err != nil {
			t.Fatal(f.err)
		}
	}
	if f := a.publish("", big); !errors.Is(f.err, log.ErrFull) {
		t.Errorf("%v", f.err)
	}
	if err := a.Append([]*log.Entry{{Kind: log.KindControl, Event: "x"}}, nil); err != nil {
		t.Errorf("an order: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if f := a.publish(""); !errors.Is(f.err, log.ErrClosed) {
		t.Error(f.err)
	}
}

// A store that was away for everybody has nothing that is old; a node that was paused has.
func TestCurrentIsWhenTheOldestUnreadEntryWasAppended(t *testing.T) {
	w := newWorld(t)
	a, b := w.node(), w.node()
	b.room = 0
	w.clock = w.clock.Add(time.Minute)
	a.publish("one")
	a.step()
	before := w.clock
	w.clock = w.clock.Add(2 * time.Second)
	_ = b.Follow(context.Background(), 0) // there is no room
	if got := b.Progress().Current; !got.Equal(before) {
		t.Errorf("current at %v, want %v: the entry was appended then", got, before)
	}
}

// What the store removes is not the oldest entry any more.
func TestOldestFollowsTheStore(t *testing.T) {
	w := newWorld(t)
	a := w.node()
	if a.Oldest() != 1 {
		t.Errorf("the oldest of an empty log is %d", a.Oldest())
	}
	for range 5 {
		a.publish("x")
	}
	a.step()
	w.clock = w.clock.Add(time.Minute)
	a.step()
	if a.Oldest() != 1 {
		t.Errorf("before: %d", a.Oldest())
	}
	w.records = w.records[3:]
	w.clock = w.clock.Add(time.Minute)
	a.step()
	if a.Oldest() != w.first+4 {
		t.Errorf("the oldest is %d, want the fourth", a.Oldest())
	}
	w.records = nil
	w.clock = w.clock.Add(time.Minute)
	a.step()
	if a.Oldest() != a.Head()+1 {
		t.Errorf("the oldest of none is %d, the head %d", a.Oldest(), a.Head())
	}
}
