package conform

import (
	"slices"
	"sync"
	"testing"
	"time"

	"peal/server/log"
)

// limit is how long something may take that must happen, on a machine with other work.
const limit = 60 * time.Second

// Until waits until it holds.
func Until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// world is a place and what was opened there.
type world struct {
	*Place
	subject Subject
}

// Node is a started engine with a tail and a state.
type Node struct {
	log.Engine
	Tail     *Tail
	Restored []*log.Entry // what Start has given
}

// node opens and starts an engine; it is closed with the test, if it is not before.
func (w *world) node(t *testing.T) *Node { return w.open(t, false) }

func (w *world) open(t *testing.T, small bool) *Node {
	t.Helper()
	return Start(t, w.Open(t, small))
}

// Start starts an engine with a tail and a state of its own; it is closed with the test, if
// it is not before.
func Start(t *testing.T, e log.Engine) *Node {
	t.Helper()
	n := &Node{Engine: e, Tail: &Tail{}}
	t.Cleanup(func() { n.Close() }) // again, which changes nothing
	n.Keep(n.Tail)
	err := n.Start(n.Tail, func(batch []*log.Entry) {
		n.Restored = append(n.Restored, batch...)
		n.Tail.orders(batch)
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Entries are those that were restored and applied, but for the engine's own.
func (n *Node) Entries() []*log.Entry {
	return slices.DeleteFunc(slices.Concat(n.Restored, n.Tail.Entries()), foreign)
}

// base is the sequence before the oldest entry that the node was given: the first epoch of a log may begin
// anywhere. It waits for one.
func (n *Node) base(t *testing.T) uint64 {
	t.Helper()
	Until(t, "an entry is there", func() bool { return len(n.Entries()) > 0 })
	return n.Entries()[0].Sequence - 1
}

// close ends the engine, which must not fail.
func (n *Node) close(t *testing.T) {
	t.Helper()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}

// try appends a batch and waits until it is done.
func (n *Node) try(batch ...*log.Entry) error {
	done := make(chan error, 1)
	if err := n.Append(batch, func(err error) { done <- err }); err != nil {
		return err
	}
	return <-done
}

// append appends a batch and waits until it is done, and shown.
func (n *Node) append(t *testing.T, batch ...*log.Entry) {
	t.Helper()
	if err := n.try(batch...); err != nil {
		t.Fatal(err)
	}
	last := batch[len(batch)-1].Sequence
	Until(t, "an entry that is done is shown", func() bool { return n.Head() >= last })
}

// publish appends one entry.
func (n *Node) publish(t *testing.T, data string) *log.Entry {
	t.Helper()
	e := &log.Entry{Channel: "a", Data: []byte(data)}
	n.append(t, e)
	return e
}

// order appends a control entry.
func (n *Node) order(t *testing.T, data string) {
	t.Helper()
	n.append(t, &log.Entry{Kind: log.KindControl, Event: "test", Data: []byte(data)})
}

// cursor is the position behind an entry, for a client.
func (n *Node) cursor(sequence uint64) log.Cursor { return n.Lineage().Cursor(sequence) }

// Tail keeps all that it is given. It implements log.Waiting, log.Loser and, for the data of the
// newest control entry with the event "test", log.State. The zero value is ready.
type Tail struct {
	mu      sync.Mutex
	before  []*log.Entry // that were handed over
	entries []*log.Entry
	full    bool
	onRoom  func()
	asked   int // times that Room was
	wakes   int
	losses  [][2]uint64
	state   string
	newest  uint64 // the sequence that state is of
	lost    []string
}

// Room implements log.Tail.
func (t *Tail) Room(entries, bytes int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asked++
	return !t.full
}

// Apply implements log.Tail.
func (t *Tail) Apply(batch []*log.Entry) {
	t.mu.Lock()
	t.entries = append(t.entries, batch...)
	t.mu.Unlock()
	t.orders(batch)
}

// Wake implements log.Tail.
func (t *Tail) Wake() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wakes++
}

func (t *Tail) woken() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.wakes
}

// OnRoom implements log.Waiting.
func (t *Tail) OnRoom(f func()) { t.onRoom = f }

// Lose implements log.Loser.
func (t *Tail) Lose(from, upto uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.losses = append(t.losses, [2]uint64{from, upto})
}

// Losses are the calls of Lose.
func (t *Tail) Losses() [][2]uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.losses)
}

// SetFull has Room say no, or yes again.
func (t *Tail) SetFull(full bool) {
	t.mu.Lock()
	t.full = full
	t.mu.Unlock()
	if !full && t.onRoom != nil {
		t.onRoom()
	}
}

// Entries are those that were applied, but for the engine's own.
func (t *Tail) Entries() []*log.Entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(t.entries), foreign)
}

func foreign(e *log.Entry) bool { return e.Kind == log.KindControl && e.Event != "test" }

// Data is the data of Entries.
func (t *Tail) Data() []string { return dataOf(t.Entries()) }

func dataOf(entries []*log.Entry) []string {
	data := make([]string, len(entries))
	for i, e := range entries {
		data[i] = string(e.Data)
	}
	return data
}

func (t *Tail) orders(batch []*log.Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range batch {
		if e.Kind == log.KindControl && e.Event == "test" && e.Sequence > t.newest {
			t.state, t.newest = string(e.Data), e.Sequence
		}
	}
}

// Order is the data of the newest control entry.
func (t *Tail) Order() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state
}

// Save implements log.State.
func (t *Tail) Save() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return []byte(t.state)
}

// Load implements log.State.
func (t *Tail) Load(saved []byte, upto uint64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.state, t.newest = string(saved), upto
	return nil
}

// Lost implements log.State.
func (t *Tail) Lost(why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lost = append(t.lost, why)
}

// same fails the test unless two entries are equal in all that is kept of them.
func same(t *testing.T, what string, got, want *log.Entry) {
	t.Helper()
	if string(log.AppendEntry(nil, got)) != string(log.AppendEntry(nil, want)) {
		t.Errorf("%s: entry %d is %.300s, want %.300s", what, got.Sequence, describe(got), describe(want))
	}
}

// increasing fails the test unless sequences increase.
func increasing(t *testing.T, what string, entries []*log.Entry) {
	t.Helper()
	for i := 1; i < len(entries); i++ {
		if entries[i].Sequence <= entries[i-1].Sequence {
			t.Fatalf("%s: entry %d follows entry %d", what, entries[i].Sequence, entries[i-1].Sequence)
		}
	}
}
