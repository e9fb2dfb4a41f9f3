package simulation_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"peal/loop/fanout"
	"peal/loop/ring"
	"peal/server/httpapi"
	"peal/server/log"
)

// plantedSeeds is how many schedules a planted bug may survive.
const plantedSeeds = 400

// TestSimulationCatchesPlantedBugs is the test of the test: each bug is put
// between two parts of the world, and the simulation must notice.
func TestSimulationCatchesPlantedBugs(t *testing.T) {
	if raceEnabled {
		t.Skip("scripts/test.sh runs it without the race detector, which would take minutes")
	}
	for _, p := range []struct {
		name string
		bug  bug
	}{
		{"hand-over window: in the ring before it is in the history", bug{tail: ringFirst, source: headOfRing}},
		{"hand-over window: history begins one late", bug{source: source(func(s *plantedSource) { s.late = 1 })}},
		{"trim unnoticed", bug{source: source(func(s *plantedSource) { s.trimUnnoticed = true })}},
		{"wrong order: two entries swapped on the way to the ring", bug{tail: swapTwo}},
		{"wrong order: a channel's history is read backwards", bug{source: source(func(s *plantedSource) { s.backwards = true })}},
		{"sequence reused after a lost tail", bug{storage: reuses}},
		{"the epoch goes on after a good stop", bug{storage: trusts}},
		{"shown before it is synced", bug{storage: showsFirst}},
		{"a disk that only says that it has synced", bug{storage: lies}},
		{"orders removed without their state", bug{storage: forgetful}},
		{"watermark dropped", bug{source: source(func(s *plantedSource) { s.forgets = map[string]uint64{} })}},
		{"cursor of an answer covers one too many", bug{encoder: func(e fanout.Encoder) fanout.Encoder { return coversMore{e} }}},
		{"gap without a word", bug{encoder: func(e fanout.Encoder) fanout.Encoder { return mute{e} }}},
		{"session left out of what is live alone", bug{source: source(func(s *plantedSource) { s.forgives = true })}},
		{"session of the life before left out by its number", bug{source: source(func(s *plantedSource) { s.forgives, s.numbers = true, true })}},
		{"gap for what a session was left out of", bug{source: source(func(s *plantedSource) { s.strict = true })}},
		{"gap that is none", bug{source: source(func(s *plantedSource) { s.timid = true })}},
	} {
		t.Run(strings.ReplaceAll(p.name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			for seed := uint64(1); seed <= plantedSeeds; seed++ {
				w := simulate(t, seed, p.bug)
				if w.failure != "" {
					t.Logf("found by %.300s", w.failure)
					return
				}
			}
			t.Errorf("the simulation did not notice in %d seeds", plantedSeeds)
		})
	}
}

// ringFirst feeds the histories one batch late.
func ringFirst(w *world, next log.Tail) log.Tail { return &lateHistory{Tail: next, w: w} }

type lateHistory struct {
	log.Tail
	w    *world
	late []*log.Entry
}

func (t *lateHistory) Apply(batch []*log.Entry) {
	t.w.feed.swap = func(*ring.Message) bool { return true } // it is there already
	t.Tail.Apply(t.late)
	t.w.feed.swap = nil
	t.late = append([]*log.Entry(nil), batch...)
	for _, e := range batch {
		t.w.ring.Publish(t.w.messageOf(e, e.Sequence))
	}
}

// headOfRing is the source of a hub whose head is stored with the ring's.
func headOfRing(w *world, next httpapi.Directory) httpapi.Directory { return ringHead{next, w} }

type ringHead struct {
	httpapi.Directory
	w *world
}

func (s ringHead) Head() uint64 { return s.w.ring.Head() }

func (w *world) messageOf(e *log.Entry, sequence uint64) *ring.Message {
	m := &ring.Message{Sequence: sequence, Size: e.Size(), Entry: e}
	if e.Exclude != nil {
		m.Exclude = &ring.Exclusion{ID: *e.Exclude, Session: w.numberOf(*e.Exclude)}
	}
	if e.Kind == log.KindPublication {
		m.Channel, m.Also = e.Channel, e.Also
	}
	return m
}

// swapTwo exchanges the numbers of every twentieth entry and the one behind it
// on their way to the ring, where they come together.
func swapTwo(w *world, next log.Tail) log.Tail { return &swapped{Tail: next, w: w} }

type swapped struct {
	log.Tail
	w *world
}

