package fanout_test

import (
	"testing"
	"time"

	"peal/loop/fanout"
	"peal/loop/ring"
)

// stopwatch is a fan whose clock moves by a millisecond whenever its sender has
// sent, and by hand.
type stopwatch struct {
	t      *testing.T
	fan    *fanout.Fan
	source *nopSource
	now    time.Duration
	slots  uint32
}

type stopwatchSender struct {
	nopSender
	w *stopwatch
}

func (s *stopwatchSender) Flush(report fanout.Report) {
	s.w.now += time.Millisecond
	s.nopSender.Flush(report)
}

func newStopwatch(t *testing.T) *stopwatch {
	w := &stopwatch{t: t, source: &nopSource{kept: map[string][]*ring.Message{}}, now: time.Hour}
	w.fan = fanout.New(0, fanout.Limits{}, nopEncoder{}, w.source, &stopwatchSender{w: w}, nopEvents{})
	w.fan.Measure(func() int64 { return int64(w.now) })
	return w
}

// subscribe adds n members; the sockets of stalled ones take nothing.
func (w *stopwatch) subscribe(n int, isStalled bool, s fanout.Subscription) {
	w.t.Helper()
	for range n {
		c := fanout.Conn{Slot: w.slots}
		if isStalled {
			c.Generation = stalled
		}
		w.fan.Attach(c, uint64(w.slots)+1)
		if _, err := w.fan.Subscribe(w.slots, &s); err != nil {
			w.t.Fatal(err)
		}
		w.slots++
	}
}

// publish applies a message that was accepted that long ago.
func (w *stopwatch) publish(channel string, ago time.Duration) {
	w.source.head++
	w.fan.Apply([]*ring.Message{{Sequence: w.source.head, Channel: channel, Size: 10, Entry: make([]byte, 10), Accepted: int64(w.now - ago)}})
}

func (w *stopwatch) flush(budget int) bool { return w.fan.Flush(budget) }

func (w *stopwatch) observations() (n uint64) {
	for _, c := range w.fan.Stats().Latency.Counts {
		n += c
	}
	return n
}

// want checks the number of all observations since the start, and their sum.
func (w *stopwatch) want(n uint64, sum time.Duration) {
	w.t.Helper()
	if got, took := w.observations(), w.fan.Stats().Latency.Sum; got != n || took != sum {
		w.t.Errorf("%d observations of %v in all, want %d of %v", got, took, n, sum)
	}
}

func TestLatencyEndsWhenTheLastMemberWasSentTo(t *testing.T) {
	w := newStopwatch(t)
	w.subscribe(200, false, fanout.Subscription{Channels: []string{"A"}})
	w.publish("A", 5*time.Millisecond)
	for n := 0; w.flush(50); n++ {
		if n > 10 {
			t.Fatal("no end")
		}
		w.want(0, 0)
	}
	// 200 sends, at most 64 with each flush of the sender, a millisecond each.
	if l := w.fan.Stats().Latency; l.Sum < 9*time.Millisecond || l.Sum > 15*time.Millisecond {
		t.Errorf("it took %v, want the 5 before and one for each flush", l.Sum)
	}
	w.want(1, w.fan.Stats().Latency.Sum)
}

// Messages that keep coming start the round again and again; each is through
// when everybody was visited once since it came, not when the rounds end.
func TestLatencyOfAMessageDoesNotWaitForLaterOnes(t *testing.T) {
	w := newStopwatch(t)
	w.subscribe(256, false, fanout.Subscription{Channels: []string{"A"}})
	for n := range uint64(40) {
		w.publish("A", 0)
		w.flush(64)
		if got := w.observations(); got+6 < n {
			t.Fatalf("after %d messages %d are through", n, got)
		}
	}
	for w.flush(512) {
	}
	l := w.fan.Stats().Latency
	w.want(40, l.Sum)
	if mean := l.Sum / 40; mean > 8*time.Millisecond {
		t.Errorf("a message took %v, though 256 members take four or five flushes", mean)
	}
}

