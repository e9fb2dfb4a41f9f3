package chaos

import (
	"slices"
	"strings"
	"testing"
)

// scene is what was published and what clients heard. Messages are named by
// their place, written life*100+sequence.
type scene struct {
	t       *testing.T
	keeps   Keeps
	history int
	ledger  []publication
	ids     map[int]uint64
	heard   []*journal
	lives   int

	restored map[int32]bool
	losses   []span // of a cluster
}

func newScene(t *testing.T, keeps Keeps) *scene {
	return &scene{t: t, keeps: keeps, ids: map[int]uint64{}, lives: 1}
}

func at(n int) place { return place{int32(n / 100), uint64(n % 100)} }

// published adds acknowledged messages of channel.
func (s *scene) published(channel int32, places ...int) *scene {
	for _, n := range places {
		s.add(channel, n)
		s.ledger[len(s.ledger)-1].at = at(n)
	}
	return s
}

// sent adds messages whose publisher had no answer.
func (s *scene) sent(channel int32, places ...int) *scene {
	for _, n := range places {
		s.add(channel, n)
	}
	return s
}

func (s *scene) add(channel int32, n int) {
	l := label{uint64(len(s.ledger) + 1), channel, uint32(len(s.ledger) + 1)}
	s.ids[n] = l.id
	s.ledger = append(s.ledger, publication{label: l})
	s.lives = max(s.lives, n/100)
}

// client adds one, whose methods say what it did and heard.
func (s *scene) client() *hearing {
	j := &journal{}
	s.heard = append(s.heard, j)
	return &hearing{s, j}
}

type hearing struct {
	s *scene
	j *journal
}

func (h *hearing) follows(from int, channels ...int32) *hearing {
	c := connection{transport: "test", channels: channels}
	for range channels {
		c.from = append(c.from, at(from))
	}
	h.j.open(c, 0)
	return h
}

func (h *hearing) hears(places ...int) *hearing {
	for _, n := range places {
		id := h.s.ids[n]
		h.j.records = append(h.j.records, record{kind: message, channel: h.s.ledger[id-1].channel, at: at(n), id: id})
	}
	return h
}

// hearsAs is a message that comes with another cursor than that of its birth.
func (h *hearing) hearsAs(n, as int) *hearing {
	h.hears(n)
	h.j.records[len(h.j.records)-1].at = at(as)
	return h
}

func (h *hearing) reaches(n int) *hearing { return h.reachesOn(everyChannel, n) }

func (h *hearing) reachesOn(channel int32, n int) *hearing {
	h.j.records = append(h.j.records, record{kind: position, channel: channel, at: at(n)})
	return h
}

// separately says that the connection's channels have orders of their own, and
// begins them at these places.
func (h *hearing) separately(from ...int) *hearing {
	c := &h.j.connections[len(h.j.connections)-1]
	c.separate = true
	for i, n := range from {
		c.from[i] = at(n)
	}
	return h
}

func (h *hearing) misses(channel int32, to int, why reason) *hearing {
	h.j.records = append(h.j.records, record{kind: gap, channel: channel, at: at(to), reason: why})
	return h
}

// is the verdict: counts of what is wrong, as in "lost 2, repeated 1".
func (s *scene) is(want string) {
	s.t.Helper()
	w := newWorld(s.keeps, s.restored, s.ledger, s.heard, s.lives)
	w.losses = s.losses
	v := pass(w, s.history, s.heard)
	var got []string
	for _, c := range []struct {
		name string
		n    uint64
	}{{"lost", v.Lost}, {"repeated", v.Repeated}, {"reordered", v.Reordered}, {"damaged", v.Damaged}, {"faults", v.Faults}, {"false", v.GapsFalse}} {
		if c.n > 0 {
			got = append(got, c.name+" "+string(rune('0'+c.n)))
		}
	}
	if g := strings.Join(got, ", "); g != want {
		s.t.Errorf("judged %q, want %q\n%s", g, want, strings.Join(v.Findings, "\n"))
	}
	if v.Clean() != (want == "") {
		s.t.Errorf("clean: %v", v.Clean())
	}
	if told := v.GapsReal + v.GapsFalse + v.GapsAgain; told != v.Gaps {
		s.t.Errorf("%d gaps told, %d judged", v.Gaps, told)
	}
}

