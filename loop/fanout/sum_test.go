package fanout_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"peal/loop/deflate"
	"peal/loop/fanout"
	"peal/loop/ring"
)

const summed ring.Encoding = 9

// sumEncoder ends streams in one encoding with the sum of what they have carried, which
// is the bytes themselves.
type sumEncoder struct {
	*simEncoder
	asked map[uint64]int // sums of messages
}

func (sumEncoder) Encode(m *ring.Message, _ ring.Encoding) []byte { return m.Entry.([]byte) }
func (sumEncoder) AppendGap(dst []byte, _ ring.Encoding, g ring.Gap) []byte {
	return fmt.Appendf(dst, "<gap to %d>", g.To)
}
func (sumEncoder) Sums(k ring.Encoding) bool { return k == summed }
func (e sumEncoder) Sum(m *ring.Message, _ ring.Encoding) deflate.Sum {
	e.asked[m.Sequence]++
	return deflate.SumOf(m.Entry.([]byte))
}
func (sumEncoder) SumOf(b []byte) deflate.Sum { return deflate.SumOf(b) }
func (sumEncoder) AppendEnd(dst []byte, s deflate.Sum) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(s.CRC)<<32|uint64(s.Length))
}

// gapSource tells of a gap once in a while.
type gapSource struct {
	nopSource
	discarded uint64
}

func (h *gapSource) Read(dst []*ring.Message, c string, after, upto uint64, count, bytes int) ([]*ring.Message, uint64, bool) {
	msgs, _, more := h.nopSource.Read(dst, c, max(after, h.discarded), upto, count, bytes)
	return msgs, h.discarded, more
}

// sumSender accepts and reports what and when it likes.
type sumSender struct {
	rnd     *rand.Rand
	late    bool
	arrived [][]byte
	full    []bool
	queued  []send
	report  fanout.Report
}

func (s *sumSender) accept(to fanout.Conn, b []byte) (n int, full bool) {
	n = len(b)
	switch s.rnd.IntN(6) {
	case 0:
		n = s.rnd.IntN(len(b) + 1)
		full = true
	case 1:
		full = true // all of it, and no more
	}
	s.arrived[to.Slot] = append(s.arrived[to.Slot], b[:n]...)
	s.full[to.Slot] = full
	return n, full
}

func (s *sumSender) Queue(ticket uint32, to fanout.Conn, b []byte) {
	s.queued = append(s.queued, send{ticket: ticket, to: to, b: b})
}

func (s *sumSender) Flush(report fanout.Report) {
	s.report = report
	if !s.late {
		s.land(1)
	}
}

// land reports some of what is out, each with a probability of one in odds.
func (s *sumSender) land(odds int) {
	rest := s.queued[:0]
	for _, q := range s.queued {
		if s.rnd.IntN(odds) > 0 {
			rest = append(rest, q)
			continue
		}
		n, full := s.accept(q.to, q.b)
		s.report(q.ticket, n, full, nil)
	}
	s.queued = rest
}

func (s *sumSender) Now(to fanout.Conn, b []byte) (int, bool, error) {
	if s.late {
		return 0, false, nil
	}
	n, full := s.accept(to, b)
	return n, full, nil
}

// Whatever becomes of the sends, each stream ends with the sum of what its client has
// received: messages from strips of its view, of bundles and from history, gaps, what was
// written to it alone, and messages that were half-sent when it ended.
func TestStreamsEndWithTheirSum(t *testing.T) {
	for seed := range uint64(400) {
		endWithSum(t, seed)
	}
}

