package gate

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"peal/bench"
	"peal/loadtest"
	"peal/loadtest/report"
)

const exampleScenario = `
name: Chat
target: ws://{addr}/ws?channel=bench
connections: 50
rate: 100
duration: 500ms
idle: 100ms
samples: 2
metrics:
  - {unit: B/connection, kind: exact, margin-percent: 900}
  - {unit: cpu-ns/delivery, kind: noisy, threshold-percent: 5}
`

func TestScenarioNamesAllFaults(t *testing.T) {
	s, err := ParseScenario("chat.yaml", []byte(exampleScenario))
	if err != nil || s.load != "fanout" || s.settings.Connections != 50 || s.settings.Duration != 500*time.Millisecond || s.settings.Size != 128 || s.Loops != 1 || s.Pairs != 15 || s.Samples != 2 {
		t.Errorf("%+v, %v", s, err)
	}
	_, err = ParseScenario("chat.yaml", []byte(`
name: two words
target: ws://127.0.0.1/
publish: http://127.0.0.1/
loops: 0
pairs: 3
metrics: [{unit: allocs/delivery, kind: exact}]
`))
	for _, want := range []string{"name", "target", "publish", "loops", "pairs 3", "allocs/delivery"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want a fault with %q", err, want)
		}
	}
	if _, err := ParseScenario("chat.yaml", []byte("nam: x")); err == nil {
		t.Error("an unknown word was read")
	}
}

func TestFiguresOfARun(t *testing.T) {
	good := func() *report.Report {
		per := 700.0
		r := &report.Report{
			Connections: report.Connections{Wanted: 10, Opened: 10},
			Messages:    &report.Messages{Sent: 10, Counts: loadtest.Counts{Expected: 100, Delivered: 100}},
			Server:      &report.Server{CPU: 0.001, OpenCPU: 0.002, BytesPerConnection: &per},
		}
		r.Validity.Valid = true
		return r
	}
	all, err := figuresOf(t.Context(), good())
	if err != nil || len(all) != 3 || all[0] != (bench.Measure{Unit: "cpu-ns/delivery", Value: 10_000}) || all[1].Value != 200_000 || all[2].Value != 700 {
		t.Errorf("%v, %v", all, err)
	}
	check := func(name string, spoil func(*report.Report), invalid bool) {
		t.Helper()
		r := good()
		spoil(r)
		if _, err := figuresOf(t.Context(), r); err == nil || errors.Is(err, errInvalid) != invalid {
			t.Errorf("%s: %v; want an error, of an invalid run: %t", name, err, invalid)
		}
	}
	check("lost", func(r *report.Report) { r.Messages.Lost = 1 }, false)
	check("repeated", func(r *report.Report) { r.Messages.Duplicated = 1 }, false)
	check("reordered", func(r *report.Report) { r.Messages.Reordered = 1 }, false)
	check("refused", func(r *report.Report) { r.Messages.Refused = 1 }, false)
	check("closed", func(r *report.Report) { r.Connections.Closed = 1 }, false)
	check("short of CPU", func(r *report.Report) { r.Validity.Valid, r.Validity.Reasons = false, []string{"CPU"} }, true)
}

// TestScenarioOnARealServer starts Peal by a command line, as any server.
func TestScenarioOnARealServer(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a server")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	c := &Checkout{Root: root, Dir: t.TempDir()}
	binary, _, err := c.Build(t.Context(), root, "peal", "")
	if err != nil {
		t.Fatal(err)
	}
	// A machine that is busy with other tests would send late, if there was a rate, and reads late.
	s, err := ParseScenario("chat.yaml", []byte(strings.Replace(exampleScenario, "rate: 100", "in-flight: 1\nmax-lag: 1000", 1)))
	if err != nil {
		t.Fatal(err)
	}
	macro := s.Macro()
	l := &bench.Command{Label: "peal", Args: []string{"/bin/sh", "-c", "exec " + binary + " serve --listen 127.0.0.1:{port} --loops {loops}"}}
	all, err := macro.Run(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	units := map[string]float64{}
	for _, m := range all {
		units[m.Unit] = m.Value
	}
	for _, unit := range []string{"cpu-ns/delivery", "cpu-ns/connection", "p99-ns"} {
		if units[unit] <= 0 {
			t.Errorf("no %s in %v", unit, all)
		}
	}
	if _, is := units["B/connection"]; !is {
		t.Errorf("no B/connection in %v", all)
	}
}
