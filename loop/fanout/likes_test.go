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

// starPattern matches what begins and ends as its text does before and behind the star.
type starPattern struct{ prefix, suffix string }

func (p starPattern) Prefix() string { return p.prefix }
func (p starPattern) Suffix() string { return p.suffix }
func (p starPattern) Cost() int {
	if strings.HasPrefix(p.prefix, "dear") {
		return 1_000_000
	}
	return 50
}
func (p starPattern) Match(name string) bool {
	return len(name) >= len(p.prefix)+len(p.suffix) && strings.HasPrefix(name, p.prefix) && strings.HasSuffix(name, p.suffix)
}

type starPatterns struct{}

func (starPatterns) Pattern(name string) fanout.Pattern {
	prefix, suffix, ok := strings.Cut(strings.TrimPrefix(name, likePrefix), "*")
	if !ok {
		return nil
	}
	return starPattern{prefix, suffix}
}

// noPast knows nothing.
type noPast struct{}

func (noPast) Since(dst []*ring.Message, _ func(string) bool, _, upto uint64, _, _, _ int) (msgs []*ring.Message, discarded, covered uint64, looked int) {
	return dst, 0, upto, 0
}
func (noPast) Before(func(string) bool, uint64, int) (m *ring.Message, reached uint64, looked int) {
	return nil, 0, 0
}
func (noPast) Floor() uint64 { return 0 }

func newStars(tb testing.TB, channels ...string) *scene {
	s := newScene(tb, 100, channels...)
	s.fan.UsePatterns(starPatterns{}, noPast{})
	return s
}

// What the index finds is what a look at every matcher finds, while members come and go.
func TestIndexFindsEveryMatcher(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	word := func(most int) string {
		b := make([]byte, rnd.IntN(most+1))
		for i := range b {
			b[i] = "ab"[rnd.IntN(2)]
		}
		return string(b)
	}
	pad := strings.Repeat("b", 8)
	all := make([]string, 200)
	for i := range all {
		all[i] = word(6) + pad[:4*rnd.IntN(3)] + word(6)
	}
	s := newStars(t, all...)
	members := map[uint32]string{}
	found := 0
	for range 400 {
		if rnd.IntN(3) > 0 || len(members) == 0 {
			name := likePrefix + word(4) + "*" + pad[:4*rnd.IntN(3)] + word(3)
			members[s.subscribe(false, name)] = name
		} else {
			for slot := range members {
				s.fan.Detach(slot)
				delete(members, slot)
				break
			}
		}
		before := s.fan.Stats().Deliveries
		m := s.messages[s.next]
		m.Also = nil
		if rnd.IntN(4) == 0 {
			m.Also = []string{all[rnd.IntN(len(all))]}
		}
		s.publish(1)
		want := uint64(0)
		for _, name := range members {
			if p := (starPatterns{}).Pattern(name); p.Match(m.Channel) || slices.ContainsFunc(m.Also, p.Match) {
				want++
			}
		}
		found += int(want)
		if got := s.fan.Stats().Deliveries - before; got != want {
			t.Fatalf("%s, also %v: %d deliveries, want %d of %v", m.Channel, m.Also, got, want, members)
		}
	}
	if found < 1000 {
		t.Errorf("only %d deliveries", found)
	}
	for slot := range members {
		s.fan.Detach(slot)
	}
	if n := s.fan.Likes() + s.fan.Matchers() + s.fan.Stats().Channels; n != 0 {
		t.Errorf("%d matchers are left", n)
	}
}

// Without patterns, the name of a matcher is one like any other.
func TestWithoutPatternsThereAreNoMatchers(t *testing.T) {
	s := newScene(t, 100, "A", likePrefix+"*")
	slot := s.subscribe(false, likePrefix+"*")
	s.publish(2)
	if got := s.fan.Stats().Deliveries; got != 1 || s.fan.Matchers() != 0 || s.fan.MatchCost(slot) != 0 {
		t.Errorf("%d deliveries, want that of the exact name; %d matchers", got, s.fan.Matchers())
	}
}

func TestMatchersAreCounted(t *testing.T) {
	s := newStars(t, "A")
	slots := []uint32{s.subscribe(false, likePrefix+"*", "A"), s.subscribe(false, likePrefix+"*", likePrefix+"A*"), s.subscribe(false, "A"), s.subscribe(false, likePrefix+"none")}
	for i, want := range []int{51, 102, 0, 0} {
		if got := s.fan.MatchCost(slots[i]); got != want {
			t.Errorf("the matchers of member %d cost %d, want %d", i, got, want)
		}
	}
	if got := s.fan.Matchers(); got != 2 {
		t.Errorf("%d matchers, want 2", got)
	}
	s.publish(1)
	if got := s.fan.Stats().Deliveries; got != 3 {
		t.Errorf("%d deliveries, want 3: one for each member with a match", got)
	}
}

