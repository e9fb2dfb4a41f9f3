package record_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"peal/bench"
	"peal/bench/record"
)

func TestWhatIsWrittenIsRead(t *testing.T) {
	outcomes := []bench.Outcome{
		{Key: "a", Row: bench.Row{What: "  p99", Unit: "ms", Target: bench.Target{Of: bench.Ratio, AtMost: true, Limit: 1.25}}, A: []float64{1, 2.5}, B: []float64{3, 4}},
		{Key: "b", Row: bench.Row{What: "x", Target: bench.Target{Of: bench.Difference, Limit: 5}}, A: []float64{1}, B: []float64{2}},
		{Key: "c", Row: bench.Row{What: "y"}, A: []float64{}, Err: errors.New("it rained")},
	}
	wrote := record.Record{Schema: record.Schema, Name: "n", Command: "a > b", Runs: []record.Run{{Label: "l", Report: []byte(`{"schema":1}`)}}}
	for i := range outcomes {
		wrote.Rows = append(wrote.Rows, record.RowOf(&outcomes[i]))
	}
	dir := t.TempDir()
	if err := wrote.Write(filepath.Join(dir, "n.json")); err != nil {
		t.Fatal(err)
	}
	all, err := record.ReadAll(dir)
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	read := all["n"]
	for i := range read.Rows {
		o, want := read.Rows[i].Outcome(), outcomes[i]
		want.What = strings.TrimSpace(want.What)
		if !reflect.DeepEqual(o, want) {
			t.Errorf("%+v, want %+v", o, want)
		}
	}
	if read.Command != "a > b" || len(read.Runs) != 1 {
		t.Errorf("%+v", read)
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
