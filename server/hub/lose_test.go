package hub_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"peal/loop/ring"
	"peal/server/hub"
	"peal/server/log"
)

// A loss is a gap for every channel: with history, without, forgotten and never used;
// and the channels go on behind it.
func TestALossIsAGapOnEveryChannel(t *testing.T) {
	for _, records := range []int{0, -1} {
		r := newRig(hub.Config{ForgottenBytes: records})
		r.used(100) // and forgotten
		r.publish("kept", "x")
		r.append(&log.Entry{Channel: "left-out", Data: []byte("x"), Exclude: &[16]byte{1}})
		r.Join("idle")
		var got [2]uint64
		r.OnLose(func(from, upto uint64) { got = [2]uint64{from, upto} })
		r.Lose(90, 200)
		r.head = 200
		if got != [2]uint64{90, 200} || r.ring.lost != 200 || r.Head() != 200 {
			t.Errorf("called with %d, ring %d, head %d", got, r.ring.lost, r.Head())
		}
		for _, channel := range []string{"kept", "idle", "used-7", "never", "left-out"} {
			r.wantRead(t, channel, 0, 200)
			if after := r.Newest(channel, -1); after != 200 {
				t.Errorf("%s: the oldest follows %d", channel, after)
			}
			if upto, whole := r.Concerns(channel, 200, func(*ring.Exclusion) bool { return true }); upto != 200 || !whole {
				t.Errorf("%s: the gap concerns up to %d, whole %v", channel, upto, whole)
			}
		}
		r.wantStats(t, hub.Stats{Channels: 1, Subscribers: 1})
		at := r.publish("kept", "y")
		r.wantRead(t, "kept", 200, 200, at)
		r.Leave("idle")
		r.wantRead(t, "idle", 0, 200)
		r.Lose(at, at+5) // again
		r.wantRead(t, "kept", 200, at+5)
		r.wantRead(t, "never", 0, at+5)
	}
}

// What is lost is counted off, and what follows is retained as before.
func TestALossIsCountedOff(t *testing.T) {
	const total = 100_000
	r := newRig(hub.Config{TotalBytes: total})
	data := bytes.Repeat([]byte("x"), 1000)
	for i := range 3 {
		r.wide(20, i*20, data)
		r.Join(fmt.Sprint("wide-", i))
	}
	r.Lose(r.head, r.head+9)
	r.head += 9
	lost := r.head
	r.wantStats(t, hub.Stats{Channels: 3, Subscribers: 3})
	r.clock.pass(time.Second)
	if r.Sweep(r.clock.now()) {
		t.Error("there is something to sweep")
	}
	last := r.wide(20, 0, data)
	r.wantRead(t, "wide-0", 0, lost, last-19)
	s := r.Stats()
	if s.Channels != 20 || s.Messages != 20 || s.Bytes < 20*log.EntryOverhead || s.Evicted != 0 {
		t.Errorf("after the loss: %+v", s)
	}
	for range 100 {
		r.wide(20, 0, data)
	}
	if s := r.Stats(); s.Evicted == 0 || s.Bytes > total {
		t.Errorf("the total does not hold: %+v", s)
	}
	for i := range 3 {
		r.Leave(fmt.Sprint("wide-", i))
	}
	r.clock.pass(time.Hour)
	for r.Sweep(r.clock.now()) {
	}
	r.wantStats(t, hub.Stats{Evicted: r.Stats().Evicted})
}

// A loss may lie in the part of the log that a start reads.
func TestALossAmongWhatIsRestored(t *testing.T) {
	r := newRig(hub.Config{})
	r.Begin(1, 20)
	entry := func(sequence uint64) []*log.Entry {
		return []*log.Entry{{Sequence: sequence, Channel: "a", Data: []byte("x"), Time: r.clock.milliseconds()}}
	}
	r.Restore(entry(3))
	r.Lose(2, 10)
	r.Restore(entry(12))
	if r.Head() != 20 {
		t.Errorf("head %d", r.Head())
	}
	r.wantRead(t, "a", 2, 10, 12)
	r.wantRead(t, "b", 2, 10)
}

// BenchmarkLose is of 100,000 channels with ten messages each, without and with subscribers.
func BenchmarkLose(b *testing.B) {
	const channels = 100_000
	for _, subscribed := range []bool{false, true} {
		b.Run(fmt.Sprintf("subscribed=%v", subscribed), func(b *testing.B) {
			h := hub.New(hub.Config{TotalBytes: 1 << 30}, noRing{}, nothing, time.Now)
			sequence := uint64(0)
			for i := range channels {
				if subscribed {
					h.Join(fmt.Sprint(i))
				}
			}
			for range b.N {
				b.StopTimer()
				for i := range 10 * channels {
					sequence++
					h.Apply([]*log.Entry{{Sequence: sequence, Channel: fmt.Sprint(i % channels), Data: []byte("x"), Time: time.Now().UnixMilli()}})
				}
				b.StartTimer()
				sequence += 1 + rand.Uint64N(3)
				h.Lose(sequence-1, sequence)
			}
		})
	}
}
