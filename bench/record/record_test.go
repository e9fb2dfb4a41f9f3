package record_test

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"peal/bench/record"
)

func TestWhatIsWrittenIsRead(t *testing.T) {
	wrote := record.Record{Schema: record.Schema, Name: "n", Command: "a > b", Rows: []record.Row{
		{Key: "a", What: "p99", Unit: "ms", Target: record.AtMost(record.Ratio, 1.25), A: []float64{1, 2.5}, B: []float64{3, 4}},
		{Key: "b", What: "x", Target: record.AtLeast(record.Difference, 5), A: []float64{1}, B: []float64{2}},
		{Key: "c", What: "y", A: []float64{}, Error: "it rained"},
	}, Runs: []record.Run{{Label: "l", Report: []byte(`{"schema":1}`)}}}
	dir := t.TempDir()
	if err := wrote.Write(filepath.Join(dir, "n.json")); err != nil {
		t.Fatal(err)
	}
	all, err := record.ReadAll(dir)
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	if read := all["n"]; !reflect.DeepEqual(read.Rows, wrote.Rows) || read.Command != "a > b" || len(read.Runs) != 1 {
		t.Errorf("%+v, want %+v", read, wrote)
	}
}

func TestVerdict(t *testing.T) {
	check := func(want string, target *record.Target, a, b []float64) {
		t.Helper()
		r := record.Row{Target: target, A: a, B: b}
		if got := r.Verdict(); got != want {
			t.Errorf("%+v of %v and %v: %q, want %q", target, a, b, got, want)
		}
	}
	check("met", record.AtLeast(record.Ratio, 0.97), []float64{96, 97, 99}, []float64{100, 100, 100})
	check("missed", record.AtLeast(record.Ratio, 0.97), []float64{96, 96, 99}, []float64{100, 100, 100})
	check("met", record.AtMost(record.Value, 640), []float64{900, 640, 100}, nil)
	check("missed", record.AtMost(record.Value, 640), []float64{700, 640}, nil)
	check("", nil, []float64{1}, nil)
	check("not measured", record.AtLeast(record.Value, 1), nil, nil)
}

func TestBareSendIsPlausible(t *testing.T) {
	cost, err := record.BareSend()
	if err != nil {
		t.Fatal(err)
	}
	if cost < 500*time.Nanosecond || cost > 500*time.Microsecond {
		t.Errorf("a send costs %v", cost)
	}
}

func TestReadRefuses(t *testing.T) {
	for _, c := range []struct{ name, text, says string }{
		{"later", `{"schema":2,"name":"later"}`, "unknown schema 2"},
		{"none", `{"name":"none"}`, "unknown schema 0"},
		{"target", `{"schema":1,"name":"target","rows":[{"target":{"of":"luck"}}]}`, `"luck"`},
		{"moved", `{"schema":1,"name":"other"}`, `"other"`},
		{"torn", `{"schema":1`, "unexpected end"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, c.name+".json"), []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := record.ReadAll(dir); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q in it", c.text, err, c.says)
		}
	}
}

func TestCaptureKnowsTheMachine(t *testing.T) {
	e, err := record.Capture(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if e.Commit == "" || e.CPUs < 1 || e.CPU == "" || e.MemoryBytes < 1<<20 || e.Kernel == "" || e.DescriptorLimit == 0 || e.BareSendUs <= 0 || e.Load[2] == "" {
		t.Errorf("%+v", e)
	}
}
