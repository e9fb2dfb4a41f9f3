package hub_test

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"peal/loop/ring"
	"peal/server/hub"
	"peal/server/log"
	"peal/server/rules"
)

// handing is one hand-over between two hubs, as engines and a server make it.
type handing struct {
	t         testing.TB
	old, next *hub.Hub
	changes   *hub.Handing
	parts     int
	largest   int // bytes of a part
	have      uint64
	again     bool // the entries come from files: all of them
	all       []*log.Entry
}

func handOver(t testing.TB, old, next *hub.Hub) *handing {
	return &handing{t: t, old: old, next: next, changes: old.HandOver()}
}

// step brings what there is up to head; the first one begins.
func (h *handing) step(head uint64) {
	h.t.Helper()
	if h.parts == 0 {
		h.next.Succeed(1, head)
	}
	err := h.changes.Changes(func(p *hub.Part) error {
		var b bytes.Buffer
		if err := gob.NewEncoder(&b).Encode(p); err != nil {
			return err
		}
		h.parts++
		h.largest = max(h.largest, b.Len())
		var got hub.Part
		if err := gob.NewDecoder(&b).Decode(&got); err != nil {
			return err
		}
		return h.next.Import(&got)
	})
	if err != nil {
		h.t.Fatal(err)
	}
	if h.again {
		var some []*log.Entry
		for _, e := range h.all {
			if e.Sequence > h.have && e.Sequence <= head {
				some = append(some, e)
			}
		}
		h.next.Restore(clones(some))
	} else if err := h.old.EachRetained(h.have, head, func(batch []*log.Entry) error {
		got, err := log.Pack(batch).Unpack()
		h.next.Restore(got)
		return err
	}); err != nil {
		h.t.Fatal(err)
	}
	h.have = head
}

// clones are the entries as another process has them.
func clones(entries []*log.Entry) []*log.Entry {
	got, err := log.Pack(entries).Unpack()
	if err != nil {
		panic(err)
	}
	return got
}

// twins are a hub and the one that goes on for it.
type twins struct {
	t       *testing.T
	random  *rand.Rand
	clock   *clock
	config  hub.Config
	names   []string
	old     *hub.Hub
	next    *hub.Hub // nil before the hand-over
	head    uint64
	all     []*log.Entry
	joined  []string
	matches func(string) bool
}

func newTwins(t *testing.T, seed uint64) *twins {
	w := &twins{t: t, random: rand.New(rand.NewPCG(seed, 17)), clock: newClock()}
	for i := range 4 + w.random.IntN(60) {
		w.names = append(w.names, fmt.Sprint("channel-", i))
	}
	limits := func() rules.Rule {
		return rules.Rule{HistoryMessages: 1 + w.random.IntN(12), HistoryBytes: log.EntryOverhead * (2 + w.random.IntN(10)), HistoryAge: time.Duration(1+w.random.IntN(2000)) * time.Millisecond}
	}
	odd, none := limits(), limits()
	odd.Match, none.Match, none.HistoryMessages = "*1", "*2", -1
	w.config = hub.Config{TotalBytes: log.EntryOverhead * (2 + w.random.IntN(200)), Rules: rules.New([]rules.Rule{odd, none}, limits())}
	switch w.random.IntN(3) {
	case 0:
		w.config.ForgottenBytes = -1
	case 1:
		w.config.ForgottenBytes = 16 * 16 * 2 // small tables, which fold
	}
	w.matches = func(name string) bool { return strings.HasSuffix(name, "1") || strings.HasSuffix(name, "3") }
	w.old = w.hub(w.config)
	return w
}

// hub is a new one. Names share shards and watermarks, so that a wrong table shows.
func (w *twins) hub(c hub.Config) *hub.Hub {
	hash := func(name string) uint64 { return saltedHash(3, name) }
	h := hub.NewWithHash(c, noRing{}, nothing, w.clock.now, hash, 8)
	h.RecordOrder()
	h.UseSessions(func(id [16]byte) uint64 { return uint64(id[0]) })
	return h
}

func (w *twins) name() string { return w.names[w.random.IntN(len(w.names))] }

func (w *twins) append() {
	var batch []*log.Entry
	for range 1 + w.random.IntN(4) {
		e := &log.Entry{Channel: w.name(), Data: make([]byte, w.random.IntN(200))}
		switch w.random.IntN(12) {
		case 0:
			e.Kind = log.KindPresence
		case 1:
			e.TTL = 1 + int64(w.random.IntN(500))
		case 2, 3, 4:
			e.Exclude = &[16]byte{1 + byte(w.random.IntN(2))}
		case 5:
			e.Also = []string{w.name(), w.name()}
		case 6:
			e.Time = w.clock.milliseconds() - int64(w.random.IntN(1000))
		case 7:
			wide := []*log.Entry{{Channel: w.name(), Data: e.Data}, {Channel: w.name(), Data: e.Data}, {Channel: w.name(), Data: e.Data}}
			log.Share(wide)
			batch = append(batch, wide...)
			continue
		}
		batch = append(batch, e)
	}
	log.Number(batch, w.head+1, w.clock.milliseconds())
	w.head += uint64(len(batch))
	w.all = append(w.all, batch...)
	if w.next != nil {
		w.next.Apply(clones(batch))
	}
	w.old.Apply(batch)
}

