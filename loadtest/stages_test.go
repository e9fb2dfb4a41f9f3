package loadtest

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestParseStage(t *testing.T) {
	for _, text := range []string{"30s:100/s", "1m0s:0/s..2.5/s", "500ms:1000/s..10/s"} {
		if s, err := ParseStage(text); err != nil || s.String() != text {
			t.Errorf("%q: %v, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "30s", "30s:", "30:100/s", "0s:1/s", "-1s:1/s", "1s:-1/s", "1s:100", "1s:1/s..", "1s:1/s..x/s", "1s:NaN/s", "1s:Inf/s", "1s:1/s..2/s..3/s"} {
		if s, err := ParseStage(text); err == nil {
			t.Errorf("%q: %v", text, s)
		}
	}
}

// TestPlanIsTheSchedule compares the numbers of a plan with the schedule's times.
func TestPlanIsTheSchedule(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var p Pacer
		for range 2 + random.IntN(4) {
			p = append(p, Stage{time.Duration(1+random.IntN(3000)) * time.Millisecond, float64(random.IntN(4) * 50), float64(random.IntN(1000)) / 3})
		}
		plan, schedule := newPlan(p, 3), NewSchedule(p, 0)
		i, k, until := uint64(0), 0, p[0].Length
		last := time.Duration(0)
		for at, ok := schedule.Next(); ok; at, ok = schedule.Next() {
			for i >= plan.Ends[k] {
				k++
				until += p[k].Length
			}
			if at < last || at > until || at < until-p[k].Length {
				t.Fatalf("%v: message %d at %v, after %v, is in stage %d of %v", p, i, at, last, k, plan.Ends)
			}
			if s := plan.sequences(k, int(i%3)); i/3+1 < s.First || i/3+1 > s.Last {
				t.Fatalf("message %d is in stage %d, not in %v", i, k, s)
			}
			last = at
			i++
		}
		if i != plan.Ends[len(p)-1] {
			t.Fatalf("%v: %d messages, planned %v", p, i, plan.Ends)
		}
	}
}

// TestStagesShareWhatCame loses, repeats and swaps messages of known stages.
func TestStagesShareWhatCame(t *testing.T) {
	s := newSink(&Spec{Connections: 2, Channels: 2})
	s.begin(7, 0, false)
	s.stage(&plan{Ends: []uint64{4, 4, 10}, Streams: 2}) // sequences 1–2, none, 3–5 of each stream
	take := func(subscriber, stream int, sequences ...uint64) {
		for _, n := range sequences {
			s.takeLocked(&s.subscribers[subscriber], AppendMessage(nil, Stamp{7, uint32(stream), n, 1000}, StampBytes), int64(n)*1e6, text)
		}
	}
	take(0, 0, 1, 2, 3, 4, 5)
	take(0, 1, 2, 4, 3, 3)    // lacks 1 and 5
	take(1, 0, 1, 1, 5)       // lacks 2, 3, 4
	take(1, 1, 2, 1, 3, 4, 5) // swaps 2
	s.expect([]uint64{5, 5})
	r := s.report([]uint64{5, 5}, nil)
	want := []Counts{{Expected: 8, Delivered: 6, Lost: 2, Duplicated: 1, Reordered: 1}, {}, {Expected: 12, Delivered: 9, Lost: 3, Duplicated: 1, Reordered: 1}}
	sum := Counts{}
	for k, p := range r.Stages {
		sum.Add(p.Counts)
		if p.Counts != want[k] || p.Expected > 0 && uint64(p.Latency.Count()) != p.Expected {
			t.Errorf("stage %d: %+v, want %+v", k, p.Counts, want[k])
		}
	}
	if sum != r.Counts || len(r.Stages) != 3 {
		t.Errorf("%d stages with %+v, in all %+v", len(r.Stages), sum, r.Counts)
	}
	if r.Stages[1].Latency != nil || r.Stages[2].Latency.Max() < Never || r.Stages[0].Latency.Quantile(0.1) > 1100*time.Microsecond {
		t.Errorf("latencies: %v, %v", r.Stages[0].Latency.Quantile(0.1), r.Stages[2].Latency.Max())
	}
	excused := s.report([]uint64{5, 5}, [][]Span{{{4, 4}}, nil})
	if c := excused.Stages[2].Counts; c.Lost != 2 || c.Expected != 11 {
		t.Errorf("with message 4 excused: %+v", c)
	}
	other, err := addParts(excused.Stages, r.Stages)
	if err != nil || other[0].Lost != 4 || other[0].Latency.Count() != 16 || other[2].Lost != 5 {
		t.Errorf("two workers: %+v, %v", other, err)
	}
}

// TestDamageIsOfItsStage damages messages of known stages. Without its stamp a message
// is of the stage of the one before it.
func TestDamageIsOfItsStage(t *testing.T) {
	s := newSink(&Spec{Connections: 1})
	s.begin(7, 60, false)
	s.stage(&plan{Ends: []uint64{2, 4}, Streams: 1})
	take := func(sequence uint64, change func([]byte) []byte) {
		s.takeLocked(&s.subscribers[0], change(AppendMessage(nil, Stamp{7, 0, sequence, 1000}, 60)), 5000, text)
	}
	whole := func(b []byte) []byte { return b }
	take(1, whole)
	take(2, func(b []byte) []byte { b[59] ^= 1; return b })        // its padding
	take(3, func(b []byte) []byte { return b[:50] })               // its end
	take(1, func(b []byte) []byte { b[StampBytes-1]++; return b }) // its stamp: of the stage of 3
	take(2, func(b []byte) []byte { b[59] ^= 1; return b })
	take(4, func(b []byte) []byte { b[StampBytes-1] = 255; return b }) // not UTF-8, after 2
	s.expect([]uint64{4})
	r := s.report([]uint64{4}, nil)
	want := []Counts{{Expected: 2, Delivered: 1, Lost: 1, Corrupted: 2, Invalid: 1}, {Expected: 2, Lost: 2, Corrupted: 1, Truncated: 1}}
	sum := Counts{}
	for k, p := range r.Stages {
		if sum.Add(p.Counts); p.Counts != want[k] {
			t.Errorf("stage %d: %+v, want %+v", k, p.Counts, want[k])
		}
	}
	if sum != r.Counts {
		t.Errorf("all stages %+v, the run %+v", sum, r.Counts)
	}
}

// TestLateIsWhatWasDue: messages that were not due yet, and what a dropped client lacks,
// are not late.
func TestLateIsWhatWasDue(t *testing.T) {
	s := newSink(&Spec{Connections: 3, Channels: 2})
	s.begin(7, 0, false)
	take := func(subscriber, stream int, sequences ...uint64) {
		for _, n := range sequences {
			s.takeLocked(&s.subscribers[subscriber], AppendMessage(nil, Stamp{7, uint32(stream), n, 1000}, StampBytes), 5000, text)
		}
	}
	take(0, 0, 1, 2, 3, 6) // 4 and 5 are missing, 4 was due
	take(0, 1, 1, 2)
	take(1, 0, 1) // 2 to 4
	take(1, 1, 2, 1)
	take(2, 1, 2) // 1 to 4, and 1: but it was dropped
	s.droppedLocked(&s.subscribers[2], 1)
	if n := s.late([]uint64{4, 2}); n != 4 {
		t.Errorf("%d late, want 4", n)
	}
	if n := s.late([]uint64{0, 0}); n != 0 {
		t.Errorf("%d late before any was due", n)
	}
	sends := sender{load: Load{Late: true, Streams: 2, Settle: 10}}
	for _, c := range []struct {
		at    time.Duration
		sent  uint64
		first uint64
		known bool
	}{{1, 3, 0, false}, {6, 10, 0, false}, {11, 12, 2, true}, {15, 13, 2, true}, {30, 99, 7, true}} {
		due := sends.due(Sample{At: c.at, Sent: c.sent})
		if (due != nil) != c.known || c.known && due[0] != c.first {
			t.Errorf("at %d: %v due, want %d first", c.at, due, c.first)
		}
	}
}
