package simulation_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"peal/server/log"
	"peal/server/log/distributed"
)

// store is what the nodes share: a server of entries that may be asked anything at any
// time, and that may lose the newest of what it was given.
type store struct {
	w     *nodes
	calls []*call

	// What it holds. Each change has the number of the one that made it, so that the
	// newest can be undone.
	change  int
	entries []shelved
	metas   []changed[distributed.Meta]
	states  []changed[savedState]
	results map[uint64][]changed[callResult] // by node
	keys    map[string]changed[keyed]
	ready   bool // an epoch was begun since it was started

	// What the world knows.
	all       []*record // by sequence
	records   map[log.Cursor]*record
	published map[string]*record // by number and channel: the newest
	losses    []loss
	troubles  int // of all kinds
	trimmed   int // entries
}

// changed is a value, and the change that made it.
type changed[T any] struct {
	at    int
	value T
}

// shelved is an entry that the store holds.
type shelved struct {
	distributed.Record
	at      int // the change that has added it
	removed int // and the one that has removed it, 0 for none
}

type savedState struct {
	state        []byte
	upto, digest uint64
}

type callResult struct {
	number  uint64
	results []distributed.Result
}

type keyed struct {
	sequence uint64
	digest   string
}

func newStore(w *nodes) *store {
	s := &store{w: w, records: map[log.Cursor]*record{}, published: map[string]*record{}}
	s.clear()
	return s
}

func (s *store) clear() {
	s.entries, s.metas, s.states = nil, nil, nil
	s.results, s.keys = map[uint64][]changed[callResult]{}, map[string]changed[keyed]{}
}

func newestOf[T any](all []changed[T]) (value T) {
	if n := len(all); n > 0 {
		value = all[n-1].value
	}
	return value
}

func undo[T any](all []changed[T], to int) []changed[T] {
	return slices.DeleteFunc(all, func(c changed[T]) bool { return c.at > to })
}

// put notes a change of what is held.
func put[T any](s *store, all []changed[T], value T) []changed[T] {
	return append(all, changed[T]{s.change, value})
}

// there are the entries that it holds, the oldest first.
func (s *store) there() []shelved {
	return slices.DeleteFunc(slices.Clone(s.entries), func(e shelved) bool { return e.removed > 0 })
}

// failover has it lose the newest of what it was given, and start anew; also nothing.
func (s *store) failover() {
	to := s.change - s.w.rnd.IntN(6)
	s.ready = false
	s.troubles++
	left := 0
	for left < len(s.entries) && s.entries[left].at <= to {
		left++
	}
	from := uint64(0)
	if left > 0 {
		from = s.entries[left-1].Sequence
	}
	s.w.note("the store fails over, without %d entries", len(s.entries)-left)
	if left < len(s.entries) {
		s.w.counts[failovers]++
	}
	s.entries = slices.Clone(s.entries[:left])
	for i := range s.entries {
		if s.entries[i].removed > to {
			s.entries[i].removed = 0
		}
	}
	before := newestOf(s.metas).Head
	s.metas, s.states = undo(s.metas, to), undo(s.states, to)
	if from = max(from, newestOf(s.metas).Head); from < before || len(s.metas) == 0 {
		s.lose(from, before)
	}
	for node := range s.results {
		s.results[node] = undo(s.results[node], to)
	}
	maps.DeleteFunc(s.keys, func(_ string, k changed[keyed]) bool { return k.at > to })
}

// empty is FLUSHALL, which a script outlives.
func (s *store) empty() {
	s.w.note("the store is emptied")
	s.w.counts[emptied]++
	s.lose(0, newestOf(s.metas).Head)
	s.troubles++
	s.clear()
}

// loss is what the store has lost: everything behind a sequence, up to another.
type loss struct{ from, upto uint64 }

func (s *store) lose(from, upto uint64) {
	for _, r := range s.between(from, upto) {
		r.lost = true
	}
	s.losses = append(s.losses, loss{from, upto})
}

// hasLost tells whether a position was lost at some time. The one behind the newest lost entry was, too: a node that
// lacks entries with lower sequences has everybody stand there, behind a gap.
func (s *store) hasLost(sequence uint64) bool {
	return slices.ContainsFunc(s.losses, func(l loss) bool { return (l.from < sequence || l.from == 0) && sequence <= l.upto+1 })
}

