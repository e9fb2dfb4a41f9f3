package hub_test

import (
	"testing"

	"peal/loop/fanout"
	"peal/server/hub"
	"peal/server/log"
)

var (
	_ fanout.Source = (*hub.Hub)(nil)
	_ log.Tail      = (*hub.Hub)(nil)
)

func TestReadReturnsWhatIsAskedFor(t *testing.T) {
	r := newRig(hub.Config{})
	for range 10 {
		r.publish("a", "12345678")
		r.publish("b", "")
	}
	size := sizeOf("a", "12345678")
	for _, row := range []struct {
		after, upto  uint64
		count, bytes int
		want         []uint64
		more         bool
	}{
		{0, all, all, all, []uint64{1, 3, 5, 7, 9, 11, 13, 15, 17, 19}, false},
		{0, 19, 10, 10 * size, []uint64{1, 3, 5, 7, 9, 11, 13, 15, 17, 19}, false},
		{15, all, all, all, []uint64{17, 19}, false},
		{16, 18, all, all, []uint64{17}, false},
		{17, 18, all, all, nil, false},
		{19, all, all, all, nil, false},
		{30, all, all, all, nil, false},
		{9, 3, all, all, nil, false},
		{0, all, 2, all, []uint64{1, 3}, true},
		{0, 3, 2, all, []uint64{1, 3}, false},
		{0, all, 0, all, nil, true},
		{0, all, all, 2*size - 1, []uint64{1}, true},
		{0, all, all, 2 * size, []uint64{1, 3}, true},
		{0, all, all, 0, []uint64{1}, true},
		{17, all, all, 0, []uint64{19}, false},
	} {
		msgs, discarded, more := r.Read(nil, "a", row.after, row.upto, row.count, row.bytes)
		if !equal(msgs, row.want) || discarded != 0 || more != row.more {
			t.Errorf("(%d, %d] count %d bytes %d: got %v, discarded %d, more %v; want %v, more %v",
				row.after, row.upto, row.count, row.bytes, list(msgs), discarded, more, row.want, row.more)
		}
	}
}

func TestReadIsCapped(t *testing.T) {
	r := newRig(hub.Config{Limits: hub.Limits{Messages: 3 * hub.MaxRead, Bytes: all}})
	for range hub.MaxRead + 1 {
		r.publish("a", "")
	}
	if msgs, _, more := r.Read(nil, "a", 0, all, all, all); len(msgs) != hub.MaxRead || !more {
		t.Errorf("%d messages, more %v; want %d and more", len(msgs), more, hub.MaxRead)
	}
	if msgs, _, more := r.Read(nil, "a", 1, all, all, all); len(msgs) != hub.MaxRead || more {
		t.Errorf("%d messages, more %v; want %d and no more", len(msgs), more, hub.MaxRead)
	}
}

func TestReadExtendsItsArgument(t *testing.T) {
	r := newRig(hub.Config{})
	r.publish("a", "")
	r.publish("b", "")
	msgs, _, _ := r.Read(nil, "b", 0, all, all, all)
	msgs, _, _ = r.Read(msgs, "a", 0, all, all, all)
	if !equal(msgs, []uint64{2, 1}) {
		t.Errorf("got %v", list(msgs))
	}
	if n := testing.AllocsPerRun(100, func() { msgs, _, _ = r.Read(msgs[:0], "a", 0, all, all, all) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func TestNewestCountsFromTheEnd(t *testing.T) {
	r := newRig(hub.Config{Limits: room(3)})
	for range 5 {
		r.publish("a", "")
	}
	for n, want := range map[int]uint64{0: 5, 1: 4, 2: 3, 3: 2, 4: 2, 1000: 2, -1: 2} {
		after := r.Newest("a", n)
		if after != want {
			t.Errorf("newest %d: after %d, want %d", n, after, want)
		}
		msgs, discarded, _ := r.Read(nil, "a", after, all, all, all)
		if follow := min(uint(n), 3); uint(len(msgs)) != follow || after < discarded {
			t.Errorf("newest %d: %v follow, discarded %d", n, list(msgs), discarded)
		}
	}
	if after := r.Newest("unknown", 5); after != 0 {
		t.Errorf("newest of an unknown channel: after %d, want 0", after)
	}
}

func TestLeaveWithoutJoinPanics(t *testing.T) {
	r := newRig(hub.Config{})
	r.publish("a", "")
	for _, channel := range []string{"a", "unknown"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("leaving %q went unnoticed", channel)
				}
			}()
			r.Leave(channel)
		}()
	}
}

func TestLatestIsTheNewestAndCountsWhatItPassedOver(t *testing.T) {
	r := newRig(hub.Config{Limits: hub.Limits{Messages: 4}})
	for range 10 {
		r.publish("a", "")
		r.publish("b", "")
	}
	for _, row := range []struct {
		after, upto uint64
		want        uint64 // 0: none
		passed      int
	}{
		{0, all, 19, 3},
		{12, all, 19, 3},
		{13, all, 19, 2},
		{15, 18, 17, 0},
		{17, 18, 0, 0},
		{19, all, 0, 0},
		{30, all, 0, 0},
		{0, 12, 0, 0}, // all of these were dropped
	} {
		m, passed, discarded := r.Latest("a", row.after, row.upto)
		got := uint64(0)
		if m != nil {
			got = m.Sequence
		}
		if got != row.want || passed != row.passed || discarded != 11 {
			t.Errorf("(%d, %d]: message %d, passed over %d, discarded %d; want %d, %d, 11", row.after, row.upto, got, passed, discarded, row.want, row.passed)
		}
	}
	if m, passed, discarded := r.Latest("unknown", 0, all); m != nil || passed != 0 || discarded != 0 {
		t.Errorf("a channel nobody knows: %v, %d, %d", m, passed, discarded)
	}
}
