package presence_test

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"peal/server/log"
	"peal/server/presence"
	"peal/server/share"
)

// through is v as another process has it.
func through[T any](t testing.TB, v *T) (got T) {
	t.Helper()
	var b bytes.Buffer
	if err := errors.Join(gob.NewEncoder(&b).Encode(v), gob.NewDecoder(&b).Decode(&got)); err != nil {
		t.Fatal(err)
	}
	return got
}

// pass brings the members of one table to another.
func pass(t testing.TB, from, to *presence.Table) {
	t.Helper()
	if err := from.HandOver(func(p *presence.Part) error { got := through(t, p); return to.Import(&got) }); err != nil {
		t.Fatal(err)
	}
}

func take(t testing.TB, g *presence.Guest, to *presence.Table) *presence.Guest {
	h := g.HandOver()
	return to.Take(through(t, &h))
}

// twins are a table and its successor, to which the same happens.
type twins struct {
	t      *testing.T
	random *rand.Rand
	rigs   []*rig // the successor is the second, once it is there
	guests [][2]*presence.Guest
	asked  map[string]bool
}

func (w *twins) each(f func(i int, r *rig)) {
	for i, r := range w.rigs {
		f(i, r)
	}
}

func (w *twins) step() {
	channel := func() string { return fmt.Sprint("c", w.random.IntN(5)) }
	name := func() string { return fmt.Sprint("client", w.random.IntN(12)) }
	info := func() string { return []string{"", "", "i1", "i2"}[w.random.IntN(4)] }
	switch n := w.random.IntN(100); {
	case n < 25:
		by, client, text := share.Key(1+w.random.IntN(3)), name(), info()
		var id *[16]byte
		if w.random.IntN(3) == 0 {
			id = &[16]byte{byte(w.random.IntN(3))}
		}
		var g [2]*presence.Guest
		w.each(func(i int, r *rig) { g[i] = r.Enter(by, client, text); g[i].Self = id })
		w.guests = append(w.guests, g)
	case n < 55 && len(w.guests) > 0:
		g := w.guests[w.random.IntN(len(w.guests))]
		client, text := g[0].Client(), g[0].Info()
		if w.random.IntN(4) == 0 {
			client, text = name(), info()
		}
		at := []string{channel(), channel()}
		listed := w.random.IntN(5) > 0
		w.each(func(i int, r *rig) { g[i].Sit(at, client, text, func(k int) bool { return listed || k == 0 }) })
	case n < 62 && len(w.guests) > 0:
		g, at := w.guests[w.random.IntN(len(w.guests))], channel()
		w.each(func(i int, r *rig) { g[i].Rise(func(c string) bool { return c == at }) })
	case n < 75 && len(w.guests) > 0:
		k := w.random.IntN(len(w.guests))
		dismissed := w.random.IntN(4) == 0
		w.each(func(i int, r *rig) { w.guests[k][i].Dismissed = dismissed; w.guests[k][i].End() })
		w.guests = slices.Delete(w.guests, k, k+1)
	case n < 80:
		at := channel()
		w.asked[at] = !w.asked[at]
		if w.asked[at] {
			w.each(func(_ int, r *rig) { r.Watch(at) })
		}
	case n < 83:
		w.each(func(_ int, r *rig) { r.Sweep() })
	case n < 85:
		at := channel()
		w.each(func(_ int, r *rig) { r.Lost(at) })
	case n < 88 && len(w.rigs) == 1: // which channels are served then depends on their order, which is that of a table
		w.rigs[0].full = w.random.IntN(2) == 0
	default:
		d := time.Duration(w.random.IntN(900)) * time.Millisecond
		w.each(func(_ int, r *rig) { r.pass(d) })
	}
}

var ofClient = regexp.MustCompile(`\{"client":[^}]*\},?`)

// sorted is an event with its names in order: those that leave at the same moment have none.
func sorted(text string) string {
	parts := strings.Split(text, `"leave":`)
	for i, part := range parts {
		names := ofClient.FindAllString(part, -1)
		for k := range names {
			names[k] = strings.TrimSuffix(names[k], ",")
		}
		slices.Sort(names)
		parts[i] = ofClient.ReplaceAllString(part, "") + strings.Join(names, ",")
	}
	return strings.Join(parts, " leave ")
}

