package fanout_test

import (
	"fmt"
	"testing"

	"peal/loop/fanout"
	"peal/loop/ring"
)

// holdSender reports when it is let.
type holdSender struct {
	nopSender
	highest  uint32 // ticket
	declines bool   // to send at once
	report   fanout.Report
}

func (s *holdSender) Queue(ticket uint32, to fanout.Conn, b []byte) {
	s.highest = max(s.highest, ticket)
	s.nopSender.Queue(ticket, to, b)
}

func (s *holdSender) Flush(report fanout.Report) { s.report = report }

func (s *holdSender) Now(to fanout.Conn, b []byte) (int, bool, error) {
	if s.declines {
		return 0, false, nil
	}
	return len(b), false, nil
}

func (s *holdSender) out() int { return len(s.tickets) }

// land reports the oldest n.
func (s *holdSender) land(n int) {
	for i, ticket := range s.tickets[:n] {
		s.report(ticket, s.lengths[i], false, nil)
	}
	s.tickets = s.tickets[:copy(s.tickets, s.tickets[n:])]
	s.lengths = s.lengths[:copy(s.lengths, s.lengths[n:])]
}

// lateSender reports a turn late.
type lateSender struct {
	holdSender
	due int
}

func (s *lateSender) turn() { s.due = s.out() }

func (s *lateSender) Flush(report fanout.Report) {
	s.report = report
	s.land(s.due)
	s.due = 0
}

func late(s *scene) *lateSender {
	out := &lateSender{}
	s.fan = fanout.New(0, fanout.Limits{}, nopEncoder{}, s.source, out, nopEvents{})
	return out
}

// What flights alone need of history is bounded, whenever they are reported, and
// nobody is forgotten for it.
func TestFlightsAreBoundedInBytes(t *testing.T) {
	const members, bytes, limit = 150, 1 << 20, 64 << 20
	source, out := &nopSource{kept: map[string][]*ring.Message{}}, &holdSender{}
	fan := fanout.New(members, fanout.Limits{StripBytes: 1}, nopEncoder{}, source, out, nopEvents{})
	payload := make([]byte, bytes)
	source.head = members
	for slot := range uint32(members) {
		name := fmt.Sprint("own ", slot)
		source.kept[name] = []*ring.Message{{Sequence: uint64(slot) + 1, Channel: name, Size: bytes, Entry: payload}}
		fan.Attach(fanout.Conn{Slot: slot}, uint64(slot)+1)
		if _, err := fan.Subscribe(slot, &fanout.Subscription{Channels: []string{name}, From: fanout.After}); err != nil {
			t.Fatal(err)
		}
	}
	for rounds := 0; fan.Stats().Deliveries < members; rounds++ {
		if rounds == members {
			t.Fatalf("%d of %d messages were delivered", fan.Stats().Deliveries, members)
		}
		for turns := 0; fan.Flush(sceneBudget); turns++ {
			if turns == members {
				t.Fatal("there is more, but nothing is sent")
			}
		}
		if n := fan.Loose(); n > limit+64*bytes { // of one batch
			t.Fatalf("flights hold %d B, limit %d", n, limit)
		}
		out.land(max(1, out.out()/3))
		if !fan.Pending() {
			t.Fatal("the sender has reported, but nothing is pending")
		}
	}
	out.land(out.out())
	fan.Flush(sceneBudget)
	if n := fan.Loose(); n != 0 || fan.Pending() {
		t.Errorf("all was reported, but %d B are held, pending %v", n, fan.Pending())
	}
}

// Strips that flights need count as waiting: the ring keeps what comes then.
func TestRoomWhileFlightsHoldStrips(t *testing.T) {
	s := newScene(t, 1000, "A")
	out := &holdSender{}
	s.fan = fanout.New(0, fanout.Limits{WaitingBytes: 20_000}, nopEncoder{}, s.source, out, nopEvents{})
	for range 3 {
		s.subscribe(false, "A")
	}
	for range 100 { // each member has one flight, and the others wait for it
		s.apply(1)
		s.fan.Flush(sceneBudget)
		if !s.fan.Room() {
			break
		}
	}
	if s.fan.Room() {
		t.Fatalf("%d B wait, and there is room", s.fan.Stats().Waiting)
	}
	for range 100 {
		if s.fan.Room() {
			break
		}
		out.land(out.out())
		s.fan.Flush(sceneBudget)
	}
	if !s.fan.Room() {
		t.Error("all was reported, and there is no room")
	}
}

// With a sender that always has sends out, too, a delivery allocates nothing, and
// there are no more tickets than sends that are out.
func TestLateDeliveryAllocatesNothing(t *testing.T) {
	const members = 1000
	s := newScene(t, 100, "A")
	out := late(s)
	for range members {
		s.subscribe(false, "A")
	}
	turn := func() {
		s.apply(1)
		for range 2 {
			out.turn()
			s.fan.Flush(sceneBudget)
		}
	}
	for range 100 {
		turn()
	}
	before := s.fan.Stats().Deliveries
	if n := testing.AllocsPerRun(100, turn); n != 0 {
		t.Errorf("%v allocations a turn", n)
	}
	if n := s.fan.Stats().Deliveries - before; n < 90*members || out.out() == 0 {
		t.Errorf("%d deliveries of %d, %d sends are out", n, 100*members, out.out())
	}
	if out.highest > 2*members {
		t.Errorf("ticket %d for %d members", out.highest, members)
	}
}

// An answer that waits behind bytes that are with the sender is not under
// LaneBytes, and what follows it is, alone.
func TestAnswerBehindAFlightIsNotUnderLaneBytes(t *testing.T) {
	s := newScene(t, 100, "A")
	out, events := &holdSender{declines: true}, &slowEvents{}
	s.fan = fanout.New(0, fanout.Limits{LaneBytes: 100}, nopEncoder{}, s.source, out, events)
	slot := s.subscribe(false, "A")
	s.apply(1)
	s.fan.Flush(sceneBudget)
	if out.out() != 1 {
		t.Fatalf("%d sends are out, want one", out.out())
	}
	write := func(write func(uint32, []byte) (bool, error), bytes int) {
		t.Helper()
		if done, err := write(slot, make([]byte, bytes)); done || err != nil {
			t.Fatalf("written at once: %v, %v", done, err)
		}
		s.fan.Flush(sceneBudget)
	}
	write(s.fan.WriteAnswer, 10_000)
	write(s.fan.Write, 90)
	if events.slow != 0 {
		t.Error("given up for its answer")
	}
	write(s.fan.Write, 20)
	if events.slow != 1 {
		t.Error("110 B behind the answer, limit 100, and not given up")
	}
}
