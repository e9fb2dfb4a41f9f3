package fanout_test

import (
	"fmt"
	"runtime"
	"strconv"
	"testing"

	"peal/loop/fanout"
)

// Connections that have one channel in common and one each of their own: what a
// message on the common one costs, in memory and in the waiting of others.

// subscribeOwn adds n members of the channels common and one more of their own.
func (s *scene) subscribeOwn(n int, common ...string) {
	for i := range n {
		s.subscribe(false, append([]string{"own-" + strconv.Itoa(100_000+i)}, common...)...)
	}
}

// What waits is kept once for a channel, and not once for each set of channels
// that contains it.
func TestWaitingMessagesAreSharedByViews(t *testing.T) {
	const messages, bytes = 200, 400
	s := newScene(t, bytes, "room")
	s.subscribeOwn(1000, "room")
	s.publish(1)
	before := heap()
	s.apply(messages)
	held := int(heap() - before)
	if limit := 4 * messages * bytes; held > limit {
		t.Errorf("%d B are held for %d messages of %d B to 1000 views, want at most %d", held, messages, bytes, limit)
	}
	if got := s.fan.Stats().Waiting; got < messages*bytes || got > 4*messages*bytes {
		t.Errorf("%d B are counted as waiting", got)
	}
	deliveries := s.fan.Stats().Deliveries
	for s.fan.Flush(sceneBudget) {
	}
	if got := s.fan.Stats().Deliveries - deliveries; got != 1000*messages {
		t.Errorf("%d deliveries, want %d", got, 1000*messages)
	}
	if got := s.fan.Stats().Waiting; got != 0 {
		t.Errorf("%d B are counted as waiting when all was sent", got)
	}
	runtime.KeepAlive(s)
}

// What has to be merged for single views is merged when they are visited, little
// at a time.
func TestMergedBytesAreBounded(t *testing.T) {
	const views, messages, bytes = 1000, 200, 400
	var channels []string // each view has a message of its own, or the merge of one would serve all
	for i := range views {
		channels = append(channels, "own-"+strconv.Itoa(100_000+i))
	}
	for range messages / 2 {
		channels = append(channels, "one", "two")
	}
	s := newScene(t, bytes, channels...)
	out := &buffers{}
	s.fan = fanout.New(0, fanout.Limits{}, nopEncoder{}, s.source, out, nopEvents{})
	s.subscribeOwn(views, "one", "two")
	s.apply(len(channels))
	for s.fan.Flush(sceneBudget) {
	}
	if got := s.fan.Stats().Deliveries; got != views*(messages+1) {
		t.Fatalf("%d deliveries, want %d", got, views*(messages+1))
	}
	if limit := 1<<20 + 128<<10; out.most > limit {
		t.Errorf("%d B of merged strips were with the sender at a time, want at most %d", out.most, limit)
	}
}

// buffers notes how many bytes of different memory its sender was given at a time.
type buffers struct {
	nopSender
	seen map[*byte]bool
	now  int
	most int
}

func (s *buffers) Queue(ticket uint32, to fanout.Conn, b []byte) {
	if s.seen == nil {
		s.seen = map[*byte]bool{}
	}
	if !s.seen[&b[0]] {
		s.seen[&b[0]] = true
		s.now += len(b)
	}
	s.most = max(s.most, s.now)
	s.nopSender.Queue(ticket, to, b)
}

func (s *buffers) Flush(report fanout.Report) {
	clear(s.seen)
	s.now = 0
	s.nopSender.Flush(report)
}

// A channel that thousands of views contain has one turn among the channels: the
// subscriber of another one does not wait for all of them.
func TestTurnsAreFairByChannel(t *testing.T) {
	for _, unrelated := range [][]string{{"quiet"}, {"quiet", "still"}} {
		s := newScene(t, 100, "room", "quiet")
		out := &order{}
		s.fan = fanout.New(0, fanout.Limits{}, nopEncoder{}, s.source, out, nopEvents{})
		for range 1000 {
			s.subscribe(false, "large", "room") // one view, of more members than are visited at once
		}
		s.subscribeOwn(5000, "room")
		slot := s.subscribe(false, unrelated...)
		s.apply(2)
		s.fan.Flush(sceneBudget)
		before := -1
		for i, to := range out.slots {
			if to == slot {
				before = i
			}
		}
		if limit := 3 * 64; before < 0 || before > limit {
			t.Errorf("%v: the subscriber was sent to after %d sends of the turn (-1: not in it), want at most %d", unrelated, before, limit)
		}
	}
}

