package fanout_test

import (
	"fmt"
	"runtime"
	"strconv"
	"testing"
	"time"

	"peal/loop/fanout"
	"peal/loop/ring"
)

// The fan under measurement: a sender that takes everything, or nothing from
// connections that are stalled; an encoder whose results exist already; no history but
// what a benchmark puts in. What is measured is the fan alone.

type nopSender struct {
	tickets []uint32
	lengths []int
}

// stalled is the generation of connections whose sockets take nothing.
const stalled = ^uint32(0)

func (s *nopSender) Queue(ticket uint32, to fanout.Conn, b []byte) {
	n := len(b)
	if to.Generation == stalled {
		n = 0
	}
	s.tickets = append(s.tickets, ticket)
	s.lengths = append(s.lengths, n)
}

func (s *nopSender) Flush(report fanout.Report) {
	for i, ticket := range s.tickets {
		report(ticket, s.lengths[i], false, nil)
	}
	s.tickets, s.lengths = s.tickets[:0], s.lengths[:0]
}

func (s *nopSender) Now(_ fanout.Conn, b []byte) (int, bool, error) { return len(b), false, nil }

type nopEncoder struct{ *simEncoder }

func (nopEncoder) Encode(m *ring.Message, k ring.Encoding) []byte { return m.Entry.([]byte) }

// nopSource has messages only where read says so.
type nopSource struct {
	head uint64
	kept map[string][]*ring.Message
}

func (h *nopSource) Read(dst []*ring.Message, c string, after, upto uint64, count, bytes int) ([]*ring.Message, uint64, bool) {
	for _, m := range h.kept[c] {
		if m.Sequence <= after || m.Sequence > upto {
			continue
		}
		if count == 0 || bytes <= 0 {
			return dst, 0, true
		}
		dst, count, bytes = append(dst, m), count-1, bytes-m.Size
	}
	return dst, 0, false
}
func (h *nopSource) Newest(string, int) uint64 { return h.head }
func (*nopSource) Concerns(_ string, discarded uint64, _ func(*ring.Exclusion) bool) (uint64, bool) {
	return discarded, true
}

func (h *nopSource) Latest(string, uint64, uint64) (*ring.Message, int, uint64) {
	return nil, 0, 0
}
func (h *nopSource) Join(c string) string { return c }
func (h *nopSource) Leave(string)         {}
func (h *nopSource) Head() uint64         { return h.head }

type nopEvents struct{}

func (nopEvents) Lost(uint32, error)      {}
func (nopEvents) Idle(uint32)             {}
func (nopEvents) Answered(uint32, uint64) {}
func (nopEvents) Gapped(uint32)           {}
func (nopEvents) Fell(uint32)             {}
func (nopEvents) Slow(uint32)             {}

// scene is a fan with members, and messages that are used again and again:
// each round gives them new sequences.
type scene struct {
	tb       testing.TB
	fan      *fanout.Fan
	source   *nopSource
	messages []*ring.Message
	batch    []*ring.Message
	next     int
	slots    uint32
	clock    int64 // when the fan last looked
}

const sceneBudget = 512

func newScene(tb testing.TB, bytes int, channels ...string) *scene {
	s := &scene{tb: tb, source: &nopSource{kept: map[string][]*ring.Message{}}}
	s.fan = fanout.New(0, fanout.Limits{}, nopEncoder{}, s.source, &nopSender{}, nopEvents{})
	began := time.Now()
	s.fan.Measure(func() int64 {
		s.clock = int64(time.Since(began))
		return s.clock
	})
	n := max(256, len(channels))
	for i := range n {
		m := &ring.Message{Channel: channels[i%len(channels)], Size: bytes, Entry: make([]byte, bytes)}
		m.Encoded(encLine, ring.NewCache(nopEncoder{}.Encode, nil))
		s.messages = append(s.messages, m)
	}
	s.batch = make([]*ring.Message, 0, n)
	return s
}

// subscribe adds one member and returns its slot. A stalled one's socket takes nothing.
func (s *scene) subscribe(isStalled bool, channels ...string) uint32 {
	c := fanout.Conn{Slot: s.slots}
	s.slots++
	if isStalled {
		c.Generation = stalled
	}
	slot := c.Slot
	s.fan.Attach(c, uint64(slot)+1)
	if _, err := s.fan.Subscribe(slot, &fanout.Subscription{Channels: channels}); err != nil {
		s.tb.Fatal(err)
	}
	return slot
}

// publish applies the next n messages and flushes, turn by turn, until all is sent.
func (s *scene) publish(n int) {
	s.apply(n)
	for s.fan.Flush(sceneBudget) {
	}
}