// alike compares what both have published since, and all lists.
func (w *twins) alike(what string) {
	w.t.Helper()
	say := func(r *rig) string {
		texts := r.texts
		r.texts = nil
		for i := range texts {
			texts[i] = sorted(texts[i])
		}
		slices.Sort(texts) // the order of channels is none
		for c := range 5 {
			at := fmt.Sprint("c", c)
			p := r.List(at, "", 1000)
			texts = append(texts, fmt.Sprintf("%s: %v, %d, %d connections, shown %v", at, p.Members, p.Count, p.Connections, r.Shown(at, 1000)))
		}
		return strings.Join(texts, "\n") + fmt.Sprint("\n", r.Stats().Members, " members")
	}
	want, got := strings.Split(say(w.rigs[0]), "\n"), strings.Split(say(w.rigs[1]), "\n")
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			w.t.Fatalf("%s: the successor has\n%s\nand the table before\n%s", what, got[min(i, len(got)-1)], want[i])
		}
	}
}

// TestNobodyJoinsOrLeavesByAHandOver: random connections, and a successor that publishes and lists what the table before would
// have, from then on.
func TestNobodyJoinsOrLeavesByAHandOver(t *testing.T) {
	seeds, first := 80, rand.Uint64()
	if testing.Short() {
		seeds = 25
	}
	if *seedFlag != 0 {
		first, seeds = *seedFlag, 1
	}
	for i := range seeds {
		seed := first + uint64(i)
		w := &twins{t: t, random: rand.New(rand.NewPCG(seed, 3)), asked: map[string]bool{}}
		config := presence.Config{Grace: time.Duration(1+w.random.IntN(3000)) * time.Millisecond, Named: 2 + w.random.IntN(20), Share: 100}
		old, next := newRig(config), newRig(config)
		for _, r := range []*rig{old, next} {
			r.asked = w.asked
			if seed%2 == 0 {
				r.UseComplete(func(channel string) bool { return channel == "c1" })
			}
		}
		w.rigs = []*rig{old}
		for range w.random.IntN(300) {
			w.step()
		}
		old.take()
		next.time, old.full = old.time, false
		pass(t, old.Table, next.Table)
		for _, k := range w.random.Perm(len(w.guests)) {
			w.guests[k][1] = take(t, w.guests[k][0], next.Table)
		}
		next.Settle()
		w.rigs = append(w.rigs, next)
		w.alike(fmt.Sprintf("seed %d, handed over", seed))
		if a, b := old.Stats().Bytes, next.Stats().Bytes; b > a {
			t.Fatalf("seed %d: the successor counts %d bytes, the table before %d", seed, b, a)
		}
		for k := range 6 {
			for range w.random.IntN(40) {
				w.step()
			}
			w.each(func(_ int, r *rig) { r.pass(100 * time.Millisecond) })
			w.alike(fmt.Sprintf("seed %d, round %d", seed, k))
		}
		clear(w.asked)
		w.each(func(i int, r *rig) {
			for _, g := range w.guests {
				g[i].End()
			}
			for range 10 {
				r.pass(30 * time.Second)
				r.Sweep()
			}
			if st := r.Stats(); st.Members != 0 || st.Bytes != 0 {
				t.Errorf("seed %d: %d has left over %+v", seed, i, st)
			}
		})
		if t.Failed() {
			return
		}
	}
}

// Grace periods go on with what was left, and one begins for a member whose connection does not come.
func TestGracePeriodsGoOn(t *testing.T) {
	old := newRig(presence.Config{Grace: 10 * time.Second})
	old.Watch("a")
	for _, client := range []string{"stays", "leaves", "lost"} {
		old.Join("a", client, "")
	}
	old.pass(time.Second)
	old.Leave("a", "leaves")
	old.pass(7 * time.Second)
	old.take()
	next := newRig(presence.Config{Grace: 10 * time.Second})
	next.time = old.time
	pass(t, old.Table, next.Table)
	take(t, old.guests[[2]string{"a", "stays"}][0], next.Table)
	next.Settle()
	next.pass(2900 * time.Millisecond)
	next.want(t)
	next.pass(200 * time.Millisecond)
	next.want(t, `a {"count":2,"join":[],"leave":[{"client":"leaves"}]}`)
	next.pass(6800 * time.Millisecond)
	next.want(t)
	next.pass(300 * time.Millisecond)
	next.want(t, `a {"count":1,"join":[],"leave":[{"client":"lost"}]}`)
	if got := next.clients("a"); got != "stays" {
		t.Errorf("the members are %q", got)
	}
}