// order notes who was sent to.
type order struct {
	nopSender
	slots []uint32
}

func (s *order) Queue(ticket uint32, to fanout.Conn, b []byte) {
	s.slots = append(s.slots, to.Slot)
	s.nopSender.Queue(ticket, to, b)
}

// The work of Apply grows with the views that a batch touches, not with views
// times messages.
func TestApplyCountsItsWork(t *testing.T) {
	const views, messages = 10_000, 200
	s := newScene(t, 100, "room")
	s.subscribeOwn(views, "room")
	before := s.fan.Work()
	s.apply(messages)
	if got := s.fan.Work() - before; got < 40 || got > 100 {
		t.Errorf("%d messages to %d views of a channel were %d units of work, want 40 to 100", messages, views, got)
	}
}

func TestRoomWhileMuchWaits(t *testing.T) {
	s := newScene(t, 1000, "room")
	s.fan = fanout.New(0, fanout.Limits{WaitingBytes: 100_000}, nopEncoder{}, s.source, &nopSender{}, nopEvents{})
	s.subscribeOwn(10, "room")
	n := 0
	for ; s.fan.Room(); n++ {
		s.apply(1)
	}
	if n < 20 || n > 100 {
		t.Errorf("no room after %d messages of 1000 B, want 20 to 100 with a limit of 100,000", n)
	}
	for s.fan.Flush(sceneBudget) {
	}
	if !s.fan.Room() {
		t.Errorf("no room when all was sent: %d B", s.fan.Stats().Waiting)
	}
}

// A view that grows beyond what shares gets strips of its own, and shares again
// when few are left. Nobody loses or repeats anything by it.
func TestViewsSharingComesAndGoes(t *testing.T) {
	s := newScene(t, 100, "A")
	s.fan.ShareUpTo(64)
	s.subscribe(false, "A", "B")
	s.subscribe(false, "A", "C")
	s.publish(3) // the first view has met another
	slot := s.subscribe(false, "A", "C")
	want := func(shares bool) {
		t.Helper()
		if got := s.fan.Shares(slot); got != shares {
			t.Fatalf("shares: %v, want %v", got, shares)
		}
	}
	want(true)
	before := s.fan.Stats().Deliveries
	s.apply(5)
	var more []uint32
	for range 100 {
		more = append(more, s.subscribe(false, "A", "C"))
	}
	want(false)
	s.publish(5)
	if got := s.fan.Stats().Deliveries - before; got != 3*10+100*5 {
		t.Errorf("%d deliveries, want %d", got, 3*10+100*5)
	}
	for _, m := range more {
		s.fan.Detach(m)
	}
	want(true)
	before = s.fan.Stats().Deliveries
	s.publish(5)
	if got := s.fan.Stats().Deliveries - before; got != 3*5 {
		t.Errorf("%d deliveries, want %d", got, 3*5)
	}
}

// BenchmarkSets is publish, Apply and Flush for a channel that all members have,
// each with a set of channels of its own, or all with the same.
func BenchmarkSets(b *testing.B) {
	for _, equal := range []bool{false, true} {
		for _, common := range []int{1, 2} {
			for _, messages := range []int{1, 16} {
				b.Run(fmt.Sprintf("equal=%v/common=%d/messages=%d/subs=5000", equal, common, messages), func(b *testing.B) {
					set := names(common)
					s := newScene(b, 400, set...)
					if equal {
						for range 5000 {
							s.subscribe(false, append([]string{"a"}, set...)...)
						}
					} else {
						s.subscribeOwn(5000, set...)
					}
					s.publish(messages)
					before := s.fan.Stats().Deliveries
					b.ReportAllocs()
					b.ResetTimer()
					for range b.N {
						s.publish(messages)
					}
					reportDeliveries(b, s, before)
				})
			}
		}
	}
}
