package hub_test

import (
	"fmt"
	"strings"
	"testing"

	"peal/server/hub"
	"peal/server/log"
)

func like(prefix string) func(string) bool {
	return func(name string) bool { return strings.HasPrefix(name, prefix) }
}

// wantSince checks what Since says about all behind a position.
func (r *rig) wantSince(t *testing.T, prefix string, after, discarded uint64, sequences ...uint64) {
	t.Helper()
	msgs, gone, covered, _ := r.Since(nil, like(prefix), after, r.head, all, all, all)
	if !equal(msgs, sequences) || gone != discarded || covered != max(after, r.head) {
		t.Errorf("%s after %d: got %v, discarded %d, covered %d; want %v, discarded %d, covered %d", prefix, after, list(msgs), gone, covered, sequences, discarded, r.head)
	}
}

func TestSinceMergesChannels(t *testing.T) {
	r := newRig(hub.Config{Limits: room(2)})
	r.RecordOrder()
	r.publish("a1", "")                                             // 1
	r.publish("b1", "")                                             // 2
	r.publish("a2", "")                                             // 3
	r.append(&log.Entry{Channel: "b2", Also: []string{"a1", "a3"}}) // 4
	r.append(&log.Entry{Channel: "a1", Kind: log.KindPresence})     // 5
	r.append(&log.Entry{Channel: "a9", Kind: log.KindControl})      // 6
	r.wantSince(t, "a", 0, 0, 1, 3, 4)
	r.wantSince(t, "a", 1, 0, 3, 4)
	r.wantSince(t, "b", 0, 0, 2, 4)
	r.wantSince(t, "c", 0, 0)
	r.wantSince(t, "", 4, 0)
	r.wantSince(t, "a", 9, 0)
	r.publish("a1", "") // 7: 1 is dropped
	r.wantSince(t, "a", 0, 1, 3, 4, 7)
	r.wantSince(t, "a", 1, 0, 3, 4, 7)
	r.wantSince(t, "a1", 0, 1, 4, 7)
	r.wantSince(t, "b", 0, 0, 2, 4)
	r.publish("a1", "") // 8: 4 is dropped from a1, and still in a3
	r.wantSince(t, "a", 1, 0, 3, 4, 7, 8)
	r.wantSince(t, "a1", 1, 4, 7, 8)
}

func TestSinceEnds(t *testing.T) {
	r := newRig(hub.Config{})
	r.RecordOrder()
	for i := range 10 {
		r.publish([]string{"a", "b"}[i%2], "12345678")
	}
	size := sizeOf("a", "12345678")
	for _, c := range []struct {
		upto               uint64
		count, bytes, look int
		want               []uint64
		covered            uint64
		looked             int
	}{
		{10, all, all, all, []uint64{1, 3, 5, 7, 9}, 10, 10},
		{8, all, all, all, []uint64{1, 3, 5, 7}, 8, 8},
		{10, 2, all, all, []uint64{1, 3}, 4, 5},
		{10, all, 3 * size, all, []uint64{1, 3, 5}, 6, 7},
		{10, all, 1, all, []uint64{1}, 2, 3},
		{10, all, all, 4, []uint64{1, 3}, 4, 4},
	} {
		msgs, discarded, covered, looked := r.Since(nil, like("a"), 0, c.upto, c.count, c.bytes, c.look)
		if !equal(msgs, c.want) || discarded != 0 || covered != c.covered || looked != c.looked {
			t.Errorf("%+v: got %v, discarded %d, covered %d, looked %d", c, list(msgs), discarded, covered, looked)
		}
	}
}

func TestBefore(t *testing.T) {
	r := newRig(hub.Config{Limits: room(2)})
	r.RecordOrder()
	for i := range 3000 {
		r.publish([]string{"a", "b"}[min(i%1000, 1)], "")
	}
	for _, c := range []struct {
		upto              uint64
		look              int
		sequence, reached uint64
	}{
		{3000, all, 2001, 0},
		{2000, all, 1001, 0},
		{1000, all, 0, 0}, // 1 was dropped
		{3000, 999, 0, 2001},
		{3000, 1000, 2001, 0},
		{2000, 1, 0, 1999},
	} {
		m, reached, _ := r.Before(like("a"), c.upto, c.look)
		if m == nil && c.sequence != 0 || m != nil && m.Sequence != c.sequence || reached != c.reached {
			t.Errorf("%+v: %v, reached %d", c, m, reached)
		}
	}
}

func TestJournalForgetsTheOldest(t *testing.T) {
	r := newRig(hub.Config{Limits: room(1)})
	r.RecordOrder()
	const n = hub.LeastPublications + 3*1024
	for i := range n {
		r.publish(fmt.Sprint("a", i%10), "")
	}
	floor := r.Floor()
	if floor == 0 || n-floor > hub.LeastPublications+2*1024 || n-floor < hub.LeastPublications {
		t.Errorf("nothing is known up to %d of %d", floor, n)
	}
	if msgs, discarded, _, _ := r.Since(nil, like("b"), floor-1, r.head, all, all, all); len(msgs) > 0 || discarded != floor {
		t.Errorf("before the floor %d: discarded %d", floor, discarded)
	}
	if _, discarded, _, _ := r.Since(nil, like("b"), floor, r.head, all, all, all); discarded != 0 {
		t.Errorf("from the floor on: discarded %d", discarded)
	}
	r.Lose(r.head-100, r.head+5)
	r.head += 5
	r.wantSince(t, "a", r.head-1, r.head)
	r.wantSince(t, "a", r.head, 0)
	at := r.publish("a1", "")
	r.wantSince(t, "a", at-1, 0, at)
}

func TestJournalBeginsWithTheLog(t *testing.T) {
	r := newRig(hub.Config{})
	r.RecordOrder()
	r.Begin(5, 7)
	r.Restore([]*log.Entry{{Sequence: 5, Time: r.clock.milliseconds(), Channel: "a"}, {Sequence: 7, Time: r.clock.milliseconds(), Channel: "a2"}})
	r.head = 7
	r.wantSince(t, "a", 3, 4, 5, 7)
	r.wantSince(t, "a", 4, 0, 5, 7)
}

func TestWithoutOrderThereIsNoPast(t *testing.T) {
	r := newRig(hub.Config{})
	r.publish("a", "")
	if msgs, discarded, covered, _ := r.Since(nil, like("a"), 0, 1, all, all, all); len(msgs) > 0 || discarded != 1 || covered != 1 {
		t.Errorf("%v, discarded %d, covered %d", msgs, discarded, covered)
	}
	if r.Floor() != 1 {
		t.Errorf("floor %d", r.Floor())
	}
}

// Readers take no lock: whatever is appended meanwhile, they have all up to the head.
func TestSinceWhilePublishing(t *testing.T) {
	r := newRig(hub.Config{Limits: hub.Limits{Messages: 100_000, Bytes: 1 << 30}, TotalBytes: 1 << 30}) // a slow reader misses nothing
	r.RecordOrder()
	const n = 5000
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range n {
			r.append(&log.Entry{Channel: fmt.Sprint("a", i%10), Also: []string{"b"}})
		}
	}()
	at := uint64(0)
	for at < n {
		head := r.Head()
		msgs, discarded, covered, _ := r.Since(nil, like("b"), at, head, all, all, all)
		if discarded != 0 || covered != head || uint64(len(msgs)) != head-at {
			t.Fatalf("since %d to %d: %d messages, discarded %d, covered %d", at, head, len(msgs), discarded, covered)
		}
		at = head
	}
	<-done
}