func endWithSum(t *testing.T, seed uint64) {
	const members = 12
	rnd := rand.New(rand.NewPCG(seed, 3))
	out := &sumSender{rnd: rnd, late: seed%2 == 1, arrived: make([][]byte, members), full: make([]bool, members)}
	source := &gapSource{nopSource: nopSource{kept: map[string][]*ring.Message{}}}
	enc := sumEncoder{asked: map[uint64]int{}}
	begin := func(applied uint64) *fanout.Fan {
		return fanout.New(applied, fanout.Limits{StripBytes: 200, LaneBytes: 1 << 20}, enc, source, out, nopEvents{})
	}
	fan := begin(0)
	var want [members]strings.Builder // what was written to it alone
	ended := [members]bool{}
	summedUp := [members]bool{}
	for slot := range uint32(members) {
		fan.Attach(fanout.Conn{Slot: slot, Generation: 1}, uint64(slot)+1)
		k := summed
		if slot%4 == 3 {
			k = 1
		}
		summedUp[slot] = k == summed
		channels := [][]string{{"a"}, {"a", "b"}, {"b"}, {"a", "c"}}[rnd.IntN(4)]
		if _, err := fan.Subscribe(slot, &fanout.Subscription{Channels: channels, Encoding: k, From: fanout.After}); err != nil {
			t.Fatal(err)
		}
		opening := fmt.Sprintf("<open %d>", slot)
		_, _ = fan.WriteAnswer(slot, []byte("HEAD"+opening))
		fan.AddSum(slot, []byte(opening))
	}
	finish := func(slot uint32) {
		if ended[slot] {
			return
		}
		ended[slot] = true
		fan.Unsubscribe(slot)
		_, _ = fan.WriteEnd(slot, []byte("<bye>"))
		want[slot].WriteString("<bye>")
	}
	sequence := uint64(0)
	step := func() {
		switch rnd.IntN(7) {
		case 0, 1:
			var batch []*ring.Message
			for range 1 + rnd.IntN(4) {
				sequence++
				m := &ring.Message{Sequence: sequence, Channel: string(rune('a' + rnd.IntN(3))), Size: 30, Entry: fmt.Appendf(nil, "[%d %s]", sequence, strings.Repeat("x", rnd.IntN(60)))}
				source.kept[m.Channel] = append(source.kept[m.Channel], m)
				batch = append(batch, m)
			}
			source.head = sequence
			fan.Apply(batch)
			if rnd.IntN(10) == 0 && sequence > 5 {
				source.discarded = sequence - 5
			}
		case 2:
			slot := uint32(rnd.IntN(members))
			if !ended[slot] {
				text := fmt.Sprintf("<for %d alone>", slot)
				_, _ = fan.Write(slot, []byte(text))
				want[slot].WriteString(text)
			}
		case 3:
			if out.report != nil {
				out.land(2)
			}
		case 4:
			for slot := range uint32(members) {
				if out.full[slot] && rnd.IntN(2) == 0 {
					out.full[slot] = false
					fan.Writable(slot)
				}
			}
		case 5:
			if rnd.IntN(8) == 0 {
				finish(uint32(rnd.IntN(members)))
			}
		default:
			fan.Flush(1 + rnd.IntN(20))
		}
	}
	for i := range 300 {
		step()
		if seed%3 == 0 && i%100 == 99 { // the members go on in another process
			for !fan.Settled() {
				fan.Flush(50)
				if out.report != nil {
					out.land(1)
				}
			}
			next := begin(fan.Applied())
			for slot := range uint32(members) {
				next.Attach(fanout.Conn{Slot: slot, Generation: 1}, uint64(slot)+1)
			}
			takeOver(t, fan, next, members)
			fan = next
		}
	}
	for slot := range uint32(members) {
		finish(slot)
	}
	for range 10_000 {
		fan.Flush(50)
		if out.report != nil {
			out.land(1)
		}
		quiet := len(out.queued) == 0 && !fan.Pending()
		for slot := range uint32(members) {
			if out.full[slot] {
				out.full[slot], quiet = false, false
				fan.Writable(slot)
			}
		}
		if quiet {
			break
		}
	}
	for slot, b := range out.arrived {
		b = bytes.TrimPrefix(b, []byte("HEAD"))
		if !summedUp[slot] {
			if !bytes.HasSuffix(b, []byte("<bye>")) {
				t.Fatalf("seed %d, member %d without sums ends with %.80q", seed, slot, b[max(0, len(b)-80):])
			}
			continue
		}
		if len(b) < 8 {
			t.Fatalf("seed %d, member %d received %q", seed, slot, b)
		}
		content, end := b[:len(b)-8], b[len(b)-8:]
		if want := (sumEncoder{}).AppendEnd(nil, deflate.SumOf(content)); !bytes.Equal(end, want) {
			t.Fatalf("seed %d, member %d ends with % x, want % x, after %d bytes: %.400q", seed, slot, end, want, len(content), content)
		}
		alone := 0
		for part := range bytes.SplitSeq(content, []byte("<for ")) {
			_ = part
			alone++
		}
		if want := strings.Count(want[slot].String(), "<for ") + 1; alone != want {
			t.Fatalf("seed %d, member %d: %d private items, want %d", seed, slot, alone-1, want-1)
		}
	}
	for q, n := range enc.asked {
		if n > 2 { // a later sequence may take its place
			t.Fatalf("seed %d: message %d was summed up %d times", seed, q, n)
		}
	}
}

// changingEncoder encodes a message to other bytes after a change, as one that compresses
// by rules does.
type changingEncoder struct {
	*simEncoder
	changed bool
}

func (e *changingEncoder) Encode(m *ring.Message, _ ring.Encoding) []byte {
	if e.changed {
		return append([]byte("something else and longer"), m.Entry.([]byte)...)
	}
	return m.Entry.([]byte)
}