// foreign has another program append something that is no entry.
func (s *store) foreign() {
	m := newestOf(s.metas)
	if m.Format == 0 || !s.ready {
		return
	}
	s.w.note("something that is no entry comes into the store")
	s.w.counts[garbage]++
	s.change++
	s.push(&m, distributed.Item{Check: 1 + s.w.rnd.Uint64N(1<<40), Entry: []byte("\x01nonsense")})
	s.metas = put(s, s.metas, m)
}

// push appends an item.
func (s *store) push(m *distributed.Meta, item distributed.Item) uint64 {
	before := m.Check
	m.Check = item.Check
	m.Head++
	s.entries = append(s.entries, shelved{distributed.Record{Link: distributed.Link{Sequence: m.Head, Check: item.Check}, Before: before, Entry: slices.Clone(item.Entry)}, s.change, 0})
	return m.Head
}

func (s *store) look(withState bool) (m distributed.Meta, ready bool) {
	m = newestOf(s.metas)
	m.Predecessors = slices.Clone(m.Predecessors)
	there := s.there()
	m.Oldest = m.Head + 1
	if n := len(there); n > 0 {
		m.Oldest, m.Newest = there[0].Sequence, there[n-1].Link
	}
	kept := newestOf(s.states)
	m.Saved, m.Digest = kept.upto, kept.digest
	if withState {
		m.State = slices.Clone(kept.state)
	}
	return m, s.ready && m.Format > 0
}

func (s *store) begin(b distributed.Begin) (distributed.Meta, error) {
	m := newestOf(s.metas)
	if m.Epoch == b.Known {
		if s.ready && m.Format > 0 && len(s.losses) == 0 {
			s.w.fail("an epoch begins, for %+v, though nothing was lost", b)
		}
		s.change++
		m.Predecessors = slices.Clone(m.Predecessors)
		began := max(m.Head, b.Seen)
		if kept := min(m.Head, b.Common); m.Format > 0 {
			for i := range m.Predecessors {
				m.Predecessors[i].Last = min(m.Predecessors[i].Last, kept)
			}
			m.Predecessors = append(m.Predecessors, log.Predecessor{Epoch: b.Known, Last: kept})
		}
		began += b.Jump
		if m.Format == 0 {
			m.Check = b.Check
		}
		m.Format, m.Epoch, m.Began, m.Head = distributed.FormatVersion, b.Next, began, began
		if b.First {
			m.Origin = began
		}
		s.metas = put(s, s.metas, m)
		s.ready = true
		s.w.note("an epoch begins behind %d, for %+v", began, b)
	}
	if !s.ready {
		return m, distributed.ErrMoved
	}
	m, _ = s.look(false)
	return m, nil
}

var errStale = errors.New("a later call of this node was appended")

func (s *store) append(c *distributed.Call) (results []distributed.Result, err error) {
	if before := newestOf(s.results[c.Node]); before.number == c.Number {
		return before.results, nil
	} else if before.number > c.Number {
		return nil, errStale
	}
	m := newestOf(s.metas)
	if !s.ready || m.Format == 0 || m.Epoch != c.Epoch || m.Head < c.Seen {
		return nil, distributed.ErrMoved
	}
	s.change++
	for _, batch := range c.Batch {
		results = append(results, s.appendBatch(&m, batch))
	}
	s.metas = put(s, s.metas, m)
	s.results[c.Node] = put(s, s.results[c.Node], callResult{c.Number, results})
	return results, nil
}

