package hub_test

import (
	"fmt"
	"testing"
	"time"

	"peal/loop/ring"
	"peal/server/hub"
	"peal/server/log"
)

func TestWhatIsForSubscribersGoesToTheRingOnce(t *testing.T) {
	r := newRig(hub.Config{})
	publication := &log.Entry{Channel: "a", Also: []string{"b", "a", "b"}, Exclude: &[16]byte{7}, Data: []byte("x")}
	r.append(publication, &log.Entry{Kind: log.KindControl, Channel: "a", Data: []byte("order")}, &log.Entry{Kind: log.KindPresence, Channel: "a"})
	if len(r.ring.messages) != 2 || !equal(r.ring.messages, []uint64{1, 3}) || r.Head() != 3 {
		t.Fatalf("ring has %v, head is %d", list(r.ring.messages), r.Head())
	}
	r.append(&log.Entry{Kind: log.KindControl, Channel: "a"}, &log.Entry{Kind: 200, Channel: "a"})
	if len(r.ring.messages) != 2 || r.Head() != 3 {
		t.Fatalf("ring has %v, head is %d after entries that are not for subscribers", list(r.ring.messages), r.Head())
	}
	m := r.ring.messages[0]
	if m.Channel != "a" || len(m.Also) != 3 || *m.Exclude != (ring.Exclusion{ID: [16]byte{7}, Session: 70}) || m.Entry != any(publication) || m.Size != publication.Size() {
		t.Errorf("the message is %+v", m)
	}
	if m := r.ring.messages[1]; m.Channel != "$presence:a" || m.Also != nil || m.Size < log.EntryOverhead {
		t.Errorf("presence is %+v", m)
	}
	if msgs, discarded, _ := r.Read(nil, "$presence:a", 0, all, all, all); len(msgs) != 0 || discarded != 3 {
		t.Errorf("history of presence is %v, discarded %d, want a gap up to 3", list(msgs), discarded)
	}
	for _, channel := range []string{"a", "b"} {
		msgs, _, _ := r.Read(nil, channel, 0, all, all, all)
		if len(msgs) != 1 || msgs[0] != m {
			t.Errorf("history of %q is %v, want the message of the ring, once", channel, list(msgs))
		}
	}
	r.wantStats(t, hub.Stats{Channels: 2, Messages: 2, Bytes: 2 * m.Size})
}

func TestRoomAndWakeArePassedOn(t *testing.T) {
	r, woken := &fakeRing{}, 0
	h := hub.New(hub.Config{}, r, func() { woken++ }, time.Now)
	if h.Wake(); woken != 1 {
		t.Errorf("woken %d times", woken)
	}
	if !h.Room(1, 1) {
		t.Error("no room in an empty ring")
	}
	if r.full = true; h.Room(1, 1) {
		t.Error("room in a full ring")
	}
}

func TestHistoryIsTrimmedByCount(t *testing.T) {
	r := newRig(hub.Config{Limits: room(3)})
	for range 3 {
		r.publish("a", "")
	}
	r.wantRead(t, "a", 0, 0, 1, 2, 3)
	r.publish("a", "")
	r.wantRead(t, "a", 0, 1, 2, 3, 4)
	r.wantRead(t, "a", 1, 1, 2, 3, 4)
}

func TestHistoryIsTrimmedByBytes(t *testing.T) {
	r := newRig(hub.Config{Limits: hub.Limits{Bytes: 3 * sizeOf("a", "")}})
	for range 3 {
		r.publish("a", "")
	}
	r.wantRead(t, "a", 0, 0, 1, 2, 3)
	r.publish("a", "12345")
	r.wantRead(t, "a", 0, 2, 3, 4)
	r.publish("a", string(make([]byte, 5000))) // larger than the whole limit
	r.wantRead(t, "a", 0, 5)
	r.wantRead(t, "a", 5, 5)
	r.wantStats(t, hub.Stats{})
}

func TestHistoryExpires(t *testing.T) {
	r := newRig(hub.Config{Limits: hub.Limits{Age: time.Second}})
	r.publish("a", "")
	r.clock.pass(600 * time.Millisecond)
	r.publish("a", "")
	r.clock.pass(399 * time.Millisecond)
	r.wantRead(t, "a", 0, 0, 1, 2)
	r.clock.pass(time.Millisecond)
	r.wantRead(t, "a", 0, 1, 2)
	r.clock.pass(time.Second)
	r.wantRead(t, "a", 0, 2)
	r.wantStats(t, hub.Stats{}) // the reader took the channel with it
}

func TestShorterTTLTakesWhatIsOlderWithIt(t *testing.T) {
	r := newRig(hub.Config{Limits: hub.Limits{Age: time.Minute}})
	r.publish("a", "")
	r.append(&log.Entry{Channel: "a", TTL: 5000})
	r.append(&log.Entry{Channel: "a", TTL: 90_000}) // longer than the limit
	r.clock.pass(4999 * time.Millisecond)
	r.wantRead(t, "a", 0, 0, 1, 2, 3)
	r.clock.pass(time.Millisecond)
	r.wantRead(t, "a", 0, 2, 3)
	r.clock.pass(55 * time.Second)
	r.wantRead(t, "a", 0, 3)
}