func (w *twins) step() {
	each := func(f func(h *hub.Hub)) {
		f(w.old)
		if w.next != nil {
			f(w.next)
		}
	}
	switch n := w.random.IntN(100); {
	case n < 60:
		w.append()
	case n < 75:
		name := w.name()
		if w.random.IntN(3) == 0 {
			name = log.PresencePrefix + name
		}
		w.joined = append(w.joined, name)
		each(func(h *hub.Hub) { h.Join(name) })
	case n < 88 && len(w.joined) > 0:
		i := w.random.IntN(len(w.joined))
		each(func(h *hub.Hub) { h.Leave(w.joined[i]) })
		w.joined = slices.Delete(w.joined, i, i+1)
	case n < 92:
		w.clock.pass(time.Duration(w.random.IntN(300)) * time.Millisecond)
	case n < 96:
		each(func(h *hub.Hub) { h.Sweep(w.clock.now()) })
	case n < 97 && w.random.IntN(4) == 0:
		each(func(h *hub.Hub) { h.Lose(w.head, w.head) })
	default:
		name := w.name()
		each(func(h *hub.Hub) { h.Read(nil, name, 0, all, all, all) })
	}
}

// alike compares every answer about every channel.
func (w *twins) alike(what string) {
	w.t.Helper()
	say := func(h *hub.Hub) string {
		var b strings.Builder
		for _, name := range w.names {
			for _, name := range []string{name, log.PresencePrefix + name} {
				msgs, discarded, more := h.Read(nil, name, 0, all, all, all)
				fmt.Fprintf(&b, "%s: %v, discarded %d, more %v;", name, list(msgs), discarded, more)
				for _, m := range msgs {
					e := *m.Entry.(*log.Entry)
					e.Shared, e.Exclude = nil, nil
					fmt.Fprintf(&b, " %+v excl %v size %d;", e, m.Exclude, m.Size)
				}
				for _, id := range []byte{1, 2} {
					upto, whole := h.Concerns(name, discarded, func(x *ring.Exclusion) bool { return x.ID == [16]byte{id} && x.Session == uint64(id) })
					fmt.Fprintf(&b, " for %d up to %d, %v;", id, upto, whole)
				}
				m, passed, _ := h.Latest(name, 0, all)
				fmt.Fprintf(&b, " newest 2 after %d, latest %v passes %d, %d subscribers\n", h.Newest(name, 2), m != nil, passed, h.Subscribers(name))
			}
		}
		for after := range w.head + 1 {
			if after%7 == 0 {
				msgs, discarded, covered, _ := h.Since(nil, w.matches, after, all, all, all, all)
				fmt.Fprintf(&b, "matched after %d: %v, discarded %d, covered %d\n", after, list(msgs), discarded, covered)
			}
		}
		m, _, _ := h.Before(w.matches, all, all)
		fmt.Fprintf(&b, "before %v, floor %d, head %d\n", m != nil && m.Sequence > 0, h.Floor(), h.Head())
		for _, info := range h.Channels("", "", hub.MaxInfos) {
			fmt.Fprintf(&b, "%+v\n", info)
		}
		st := h.Stats()
		fmt.Fprintf(&b, "%d channels, %d subscribers, %d messages, %d bytes, %d forgotten", st.Channels, st.Subscribers, st.Messages, st.Bytes, st.Forgotten)
		return b.String()
	}
	want, got := strings.Split(say(w.old), "\n"), strings.Split(say(w.next), "\n")
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			w.t.Fatalf("%s: the successor says\n%s\nand the hub before\n%s", what, got[min(i, len(got)-1)], want[i])
		}
	}
}

// TestAHandedOverHubAnswersAlike: random publications, before and during a hand-over, which leave a hub that says about every
// channel what the one before says, and goes on saying it.
func TestAHandedOverHubAnswersAlike(t *testing.T) {
	seeds, first := 60, rand.Uint64()
	if testing.Short() {
		seeds = 20
	}
	if *seedFlag != 0 {
		first, seeds = *seedFlag, 1
	}
	for i := range seeds {
		seed := first + uint64(i)
		w := newTwins(t, seed)
		steps := func(n int) {
			for range w.random.IntN(n) {
				w.step()
			}
		}
		steps(400)
		next := w.hub(w.config)
		h := handOver(t, w.old, next)
		h.again = w.random.IntN(3) == 0
		for range 1 + w.random.IntN(3) { // the last time nothing is appended meanwhile
			head := w.head
			if w.random.IntN(2) == 0 {
				steps(20) // it is behind when it looks
			}
			h.all = w.all
			h.step(head)
			steps(60)
		}
		h.all = w.all
		h.step(w.head)
		for _, name := range w.joined {
			next.Join(name)
		}
		next.Settle()
		w.next = next
		w.alike(fmt.Sprintf("seed %d, handed over", seed))
		for range 4 {
			steps(80)
			w.alike(fmt.Sprintf("seed %d, afterwards", seed))
		}
	}
}