// apply applies the next n messages.
func (s *scene) apply(n int) {
	s.batch = s.batch[:0]
	for range n {
		m := s.messages[s.next]
		if s.next++; s.next == len(s.messages) {
			s.next = 0
		}
		s.source.head++
		m.Sequence = s.source.head
		m.Accepted = s.clock + int64(len(s.batch)) + 1 // all different, which costs most
		s.batch = append(s.batch, m)
	}
	s.fan.Apply(s.batch)
}

// names returns n channel names.
func names(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = "channel-" + strconv.Itoa(100_000+i)
	}
	return all
}

func TestDeliveryAllocatesNothing(t *testing.T) {
	check := func(name string, s *scene, messages, deliveries int) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			step := func() { s.publish(messages) }
			for range 50 { // memory that is kept from turn to turn grows to its size
				step()
			}
			before := s.fan.Stats().Deliveries
			step()
			if got := s.fan.Stats().Deliveries - before; got != uint64(deliveries) {
				t.Fatalf("%d deliveries, want %d", got, deliveries)
			}
			if n := testing.AllocsPerRun(100, step); n != 0 {
				t.Errorf("%v allocations for %d deliveries", n, deliveries)
			}
		})
	}
	for _, messages := range []int{1, 16} {
		s := newScene(t, 100, "A")
		for range 1000 {
			s.subscribe(false, "A")
		}
		check(fmt.Sprintf("members=1000/messages=%d", messages), s, messages, 1000*messages)

		ten := names(10)
		s = newScene(t, 100, ten...)
		for range 1000 {
			s.subscribe(false, ten...)
		}
		check(fmt.Sprintf("members=1000/channels=10/messages=%d", messages), s, messages, 1000*messages)

		s = newScene(t, 100, "room")
		s.subscribeOwn(1000, "room")
		check(fmt.Sprintf("views=1000/channels=2/messages=%d", messages), s, messages, 1000*messages)
		s = newScene(t, 100, "one", "two")
		s.subscribeOwn(1000, "one", "two")
		check(fmt.Sprintf("views=1000/channels=3/messages=%d", messages), s, messages, 1000*messages)
	}
	many := names(10_000)
	for _, messages := range []int{1, 128, 10_000} {
		s := newScene(t, 100, many...)
		for _, c := range many {
			s.subscribe(false, c)
		}
		check(fmt.Sprintf("channels=10000/messages=%d", messages), s, messages, messages)
	}
}

// channelBytes is what one channel with one subscriber costs beyond the member.
func channelBytes(tb testing.TB, n int) float64 {
	s := newScene(tb, 100, "A")
	all := names(n)
	s.slots = uint32(n)
	for slot := range uint32(n) {
		s.fan.Attach(fanout.Conn{Slot: slot}, uint64(slot)+1)
	}
	one := make([]string, 1)
	before := heap()
	for slot, c := range all {
		one[0] = c
		if _, err := s.fan.Subscribe(uint32(slot), &fanout.Subscription{Channels: one}); err != nil {
			tb.Fatal(err)
		}
	}
	after := heap()
	runtime.KeepAlive(s)
	runtime.KeepAlive(all)
	return float64(after-before) / float64(n)
}

// ownBytes is what one of the channels costs that n members have of their own beside a common one.
func ownBytes(tb testing.TB, n, own int) float64 {
	s := newScene(tb, 100, "A")
	all := names(n * own)
	s.slots = uint32(n)
	for slot := range uint32(n) {
		s.fan.Attach(fanout.Conn{Slot: slot}, uint64(slot)+1)
	}
	set := make([]string, own+1)
	set[0] = "a common one"
	before := heap()
	for slot := range n {
		copy(set[1:], all[slot*own:])
		if _, err := s.fan.Subscribe(uint32(slot), &fanout.Subscription{Channels: set}); err != nil {
			tb.Fatal(err)
		}
	}
	after := heap()
	runtime.KeepAlive(s)
	runtime.KeepAlive(all)
	return float64(after-before) / float64(n*own)
}

// Channels that connections have of their own cost the fan this much each, without the names, which are the
// hub's; the views of the connections are among it.
func TestOwnChannelsAreSmall(t *testing.T) {
	for own, limit := range map[int]float64{1: 340, 5: 140, 20: 105} {
		if got := ownBytes(t, 2000, own); got > limit {
			t.Errorf("%.0f B for each of %d channels of a connection, want at most %.0f", got, own, limit)
		} else {
			t.Logf("%.0f B for each of %d channels of a connection", got, own)
		}
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A channel with one subscriber may cost 500 B beyond its connection, the hub
// included; the fan may use three quarters of that.
func TestChannelIsSmall(t *testing.T) {
	if got := channelBytes(t, 20_000); got > 375 {
		t.Errorf("%.0f B a channel with one subscriber, want at most 375", got)
	} else {
		t.Logf("%.0f B a channel with one subscriber", got)
	}
}
