package scenario

import (
	"errors"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"peal/loadtest"
	"peal/loadtest/child"
	"peal/loadtest/liar"
	"peal/loadtest/report"
)

func TestMain(m *testing.M) {
	child.Play(loadtest.Worker)
	if mood := os.Getenv(moodEnv); mood != "" {
		serveMoody(os.Args[1], mood)
	}
	os.Exit(m.Run())
}

// small is a run against a liar.
func small(l *liar.Odd) Settings {
	s := Defaults()
	s.Targets, s.Publish = []string{"ws://" + l.Addr + "/"}, []string{"ws://" + l.Addr + "/pub"}
	s.Connections, s.Rate, s.Duration, s.Settle, s.Every = 3, 100, 500*time.Millisecond, 300*time.Millisecond, 100*time.Millisecond
	s.Limits = report.Limits{Lag: 1000, CPU: 1000}
	return s
}

// TestALateSenderIsFoundOut makes the pacer late on purpose: 30 ms for each
// message of a schedule with one every 10 ms.
func TestALateSenderIsFoundOut(t *testing.T) {
	s := small(liar.Start(t, liar.Truth))
	s.Slow, s.Settle, s.Limits = 30*time.Millisecond, 10*time.Second, report.DefaultLimits
	r, err := Run(t.Context(), "fanout", s)
	if err != nil {
		t.Fatal(err)
	}
	said := strings.Join(r.Validity.Reasons, "; ")
	if r.Validity.Valid || !strings.Contains(said, "sent late") || !strings.Contains(said, "of the schedule was sent") {
		t.Errorf("valid: %t, %q", r.Validity.Valid, said)
	}
	if *r.Latency.P90 < 150 {
		t.Errorf("p90 %v ms: it does not count from the schedule, which the sender was 300 ms behind", *r.Latency.P90)
	}
	if m := r.Messages; m.Scheduled != 50 || m.Sent >= m.Scheduled || m.Lost != 0 {
		t.Errorf("%+v; want 50 scheduled, fewer sent, and none of those lost", m)
	}
}

func TestAStallOfTheServerIsNotTheSendersFault(t *testing.T) {
	s := small(liar.Start(t, func(_ int, n uint64, send func()) {
		if n == 10 {
			time.Sleep(100 * time.Millisecond) // for each subscriber
		}
		send()
	}))
	r, err := Run(t.Context(), "fanout", s)
	if err != nil {
		t.Fatal(err)
	}
	if *r.Latency.P90 < 100 || *r.Latency.P90 <= 2**r.Lag.P90 {
		t.Errorf("p90 %v ms, of the lag %v ms: the stall of 300 ms is hidden, or held up the sender", *r.Latency.P90, *r.Lag.P90)
	}
}

func TestIntervalsAddUp(t *testing.T) {
	s := small(liar.Start(t, liar.Truth))
	s.PID = []int{os.Getpid()}
	r, err := Run(t.Context(), "fanout", s)
	if err != nil {
		t.Fatal(err)
	}
	sent, delivered := uint64(0), uint64(0)
	for _, i := range r.Intervals {
		sent += i.Sent
		delivered += i.Delivered
	}
	if sent != r.Messages.Sent || delivered != r.Messages.Delivered || delivered != 3*sent {
		t.Errorf("the intervals have %d sent and %d delivered; in all %+v", sent, delivered, r.Messages)
	}
	if r.Server == nil || r.Server.CPU <= 0 || r.Server.BytesPerConnection == nil || r.Server.Descriptors == nil {
		t.Errorf("server: %+v", r.Server)
	}
}

func TestInFlightIsAClosedLoop(t *testing.T) {
	s := small(liar.Start(t, liar.Truth))
	s.InFlight, s.Rate = 2, 1 // a rate of one message a second would send none
	r, err := Run(t.Context(), "fanout", s)
	if err != nil {
		t.Fatal(err)
	}
	if m := r.Messages; m.Sent < 10 || m.Scheduled != m.Sent || m.Delivered != 3*m.Sent || !r.Validity.Valid {
		t.Errorf("%+v, %+v", m, r.Validity)
	}
	s.Channels = 2
	if _, err := Run(t.Context(), "fanout", s); !errors.Is(err, ErrUsage) {
		t.Errorf("two channels: %v, want a usage error", err)
	}
}

func TestCheckNamesAllMistakesBeforeAnythingIsOpened(t *testing.T) {
	s := Defaults()
	s.Targets, s.Connections, s.Rate, s.Size = []string{"http://x"}, 0, 0, 3
	o, err := report.ParseObjective("bytes_per_connection>1KiB")
	if err != nil {
		t.Fatal(err)
	}
	s.Objectives = []report.Objective{o}
	_, err = Run(t.Context(), "fanout", s)
	for _, want := range []string{"--connections", "--rate", "--size", "target", "--pid, --admin or --start"} {
		if !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want a usage error with %s", err, want)
		}
	}
	for name, target := range map[string]string{"restart": "ws://127.0.0.1", "mixed": "ws://127.0.0.1/elsewhere", "versus": "ws://127.0.0.1"} {
		s := Defaults()
		s.Targets = []string{target}
		if _, err := Run(t.Context(), name, s); !errors.Is(err, ErrUsage) {
			t.Errorf("%s of %s: %v, want a usage error", name, target, err)
		}
	}
	for name, text := range map[string]string{"connect": "p99>1ms", "fanout": "recovery_max>1s", "mixed": "memory_slope>1MiB"} {
		s := Defaults()
		o, err := report.ParseObjective(text)
		if err != nil {
			t.Fatal(err)
		}
		s.Objectives = []report.Objective{o}
		if _, err := Run(t.Context(), name, s); !errors.Is(err, ErrUsage) {
			t.Errorf("%s with %s: %v, want a usage error", name, text, err)
		}
	}
}

func TestSlope(t *testing.T) {
	var all []report.Interval
	for i := range 100 {
		bytes, n := uint64(1<<20+i*1000), 50
		if i < 10 {
			bytes = 0 // the first tenth does not count
		}
		all = append(all, report.Interval{At: float64(i), Resident: &bytes, Descriptors: &n})
	}
	s := slopes(all)
	if s == nil || s.MemorySlope < 3.599e6 || s.MemorySlope > 3.601e6 || math.Abs(*s.DescriptorsSlope) > 1e-6 {
		t.Errorf("%+v; want 3.6 MB an hour and 0", s)
	}
	if slopes(all[:9]) != nil {
		t.Error("a slope of nine intervals")
	}
}