func TestTotalEvictsFromTheLeastRecentlyPublished(t *testing.T) {
	r := newRig(hub.Config{TotalBytes: 4 * sizeOf("a", "")})
	r.publish("a", "") // 1
	r.publish("b", "")
	r.publish("b", "")
	r.publish("a", "") // 4
	r.publish("c", "") // b is the oldest now
	r.wantRead(t, "a", 0, 0, 1, 4)
	r.wantRead(t, "b", 0, 2, 3)
	r.wantRead(t, "c", 0, 0, 5)
	r.publish("c", "")
	r.publish("c", "")
	r.wantRead(t, "a", 0, 1, 4)
	r.wantRead(t, "b", 0, 3)
	r.wantRead(t, "c", 0, 0, 5, 6, 7)
	r.publish("d", string(make([]byte, 4000))) // larger than the total: leaves the others alone
	r.wantRead(t, "d", 0, 8)
	r.wantRead(t, "c", 0, 0, 5, 6, 7)
	if got := r.Stats().Evicted; got != 3 { // 2, 3 and 1; 8 was never kept
		t.Errorf("%d evicted, want 3", got)
	}
}

func TestNoHistory(t *testing.T) {
	r := newRig(hub.Config{Limits: room(-1)})
	r.Join("a")
	r.publish("a", "")
	r.publish("b", "")
	r.wantRead(t, "a", 0, 1)
	r.wantRead(t, "b", 0, 2)
	r.wantRead(t, "c", 0, 0)
	r.wantStats(t, hub.Stats{Channels: 1, Subscribers: 1})
	if len(r.ring.messages) != 2 {
		t.Errorf("ring has %v", list(r.ring.messages))
	}
}

func TestForgottenChannelLeavesItsWatermark(t *testing.T) {
	r := newRig(hub.Config{Limits: hub.Limits{Age: time.Second}})
	r.Join("a")
	r.publish("a", "")
	r.clock.pass(time.Second)
	r.Leave("a")
	if more := r.Sweep(r.clock.now()); more {
		t.Error("one channel was too many for Sweep")
	}
	r.wantStats(t, hub.Stats{})
	r.wantRead(t, "a", 0, 1)
	if after := r.Newest("a", -1); after != 1 {
		t.Errorf("all of a forgotten channel: after %d, want 1", after)
	}
	r.Join("a")
	r.wantRead(t, "a", 0, 1)
	r.publish("a", "")
	r.wantRead(t, "a", 0, 1, 2)
	r.Leave("a")
	r.wantRead(t, "a", 0, 1, 2)
}

func TestSweepIsBoundedAndEnds(t *testing.T) {
	r := newRig(hub.Config{Limits: hub.Limits{Age: time.Second}})
	const channels = hub.SweepChannels + 100
	for i := range channels {
		r.publish(fmt.Sprint(i), "")
	}
	r.Join("0")
	r.clock.pass(time.Second)
	r.publish("still here", "")
	if more := r.Sweep(r.clock.now()); !more {
		t.Error("the first sweep claims to be the last")
	}
	if got := r.Stats().Messages; got != channels+1-hub.SweepChannels {
		t.Errorf("%d messages after the first sweep", got)
	}
	if more := r.Sweep(r.clock.now()); more {
		t.Error("the second sweep claims not to be the last")
	}
	r.wantStats(t, hub.Stats{Channels: 2, Subscribers: 1, Messages: 1, Bytes: sizeOf("still here", "")})
}

func TestHistoryGrowsFromOneAndShrinks(t *testing.T) {
	r := newRig(hub.Config{Limits: hub.Limits{Age: time.Second}})
	for i, want := range []int{1, 2, 4, 4, 8} {
		if r.publish("a", ""); r.Slots("a") != want {
			t.Errorf("%d messages in %d slots, want %d", i+1, r.Slots("a"), want)
		}
	}
	for range 2000 {
		r.publish("a", "")
	}
	if r.Slots("a") != 1024 {
		t.Errorf("1,000 messages in %d slots, want 1,024", r.Slots("a"))
	}
	r.clock.pass(time.Second)
	r.publish("a", "")
	if r.Slots("a") > 4 {
		t.Errorf("1 message in %d slots", r.Slots("a"))
	}
	r.wantRead(t, "a", 0, 2005, 2006)
}

func TestConfigReportsAllFaultsAtOnce(t *testing.T) {
	if err := (hub.Config{}).Validate(); err != nil {
		t.Errorf("the zero value: %v", err)
	}
	err := hub.Config{Limits: hub.Limits{Bytes: 5, Age: -1}, TotalBytes: -1}.Validate()
	faults, ok := err.(interface{ Unwrap() []error })
	if !ok || len(faults.Unwrap()) != 3 {
		t.Errorf("got %v, want three faults", err)
	}
}

func TestApplyAllocatesTheMessageOnly(t *testing.T) {
	h := hub.New(hub.Config{Limits: room(10)}, noRing{}, nothing, time.Now)
	batch := []*log.Entry{{Channel: "a", Also: []string{"b"}, Time: time.Now().UnixMilli()}}
	apply := func() {
		batch[0].Sequence++
		h.Apply(batch)
	}
	for range 100 {
		apply()
	}
	if n := testing.AllocsPerRun(1000, apply); n != 1 {
		t.Errorf("%v allocations for an entry, want 1", n)
	}
}

func TestRoomIsSignalled(t *testing.T) {
	r := &fakeRing{}
	h := hub.New(hub.Config{}, r, nothing, time.Now)
	called := false
	var tail log.Tail = h
	log.Tails{tail}.OnRoom(func() { called = true })
	if r.onRoom == nil {
		t.Fatal("the ring does not know whom to call")
	}
	if r.onRoom(); !called {
		t.Error("the engine was not called")
	}
}
