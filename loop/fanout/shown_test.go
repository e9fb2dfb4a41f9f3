package fanout_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"peal/loop/deflate"
	"peal/loop/fanout"
	"peal/loop/ring"
)

// naming is the entry of a message: those of its further channels that its bytes have.
type naming struct{ shown, hidden []string }

// namingEncoder hides the names of further channels in encodings but the one that has none.
type namingEncoder struct {
	sumEncoder
	encoded map[string]int // by bytes
}

const nameless ring.Encoding = 7

// encodingOf is that of a member: streams that are summed up or not, streams without names, and polls.
func encodingOf(slot int) ring.Encoding {
	if slot >= 10 {
		return encPoll
	}
	return []ring.Encoding{summed, 1, nameless}[slot%3]
}

func (e namingEncoder) Encode(m *ring.Message, k ring.Encoding) []byte {
	shown := slices.Sorted(slices.Values(m.Entry.(*naming).shown))
	b := fmt.Appendf(nil, "[%d %s %s]", m.Sequence, strings.Join(shown, ","), strings.Repeat("x", int(m.Sequence*13%50)))
	e.encoded[fmt.Sprint(k, string(b))]++
	return b
}
func (e namingEncoder) Sum(m *ring.Message, k ring.Encoding) deflate.Sum {
	return deflate.SumOf(e.Encode(m, k))
}
func (e namingEncoder) AppendAnswer(dst []byte, k ring.Encoding, a fanout.Answer) []byte {
	for _, m := range a.Messages {
		dst = append(dst, e.Encode(m, k)...)
	}
	return fmt.Appendf(dst, "<A %d>", a.Sequence)
}
func (namingEncoder) Hidden(m *ring.Message, k ring.Encoding) []string {
	if k == nameless {
		return nil
	}
	return m.Entry.(*naming).hidden
}
func (namingEncoder) Show(m *ring.Message, add []string) *ring.Message {
	n := m.Entry.(*naming)
	other := &naming{shown: slices.Concat(n.shown, add)}
	for _, name := range n.hidden {
		if !slices.Contains(add, name) {
			other.hidden = append(other.hidden, name)
		}
	}
	return m.With(other)
}

// answeredEvents notes which polls were answered, and up to where.
type answeredEvents struct {
	nopEvents
	fan  *fanout.Fan
	upto map[uint32]uint64
}

var answerEnd = regexp.MustCompile(`<A (\d+)>$`)

func (e *answeredEvents) Answered(slot uint32, _ uint64) {
	e.upto[slot], _ = strconv.ParseUint(string(answerEnd.FindSubmatch(e.fan.Response())[1]), 10, 64)
}

// Each member receives a message with the names of those of its hidden channels that the member
// has, and no others: from strips of its view, of bundles, merged ones, from history and in polls,
// whatever the socket takes. Members with the same channels share the bytes.
func TestMembersAreShownTheNamesOfTheirChannels(t *testing.T) {
	for seed := range uint64(150) {
		showNames(t, seed)
	}
}

var namedMessage = regexp.MustCompile(`\[(\d+) ([a-z,]*) x*\]`)

