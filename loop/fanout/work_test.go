package fanout_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"peal/loop/fanout"
	"peal/loop/ring"
)

// deepSource has the messages of each channel, and counts what is read of them.
type deepSource struct {
	nopSource
	discarded map[string]uint64
	calls     int // of Read, Newest and Latest
	returned  int // messages of Read
	before    func(channel string, call int)
}

func (d *deepSource) look(channel string) {
	d.calls++
	if d.before != nil {
		d.before(channel, d.calls)
	}
}

func (d *deepSource) Read(dst []*ring.Message, c string, after, upto uint64, count, bytes int) ([]*ring.Message, uint64, bool) {
	d.look(c)
	kept := d.kept[c]
	i, _ := slices.BinarySearchFunc(kept, after+1, func(m *ring.Message, q uint64) int { return int(m.Sequence) - int(q) })
	from := len(dst)
	for ; i < len(kept) && kept[i].Sequence <= upto; i++ {
		if n := len(dst) - from; n == count || n > 0 && bytes < kept[i].Size {
			d.returned += n
			return dst, d.discarded[c], true
		}
		dst = append(dst, kept[i])
		bytes -= kept[i].Size
	}
	d.returned += len(dst) - from
	return dst, d.discarded[c], false
}

func (d *deepSource) Newest(c string, n int) uint64 {
	d.look(c)
	kept := d.kept[c]
	if n < 0 || n >= len(kept) {
		return d.discarded[c]
	}
	return kept[len(kept)-n-1].Sequence
}

func (*deepSource) Concerns(_ string, discarded uint64, _ func(*ring.Exclusion) bool) (uint64, bool) {
	return discarded, true
}

func (d *deepSource) Latest(c string, after, upto uint64) (*ring.Message, int, uint64) {
	d.look(c)
	kept := d.kept[c]
	i, _ := slices.BinarySearchFunc(kept, upto+1, func(m *ring.Message, q uint64) int { return int(m.Sequence) - int(q) })
	if i == 0 || kept[i-1].Sequence <= after {
		return nil, 0, d.discarded[c]
	}
	return kept[i-1], 0, d.discarded[c]
}

// fill gives each of the channels that many messages, in turns.
func (d *deepSource) fill(channels []string, each, bytes int) {
	for range each {
		for _, c := range channels {
			d.head++
			d.kept[c] = append(d.kept[c], &ring.Message{Sequence: d.head, Channel: c, Size: bytes, Entry: make([]byte, bytes)})
		}
	}
}

func newDeepSource() *deepSource {
	return &deepSource{nopSource: nopSource{kept: map[string][]*ring.Message{}}, discarded: map[string]uint64{}}
}

func manyChannels(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("c%03d", i))
	}
	return names
}

// deepFan is a fan whose members begin with history.
func deepFan(d *deepSource) *fanout.Fan {
	return fanout.New(d.head, fanout.Limits{}, nopEncoder{}, d, &nopSender{}, nopEvents{})
}

// largestItem bounds the work of one thing that is done as a whole: a strip made
// of the histories of 128 channels, or a subscription to as many.
const largestItem = 500

// What one member is sent of many channels costs what is sent, not what is retained.
func TestHistoryOfManyChannelsIsReadAsItIsSent(t *testing.T) {
	for _, oneShot := range []bool{false, true} {
		d := newDeepSource()
		names := manyChannels(127)
		d.fill(names, 1000, 100)
		f := deepFan(d)
		f.Attach(fanout.Conn{}, 1)
		encoding := encLine
		if oneShot {
			encoding = encPoll
		}
		if _, err := f.Subscribe(0, &fanout.Subscription{Channels: names, Encoding: encoding, OneShot: oneShot, From: fanout.Earliest}); err != nil {
			t.Fatal(err)
		}
		if d.returned > 2*len(names) {
			t.Errorf("one shot %v: subscribing has read %d messages", oneShot, d.returned)
		}
		for d.returned = 0; f.Flush(1); {
			if d.returned > 4000 {
				t.Fatalf("one shot %v: one send has read %d messages of %d", oneShot, d.returned, 127_000)
			}
			d.returned = 0
		}
	}
}

// Flush ends when the history that was read has used up what its sends may cost.
func TestFlushHasABudgetOfWork(t *testing.T) {
	d := newDeepSource()
	names := manyChannels(127)
	d.fill(names, 1000, 100)
	f := deepFan(d)
	const members = 100
	for slot := range uint32(members) {
		f.Attach(fanout.Conn{Slot: slot}, uint64(slot)+1)
		own := slices.Clone(names[slot%8:])
		if _, err := f.Subscribe(slot, &fanout.Subscription{Channels: own, Encoding: encLine, From: fanout.Earliest}); err != nil {
			t.Fatal(err)
		}
	}
	for _, budget := range []int{1, 16, 512} {
		before := f.Work()
		f.Flush(budget)
		if done := int(f.Work() - before); done > 4*budget+largestItem {
			t.Errorf("Flush(%d) did %d units of work, want at most %d", budget, done, 4*budget+largestItem)
		}
	}
}

