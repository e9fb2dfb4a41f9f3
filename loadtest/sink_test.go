package loadtest

import (
	"testing"
	"time"
)

// TestRecoveryIsJudgedByWhatCame drives a sink by hand: one client recovers by a
// message published after it was back, one without any, one lost a message, one
// never came back.
func TestRecoveryIsJudgedByWhatCame(t *testing.T) {
	spec := Spec{Connections: 4}
	s := newSink(&spec)
	s.begin(1, 0, false)
	s.recovery = NewLatency()
	const ms = int64(time.Millisecond)
	take := func(client int, sequence uint64, scheduled, now int64) {
		s.takeLocked(&s.subscribers[client], AppendMessage(nil, Stamp{Run: 1, Sequence: sequence, Scheduled: scheduled * ms}, 0), now*ms, text)
	}
	for i := range s.subscribers {
		take(i, 1, 1, 2)
		s.subscribers[i].dropped = 100 * ms
	}
	for i := range 3 {
		s.subscribers[i].back = 200 * ms
	}
	take(0, 2, 150, 210)
	take(0, 3, 205, 230) // recovered after 130 ms
	take(1, 2, 150, 210)
	take(1, 3, 199, 240) // has all after 140 ms
	take(2, 3, 199, 240) // without the second
	r := s.report([]uint64{3}, nil)
	if r.Unrecovered != 2 || r.Recovery.Count() != 4 || r.Lost != 3 {
		t.Errorf("%d not recovered, %d in the histogram, %d lost; want 2, 4, 3", r.Unrecovered, r.Recovery.Count(), r.Lost)
	}
	if low, high := r.Recovery.Quantile(0.25).Round(time.Millisecond), r.Recovery.Quantile(0.5).Round(time.Millisecond); low != 130*time.Millisecond ||
		high != 140*time.Millisecond || r.Recovery.Quantile(0.75) < Never {
		t.Errorf("recovered after %v and %v, want 130 and 140 ms and never", low, high)
	}
}