// TestAHubIsHandedOverInParts: a hub with many channels, and the hash of the server.
func TestAHubIsHandedOverInParts(t *testing.T) {
	r := newRig(hub.Config{Limits: room(2)})
	const channels = 5000
	for i := range channels {
		name := fmt.Sprint("channel-", i)
		if i%2 == 0 {
			r.Join(name)
		}
		r.publish(name, "x")
		if i%5 == 0 {
			r.append(&log.Entry{Channel: name, Data: []byte("y"), TTL: 1})
		}
	}
	r.clock.pass(time.Second)
	next := newRig(hub.Config{Limits: room(2), ForgottenBytes: 4 << 20}) // other sizes of tables
	next.clock = r.clock
	h := handOver(t, r.Hub, next.Hub)
	h.step(r.head)
	if h.parts < 10 || h.largest > 2<<20 {
		t.Errorf("%d parts of at most %d bytes", h.parts, h.largest)
	}
	before := h.parts
	h.step(r.head)
	if h.parts > before+1 {
		t.Errorf("%d parts where nothing has changed", h.parts-before)
	}
	next.Settle()
	for i := range channels {
		name := fmt.Sprint("channel-", i)
		msgs, discarded, _ := r.Read(nil, name, 0, all, all, all)
		next.wantRead(t, name, 0, discarded, list(msgs)...)
	}
	if st := next.Stats(); st.Subscribers != 0 || st.Messages != r.Stats().Messages {
		t.Errorf("%+v, and before %+v", st, r.Stats())
	}
}

// TestAHubRefusesWhatIsNotHandedOver, and is not the one of before.
func TestAHubRefusesWhatIsNotHandedOver(t *testing.T) {
	first := func() *hub.Part {
		return &hub.Part{Hash: "siphash-2-4", Key: [2]uint64{1, 2}, Shards: 256, Buckets: hub.BucketCount, Places: 4096}
	}
	for what, c := range map[string]struct {
		p    func(p *hub.Part)
		want string
	}{
		"another hash":      {func(p *hub.Part) { p.Hash = "fnv" }, `by the hash "fnv"`},
		"odd shards":        {func(p *hub.Part) { p.Shards = 3 }, "damaged"},
		"no beginning":      {func(p *hub.Part) { p.Shards = 0 }, "damaged"},
		"a table too many":  {func(p *hub.Part) { p.Tables = []hub.HandedTable{{Number: 256, Watermarks: make([]uint64, 256)}} }, "damaged"},
		"a table cut short": {func(p *hub.Part) { p.Tables = []hub.HandedTable{{Watermarks: make([]uint64, 255)}} }, "damaged"},
		"records of odd size": {func(p *hub.Part) {
			p.Tables = []hub.HandedTable{{Watermarks: make([]uint64, 256), Records: make([]byte, 17)}}
		}, "damaged"},
		"a full table": {func(p *hub.Part) {
			p.Tables = []hub.HandedTable{{Watermarks: make([]uint64, 256), Records: bytes.Repeat([]byte{1}, 16*16)}}
		}, "damaged"},
	} {
		p := first()
		c.p(p)
		h := newRig(hub.Config{})
		h.Succeed(1, 0)
		if err := h.Import(p); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
	if err := newRig(hub.Config{}).Import(first()); err == nil {
		t.Error("a hub that is not to succeed imports")
	}
	old := newRig(hub.Config{})
	old.publish("a", "x")
	stop := errors.New("stop")
	if err := old.HandOver().Changes(func(*hub.Part) error { return stop }); err != stop {
		t.Error(err)
	}
	if err := old.EachRetained(0, 1, func([]*log.Entry) error { return stop }); err != stop {
		t.Error(err)
	}
}

// TestALogThatHasLessIsAGap: the other process retains what was removed from the log, and the successor cannot.
func TestALogThatHasLessIsAGap(t *testing.T) {
	old := newRig(hub.Config{})
	for range 5 {
		old.publish("a", "x")
	}
	old.publish("b", "y")
	next := newRig(hub.Config{})
	next.Succeed(4, old.head)
	if err := old.HandOver().Changes(next.Import); err != nil {
		t.Fatal(err)
	}
	if err := old.EachRetained(3, old.head, func(batch []*log.Entry) error { next.Restore(clones(batch)); return nil }); err != nil {
		t.Fatal(err)
	}
	next.Settle()
	next.wantRead(t, "a", 0, 3, 4, 5)
	next.wantRead(t, "b", 0, 0, 6)
	if next.Floor() != old.head {
		t.Errorf("a hub without an order of publications has the floor %d, want %d", next.Floor(), old.head)
	}
}