func TestJudgeMessages(t *testing.T) {
	two := func() *scene { return newScene(t, Nothing).published(1, 101, 103, 105).published(2, 102, 104) }

	s := two()
	s.client().follows(100, 1, 2).hears(101, 102, 103, 104, 105)
	s.client().follows(102, 1).hears(103, 105).reaches(105)
	s.client().follows(0, 1).hears(103).follows(103, 2).hears(104) // begins anywhere
	s.client().follows(101, 1).follows(101, 2).hears(102).follows(102, 1, 2).hears(103, 104, 105)
	s.is("")

	s = two()
	s.client().follows(100, 1, 2).hears(101, 103, 104, 105)
	s.is("lost 1")

	s = two() // the last one, which nothing follows
	s.client().follows(100, 1, 2).hears(101, 102, 103, 104)
	s.is("lost 1")

	s = two() // by a position, before it comes after all
	s.client().follows(101, 1).reaches(104).hears(103, 105)
	s.is("reordered 1")

	s = two() // when it comes back, on a channel it had not followed
	s.client().follows(100, 1).hears(101, 103).follows(103, 2).reaches(105)
	s.is("lost 1")

	s = two()
	s.client().follows(100, 1, 2).hears(101, 102, 102, 103, 104, 105)
	s.is("repeated 1")

	s = two()
	s.client().follows(100, 1).hears(101).follows(101, 1).hears(101, 103, 105)
	s.is("repeated 1")

	s = two()
	s.client().follows(100, 1, 2).hears(101, 103, 102, 104, 105)
	s.is("reordered 1")

	s = two()
	s.client().follows(100, 1).hears(101, 102, 103, 105) // of channel 2
	s.is("damaged 1")

	s = two()
	s.client().follows(104, 1).reaches(103).hears(105)
	s.is("reordered 1")

	s = two()
	c := s.client().follows(104, 1).hears(105)
	c.j.damaged("rubbish")
	c.j.records = append(c.j.records, record{kind: message, channel: 1, at: at(106), id: 77})
	c.hears(102)
	c.j.records[len(c.j.records)-1].channel = 1 // of a channel on which it was not published
	s.is("damaged 3")
}

func TestJudgeChannelsApart(t *testing.T) {
	two := func() *scene { return newScene(t, Nothing).published(1, 101, 103, 105).published(2, 102, 104) }

	s := two() // the second catches up
	s.client().follows(0, 1, 2).separately(103, 100).hears(105, 102, 104)
	s.client().follows(0, 1, 2).separately().reachesOn(1, 103).reachesOn(2, 100).hears(105, 102, 104).reaches(105)
	s.is("")

	s = two() // which does not excuse a disorder in one channel
	s.client().follows(0, 1, 2).separately(100, 100).hears(103, 101, 105, 102, 104)
	s.is("reordered 1")

	s = two()
	s.client().follows(0, 1, 2).separately(103, 102).hears(105, 104, 104)
	s.is("repeated 1")

	s = two()
	s.client().follows(0, 1, 2).separately(103, 100).hears(105, 104)
	s.is("lost 1")

	s = two() // on one connection that begins at the oldest of the cursors, messages come again
	s.client().follows(0, 1, 2).separately(103, 100).hears(105, 102).follows(102, 1, 2).hears(103, 104, 105)
	s.is("")
}

func TestJudgeFromWhatIsRetained(t *testing.T) {
	two := func() *scene { return newScene(t, Nothing).published(1, 102, 103, 105).published(2, 101, 104) }

	s := two() // 102 is gone already, which is no gap for who asks for what is there
	c := s.client().follows(0, 1, 2).reaches(100).hears(101, 103, 104, 105)
	c.j.connections[0].retained = true
	s.is("")

	s = two() // but from the first message of a channel on, it is
	c = s.client().follows(0, 1, 2).reaches(100).hears(101, 102, 105)
	c.j.connections[0].retained = true
	s.is("lost 2")

	s = two()
	c = s.client().follows(0, 1, 2).reaches(101).follows(101, 1, 2).hears(103, 104, 105)
	c.j.connections[0].retained = true
	s.is("lost 1")
}

func TestJudgeUnacknowledged(t *testing.T) {
	// In the log, for somebody has it: then for all.
	s := newScene(t, Nothing).published(1, 101, 103).sent(1, 102)
	s.client().follows(100, 1).hears(101, 102, 103)
	s.client().follows(100, 1).hears(101, 103)
	s.is("lost 1")

	s = newScene(t, Nothing).published(1, 101, 103).sent(1, 102)
	s.client().follows(100, 1).hears(101, 103)
	s.is("")
}

