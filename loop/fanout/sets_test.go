package fanout_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"peal/loop/fanout"
	"peal/loop/ring"
)

// What several channels have is merged once for all views in which the same channels have
// something, whatever their other channels are.
func TestMergeIsSharedByViews(t *testing.T) {
	for _, own := range []int{1, 20, 100} { // of more than 64 channels it is not known which have something
		s := newScene(t, 400, "one", "two")
		out := &order{}
		buffers := map[*byte]int{}
		s.fan = fanout.New(0, fanout.Limits{}, nopEncoder{}, s.source, &counting{out, buffers}, nopEvents{})
		for i := range 100 {
			set := []string{"one", "two"}
			for k := range own {
				set = append(set, fmt.Sprintf("own-%d-%d", i, k))
			}
			slices.Sort(set)
			s.subscribe(false, set...)
		}
		s.publish(2)
		clear(buffers)
		s.apply(50)
		s.fan.Flush(sceneBudget)
		if len(buffers) != 1 || len(out.slots) != 200 {
			t.Errorf("%d own channels: %d sends of %d different strips, want 200 of 1", own, len(out.slots), len(buffers))
		}
		if got := s.fan.Stats().Deliveries; got != 100*52 {
			t.Errorf("%d own channels: %d deliveries, want %d", own, got, 100*52)
		}
	}
}

// counting notes how often each piece of memory was sent.
type counting struct {
	*order
	buffers map[*byte]int
}

func (s *counting) Queue(ticket uint32, to fanout.Conn, b []byte) {
	s.buffers[&b[0]]++
	s.order.Queue(ticket, to, b)
}

// twin is a fan with clients that write down what they receive.
type twin struct {
	fan     *fanout.Fan
	late    bool // reports come a Flush late
	clients []*twinClient
	queued  []sending
	out     []sending
}

type twinClient struct {
	got  []byte
	room int // bytes that its socket takes
	gone bool
}

type sending struct {
	ticket uint32
	slot   uint32
	b      []byte
}

func (w *twin) Queue(ticket uint32, to fanout.Conn, b []byte) {
	w.queued = append(w.queued, sending{ticket, to.Slot, b})
}

func (w *twin) Flush(report fanout.Report) {
	if !w.late {
		w.out, w.queued = w.queued, w.out[:0]
	}
	for _, q := range w.out {
		c := w.clients[q.slot]
		n := min(len(q.b), c.room)
		c.got, c.room = append(c.got, q.b[:n]...), c.room-n
		report(q.ticket, n, n < len(q.b), nil)
	}
	if w.out = w.out[:0]; w.late {
		w.out, w.queued = w.queued, w.out
	}
}

func (*twin) Now(fanout.Conn, []byte) (int, bool, error) { return 0, false, nil }

// open gives a socket room.
func (w *twin) open(slot uint32, room int) {
	w.clients[slot].room = room
	w.fan.Writable(slot)
}

// settle gives all sockets room and flushes until everybody has everything.
func (w *twin) settle() {
	for slot, c := range w.clients {
		if !c.gone {
			w.open(uint32(slot), 1<<40)
		}
	}
	for w.fan.Flush(1000) || len(w.out)+len(w.queued) > 0 {
	}
}

// pairEncoder has a different form of each message for each encoding.
type pairEncoder struct{ *simEncoder }

func (pairEncoder) Encode(m *ring.Message, k ring.Encoding) []byte {
	return fmt.Appendf(nil, "%d%s", k, text(m))
}