func (s *store) appendBatch(m *distributed.Meta, batch []distributed.Item) (r distributed.Result) {
	old := false
	known := func(item distributed.Item) (keyed, bool) {
		k, ok := s.keys[item.Key]
		return k.value, ok && item.Key != "" && !s.w.bug.keyless
	}
	for _, item := range batch {
		k, ok := known(item)
		old = old || ok
		r.Conflict = r.Conflict || ok && k.digest != item.Digest
	}
	if r.Conflict {
		return r
	}
	var carrier *log.Entry
	for _, item := range batch {
		k, ok := known(item)
		if old {
			r.Old = append(r.Old, ok)
		}
		if ok {
			r.Sequences = append(r.Sequences, k.sequence)
			continue
		}
		sequence := s.push(m, item)
		r.Sequences = append(r.Sequences, sequence)
		if item.Key != "" {
			s.keys[item.Key] = changed[keyed]{s.change, keyed{sequence, item.Digest}}
		}
		e, n, err := log.ParseEntry(item.Entry)
		if err != nil || n != len(item.Entry) {
			s.w.fail("an entry is appended that cannot be read: %v", err)
			continue
		}
		if e.Refers() { // its data is in the one before, of the same batch
			e.Data = carrier.Data
		} else {
			carrier = &e
		}
		e.Sequence = sequence
		s.accept(m.Epoch, &e)
	}
	return r
}

func (s *store) read(after uint64, most int) (records []distributed.Record) {
	for _, e := range s.there() {
		if e.Sequence > after && len(records) < most {
			records = append(records, e.Record)
		}
	}
	return records
}

func (s *store) back(upto uint64, most int) (records []distributed.Record) {
	there := s.there()
	for i := len(there) - 1; i >= 0 && len(records) < most; i-- {
		if there[i].Sequence <= upto {
			records = append(records, there[i].Record)
		}
	}
	return records
}

func (s *store) checkpoint(epoch log.Epoch, upto, digest uint64, state []byte, retain int) (bool, error) {
	if epoch != newestOf(s.metas).Epoch {
		return false, distributed.ErrMoved
	}
	s.change++
	kept := newestOf(s.states)
	if kept.upto < upto {
		switch {
		case state != nil:
			kept.state, kept.digest = slices.Clone(state), digest
		case kept.digest != digest:
			return false, nil
		}
		kept.upto = upto
		s.states = put(s, s.states, kept)
	}
	if head := newestOf(s.metas).Head; head-min(head, kept.upto) > uint64(retain)/2 {
		return true, nil
	}
	there := len(s.there())
	for i := 0; there > retain; i++ {
		if s.entries[i].removed == 0 {
			s.entries[i].removed = s.change
			there--
			s.trimmed++
			s.w.counts[trimmed]++
		}
	}
	return true, nil
}

// link is a node's way to the store, a distributed.Store. Each of its calls waits until
// the world has the store serve it, and the answer arrive.
type link struct {
	n    *node
	cuts uint64
}

func (l *link) Look(_ context.Context, state bool) (m distributed.Meta, ready bool, err error) {
	err = l.do("look", func() error { m, ready = l.n.w.store.look(state); return nil })
	return m, ready, err
}

func (l *link) Begin(_ context.Context, b distributed.Begin) (m distributed.Meta, err error) {
	var got distributed.Meta
	err = l.do("begin", func() (err error) { got, err = l.n.w.store.begin(b); return err })
	return got, err
}

func (l *link) Append(_ context.Context, c *distributed.Call) (results []distributed.Result, err error) {
	sent := *c // it may arrive when the node has changed it
	sent.Batch = slices.Clone(c.Batch)
	var got []distributed.Result
	err = l.do(fmt.Sprintf("append %d of %d batches", c.Number, len(c.Batch)), func() (err error) { got, err = l.n.w.store.append(&sent); return err })
	if err != nil {
		return nil, err
	}
	return got, nil
}

func (l *link) Read(_ context.Context, after uint64, most int, _ time.Duration) (records []distributed.Record, err error) {
	err = l.do(fmt.Sprint("read behind ", after), func() error { records = l.n.w.store.read(after, most); return nil })
	if err != nil {
		return nil, err
	}
	return records, nil
}

func (l *link) Back(_ context.Context, upto uint64, most int) (records []distributed.Record, err error) {
	err = l.do("back", func() error { records = l.n.w.store.back(upto, most); return nil })
	if err != nil {
		return nil, err
	}
	return records, nil
}

func (l *link) Checkpoint(_ context.Context, epoch log.Epoch, upto, digest uint64, state []byte, retain int) (ok bool, err error) {
	err = l.do("checkpoint", func() (err error) {
		ok, err = l.n.w.store.checkpoint(epoch, upto, digest, state, retain)
		return err
	})
	return ok && err == nil, err
}

func (l *link) Reconnects() uint64 { return l.cuts }
func (l *link) Close()             {}
