package subscription

import (
	"slices"
	"testing"
)

// TestCarry: a subscription that passes to another process begins once and ends once for
// those who follow the events.
func TestCarry(t *testing.T) {
	l := &events{t: t}
	a, b := New(10, 10), New(10, 10)
	a.Begin(1, 7, []string{"books", "news"}, `{"a":1}`)
	a.Report(l.append)
	if got := l.take(); got != "books true, news true" {
		t.Fatalf("events %q", got)
	}
	a.Begin(2, 7, []string{"late"}, "")
	for session := range uint64(4) {
		b.Restore(session, 7, a.Carry(session))
	}
	b.Report(l.append)
	if got := l.take(); got != "late true" {
		t.Errorf("events in the new process: %q, want what was not announced", got)
	}
	if x, y := a.AppendList(nil, "", "", "c"), b.AppendList(nil, "", "", "c"); !slices.Equal(x, y) {
		t.Errorf("%s\nbecame\n%s", x, y)
	}
	b.End(1)
	b.Report(l.append)
	if got := l.take(); got != "books false, news false" {
		t.Errorf("events at the end: %q", got)
	}
	b.End(2)
	b.Report(l.append)
	if got := b.Stats(); got.Held != 0 || got.Active != 0 {
		t.Errorf("%+v at the end", got)
	}

	small := New(1, 10)
	small.Restore(1, 7, a.Carry(1))
	if got := small.Stats(); got.Active != 1 || got.Unlisted != 1 {
		t.Errorf("%+v in a table with room for one", got)
	}
	var none *Table
	none.Restore(1, 7, none.Carry(1))
}