func TestJudgeGaps(t *testing.T) {
	one := func() *scene { return newScene(t, Nothing).published(1, 101, 102, 103, 104).published(2, 105) }

	s := one()
	s.client().follows(100, 1).misses(1, 102, discarded).hears(103, 104)
	s.is("")

	s = one() // each poll below its end receives it
	s.client().follows(100, 1).misses(1, 102, discarded).misses(1, 102, discarded).hears(103, 104)
	s.is("")

	s = one() // shorter than what is missing
	s.client().follows(100, 1).misses(1, 101, discarded).hears(103, 104)
	s.is("lost 1")

	s = one() // of another channel
	s.client().follows(100, 1, 2).misses(2, 104, discarded).hears(102, 103, 104, 105)
	s.is("lost 1, false 1")

	s = one() // too late
	s.client().follows(100, 1).hears(103).misses(1, 102, discarded).hears(104)
	s.is("lost 2, false 1")

	s = one() // before there is a cursor
	s.client().follows(0, 1, 2).misses(1, 102, discarded).hears(103, 104, 105)
	s.client().follows(0, 1, 2).misses(1, 103, discarded).reaches(101).hears(104, 105)
	s.is("")

	s = one() // of what was heard on another connection, whose cursors were apart
	s.client().follows(0, 1, 2).separately(100, 100).hears(101, 102).follows(100, 1, 2).misses(1, 102, discarded).hears(103, 104, 105)
	s.is("")

	s = one() // told once, and not when it comes back from before it
	s.client().follows(100, 1).misses(1, 102, discarded).follows(100, 1).hears(103, 104)
	s.is("lost 2")

	s = one() // nothing was there
	s.client().follows(102, 1).misses(1, 102, discarded).hears(103, 104)
	s.is("false 1")

	s = one()
	s.history = 2
	s.client().follows(100, 1).misses(1, 102, discarded).hears(103, 104)
	s.is("")

	s = one() // two are kept, so the second cannot be gone
	s.history = 3
	s.client().follows(100, 1).misses(1, 102, discarded).hears(103, 104)
	s.is("false 1")
}

func TestJudgeANewLife(t *testing.T) {
	two := func(keeps Keeps) *scene {
		return newScene(t, keeps).published(1, 101, 103).published(2, 102, 104).published(1, 201, 203).published(2, 202)
	}
	s := two(Nothing)
	s.client().follows(100, 1, 2).hears(101).follows(101, 1, 2).misses(1, 200, unknownCursor).misses(2, 200, unknownCursor).hears(201, 202, 203)
	s.is("")

	s = two(Nothing) // says nothing of channel 2
	s.client().follows(100, 1, 2).hears(101).follows(101, 1, 2).misses(1, 200, unknownCursor).hears(201, 202, 203)
	s.is("lost 2")

	s = two(Nothing) // says nothing at all
	s.client().follows(103, 1).hears(201, 203)
	s.client().follows(101, 1).hears(201, 203)
	s.is("lost 1")

	s = two(Nothing) // the position comes first: a client that breaks off there never learns of the gap
	s.client().follows(101, 1).reaches(200).misses(1, 200, unknownCursor).hears(201, 203)
	s.is("lost 1")

	s = two(Nothing) // then everything must come
	s.client().follows(101, 1).misses(1, 200, unknownCursor).hears(203)
	s.is("lost 1")

	s = two(Nothing) // a cursor of this life
	s.client().follows(200, 1).misses(1, 200, unknownCursor).hears(201, 203)
	s.is("false 1")
}