func (t *swapped) Apply(batch []*log.Entry) {
	var first *ring.Message
	t.w.feed.swap = func(m *ring.Message) bool {
		switch {
		case first == nil && m.Sequence%2 == 0 && m.Sequence < batch[len(batch)-1].Sequence:
			first = m
			return true
		case first != nil:
			t.w.ring.Publish(t.w.messageOf(m.Entry.(*log.Entry), first.Sequence))
			t.w.ring.Publish(t.w.messageOf(first.Entry.(*log.Entry), m.Sequence))
			first = nil
			return true
		}
		return false
	}
	t.Tail.Apply(batch)
	t.w.feed.swap = nil
}

// reuses is a log that goes on in its epoch though its tail may be lost.
func reuses(rnd *rand.Rand) storage { return &disk{rnd: rnd, reuses: true} }

// trusts is a log that goes on in its epoch after a good stop. Nothing is lost by
// one, so that is wrong only where an older copy is put back.
func trusts(rnd *rand.Rand) storage { return &disk{rnd: rnd, syncs: true, trusts: true} }

// showsFirst is a log that promises to have synced what it shows, and has not.
func showsFirst(rnd *rand.Rand) storage { return &disk{rnd: rnd, syncs: true, showsFirst: true} }

// lies is the file engine on a disk that says that it has synced.
func lies(rnd *rand.Rand) storage {
	f := newFiles(rnd)
	f.platter.lies = true
	return f
}

// forgetful is the file engine without the state of control.
func forgetful(rnd *rand.Rand) storage {
	f := newFiles(rnd)
	f.forgetful = true
	return f
}

// plantedSource is the history with a fault.
type plantedSource struct {
	httpapi.Directory
	late          uint64            // a reader is given what follows so much later
	trimUnnoticed bool              // nothing was ever dropped
	backwards     bool              // the newest first
	forgives      bool              // leaves nobody out
	numbers       bool              // but for those of this life
	strict        bool              // nobody is excused from a gap
	timid         bool              // reports one more as dropped
	forgets       map[string]uint64 // by channel that was known no more: the watermark that is not looked at
}

func source(plant func(s *plantedSource)) func(*world, httpapi.Directory) httpapi.Directory {
	return func(_ *world, next httpapi.Directory) httpapi.Directory {
		s := &plantedSource{Directory: next}
		plant(s)
		return s
	}
}

func (s *plantedSource) Read(dst []*ring.Message, channel string, after, upto uint64, count, bytes int) ([]*ring.Message, uint64, bool) {
	from := len(dst)
	dst, discarded, more := s.Directory.Read(dst, channel, after+s.late, upto, count, bytes)
	for i, m := range dst[from:] {
		if s.forgives && m.Exclude != nil && !(s.numbers && m.Exclude.Session != 0) {
			dst[from+i] = &ring.Message{Sequence: m.Sequence, Channel: m.Channel, Also: m.Also, Size: m.Size, Entry: m.Entry}
		}
	}
	switch {
	case s.trimUnnoticed:
		discarded = 0
	case s.forgets != nil && discarded == s.forgets[channel]:
		discarded = 0
	case s.timid && discarded > 0 && discarded < upto:
		discarded++
	case s.backwards && !more:
		for i, j := from, len(dst)-1; i < j; i, j = i+1, j-1 {
			dst[i], dst[j] = dst[j], dst[i]
		}
	}
	return dst, discarded, more
}

func (s *plantedSource) Concerns(channel string, discarded uint64, leavesOut func(x *ring.Exclusion) bool) (uint64, bool) {
	if s.strict {
		return discarded, true
	}
	return s.Directory.Concerns(channel, discarded, leavesOut)
}

func (s *plantedSource) Join(channel string) string {
	if _, known := s.Channel(channel); s.forgets != nil && !known {
		_, s.forgets[channel], _ = s.Directory.Read(nil, channel, 0, 0, 1, 1)
	}
	return s.Directory.Join(channel)
}

// coversMore answers polls with a cursor that leads past what comes next.
type coversMore struct{ fanout.Encoder }

func (e coversMore) AppendAnswer(dst []byte, k ring.Encoding, a fanout.Answer) []byte {
	a.Sequence++
	return e.Encoder.AppendAnswer(dst, k, a)
}

// mute has an empty word for gaps.
type mute struct{ fanout.Encoder }

func (e mute) AppendGap(dst []byte, k ring.Encoding, g ring.Gap) []byte {
	if len(e.Encoder.AppendGap(nil, k, g)) == 0 {
		return dst
	}
	return e.Encoder.AppendHeartbeat(dst, k, g.From)
}

func (e mute) AppendAnswer(dst []byte, k ring.Encoding, a fanout.Answer) []byte {
	a.Gaps = nil
	return e.Encoder.AppendAnswer(dst, k, a)
}