// A delivery by a matcher allocates as much as any other: nothing.
func TestDeliveryByMatcherAllocatesNothing(t *testing.T) {
	s := newStars(t, names(10)...)
	for i := range 10 {
		s.subscribe(false, likePrefix+"channel-*", fmt.Sprint(likePrefix, "channel-10000", i, "*"))
	}
	s.publish(200)
	if n := testing.AllocsPerRun(100, func() { s.publish(1) }); n != 0 {
		t.Errorf("%g allocations for a publication", n)
	}
}

// There may be so many matchers, and so many that one publication has to look at.
func TestMatchersAreLimited(t *testing.T) {
	s := newStars(t, "A")
	var slots []uint32
	subscribe := func(name string) { slots = append(slots, s.subscribe(false, likePrefix+name)) }
	for i := range fanout.MaxMatchers {
		subscribe(fmt.Sprintf("%d*", i))
	}
	want := func(crowded bool, when string) {
		t.Helper()
		if s.fan.Crowded() != crowded {
			t.Errorf("%s: crowded %v, want %v", when, !crowded, crowded)
		}
	}
	want(false, "as many matchers as there may be")
	subscribe("further*")
	want(true, "one more")
	for _, slot := range slots[:100] {
		s.fan.Detach(slot)
	}
	slots = slots[100:]
	want(false, "a hundred less")
	for i := range fanout.MaxMatchCost / 1_000_000 {
		subscribe("dear*" + ending(i))
	}
	want(false, "as many of one prefix as there may be")
	subscribe("dear*zzz")
	want(true, "one more of one prefix")
	if got := s.fan.MatchCost(slots[len(slots)-1]); got != 1_000_001 {
		t.Errorf("it costs %d", got)
	}
	s.fan.Detach(slots[len(slots)-1])
	want(false, "it is gone")
	subscribe("dear*ending")
	want(false, "one of another end")
}

// Matchers of different beginnings may be found by one publication: they are limited, too.
func TestMatchersOfOnePublicationAreLimited(t *testing.T) {
	name := "dear" + strings.Repeat("r", 20)
	s := newStars(t, name)
	for i := range fanout.MaxMatchCost / 1_000_000 {
		s.subscribe(false, likePrefix+name[:len(name)-i]+"*")
	}
	s.publish(1)
	if s.fan.Crowded() {
		t.Error("crowded by as many as a publication may find")
	}
	last := s.subscribe(false, likePrefix+"dear*")
	if s.fan.Crowded() {
		t.Error("crowded before a publication has found all of them")
	}
	before := s.fan.Work()
	s.publish(1)
	if !s.fan.Crowded() {
		t.Error("not crowded, though a publication has found more than it may")
	}
	if got := s.fan.Work() - before; got < fanout.MaxMatchCost/8/1000 {
		t.Errorf("it is %d units of work", got)
	}
	s.fan.Detach(last)
	if s.fan.Crowded() {
		t.Error("crowded when one of them has gone")
	}
	s.publish(1)
	if s.fan.Crowded() {
		t.Error("crowded by those that are left")
	}
	for i := range 40 {
		s.subscribe(false, likePrefix+"dear"+ending(i)+"*")
	}
	if !s.fan.Crowded() {
		t.Error("not crowded, though all matchers together cost more than they may")
	}
}

// A look into the index costs work, so that publications with many candidates do not
// hold the loop.
func TestCandidatesAreWork(t *testing.T) {
	s := newStars(t, "https://example.com/users/1")
	for i := range 2000 {
		s.subscribe(false, likePrefix+"https://example.com/*"+ending(i))
	}
	before := s.fan.Work()
	s.apply(100)
	if got := s.fan.Work() - before; got < 100*2000*50/1000 || got > 2*100*2000*50/1000 {
		t.Errorf("100 publications with 2000 candidates each are %d units of work", got)
	}
}

// ending is one of 17,576 that are shorter than what the index looks at.
func ending(i int) string {
	return string([]byte{byte('a' + i/676%26), byte('a' + i/26%26), byte('a' + i%26)})
}

// longPast has nothing of what is asked for, in a long log.
type longPast struct{ noPast }

func (longPast) Since(dst []*ring.Message, _ func(string) bool, after, upto uint64, _, _, look int) (msgs []*ring.Message, discarded, covered uint64, looked int) {
	covered = min(after+uint64(look), upto)
	return dst, 0, covered, int(covered - after)
}