// A share goes on with what it holds, and those that are evicted first are the same.
func TestSharesAreHandedOver(t *testing.T) {
	c := presence.Config{Members: 10, Share: 100, Grace: time.Hour}
	old := newRig(c)
	for i := range 10 {
		old.joinBy(1, "a", fmt.Sprint(i), "")
	}
	old.Leave("a", "4")
	old.Leave("a", "7")
	next := newRig(c)
	next.time = old.time
	pass(t, old.Table, next.Table)
	for _, g := range old.guests {
		if len(g) > 0 {
			take(t, g[0], next.Table)
		}
	}
	next.Settle()
	for _, r := range []*rig{old, next} {
		for i := range 4 {
			r.joinBy(2, "b", fmt.Sprint(i), "")
		}
	}
	if got, want := next.clients("a"), old.clients("a"); got != want || old.Stats().Evicted != next.Stats().Evicted {
		t.Errorf("left of the large share are %s, want %s", got, want)
	}
	small := newRig(presence.Config{Members: 3, Share: 100})
	pass(t, old.Table, small.Table)
	small.Settle()
	if st := small.Stats(); st.Members != 3 || st.Unlisted != 7 {
		t.Errorf("with less room there are %+v", st)
	}
	if err := small.Import(&presence.Part{Members: []presence.HandedMember{{Channel: "none"}}}); err == nil {
		t.Error("a member of no channel is taken")
	}
}

// succeed has another process go on for a node, with its id.
func (w *world) succeed(t *testing.T, i int) {
	old := w.nodes[i]
	for old.read < uint64(len(w.order.entries)) || len(old.queue) > 0 { // appends are done, and read
		old.flush()
		old.follow(1 << 30)
	}
	n := &node{id: old.id, order: w.order, read: old.read, events: old.events, faults: old.faults}
	n.Table = presence.New(w.config, func(string) bool { return false }, func() time.Time { return w.time })
	n.cluster = presence.NewCluster(w.config, n.id, w.watched, n.live)
	n.UseCluster(n.cluster)
	n.tail = n.cluster.Feed(n, func(e *log.Entry, err error) { panic(fmt.Sprint(e, err)) })
	if err := old.cluster.HandOver(func(p *presence.ClusterPart) error { got := through(t, p); return n.cluster.Import(&got) }); err != nil {
		t.Fatal(err)
	}
	pass(t, old.Table, n.Table)
	for _, g := range old.guests {
		n.guests = append(n.guests, &seated{take(t, g.guest, n.Table), g.channel, g.client, g.info})
	}
	n.Settle()
	w.nodes[i] = n
}

// TestANodeIsHandedOver: the nodes agree, and no event is one too many, with hand-overs among everything that happens.
func TestANodeIsHandedOver(t *testing.T) {
	seeds, first := 25, rand.Uint64()
	if testing.Short() {
		seeds = 8
	}
	if *seedFlag != 0 {
		first, seeds = *seedFlag, 1
	}
	for i := range seeds {
		seed := first + uint64(i)
		w := newWorld(rand.New(rand.NewPCG(seed, 4)))
		w.faulty = seed%2 == 0
		w.start()
		w.start()
		for range 600 {
			if w.step(); w.random.IntN(40) == 0 {
				w.succeed(t, w.random.IntN(len(w.nodes)))
			}
		}
		err := w.settle()
		if err == nil {
			err = w.judge()
		}
		for range 2 {
			w.succeed(t, 0)
		}
		before := len(w.order.entries)
		if err == nil {
			err = w.settle()
		}
		if got := len(w.order.entries); err == nil && got != before {
			err = fmt.Errorf("a successor has appended %d entries", got-before)
		}
		for range 300 {
			w.step()
			if w.random.IntN(30) == 0 {
				w.succeed(t, w.random.IntN(len(w.nodes)))
			}
		}
		if err == nil {
			err = w.settle()
		}
		if err == nil {
			err = w.judge()
		}
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}
