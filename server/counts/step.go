package counts

import (
	"sync"

	"peal/server/log"
)

// reporter is what this node reports. Its fields but failed belong to the caller of Step.
type reporter struct {
	told    map[string]number // what it has reported last, by channel
	again   []string          // channels of a state that are not repeated yet
	telling bool              // a state has begun
	compare []string          // channels that another process has told of for this node: see Import

	failing sync.Mutex
	failed  map[string]struct{} // channels of batches that were lost or refused
	broken  bool                // a batch with the begin or the end of a state was
}

const (
	// One Step reports at most that many channels that have changed, and so many of a state.
	stepChanges = 2_000
	stepState   = 20_000
	stepKept    = 100_000 // without an entry
)

// Step reports what has changed on this node since the last one: call it once a second. It appends
// nothing if nothing has changed. publish is Append of the log.
func (t *Table) Step(publish func(batch []*log.Entry, done func(error)) error) {
	t.sweep()
	t.mu.Lock()
	came, state := t.came, t.state
	t.mu.Unlock()
	if !came {
		t.keep()
		return
	}
	w := &writer{t: t, publish: publish}
	t.failing.Lock()
	changed, broken := t.failed, t.broken
	t.failed, t.broken = map[string]struct{}{}, false
	t.failing.Unlock()
	for name := range changed {
		if t.source.Subscribers(name) == 0 { // the end of a state removes what others have of it: nothing to remember
			delete(changed, name)
			delete(t.told, name)
			broken = true
		}
	}
	if broken {
		t.telling, state = false, true
	}
	if state && !t.telling {
		t.mu.Lock()
		t.state = false
		t.mu.Unlock()
		t.telling, t.again = true, t.again[:0]
		for name := range t.told {
			t.again = append(t.again, name)
		}
		w.begin(begins)
		w.marks = true
	}
	for name := range changed {
		w.tell(name)
	}
	n := min(len(t.compare), max(0, stepChanges-len(changed)))
	compare := t.compare[:n]
	t.compare = t.compare[n:]
	for _, name := range append(compare, t.source.Changed(max(0, stepChanges-len(changed)-n))...) {
		if !t.isTold(name) { // a hand-over, or what has gone and come, changes nothing
			w.tell(name)
		}
	}
	if t.telling {
		n := min(stepState, len(t.again))
		for _, name := range t.again[:n] {
			w.tell(name)
		}
		if t.again = t.again[n:]; len(t.again) == 0 {
			w.end()
			t.telling, t.again = false, nil
		}
	}
	if w.flush(); w.err != nil {
		t.keep()
	}
}

// keep notes the channels that have changed while nothing can be reported, but for those that
// have come and gone meanwhile.
func (t *Table) keep() {
	for _, name := range t.source.Changed(stepKept) {
		if _, told := t.told[name]; told || t.source.Subscribers(name) > 0 {
			t.fail(name)
		}
	}
}

func (t *Table) fail(names ...string) {
	t.failing.Lock()
	defer t.failing.Unlock()
	for _, name := range names {
		t.failed[name] = struct{}{}
	}
}

// writer makes entries of channels.
type writer struct {
	t       *Table
	publish func(batch []*log.Entry, done func(error)) error
	data    []byte
	names   []string
	marks   bool // the entry begins or ends a state
	err     error
}

func (w *writer) begin(flags byte) { w.data = appendHead(nil, flags, w.t.self) }

// end has the last entry end a state.
func (w *writer) end() {
	if w.data == nil {
		w.begin(0)
	}
	w.data[1] |= ends
	w.marks = true
}

// tell reports what there is now of a channel.
func (w *writer) tell(name string) {
	if w.err != nil {
		w.t.fail(name)
		return
	}
	if w.data == nil {
		w.begin(0)
	}
	n := number{subscribers: int32(w.t.source.Subscribers(name))}
	n.listed = min(n.subscribers, int32(w.t.listed(name)))
	if (n == number{}) {
		delete(w.t.told, name)
	} else {
		w.t.told[name] = n
	}
	w.data = appendCount(w.data, name, n)
	if w.names = append(w.names, name); len(w.data) >= entryBytes {
		w.flush()
	}
}

// flush appends the entry. What is refused or lost comes again with the next Step.
func (w *writer) flush() {
	t, names, marks := w.t, w.names, w.marks
	entry := &log.Entry{Kind: log.KindControl, Event: Event, Data: w.data}
	w.data, w.names, w.marks = nil, nil, false
	if len(entry.Data) == 0 {
		return
	}
	done := func(err error) {
		if err == nil {
			return
		}
		t.fail(names...)
		t.failing.Lock()
		defer t.failing.Unlock()
		t.broken = t.broken || marks
	}
	if w.err == nil {
		w.err = w.publish([]*log.Entry{entry}, done)
	}
	if w.err != nil {
		done(w.err)
	}
}
