package fanout_test

import (
	"fmt"
	"testing"

	"peal/loop/fanout"
	"peal/loop/ring"
)

// Promises of the limits that the simulation is too small to test.

type slowEvents struct {
	nopEvents
	slow int
}

func (e *slowEvents) Slow(uint32) { e.slow++ }

// stalledMembers returns a fan of so many members, each on the channel that name
// gives, whose sockets take one byte, after a message of bytes+1 on each channel.
func stalledMembers(t *testing.T, members, bytes, limit int, name func(slot uint32) string) (*fanout.Fan, *slowEvents) {
	t.Helper()
	events := &slowEvents{}
	source := &nopSource{}
	fan := fanout.New(0, fanout.Limits{HeldBytes: limit}, nopEncoder{}, source, &halfSender{}, events)
	published := map[string]bool{}
	for slot := range uint32(members) {
		fan.Attach(fanout.Conn{Slot: slot}, uint64(slot)+1)
		if _, err := fan.Subscribe(slot, &fanout.Subscription{Channels: []string{name(slot)}}); err != nil {
			t.Fatal(err)
		}
	}
	for slot := range uint32(members) {
		if n := name(slot); !published[n] {
			published[n] = true
			source.head++
			fan.Apply([]*ring.Message{{Sequence: source.head, Channel: n, Entry: make([]byte, bytes+1)}})
		}
	}
	for fan.Flush(2 * members) {
	}
	return fan, events
}

// When lanes of equals are over their limit, some are given up until an eighth is
// free, and not an eighth for each further byte of the same turn.
func TestHeldBytesGivesUpAnEighth(t *testing.T) {
	const members, bytes, limit = 1000, 100, 100 * 800
	_, events := stalledMembers(t, members, bytes, limit, func(slot uint32) string { return fmt.Sprint("channel ", slot) })
	// 1000 lanes of 100 B are 200 over the limit; 300 lanes free an eighth too.
	if events.slow < 200 || events.slow > 310 {
		t.Errorf("%d of %d members given up, want 200 to 310", events.slow, members)
	}
}

// A message that many sockets have taken in part is held once, and nobody is given
// up for it.
func TestHeldBytesCountsAMessageOnce(t *testing.T) {
	const members, bytes = 1000, 10_000
	fan, events := stalledMembers(t, members, bytes, 20_000, func(uint32) string { return "A" })
	if n := fan.Stats().Held; n != bytes || events.slow != 0 {
		t.Errorf("%d B held, %d members given up, want %d and none", n, events.slow, bytes)
	}
	for slot := range uint32(members) {
		fan.Detach(slot)
	}
	if n := fan.Stats().Held; n != 0 {
		t.Errorf("%d B held for nobody", n)
	}
}

// halfSender's sockets take one byte.
type halfSender struct{ nopSender }

func (s *halfSender) Flush(report fanout.Report) {
	for i := range s.lengths {
		s.lengths[i] = min(s.lengths[i], 1)
	}
	s.nopSender.Flush(report)
}

// A poll whose time is up is answered, also when all that came is barred from it.
func TestExpireAnswersWhenAllIsBarred(t *testing.T) {
	source, out := &nopSource{}, &nopSender{}
	events := &answerEvents{}
	fan := fanout.New(0, fanout.Limits{}, nopEncoder{}, source, out, events)
	fan.Attach(fanout.Conn{}, 7)
	if _, err := fan.Subscribe(0, &fanout.Subscription{Channels: []string{"A"}, Encoding: encPoll, OneShot: true}); err != nil {
		t.Fatal(err)
	}
	source.head++
	fan.Apply([]*ring.Message{{Sequence: 1, Channel: "A", Exclude: &ring.Exclusion{Session: 7}, Size: 1}})
	if !fan.Expire(0) {
		t.Fatal("not a waiting poll")
	}
	for fan.Flush(10) {
	}
	if events.answered != 1 {
		t.Errorf("answered %d times, want once", events.answered)
	}
}

type answerEvents struct {
	nopEvents
	answered int
}

func (e *answerEvents) Answered(uint32, uint64) { e.answered++ }

// A member that is far behind, with a socket that takes all, is sent one strip
// in a turn; then the others and the loop's reading have theirs.
func TestBehindMemberHasOneStripATurn(t *testing.T) {
	s := newScene(t, 1000, "A")
	for i := range 2000 {
		m := &ring.Message{Sequence: uint64(i + 1), Channel: "A", Size: 1000, Entry: make([]byte, 1000)}
		s.source.kept["A"] = append(s.source.kept["A"], m)
		s.fan.Apply([]*ring.Message{m})
	}
	s.source.head = 2000
	s.fan.Attach(fanout.Conn{}, 1)
	if _, err := s.fan.Subscribe(0, &fanout.Subscription{Channels: []string{"A"}, From: fanout.After}); err != nil {
		t.Fatal(err)
	}
	turns := 0
	for before := uint64(0); s.fan.Flush(sceneBudget); before = s.fan.Stats().Bytes {
		turns++
		if got := s.fan.Stats().Bytes - before; got > 64<<10+1000 {
			t.Fatalf("%d bytes in one turn", got)
		}
	}
	if !s.fan.CaughtUp(0) || turns < 2000*1000/(64<<10+1000) {
		t.Errorf("caught up: %v, after %d turns", s.fan.CaughtUp(0), turns)
	}
}

// While a view of polls is too large for a turn and messages keep coming, what
// its pass keeps of them is bounded.
func TestPollIndexIsBounded(t *testing.T) {
	s := newScene(t, 10, "A")
	for slot := range uint32(5000) {
		s.fan.Attach(fanout.Conn{Slot: slot}, 7) // all of them barred, so that they stay
		if _, err := s.fan.Subscribe(slot, &fanout.Subscription{Channels: []string{"A"}, Encoding: encPoll, OneShot: true}); err != nil {
			t.Fatal(err)
		}
	}
	for range 5000 {
		s.source.head++
		s.fan.Apply([]*ring.Message{{Sequence: s.source.head, Channel: "A", Exclude: &ring.Exclusion{Session: 7}, Size: 10}})
		s.fan.Flush(8)
	}
	if n := s.fan.LiveIndex(); n > 1000 {
		t.Errorf("the pass keeps %d messages", n)
	}
}

// joinSource publishes the moment it sees a subscriber.
type joinSource struct{ nopSource }

func (s *joinSource) Join(c string) string { s.head++; return c }

// A publisher that sees a subscriber reaches it: the subscriber is counted after its
// position is known.
func TestPositionIsKnownBeforeTheSubscriberIsCounted(t *testing.T) {
	source := &joinSource{}
	fan := fanout.New(0, fanout.Limits{}, nopEncoder{}, source, &nopSender{}, &slowEvents{})
	fan.Attach(fanout.Conn{}, 1)
	position, err := fan.Subscribe(0, &fanout.Subscription{Channels: []string{"A"}})
	if err != nil {
		t.Fatal(err)
	}
	if position != 0 {
		t.Errorf("position %d: what was published to the subscriber is before it", position)
	}
}