// halfwaySender takes half of what it is given, when it is let, and then all.
type halfwaySender struct {
	queued []send
	report fanout.Report
	sent   []byte
	whole  bool
}

func (s *halfwaySender) Queue(ticket uint32, to fanout.Conn, b []byte) {
	s.queued = append(s.queued, send{ticket: ticket, to: to, b: b})
}
func (s *halfwaySender) Flush(report fanout.Report)                 { s.report = report }
func (s *halfwaySender) Now(fanout.Conn, []byte) (int, bool, error) { return 0, false, nil }
func (s *halfwaySender) land() {
	for _, q := range s.queued {
		n := len(q.b)
		if q.to.Slot == 0 && !s.whole {
			n /= 2
		}
		if q.to.Slot == 0 {
			s.sent = append(s.sent, q.b[:n]...)
		}
		s.report(q.ticket, n, n < len(q.b), nil)
	}
	s.queued, s.whole = nil, true
}

// The rest of a half-sent message is the rest of what was sent, though the message was
// dropped from the cache and would be encoded to something else now.
func TestTheRestOfAMessageThatIsEncodedToSomethingElse(t *testing.T) {
	enc, out, source := &changingEncoder{}, &halfwaySender{}, &nopSource{kept: map[string][]*ring.Message{}}
	fan := fanout.New(0, fanout.Limits{}, enc, source, out, nopEvents{})
	fan.LimitEncodings(func() int { return 0 })
	for slot, channel := range []string{"a", "b"} {
		fan.Attach(fanout.Conn{Slot: uint32(slot)}, uint64(slot)+1)
		if _, err := fan.Subscribe(uint32(slot), &fanout.Subscription{Channels: []string{channel}}); err != nil {
			t.Fatal(err)
		}
	}
	big := func(sequence uint64, channel string) *ring.Message {
		return &ring.Message{Sequence: sequence, Channel: channel, Size: ring.CacheFloor, Entry: bytes.Repeat([]byte(channel+"bcdefg"), ring.CacheFloor/7)}
	}
	first := big(1, "a")
	fan.Apply([]*ring.Message{first})
	fan.Flush(10)
	enc.changed = true
	fan.Apply([]*ring.Message{big(2, "b")})
	fan.Flush(10)
	if _, kept := first.Kept(0); kept {
		t.Fatal("the first message is still encoded")
	}
	out.land()
	fan.Flush(10)
	fan.Writable(0)
	fan.Flush(10)
	out.land()
	if !bytes.Equal(out.sent, first.Entry.([]byte)) {
		t.Errorf("%d bytes were sent, want the %d of the message", len(out.sent), len(first.Entry.([]byte)))
	}
}

// sumNothing is an encoder of which every stream has a sum.
type sumNothing struct{ nopEncoder }

func (sumNothing) Sums(ring.Encoding) bool { return true }
func (sumNothing) Sum(m *ring.Message, _ ring.Encoding) deflate.Sum {
	return deflate.SumOf(m.Entry.([]byte))
}
func (sumNothing) SumOf(b []byte) deflate.Sum                 { return deflate.SumOf(b) }
func (sumNothing) AppendEnd(dst []byte, _ deflate.Sum) []byte { return dst }

// summedScene has members of two sets of channels, all with sums.
func summedScene(tb testing.TB, members int) *scene {
	s := newScene(tb, 200, "A", "B")
	s.fan = fanout.New(0, fanout.Limits{}, sumNothing{}, s.source, &nopSender{}, nopEvents{})
	for i := range members {
		s.subscribe(false, [][]string{{"A"}, {"A", "B"}}[i%2]...)
	}
	return s
}

func TestSummedDeliveryAllocatesNothing(t *testing.T) {
	s := summedScene(t, 100)
	step := func() { s.publish(3) }
	for range 50 {
		step()
	}
	if n := testing.AllocsPerRun(100, step); n != 0 {
		t.Errorf("%.1f allocations", n)
	}
}

// The cost of sums beside BenchmarkFlush.
func BenchmarkFlushSummed(b *testing.B) {
	for _, summed := range []bool{false, true} {
		b.Run(fmt.Sprintf("summed=%v", summed), func(b *testing.B) {
			s := summedScene(b, 1000)
			if !summed {
				s.fan = fanout.New(0, fanout.Limits{}, nopEncoder{}, s.source, &nopSender{}, nopEvents{})
				s.slots = 0
				for i := range 1000 {
					s.subscribe(false, [][]string{{"A"}, {"A", "B"}}[i%2]...)
				}
			}
			before := s.fan.Stats().Deliveries
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				s.publish(1)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(s.fan.Stats().Deliveries-before), "ns/delivery")
		})
	}
}
