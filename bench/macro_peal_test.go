package bench

import (
	"math"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tiny is enough to see that a macro runs.
func tiny() Config {
	return Config{Loops: 2, Length: 100 * time.Millisecond, Settle: 40 * time.Millisecond,
		Subscribers: 50, Many: 100, Channels: 100, Resuming: 50, Metrics: PealMetrics}
}

// buildPeal builds the program that the tests' own tree gives.
func buildPeal(t *testing.T) *Command {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "peal")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "peal/cmd/peal").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return Peal(binary, "--admin", "127.0.0.1:{admin}")
}

// Every macro runs against the real binary, with figures under stable units,
// and what is counted comes out as what the design promises.
func TestMacrosMeasurePeal(t *testing.T) {
	if testing.Short() {
		t.Skip("starts some thirty servers")
	}
	peal, c := buildPeal(t), tiny()
	units := map[string]string{ // by the name's first part
		"Idle":         "B/connection heap-B/connection",
		"Fanout":       "cpu-ns/delivery p50-ns p99-ns tail-ns sends/delivery encodes/publication allocs/delivery alloc-B/delivery allocs/publication alloc-B/publication",
		"OpenLoop":     "cpu-ns/delivery p50-ns p99-ns tail-ns",
		"TenChannels":  "cpu-ns/delivery p99-ns sends/delivery allocs/delivery B/delivery",
		"Publish":      "cpu-ns/publication encodes/publication allocs/publication alloc-B/publication",
		"Batch":        "cpu-ns/publication allocs/publication alloc-B/publication sends/publication",
		"Command":      "cpu-ns/publication allocs/publication alloc-B/publication sends/publication",
		"ManyChannels": "cpu-ns/publication encodes/publication allocs/publication alloc-B/publication",
		"LogPublish":   "cpu-ns/publication encodes/publication allocs/publication alloc-B/publication log-B/publication",
		"Poll":         "cpu-ns/poll p99-ns sends/poll encodes/publication allocs/poll alloc-B/poll",
		"Accept":       "cpu-ns/connection open-ns/connection imbalance-percent",
		"OpenClose":    "allocs/connection alloc-B/connection",
		"Resume":       "peak-B resume-ns cpu-ns/client",
		"Channel":      "B/channel heap-B/channel",
		"OwnChannels":  "B/channel heap-B/channel",
		"Slow":         "cpu-ns/delivery p99-ns held-B",
	}
	if WhyNoSyscalls() == "" {
		for kind, unit := range map[string]string{"Fanout": "delivery", "TenChannels": "delivery", "Poll": "poll", "Publish": "publication", "LogPublish": "publication", "Accept": "connection", "OpenClose": "connection"} {
			units[kind] += " syscalls/" + unit
		}
	}
	seen := map[string]bool{}
	for _, m := range c.Macros() {
		kind, _, _ := strings.Cut(m.Name, "/")
		if seen[m.Name] || units[kind] == "" {
			t.Errorf("%s: twice there, or without a list of units in this test", m.Name)
		}
		seen[m.Name], seen[kind] = true, true
		v, err := m.Sample(t.Context(), peal)
		if err != nil {
			t.Errorf("%s: %v", m.Name, err)
			continue
		}
		for _, unit := range strings.Fields(units[kind]) {
			if x := figure(v, unit); math.IsNaN(x) || math.IsInf(x, 0) {
				t.Errorf("%s: no %s in %v", m.Name, unit, v)
			}
		}
		check := func(unit string, want, within float64) {
			t.Helper()
			if x := figure(v, unit); math.Abs(x-want) > within { // false if it is not there
				t.Errorf("%s: %v %s, want %v", m.Name, x, unit, want)
			}
		}
		// A load as short as this one has few deliveries to divide by: an allocation
		// by the clock shows, and so does a publisher whose own copy of a message
		// leaves together with the next.
		check("allocs/delivery", 0, 0.1)
		check("imbalance-percent", 0, 1)
		check("sends/poll", 1, 0.1)
		switch { // replies that are made together are one send
		case strings.HasPrefix(m.Name, "Command/") && strings.HasSuffix(m.Name, "inflight=16"):
			check("sends/publication", 2.0/16, 0.01) // the work on 16 commands is more than a connection's share of a turn
		case strings.HasPrefix(m.Name, "Command/"):
			check("sends/publication", 1, 0.01)
		case strings.HasPrefix(m.Name, "Batch/"):
			check("sends/publication", 1.0/manyMessages, 0.001)
		}
		check("syscalls/delivery", 1, 0.2)
		if held := figure(v, "heap-B/connection"); strings.HasPrefix(m.Name, "Idle/") && (held > 2000) != strings.HasSuffix(m.Name, "=wss") {
			t.Errorf("%s: %v B of the heap for each connection: only TLS takes more than 2000", m.Name, held)
		}
		if strings.Contains(m.Name, "inflight=1/") || strings.HasSuffix(m.Name, "inflight=1") {
			ways := 1.0
			if strings.Contains(m.Name, "transport=") && !strings.Contains(m.Name, "transport=wss") {
				ways = 2 // the publisher is on a WebSocket
			}
			check("sends/delivery", 1, 0.1)
			check("encodes/publication", ways, 0)
			check("buffers/publication", ways, 0.5)
		}
	}
	for kind := range units {
		if !seen[kind] {
			t.Errorf("no macro %s", kind)
		}
	}
}

// A server without metrics is measured from outside.
func TestMacrosMeasureAServerWithoutMetrics(t *testing.T) {
	ceiling, c := mustBuild(t, BuildCeiling), tiny()
	for _, m := range c.Macros() {
		if m.Name != "Fanout/subscribers=50/inflight=1" {
			continue
		}
		v, err := m.Sample(t.Context(), ceiling)
		var units []string
		for _, m := range v {
			units = append(units, m.Unit)
		}
		want := "cpu-ns/delivery p50-ns p99-ns tail-ns"
		if WhyNoSyscalls() == "" {
			want += " syscalls/delivery syscalls/publication"
		}
		if got := strings.Join(units, " "); got != want || err != nil {
			t.Errorf("%s, want %s; %v", got, want, err)
		}
		return
	}
	t.Error("no such macro")
}
