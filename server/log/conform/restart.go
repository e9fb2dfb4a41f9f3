package conform

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"peal/server/log"
)

func aRestartGoesOn(t *testing.T, w *world) {
	n := w.node(t)
	n.publish(t, "1")
	n.order(t, "2")
	n.publish(t, "3")
	base := n.base(t)
	cursors := []log.Cursor{n.cursor(base), n.cursor(base + 1), n.cursor(base + 2), n.cursor(base + 3)}
	for life := range 3 {
		epoch := n.Lineage().Epoch()
		n.close(t)
		again := w.node(t)
		if got, want := fmt.Sprint(dataOf(again.Restored)), []string{"[1 2 3]", "[1 2 3 4]", "[1 2 3 4 5]"}[life]; got != want || again.Oldest() != 1 {
			t.Errorf("life %d restored %s from %d on, want %s", life, got, again.Oldest(), want)
		}
		if again.Tail.Order() != "2" || len(again.Tail.lost) != 0 {
			t.Errorf("life %d: newest order %q; lost: %q", life, again.Tail.Order(), again.Tail.lost)
		}
		for i, c := range cursors {
			if got, ok := again.Resolve(c); !ok || got != base+uint64(i) || again.cursor(got) != c {
				t.Errorf("life %d: %v is %d, %v; it is called %v", life, c, got, ok, again.cursor(got))
			}
		}
		if _, ok := again.Resolve(log.Cursor{Epoch: epoch, Sequence: again.Head() + 1}); ok {
			t.Errorf("life %d: a position that the life before never had resolves", life)
		}
		e := again.publish(t, fmt.Sprint(life+4))
		if e.Sequence != base+uint64(life+4) {
			t.Errorf("life %d goes on with %d", life, e.Sequence)
		}
		cursors = append(cursors, again.cursor(e.Sequence))
		n = again
	}
}

// forget appends until the entry is retained no more.
func (n *Node) forget(t *testing.T, sequence uint64) (missing *log.MissingError) {
	t.Helper()
	data := []byte(strings.Repeat("x", 1024))
	for end := time.Now().Add(limit); time.Now().Before(end); {
		batch := make([]*log.Entry, 50)
		for i := range batch {
			batch[i] = &log.Entry{Channel: "a", Data: data}
		}
		n.append(t, batch...)
		if _, err := n.Engine.(log.Reader).Read(nil, sequence-1, 1, 1); errors.As(err, &missing) {
			return missing
		} else if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatalf("entry %d is retained after %v, with head %d", sequence, limit, n.Head())
	return nil
}

func whatIsForgottenIsMissing(t *testing.T, w *world) {
	n := w.open(t, true)
	first := n.publish(t, "first")
	cursor := n.cursor(first.Sequence)
	missing := n.forget(t, first.Sequence)
	if missing.After != first.Sequence-1 || missing.Upto < first.Sequence || missing.Upto >= n.Head() {
		t.Fatalf("missing %+v, head %d", missing, n.Head())
	}
	if missing.Error() != fmt.Sprintf("log: the entries from sequence %d to %d are not in the log any more", first.Sequence, missing.Upto) {
		t.Error(missing)
	}
	for after := missing.Upto; after < n.Head(); {
		got, err := n.Engine.(log.Reader).Read(nil, after, 1000, 1<<20)
		if again := (*log.MissingError)(nil); errors.As(err, &again) && again.Upto > after { // forgotten meanwhile
			after = again.Upto
			continue
		}
		if err != nil || len(got) == 0 || got[0].Sequence != after+1 {
			t.Fatalf("behind %d: %d entries; %v", after, len(got), err)
		}
		after = got[len(got)-1].Sequence
	}
	if got, ok := n.Resolve(cursor); !ok || got != first.Sequence {
		t.Errorf("the cursor of what is forgotten is %d, %v: it is a position still, with a gap behind it", got, ok)
	}
	head := n.Head()
	n.close(t)
	again := w.open(t, true)
	if again.Oldest() <= missing.Upto || len(again.Restored) == 0 || again.Restored[0].Sequence != again.Oldest() || again.Head() != head {
		t.Errorf("restored %d entries from %d on, head %d; want them from %d on, head %d", len(again.Restored), again.Oldest(), again.Head(), missing.Upto+1, head)
	}
	increasing(t, "restored", again.Restored)
	if last := again.Restored[len(again.Restored)-1].Sequence; last != head {
		t.Errorf("restored up to %d, want %d", last, head)
	}
}

// A message on many channels may be forgotten in part: what is left has its data.
func wideMessagesAreForgottenInPart(t *testing.T, w *world) {
	n := w.open(t, true)
	r := n.Engine.(log.Reader)
	data := strings.Repeat("x", 1024)
	oldest := uint64(0)
	for round := range 10 {
		before := oldest
		Until(t, "entries are forgotten", func() bool {
			n.append(t, wide(17, data)...)
			missing := (*log.MissingError)(nil)
			if _, err := r.Read(nil, 0, 1, 1); errors.As(err, &missing) {
				oldest = missing.Upto + 1
			}
			return oldest > before
		})
		for after, again := oldest-1, (*log.MissingError)(nil); after < n.Head(); {
			got, err := r.Read(nil, after, 1000, 1<<20)
			if errors.As(err, &again) {
				after = again.Upto
				continue
			}
			if err != nil || len(got) == 0 {
				t.Fatalf("round %d, behind %d: %d entries, %v", round, after, len(got), err)
			}
			for i, e := range got {
				if e.Sequence != after+1+uint64(i) || string(e.Data) != data {
					t.Fatalf("round %d, behind %d: entry %d with %d bytes", round, after, e.Sequence, len(e.Data))
				}
			}
			after = got[len(got)-1].Sequence
		}
		if !w.subject.Distributed { // one at a time
			n.close(t)
		}
		late := w.open(t, true)
		losses := late.Tail.Losses()
		known := late.Oldest() - 1
		for _, e := range late.Restored {
			for _, l := range losses {
				if l[0] <= known && e.Sequence > l[1] {
					known = max(known, l[1])
				}
			}
			if e.Sequence != known+1 || string(e.Data) != data {
				t.Fatalf("round %d: restored entry %d with %d bytes behind %d, told of %v", round, e.Sequence, len(e.Data), known, losses)
			}
			known = e.Sequence
		}
		if w.subject.Distributed {
			late.close(t)
		} else {
			n = late
			r = n.Engine.(log.Reader)
		}
	}
}

func stateOutlastsTheEntries(t *testing.T, w *world) {
	n := w.open(t, true)
	for _, order := range []string{"first", "second"} {
		n.order(t, order)
		n.forget(t, n.Head())
		n.close(t)
		again := w.open(t, true)
		if got := again.Tail.Order(); got != order || len(again.Tail.lost) != 0 {
			t.Errorf("the order is %q, want %q; lost: %q", got, order, again.Tail.lost)
		}
		n = again
	}
	n.order(t, "third") // not in a checkpoint, perhaps
	n.close(t)
	if got := w.open(t, true).Tail.Order(); got != "third" {
		t.Errorf("the order is %q, want third", got)
	}
}