// Members whose turn is dear, again and again, do not keep the others from theirs.
func TestDearTurnsLeaveRoomForOthers(t *testing.T) {
	d := newDeepSource()
	names := manyChannels(127)
	d.fill(names, 1000, 100)
	out := &order{}
	f := fanout.New(d.head, fanout.Limits{}, nopEncoder{}, d, out, nopEvents{})
	const members, budget = 100, 16
	subscribe := func(slot uint32, s fanout.Subscription) {
		f.Attach(fanout.Conn{Slot: slot}, uint64(slot)+1)
		if _, err := f.Subscribe(slot, &s); err != nil {
			t.Fatal(err)
		}
	}
	for slot := range uint32(members) {
		subscribe(slot, fanout.Subscription{Channels: slices.Clone(names[slot%8:]), Encoding: encLine, From: fanout.Earliest})
	}
	subscribe(members, fanout.Subscription{Channels: []string{"live"}, Encoding: encLine})
	d.head++
	f.Apply([]*ring.Message{{Sequence: d.head, Channel: "live", Size: 100, Entry: make([]byte, 100)}})
	for calls := 1; ; calls++ {
		more := f.Flush(budget)
		if slices.Contains(out.slots, members) {
			return
		}
		if calls == 3 || !more {
			t.Fatalf("after %d calls the subscriber has not been sent to, %d others have", calls, len(out.slots))
		}
	}
}

// Subscribing, and changing a subscription, are single items wherever they begin.
func TestSubscribingIsBoundedWork(t *testing.T) {
	d := newDeepSource()
	names := manyChannels(128)
	d.fill(names, 1000, 100)
	f := deepFan(d)
	slot := uint32(0)
	for _, s := range []fanout.Subscription{
		{From: fanout.Now}, {From: fanout.After, Sequence: 5}, {From: fanout.Earliest}, {From: fanout.Foreign}, {From: fanout.Last, Count: 1000},
	} {
		s.Channels, s.Encoding = names, encLine
		f.Attach(fanout.Conn{Slot: slot}, uint64(slot)+1)
		before := f.Work()
		if _, err := f.Subscribe(slot, &s); err != nil {
			t.Fatal(err)
		}
		if done := f.Work() - before; done > largestItem {
			t.Errorf("subscribing from %d: %d units of work, want at most %d", s.From, done, largestItem)
		}
		before = f.Work()
		f.Drop(slot, names[:1])
		if done := f.Work() - before; done > largestItem || done == 0 {
			t.Errorf("unsubscribing: %d units of work, want 1 to %d", done, largestItem)
		}
		slot++
	}
}

// The newest messages of several channels are found without reading them all.
func TestLastOfManyChannels(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		d := newDeepSource()
		names := manyChannels(2 + rnd.IntN(20))
		var all []uint64
		for range rnd.IntN(200) {
			d.head++
			m := &ring.Message{Sequence: d.head, Size: 1, Entry: []byte("x")}
			for _, i := range rnd.Perm(len(names))[:1+rnd.IntN(2)] { // on one channel, or two
				d.kept[names[i]] = append(d.kept[names[i]], m)
				m.Channel = names[i]
			}
			all = append(all, m.Sequence)
		}
		n := 1 + rnd.IntN(50)
		want := d.head
		if len(all) > 0 {
			want = all[max(0, len(all)-n)] - 1
		}
		f := deepFan(d)
		f.Attach(fanout.Conn{}, 1)
		got, err := f.Subscribe(0, &fanout.Subscription{Channels: names, Encoding: encLine, From: fanout.Last, Count: n})
		if err != nil || got != want {
			t.Fatalf("round %d: the newest %d of %d messages begin after %d (%v), want %d", round, n, len(all), got, err, want)
		}
		if most := 2*n + 3*len(names); d.calls > most {
			t.Fatalf("round %d: %d looks at the history for %d messages of %d channels, want at most %d", round, d.calls, n, len(names), most)
		}
	}
}

// Messages dropped while a merge reads cause a gap, and nothing before it is lost.
func TestDroppedInMidMerge(t *testing.T) {
	d := newDeepSource()
	names := manyChannels(2)
	d.fill(names, 1, 1)
	d.fill(names[:1], 2000, 1)
	f := deepFan(d)
	f.Attach(fanout.Conn{}, 1)
	if _, err := f.Subscribe(0, &fanout.Subscription{Channels: names, Encoding: encLine, From: fanout.After, Sequence: 0}); err != nil {
		t.Fatal(err)
	}
	const dropped = 900
	d.calls = 0
	d.before = func(channel string, call int) {
		if call == 3 { // both were read once: the first chunk of the first channel was taken
			d.discarded[channel] = dropped
			d.kept[channel] = slices.DeleteFunc(d.kept[channel], func(m *ring.Message) bool { return m.Sequence <= dropped })
		}
	}
	for f.Flush(512) {
	}
	if s := f.Stats(); s.Gaps != 1 {
		t.Errorf("%d gap notices, want 1", s.Gaps)
	}
	if p := f.Position(0); p != d.head {
		t.Errorf("at %d, want %d", p, d.head)
	}
}

// BenchmarkHistory shows what a unit of work is: ns/op beside units/op.
func BenchmarkHistory(b *testing.B) {
	for _, channels := range []int{2, 16, 128} {
		for _, from := range []fanout.From{fanout.After, fanout.Earliest, fanout.Last} {
			b.Run(fmt.Sprintf("channels=%d/from=%d", channels, from), func(b *testing.B) {
				d := newDeepSource()
				names := manyChannels(channels)
				d.fill(names, 128_000/channels, 100)
				f := deepFan(d)
				f.Attach(fanout.Conn{}, 1)
				before := f.Work()
				b.ReportAllocs()
				b.ResetTimer()
				for range b.N {
					if _, err := f.Subscribe(0, &fanout.Subscription{Channels: names, Encoding: encLine, From: from, Count: 1000}); err != nil {
						b.Fatal(err)
					}
					f.Flush(1)
					f.Unsubscribe(0)
				}
				b.ReportMetric(float64(f.Work()-before)/float64(b.N), "units/op")
			})
		}
	}
}
