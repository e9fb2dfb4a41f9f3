package scenario

import (
	"errors"
	"fmt"
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

func TestParseTarget(t *testing.T) {
	check := func(text, transport, path, channel string, peal bool) {
		t.Helper()
		got, err := ParseTarget(t.Context(), text)
		if err != nil {
			t.Error(err)
			return
		}
		if string(got.Transport) != transport || got.Path != path || got.channel(1, 0) != channel || got.Peal() != peal || got.Addr != "127.0.0.1:8080" {
			t.Errorf("%s: %+v, channel %q, Peal %t", text, got, got.channel(1, 0), got.Peal())
		}
	}
	check("ws://127.0.0.1:8080/ws?channel=bench", "ws", "/ws", "bench", true)
	check("ws://127.0.0.1:8080", "ws", "/", "main", true)
	check("peal+ws://127.0.0.1:8080?channel=a", "ws", "/ws", "a", true)
	check("sse+http://127.0.0.1:8080?channel=a%20b", "sse", "/sse", "a b", true)
	check("poll+http://127.0.0.1:8080/poll?timeout=60&channel=a&format=raw", "poll", "/poll?timeout=60", "a", true)
	check("ws://127.0.0.1:8080/socket?token=x", "ws", "/socket?token=x", "main", false)
	check("pusher+ws://127.0.0.1:8080?channel=a&key=k&app=7", "ws", "/app/k", "a", false)
	check("pusher+ws://127.0.0.1:8080/push/app/k?channel=a&app=7", "ws", "/push/app/k", "a", false)
	for _, bad := range []string{"", "127.0.0.1:8080", "http://127.0.0.1", "wss://127.0.0.1", "ws://", "ws://127.0.0.1:0", "ws://127.0.0.1:99999/",
		"ws://127.0.0.1/?channel=a&channel=b", "sse+http://127.0.0.1/?format=xml",
		"pusher+ws://127.0.0.1/", "pusher+ws://127.0.0.1/?key=k", "pusher+ws://127.0.0.1/?app=7", "pusher+ws://127.0.0.1/?key=k&app=7&secret=s"} {
		if got, err := ParseTarget(t.Context(), bad); err == nil {
			t.Errorf("%q was read as %+v", bad, got)
		}
	}
}

func TestPublishTargetFollowsFromAPeal(t *testing.T) {
	check := func(target, override string, channels, stream int, want string) {
		t.Helper()
		to, err := ParseTarget(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		p, err := to.publishTarget(t.Context(), override, channels)
		got := "error"
		if err == nil {
			got = fmt.Sprintf("%s%s %t", p.Addr, p.Path(stream), p.WebSocket)
		}
		if got != want {
			t.Errorf("%s, %q: %s (%v), want %s", target, override, got, err, want)
		}
	}
	check("ws://127.0.0.1:8080/ws?channel=a b", "", 1, 0, "127.0.0.1:8080/publish?channel=a+b false")
	check("sse+http://127.0.0.1:8080/sse?channel=a", "", 3, 2, "127.0.0.1:8080/publish?channel=a-2 false")
	check("ws://127.0.0.1:8080", "", 1, 0, "127.0.0.1:8080/publish?channel=main false")
	check("ws://127.0.0.1:8080/x", "", 1, 0, "error")
	check("ws://127.0.0.1:8080/x", "ws://127.0.0.1:81/p/{channel}", 2, 1, "127.0.0.1:81/p/bench-1 true")
	check("ws://127.0.0.1:8080/x", "ws://127.0.0.1:81/p", 2, 1, "error")
	check("ws://127.0.0.1:8080/x", "https://127.0.0.1:81/p", 1, 0, "error")
	check("pusher+ws://127.0.0.1:8080?channel=a&key=k&app=7", "", 1, 0, "127.0.0.1:8080/apps/7/events?auth_key=k false")
	check("pusher+ws://127.0.0.1:8080?channel=a&key=k&app=7", "http://127.0.0.1:81", 1, 0, "127.0.0.1:81/apps/7/events?auth_key=k false")
}

// small is a run against a liar.
func small(l *liar.Server) Settings {
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
	s.Slow, s.Limits = 30*time.Millisecond, report.DefaultLimits
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
