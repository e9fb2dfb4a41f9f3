package gate

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"testing"

	"peal/bench/record"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMarkdown(t *testing.T) {
	head := parse(t, judgeConfig)
	base := parse(t, judgeConfig)
	base.Metrics[0].Margin = 0.001
	r := &Result{
		Config: head, Changes: Changes(base, head), Took: 1234,
		Environment: record.Machine{CPU: "Fast CPU", CPUs: 2, Kernel: "6.1", Go: "go1.26"},
		Base:        Build{Name: "origin/main", Commit: "0123456789abcdef"},
		Head:        Build{Name: "working tree", Commit: "fedcba9876543210", Changed: true},
		Rewritten:   []Change{{"Idle | ws: B/connection", "350", "380", true}},
		Notes:       []string{"Both binaries are the same: this is an A/A run."},
	}
	both := func(name, unit string, b, h []float64) Samples {
		return Samples{name, side(unit, b...), side(unit, mixed(h)...)}
	}
	r.Judge([]Samples{
		both("Fanout/subscribers=1000/inflight=1", "allocs/delivery", []float64{0, 0, 0}, []float64{1, 1, 1}),
		both("Fanout/subscribers=1000/inflight=1", "cpu-ns/delivery", around(5000, 0.05, 15), around(5600, 0.05, 15)),
		both("Fanout/subscribers=1000/inflight=16", "cpu-ns/delivery", around(800, 0.02, 15), around(805, 0.02, 15)),
		both("Fanout/subscribers=1000/inflight=16", "p99-ns", around(2e6, 0.4, 15), around(2.2e6, 0.4, 15)),
		both("Idle/ws", "B/connection", []float64{350, 350, 350}, []float64{310, 310, 310}),
		both("Poll", "cpu-ns/delivery", around(9000, 0.4, 15), around(9000, 0.4, 15)),
		{"Storm", side("allocs/delivery", 0, 0), Side{Failed: 2, Err: errors.New("of 10 expected messages 3 lost\npanic: a|b <c>")}},
	})
	var b bytes.Buffer
	if err := r.WriteMarkdown(&b); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/result.md"
	if *update {
		if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), want) {
		t.Errorf("not %s (go test -update rewrites it):\n%s", golden, b.String())
	}
}