// Members that read the history of a matcher do not hold the loop, however long the log is,
// and others have their turn meanwhile.
func TestHistoryOfMatchersIsReadInTurns(t *testing.T) {
	const log = 1_000_000
	s := newScene(t, 100, "A")
	s.fan.UsePatterns(starPatterns{}, longPast{})
	s.source.head = log
	s.publish(1)
	other := s.subscribe(false, "A")
	const members, budget = 20, 512
	for i := range members {
		c := fanout.Conn{Slot: s.slots}
		s.slots++
		s.fan.Attach(c, uint64(c.Slot)+1)
		names := []string{likePrefix + "*"}
		for j := range i {
			names = append(names, fmt.Sprintf("%sz%02d*", likePrefix, j))
		}
		if _, err := s.fan.Subscribe(c.Slot, &fanout.Subscription{Channels: names, From: fanout.After}); err != nil {
			t.Fatal(err)
		}
	}
	s.apply(1)
	turns, most := 0, uint64(0)
	for more := true; more; turns++ {
		before := s.fan.Work()
		more = s.fan.Flush(budget)
		most = max(most, s.fan.Work()-before)
		if turns == 2 && !s.fan.CaughtUp(other) {
			t.Error("after three turns, another member has not had its message")
		}
	}
	for slot := range uint32(members) {
		if !s.fan.CaughtUp(other + 1 + slot) {
			t.Errorf("member %d is behind", slot)
		}
	}
	if most > 3*4*budget { // three kinds of work, and a send stands for four units
		t.Errorf("a turn took %d units of work", most)
	}
	if turns < members*log/lookSince/(budget*4) {
		t.Errorf("only %d turns", turns)
	}
}

// seenPast is a longPast that notes the most that it was asked to look at.
type seenPast struct {
	longPast
	most *int
}

func (p seenPast) Since(dst []*ring.Message, match func(string) bool, after, upto uint64, count, bytes, look int) (msgs []*ring.Message, discarded, covered uint64, looked int) {
	*p.most = max(*p.most, look)
	return p.longPast.Since(dst, match, after, upto, count, bytes, look)
}

// A pattern that costs much looks at less of the history in a turn, and is charged more.
func TestDearPatternsLookAtLess(t *testing.T) {
	for _, c := range []struct {
		prefix      string
		look        int
		least, most uint64 // units of work of a turn
	}{{"cheap", lookSince, 200, 600}, {"dear", lookSince / 2000, 1000, 2100}} { // a match of dear may take 1000
		s := newScene(t, 100, "A")
		look := 0
		s.fan.UsePatterns(starPatterns{}, seenPast{most: &look})
		s.source.head = 100_000
		s.publish(1)
		s.fan.Attach(fanout.Conn{Slot: 0}, 1)
		if _, err := s.fan.Subscribe(0, &fanout.Subscription{Channels: []string{likePrefix + c.prefix + "*"}, From: fanout.After}); err != nil {
			t.Fatal(err)
		}
		s.apply(1)
		for range 3 {
			before := s.fan.Work()
			s.fan.Flush(1)
			if got := s.fan.Work() - before; got < c.least || got > c.most {
				t.Errorf("%s: a turn is %d units of work", c.prefix, got)
			}
		}
		if look != c.look {
			t.Errorf("%s: looks at %d, want %d", c.prefix, look, c.look)
		}
	}
}

// lookSince is the number of publications that one look at a history takes.
const lookSince = 4096

// BenchmarkMatchers is a publication on one of ten channels that one of many matchers
// matches, each with a member of its own: with prefixes that differ; with one prefix and ends
// that differ; and with one prefix and ends too short for the index, so that all are
// candidates.
func BenchmarkMatchers(b *testing.B) {
	for _, kind := range []string{"prefix", "suffix", "alike"} {
		for _, n := range []int{10, 10_000} {
			b.Run(fmt.Sprintf("%s/matchers=%d", kind, n), func(b *testing.B) {
				all := make([]string, n)
				for i := range all {
					all[i] = fmt.Sprintf("https://example.com/users/%d/orders-of-%05d-%s", i, i, ending(i))
				}
				s := newStars(b, all[:10]...)
				for i := range n {
					switch kind {
					case "prefix":
						s.subscribe(false, fmt.Sprintf("%shttps://example.com/users/%d/*", likePrefix, i))
					case "suffix":
						s.subscribe(false, fmt.Sprintf("%shttps://example.com/users/*orders-of-%05d-%s", likePrefix, i, ending(i)))
					case "alike":
						s.subscribe(false, likePrefix+"https://example.com/users/*"+ending(i))
					}
				}
				s.publish(10)
				b.ReportAllocs()
				b.ResetTimer()
				for range b.N {
					s.publish(1)
				}
			})
		}
	}
}