func TestJudgeALogThatSurvives(t *testing.T) {
	whole := func(keeps Keeps) *scene {
		return newScene(t, keeps).published(1, 101, 102, 103, 204, 205)
	}
	s := whole(All) // resumes in the next life, where old messages have new cursors
	s.client().follows(100, 1).hears(101).follows(101, 1).hearsAs(102, 202).hearsAs(103, 203).hears(204, 205)
	s.client().follows(100, 1).hears(101).follows(101, 1).hearsAs(103, 203).hears(204, 205)
	s.is("lost 1")

	s = whole(All) // the cursor, too, is a new one for an old place
	s.client().follows(202, 1).hearsAs(103, 203).hears(204, 205)
	s.is("")

	s = whole(All)
	s.client().follows(103, 1).misses(1, 203, unknownCursor).hears(204, 205)
	s.is("false 1")

	s = whole(All) // at two places
	s.client().follows(100, 1).hears(101, 102).hearsAs(103, 206).hears(204, 205)
	s.is("faults 1")

	// 103 was acknowledged, cut off, and its sequence given again.
	cut := func(keeps Keeps) *scene {
		return newScene(t, keeps).published(1, 101, 102, 103, 203, 204)
	}
	s = cut(AllOrCut)
	s.client().follows(100, 1).hears(101).follows(101, 1).hearsAs(102, 202).hears(203, 204)
	s.client().follows(102, 1).hears(103).follows(103, 1).misses(1, 202, unknownCursor).hears(203, 204)
	s.client().follows(102, 1).hears(103).follows(103, 1).misses(1, 200, unknownCursor).hearsAs(101, 201).hearsAs(102, 202).hears(203, 204)
	s.is("")

	// The first message after the cut was not acknowledged, but heard.
	s = newScene(t, AllOrCut).published(1, 101, 102, 103).sent(1, 203).published(1, 204)
	s.client().follows(100, 1).hears(101, 102, 103).follows(103, 1).misses(1, 202, unknownCursor).hears(203, 204)
	s.client().follows(102, 1).hears(203, 204)
	s.is("")

	// The first acknowledged message of the second life was sent in the first.
	s = newScene(t, All).published(1, 101, 202, 203)
	s.ledger[1].again = true
	s.client().follows(100, 1).hears(101).hearsAs(202, 102).follows(102, 1).hears(203)
	s.is("")

	s = cut(All) // which it promised not to do
	s.client().follows(100, 1).hears(101, 102).follows(102, 1).hears(203, 204)
	s.is("lost 1")
}

// A copy of life 1 with its first two messages was put back before life 3, in which
// messages keep the cursors that they were born with.
func TestJudgeALogThatWasPutBack(t *testing.T) {
	back := func() *scene {
		s := newScene(t, All).published(1, 101, 102, 103, 204, 205, 303, 304)
		s.restored = map[int32]bool{3: true}
		return s
	}
	s := back() // a client that received nothing of it needs no gap, the others receive one
	s.client().follows(100, 1).hears(101, 102, 303, 304)
	s.client().follows(100, 1).hears(101, 102, 103).follows(103, 1).misses(1, 100, unknownCursor).hears(101, 102, 303, 304)
	s.client().follows(102, 1).hears(103, 204).follows(204, 1).misses(1, 102, unknownCursor).hears(303, 304)
	s.client().follows(102, 1).reaches(102).hears(303, 304)
	s.is("")

	s = back() // a cursor from in between is served as if nothing had happened
	s.client().follows(100, 1).hears(101, 102, 103).follows(103, 1).hears(304)
	s.is("lost 1")
	s = back()
	s.client().follows(103, 1).hears(204, 205).follows(205, 1).reaches(304)
	s.is("lost 2")

	s = back() // the copy has it
	s.client().follows(102, 1).misses(1, 102, unknownCursor).hears(303, 304)
	s.is("false 1")

	s = back() // only the restart after it was one of that kind
	s.restored = map[int32]bool{2: true}
	s.client().follows(204, 1).misses(1, 200, unknownCursor).hears(101, 102, 103, 204, 205, 303, 304)
	s.is("false 1")

	// The first message of the new branch was not acknowledged, but heard.
	s = newScene(t, All).published(1, 101, 102, 103).sent(1, 202).published(1, 203)
	s.restored = map[int32]bool{2: true}
	s.client().follows(100, 1).hears(101, 202, 203)
	s.client().follows(100, 1).hears(101, 102).follows(102, 1).misses(1, 100, unknownCursor).hears(101, 202, 203)
	s.is("")
}

func TestJudgeThePublishersOrder(t *testing.T) {
	s := newScene(t, Nothing).published(1, 102, 101)
	s.is("faults 1")
	s = newScene(t, Nothing).published(1, 101).published(2, 101)
	s.is("faults 1")
}

func TestFindingsSaySomething(t *testing.T) {
	s := newScene(t, Nothing).published(1, 101, 102)
	s.client().follows(100, 1).hears(102)
	v := pass(newWorld(s.keeps, s.restored, s.ledger, s.heard, s.lives), 0, s.heard)
	if !slices.ContainsFunc(v.Findings, func(f string) bool {
		return strings.Contains(f, "client 0, connection 0") && strings.Contains(f, "message 1 of channel 1 at life 1, sequence 1 never came")
	}) {
		t.Errorf("%q", v.Findings)
	}
}
