package scenario

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"peal/loadtest"
	"peal/loadtest/liar"
	"peal/loadtest/report"
)

func objective(t *testing.T, text string) report.Objective {
	t.Helper()
	o, err := report.ParseObjective(text)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// TestLossesAreOfTheirStage loses messages of the warm-up and of each stage.
func TestLossesAreOfTheirStage(t *testing.T) {
	s := small(liar.Start(t, func(subscriber int, n uint64, send func()) {
		if subscriber != 1 || n != 5 && n != 40 && n != 41 {
			send()
		}
	}))
	s.Settle = 2 * time.Second
	s.Warmup = 100 * time.Millisecond // 10 messages, numbered on their own
	s.Stages = []loadtest.Stage{{Length: 300 * time.Millisecond, From: 100, To: 100}, {Length: 300 * time.Millisecond, From: 100, To: 300}}
	s.Objectives = []report.Objective{objective(t, "lost{stage=2}>1"), objective(t, "lost{stage=1}>1"), objective(t, "lost>5%")}
	r, err := Run(t.Context(), "fanout", s)
	if err != nil {
		t.Fatal(err)
	}
	m, w, st := r.Messages, r.WarmUp, r.Stages
	if w == nil || w.Sent == 0 || w.Expected != 3*w.Sent || w.Sent >= 5 && w.Lost != 1 {
		t.Fatalf("warm-up: %+v", w)
	}
	if len(st) != 2 || st[0].Scheduled != 30 || st[1].Scheduled != 60 || st[0].Sent+st[1].Sent != m.Sent || st[0].Lost+st[1].Lost != m.Lost || m.Foreign != 0 {
		t.Fatalf("%+v: %+v", m, st)
	}
	if m.Sent < 41 { // the machine is busy: what is too late is not sent
		t.Skip("the machine is too busy for the schedule")
	}
	if st[0].Lost != 1 || st[1].Lost != 2 || st[1].Latency.Max != nil || uint64(st[1].Latency.Count) != st[1].Expected {
		t.Errorf("stages: %+v", st)
	}
	if missed, err := r.Judge(s.Objectives); err != nil || len(missed) != 1 {
		t.Errorf("missed %q, %v", missed, err)
	}
	if r.Settings.Rate != 150 || r.Settings.Duration != 0.6 || r.Settings.Stages[1] != "300ms:100/s..300/s" {
		t.Errorf("settings: %+v", r.Settings)
	}
}

func TestAMissedObjectiveEndsTheRun(t *testing.T) {
	s := small(liar.Start(t, func(_ int, _ uint64, send func()) { send(); send() }))
	s.Duration, s.Abort, s.Settle = time.Hour, true, time.Minute
	s.Objectives = []report.Objective{objective(t, "lost<1"), objective(t, "duplicated>50%")}
	r, err := Run(t.Context(), "fanout", s)
	if err != nil || r.Ended == "" || r.Interrupted || !r.Validity.Valid || r.Messages.Scheduled != r.Messages.Sent {
		t.Fatalf("%v: %+v", err, r)
	}
	if missed, err := r.Judge(s.Objectives); err != nil || len(missed) != 2 {
		t.Errorf("missed %q, %v", missed, err)
	}
}

// TestThinkHoldsAClosedLoopBack counts how often 50 ms fit into the run, and interrupts
// another one.
func TestThinkHoldsAClosedLoopBack(t *testing.T) {
	s := small(liar.Start(t, liar.Truth))
	s.InFlight, s.Think, s.Settle = 2, 50*time.Millisecond, time.Minute
	r, err := Run(t.Context(), "fanout", s)
	if err != nil || r.Messages.Sent == 0 || r.Messages.Sent > 2*11 || r.Messages.Lost != 0 {
		t.Errorf("%v: %+v", err, r.Messages)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.Duration = time.Hour
	s.Progress = func(p Progress) {
		if p.Now != nil {
			cancel()
		}
	}
	r, err = Run(ctx, "fanout", s)
	if err != nil || !r.Interrupted || r.Messages.Lost != 0 || len(r.Intervals) == 0 {
		t.Errorf("interrupted: %v, %+v", err, r.Messages)
	}
}

// TestALossEndsTheRun loses one message, which is known after the time to settle.
func TestALossEndsTheRun(t *testing.T) {
	s := small(liar.Start(t, func(subscriber int, n uint64, send func()) {
		if subscriber != 1 || n != 5 {
			send()
		}
	}))
	s.Duration, s.Abort = time.Hour, true
	s.Objectives = []report.Objective{objective(t, "lost>0")}
	r, err := Run(t.Context(), "fanout", s)
	if err != nil || !strings.HasPrefix(r.Ended, "lost>0 (it is ") || r.Messages.Lost == 0 {
		t.Fatalf("%v: %+v", err, r)
	}
	if missed, err := r.Judge(s.Objectives); err != nil || len(missed) != 1 {
		t.Errorf("missed %q, %v", missed, err)
	}
}

func TestVersusHasStages(t *testing.T) {
	s := small(liar.Start(t, liar.Truth))
	other := small(liar.Start(t, liar.Truth))
	s.Targets, s.Publish = append(s.Targets, other.Targets...), append(s.Publish, other.Publish...)
	s.Turns, s.Away = 2, 10*time.Millisecond
	s.Stages = []loadtest.Stage{{Length: 200 * time.Millisecond, From: 50, To: 50}, {Length: 200 * time.Millisecond, From: 100, To: 100}}
	r, err := Run(t.Context(), "versus", s)
	if err != nil || len(r.Sides) != 2 {
		t.Fatalf("%v: %+v", err, r)
	}
	for _, side := range r.Sides {
		if st := side.Stages; len(st) != 2 || st[0].Scheduled != 2*10 || st[1].Scheduled != 2*20 || uint64(st[1].Latency.Count) != st[1].Expected {
			t.Errorf("%s: %+v", side.Name, st)
		}
	}
	var text, table strings.Builder
	if err := errors.Join(r.WriteText(&text), r.WriteStagesCSV(&table)); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.String(), "stage 2: p99") || strings.Count(table.String(), r.Sides[1].Name) != 2 {
		t.Errorf("%s\n%s", text.String(), table.String())
	}
}
