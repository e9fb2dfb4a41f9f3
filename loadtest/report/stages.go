package report

import (
	"encoding/csv"
	"fmt"
	"io"

	"peal/loadtest"
)

// Stage is a part of a run with a rate of its own, or a straight change of it.
type Stage struct {
	From      float64 `json:"from_per_s"`
	To        float64 `json:"to_per_s"`
	Duration  float64 `json:"duration_s"`
	Scheduled uint64  `json:"scheduled"`
	Sent      uint64  `json:"sent"`
	loadtest.Counts
	Latency *Times `json:"latency"`
}

// part is the report of one stage: its messages and latency; of the whole run for 0.
func (r *Report) part(stage int) *Report {
	switch {
	case stage == 0:
		return r
	case stage > len(r.Stages):
		return &Report{}
	}
	s := &r.Stages[stage-1]
	return &Report{Latency: s.Latency, Messages: &Messages{Scheduled: s.Scheduled, Sent: s.Sent, Counts: s.Counts}}
}

// stageAt is the number of the stage in which a moment is, nil without stages.
func (r *Report) stageAt(seconds float64) *int {
	if len(r.Stages) == 0 {
		return nil
	}
	k, end := 1, r.Stages[0].Duration
	for ; k < len(r.Stages) && seconds > end; k++ {
		end += r.Stages[k].Duration
	}
	return &k
}

func (s *Stage) rates() string {
	if s.From == s.To {
		return rate(s.From)
	}
	return rate(s.From) + "–" + rate(s.To)
}

func (p *printer) stages(all []Stage) {
	if len(all) == 0 {
		return
	}
	p.printf("\n%5s %8s %14s %10s %9s %9s %9s %9s %9s %9s %9s\n", "stage", "s", "messages/s", "sent", "lost", "p50 ms", "p90 ms", "p95 ms", "p99 ms", "p99.9 ms", "max ms")
	for k, s := range all {
		t := s.Latency
		if t == nil {
			p.printf("%5d %8.4g %14s %10d %9d\n", k+1, s.Duration, s.rates(), s.Sent, s.Lost)
			continue
		}
		p.printf("%5d %8.4g %14s %10d %9d %9s %9s %9s %9s %9s %9s\n", k+1, s.Duration, s.rates(), s.Sent, s.Lost,
			orLost(t.P50), orLost(t.P90), orLost(t.P95), orLost(t.P99), orLost(t.P999), orLost(t.Max))
		if s.Damaged() > 0 {
			p.printf("%5s damaged: %d corrupted, %d truncated, %d invalid\n", "", s.Corrupted, s.Truncated, s.Invalid)
		}
	}
	p.printf("\n")
}

func (p *printer) warmUp(w *Stage) {
	if w != nil {
		p.line("warm-up", "%.4g s, in no other figure: %d sent; deliveries: %d lost, %d duplicated, %d reordered",
			w.Duration, w.Sent, w.Lost, w.Duplicated, w.Reordered)
	}
}

// WriteStagesCSV writes the stages, a line each under a line of names. Times are empty
// where the message was lost.
func (r *Report) WriteStagesCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	rows := [][]string{{"stage", "duration_s", "from_per_s", "to_per_s", "scheduled", "sent", "expected", "delivered", "lost", "duplicated", "reordered",
		"p50_ms", "p90_ms", "p95_ms", "p99_ms", "p99_9_ms", "max_ms", "corrupted", "truncated", "invalid", "side"}}
	for _, side := range append([]*Report{r}, r.Sides...) {
		for k, s := range side.Stages {
			t := Times{}
			if s.Latency != nil {
				t = *s.Latency
			}
			rows = append(rows, []string{fmt.Sprint(k + 1), field(&s.Duration), field(&s.From), field(&s.To), field(&s.Scheduled), field(&s.Sent), field(&s.Expected), field(&s.Delivered),
				field(&s.Lost), field(&s.Duplicated), field(&s.Reordered), field(t.P50), field(t.P90), field(t.P95), field(t.P99), field(t.P999), field(t.Max),
				field(&s.Corrupted), field(&s.Truncated), field(&s.Invalid), side.Name})
		}
	}
	return c.WriteAll(rows)
}

// join adds the same stage of another run.
func (s *Stage) join(o Stage) error {
	s.Scheduled, s.Sent = s.Scheduled+o.Scheduled, s.Sent+o.Sent
	s.Counts.Add(o.Counts)
	return joinTimes(&s.Latency, o.Latency)
}