func showNames(t *testing.T, seed uint64) {
	const members = 14
	rnd := rand.New(rand.NewPCG(seed, 5))
	out := &sumSender{rnd: rnd, late: seed%2 == 1, arrived: make([][]byte, members), full: make([]bool, members)}
	source := &nopSource{kept: map[string][]*ring.Message{}}
	enc := namingEncoder{sumEncoder{&simEncoder{map[[2]uint64]int{}}, map[uint64]int{}}, map[string]int{}}
	events := &answeredEvents{upto: map[uint32]uint64{}}
	fan := fanout.New(0, fanout.Limits{StripBytes: 200, LaneBytes: 1 << 20}, enc, source, out, events)
	events.fan = fan
	if seed%3 == 0 {
		fan.ShareUpTo(1)
	}
	var has [members][]string
	subscribe := func(slot uint32, from uint64) {
		k := encodingOf(int(slot))
		s := &fanout.Subscription{Channels: has[slot], Encoding: k, From: fanout.After, Sequence: from, OneShot: k == encPoll}
		if _, err := fan.Subscribe(slot, s); err != nil {
			t.Fatal(err)
		}
	}
	for slot := range uint32(members) {
		fan.Attach(fanout.Conn{Slot: slot, Generation: 1}, uint64(slot)+1)
		has[slot] = [][]string{{"a"}, {"a", "b"}, {"b"}, {"a", "c"}, {"b", "c", "d"}}[rnd.IntN(5)]
		subscribe(slot, 0)
	}
	var all []*ring.Message
	again := func() {
		for slot := range uint32(members) { // in one order
			if upto, ok := events.upto[slot]; ok {
				delete(events.upto, slot)
				subscribe(slot, upto)
			}
		}
	}
	for range 250 {
		switch rnd.IntN(5) {
		case 0, 1:
			var batch []*ring.Message
			for range 1 + rnd.IntN(4) {
				order := rnd.Perm(4)[:1+rnd.IntN(4)]
				m := &ring.Message{Sequence: uint64(len(all) + 1), Channel: string(rune('a' + order[0])), Size: 30}
				for _, c := range order[1:] {
					m.Also = append(m.Also, string(rune('a'+c)))
				}
				open := rnd.IntN(len(m.Also) + 1)
				m.Entry = &naming{shown: m.Also[:open:open], hidden: m.Also[open:]}
				for _, c := range append([]string{m.Channel}, m.Also...) {
					source.kept[c] = append(source.kept[c], m)
				}
				all, batch = append(all, m), append(batch, m)
			}
			source.head = uint64(len(all))
			fan.Apply(batch)
		case 2:
			if out.report != nil {
				out.land(2)
			}
		case 3:
			for slot := range uint32(members) {
				if out.full[slot] && rnd.IntN(2) == 0 {
					out.full[slot] = false
					fan.Writable(slot)
				}
			}
		default:
			fan.Flush(1 + rnd.IntN(20))
			again()
		}
	}
	for range 10_000 {
		fan.Flush(50)
		again()
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
		var got, want []string
		for _, m := range namedMessage.FindAllSubmatch(b, -1) {
			got = append(got, fmt.Sprintf("%s %s", m[1], m[2]))
		}
		for _, m := range all {
			channels := append([]string{m.Channel}, m.Also...)
			if !slices.ContainsFunc(channels, func(c string) bool { return slices.Contains(has[slot], c) }) {
				continue
			}
			n := m.Entry.(*naming)
			shown := slices.Clone(n.shown)
			for _, c := range n.hidden {
				if encodingOf(slot) != nameless && slices.Contains(has[slot], c) {
					shown = append(shown, c)
				}
			}
			slices.Sort(shown)
			want = append(want, fmt.Sprintf("%d %s", m.Sequence, strings.Join(shown, ",")))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d, member %d of %v:\n%v\nwant\n%v", seed, slot, has[slot], got, want)
		}
		if !bytes.HasPrefix(b, []byte("[")) && len(want) > 0 {
			t.Fatalf("seed %d, member %d: %q", seed, slot, b)
		}
		if encodingOf(slot) == summed {
			fan.Unsubscribe(uint32(slot))
			_, _ = fan.WriteEnd(uint32(slot), []byte("<bye>"))
		}
	}
	for range 1000 {
		fan.Flush(50)
		if out.report != nil {
			out.land(1)
		}
		for slot := range uint32(members) {
			if out.full[slot] {
				out.full[slot] = false
				fan.Writable(slot)
			}
		}
		if len(out.queued) == 0 && !fan.Pending() {
			break
		}
	}
	for slot, b := range out.arrived {
		if encodingOf(slot) != summed {
			continue
		}
		content, end := b[:len(b)-8], b[len(b)-8:]
		if want := (sumEncoder{}).AppendEnd(nil, deflate.SumOf(content)); !bytes.Equal(end, want) {
			t.Fatalf("seed %d, member %d ends with % x, want % x", seed, slot, end, want)
		}
	}
}

// A message is encoded once for all views whose subscribers have the same of its hidden channels,
// and not once for each view.
func TestViewsWithTheSameNamesShareBytes(t *testing.T) {
	enc := namingEncoder{sumEncoder{&simEncoder{map[[2]uint64]int{}}, map[uint64]int{}}, map[string]int{}}
	source := &nopSource{kept: map[string][]*ring.Message{}}
	fan := fanout.New(0, fanout.Limits{}, enc, source, &buffers{}, nopEvents{})
	fan.ShareUpTo(1)
	for slot := range uint32(300) {
		fan.Attach(fanout.Conn{Slot: slot, Generation: 1}, uint64(slot)+1)
		channels := [][]string{{"first"}, {"first", "secret"}, {"other", "secret"}}[slot%3]
		channels = append(slices.Clone(channels), fmt.Sprintf("zz%d", slot))
		if _, err := fan.Subscribe(slot, &fanout.Subscription{Channels: channels, Encoding: 1, From: fanout.Now}); err != nil {
			t.Fatal(err)
		}
	}
	m := &ring.Message{Sequence: 1, Channel: "first", Also: []string{"secret"}, Size: 30, Entry: &naming{hidden: []string{"secret"}}}
	source.head = 1
	fan.Apply([]*ring.Message{m})
	for fan.Flush(50) {
	}
	if got := fan.Stats(); got.Deliveries != 300 || got.Encodings != 2 {
		t.Errorf("%d deliveries of %d encodings, want 300 of 2", got.Deliveries, got.Encodings)
	}
}
