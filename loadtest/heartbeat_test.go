package loadtest

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestBeatCountsDeliveriesAndLateness has 7 deliveries wait for a loop that is a
// minute late, of which the process ran none.
func TestBeatCountsDeliveriesAndLateness(t *testing.T) {
	ep, wake, err := newPoller()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(ep)
	defer unix.Close(wake)
	h, err := newHeartbeat(ep)
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	s := newSink(&Spec{Connections: 1, Channels: 1})
	beat := func(delivered uint64, late, ran time.Duration) {
		t.Helper()
		s.counts.Delivered = delivered
		h.due, h.cpu = Now()-int64(late), ownCPU()-ran
		events := make([]unix.EpollEvent, 1)
		for {
			n, err := unix.EpollWait(ep, events, -1)
			if err == unix.EINTR {
				continue
			}
			if n != 1 || err != nil || events[0].Fd != beatIndex {
				t.Fatalf("%d events, %+v, %v; want a beat", n, events, err)
			}
			break
		}
		due := h.due
		h.beat(s)
		if h.due <= due || (h.due-due)%int64(beatEvery) != 0 {
			t.Errorf("the next beat is due %d ns later", h.due-due)
		}
	}
	beat(7, time.Minute, -time.Minute) // as if its CPU clock stood still meanwhile
	if s.waits.Count() != 7 || s.waits.Quantile(0) < time.Minute {
		t.Errorf("%d waits, the least %v; want 7 of a minute", s.waits.Count(), s.waits.Quantile(0))
	}
	beat(7, time.Minute, 0) // nothing came
	if s.waits.Count() != 7 {
		t.Errorf("%d waits, want 7: nothing was delivered meanwhile", s.waits.Count())
	}
	s.begin(2, 0, false)
	beat(3, 0, time.Hour) // it ran all the time
	if s.waits.Count() != 3 || s.waits.Max() > time.Millisecond {
		t.Errorf("%d waits, at most %v; want 3 of none", s.waits.Count(), s.waits.Max())
	}
}