// The plain way is strips for each view alone, of messages that are encoded for it. Members
// receive the same bytes from strips that views share, however channels, sockets and
// turns come together.
func TestSharedStripsAgainstStripsOfEachView(t *testing.T) {
	seeds := uint64(60)
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		rnd := rand.New(rand.NewPCG(seed, 18))
		hist := &simHistory{keep: map[string]int{}, kept: map[string][]*ring.Message{}, discarded: map[string]uint64{}, joined: map[string]int{}}
		shared := []string{"A", "B", "C", "D"}[:1+rnd.IntN(4)]
		own := 1 + rnd.IntN(3)
		if seed%6 == 0 {
			own = 70
		}
		quantum := 1 + rnd.IntN(64)
		limits := fanout.Limits{StripBytes: 100 + rnd.IntN(1000)}
		var twins [2]*twin
		for i := range twins {
			w := &twin{late: seed%3 == 1}
			w.fan = fanout.New(0, limits, pairEncoder{&simEncoder{encodes: map[[2]uint64]int{}}}, hist, w, nopEvents{})
			w.fan.VisitUpTo(quantum)
			if i == 1 {
				w.fan.ShareUpTo(0)
			}
			twins[i] = w
		}
		var sets [][]string
		var waiting []*ring.Message
		settle := func() {
			for _, w := range twins {
				w.fan.Apply(waiting)
				w.settle()
			}
			waiting = waiting[:0]
		}
		join := func() {
			slot := uint32(len(sets))
			set := slices.Clone(shared)
			rnd.Shuffle(len(set), func(i, j int) { set[i], set[j] = set[j], set[i] })
			set = set[:1+rnd.IntN(len(set))]
			if rnd.IntN(8) > 0 { // else one of its many equals
				for k := range own {
					set = append(set, fmt.Sprintf("%d-%d", slot, k))
				}
			}
			slices.Sort(set)
			for _, c := range set {
				hist.keep[c] = 1 << 30
			}
			sets = append(sets, set)
			sub := fanout.Subscription{Channels: set, Encoding: ring.Encoding(rnd.IntN(2)), From: fanout.After, Sequence: hist.head - min(hist.head, uint64(rnd.IntN(20)))}
			for _, w := range twins {
				w.clients = append(w.clients, &twinClient{room: 1 << 40})
				w.fan.Attach(fanout.Conn{Slot: slot}, uint64(slot)+1)
				if _, err := w.fan.Subscribe(slot, &sub); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range 10 + rnd.IntN(30) {
			join()
		}
		for range 300 {
			slot := uint32(rnd.IntN(len(sets)))
			gone := twins[0].clients[slot].gone
			switch rnd.IntN(12) {
			case 0, 1, 2: // mostly on the shared channels
				for range 1 + rnd.IntN(8) {
					m := &ring.Message{Sequence: hist.head + 1, Channel: shared[rnd.IntN(len(shared))], Size: 40}
					if rnd.IntN(6) == 0 {
						m.Channel = sets[slot][rnd.IntN(len(sets[slot]))]
					}
					if c := sets[slot][rnd.IntN(len(sets[slot]))]; rnd.IntN(6) == 0 && c != m.Channel {
						m.Also = []string{c}
					}
					if rnd.IntN(6) == 0 {
						m.Exclude = &ring.Exclusion{Session: uint64(slot) + 1}
					}
					hist.append(m)
					waiting = append(waiting, m)
				}
			case 3, 4:
				n := rnd.IntN(len(waiting) + 1)
				for _, w := range twins {
					w.fan.Apply(waiting[:n])
				}
				waiting = waiting[n:]
			case 5, 6, 7:
				n := 1 + rnd.IntN(60)
				for _, w := range twins {
					w.fan.Flush(n)
				}
			case 8:
				room := rnd.IntN(400)
				for _, w := range twins {
					if !gone {
						w.open(slot, room)
					}
				}
			case 9:
				join()
			case 10:
				if !gone && rnd.IntN(4) == 0 {
					for _, w := range twins {
						w.settle() // or it would be chance what has come until then
						w.fan.Detach(slot)
						w.clients[slot].gone = true
					}
				}
			case 11: // what has come until then must not be chance
				if gone || rnd.IntN(4) > 0 {
					continue
				}
				settle()
				c := shared[rnd.IntN(len(shared))]
				has := slices.Contains(sets[slot], c)
				sub := fanout.Subscription{Channels: []string{c}, From: fanout.After, Sequence: hist.head - min(hist.head, 5)}
				switch {
				case !has:
					sets[slot] = append(sets[slot], c)
				case len(sets[slot]) > 1:
					sets[slot] = slices.DeleteFunc(sets[slot], func(name string) bool { return name == c })
				default:
					continue
				}
				for _, w := range twins {
					if has {
						w.fan.Drop(slot, sub.Channels)
					} else {
						w.fan.Add(slot, &sub)
					}
				}
			}
		}
		settle()
		for slot, c := range twins[0].clients {
			if got, want := string(c.got), string(twins[1].clients[slot].got); got != want {
				i := 0
				for i < min(len(got), len(want)) && got[i] == want[i] {
					i++
				}
				from := max(0, strings.LastIndex(got[:i], "<")-20)
				t.Fatalf("seed %d: client %d of %s receives from byte %d on\n%.200s\nbut from strips of its view alone\n%.200s", seed, slot, shortened(sets[slot]), from, got[from:], want[from:])
			}
		}
		for _, w := range twins {
			if n := w.fan.Passes(); n > 0 {
				t.Fatalf("seed %d: %d passes are left", seed, n)
			}
		}
	}
}

// shortened is a set of channels for a message.
func shortened(set []string) string {
	if len(set) > 6 {
		return fmt.Sprintf("%d channels, the last %v", len(set), set[len(set)-4:])
	}
	return fmt.Sprint(set)
}