func TestLatencyOfEachViewIsItsOwn(t *testing.T) {
	w := newStopwatch(t)
	for _, c := range names(10) {
		w.subscribe(1, false, fanout.Subscription{Channels: []string{c}})
	}
	w.subscribe(3, false, fanout.Subscription{Channels: names(10)})
	w.publish(names(10)[4], 2*time.Millisecond)
	for w.flush(512) {
	}
	w.want(2, 2*3*time.Millisecond) // the view of the channel, the one of all ten; one flush
}

func TestLatencyIsOfMembersThatAreDue(t *testing.T) {
	w := newStopwatch(t)
	w.subscribe(1, true, fanout.Subscription{Channels: []string{"A"}})
	w.publish("A", 0)
	for w.flush(512) {
	}
	// The first send shows that the socket is full: it was due.
	w.want(1, time.Millisecond)
	for range 3 {
		w.publish("A", time.Second)
		for w.flush(512) {
		}
	}
	w.want(1, time.Millisecond)
	w.publish("nobody", time.Second)
	for w.flush(512) {
	}
	w.want(1, time.Millisecond)
	w.subscribe(1, false, fanout.Subscription{Channels: []string{"A"}})
	w.publish("A", 0) // to the second alone
	for w.flush(512) {
	}
	w.want(2, 2*time.Millisecond)
}

func TestLatencyOfPolls(t *testing.T) {
	w := newStopwatch(t)
	poll := fanout.Subscription{Channels: []string{"A"}, OneShot: true, Encoding: encPoll}
	for range 3 {
		before := w.fan.Stats().Latency.Sum
		w.subscribe(5, false, poll)
		w.publish("A", time.Millisecond)
		for w.flush(512) {
		}
		if got := w.fan.Stats().Latency.Sum - before; got != 2*time.Millisecond {
			t.Errorf("answering five polls took %v, want 2ms", got)
		}
	}
	w.want(3, 6*time.Millisecond)
}

// A view that many messages reach before its members are visited counts all of
// them, in bounded memory, and none too early.
func TestLatencyCountsEveryMessage(t *testing.T) {
	w := newStopwatch(t)
	w.subscribe(1, false, fanout.Subscription{Channels: []string{"A"}})
	const n = 10_000
	for range n {
		w.publish("A", 0)
		w.now++
	}
	for w.flush(512) {
	}
	w.want(n, w.fan.Stats().Latency.Sum)
	if mean := w.fan.Stats().Latency.Sum / n; mean < time.Millisecond {
		t.Errorf("%v on average, and no message took less than a millisecond", mean)
	}
}

func TestLatencyBuckets(t *testing.T) {
	for i, bound := range fanout.LatencyBounds {
		if i > 0 && bound <= fanout.LatencyBounds[i-1] {
			t.Errorf("bound %d is %v, after %v", i, bound, fanout.LatencyBounds[i-1])
		}
		w := newStopwatch(t)
		w.subscribe(1, false, fanout.Subscription{Channels: []string{"A"}})
		w.publish("A", bound-time.Millisecond) // the flush takes one
		w.flush(1)
		if bound >= time.Millisecond && w.fan.Stats().Latency.Counts[i] != 1 {
			t.Errorf("%v is not in its bucket: %v", bound, w.fan.Stats().Latency.Counts)
		}
	}
	w := newStopwatch(t)
	w.subscribe(1, false, fanout.Subscription{Channels: []string{"A"}})
	w.publish("A", 10*time.Second) // and one millisecond
	w.publish("A", -time.Second)   // a clock that was read on another core
	w.flush(1)
	c := w.fan.Stats().Latency.Counts
	if c[len(c)-1] != 1 || c[0] != 1 {
		t.Errorf("beyond both ends: %v", c)
	}
}
