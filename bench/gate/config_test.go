package gate

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestConfigNamesAllFaults(t *testing.T) {
	_, err := ParseConfig([]byte(`
pairs: 4
p: 0.5
metrics:
  - {unit: a, kind: guessed}
  - {unit: b, kind: noisy}
  - {unit: c, kind: exact, threshold-percent: 5}
  - {unit: d, kind: noisy, threshold-percent: 5, see-percent: 3}
  - {kind: exact, benchmark: "("}
`))
	for _, want := range []string{"pairs 4", "p 0.5", `kind "guessed"`, "metric 2 (b): threshold-percent is missing",
		"metric 3 (c)", "metric 4 (d): see-percent", "unit is missing", "metric 5 (): benchmark"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant a fault with %q", err, want)
		}
	}
	for _, text := range []string{"", "metrics: [{unit: a, kind: exact, margn: 1}]", "pears: 20", "- 1"} {
		if c, err := ParseConfig([]byte(text)); err == nil {
			t.Errorf("%q was read as %+v", text, c)
		}
	}
}

func TestTheFirstMetricThatFitsDecides(t *testing.T) {
	c := parse(t, `
metrics:
  - {unit: B/connection, benchmark: "^Idle/sse", kind: shown}
  - {unit: B/connection, kind: exact, margin: 3}
  - {unit: cpu-ns/delivery, kind: noisy, threshold-percent: 4}
`)
	for _, want := range []struct {
		benchmark, unit string
		kind            Kind
	}{{"Idle/sse", "B/connection", Shown}, {"Idle/ws", "B/connection", Exact}, {"Idle/ws", "unheard-of", Shown}} {
		if got := c.Metric(want.benchmark, want.unit); got.Kind != want.kind {
			t.Errorf("%s of %s is %s, want %s", want.unit, want.benchmark, got.Kind, want.kind)
		}
	}
	if m := c.Metric("", "cpu-ns/delivery"); c.Pairs != 15 || c.Samples != 3 || c.P != 0.01 || m.SeePercent != 8 {
		t.Errorf("defaults: %+v", c)
	}
}

func TestChangesListWhatLetsMorePass(t *testing.T) {
	base := parse(t, `
metrics:
  - {unit: a, kind: exact, margin: 1}
  - {unit: b, kind: noisy, threshold-percent: 5}
  - {unit: c, kind: exact}
  - {unit: d, kind: shown}
`)
	head := parse(t, `
pairs: 20
samples: 2
metrics:
  - {unit: a, kind: exact, margin: 2}
  - {unit: b, kind: noisy, threshold-percent: 4}
  - {unit: d, kind: exact}
  - {unit: e, kind: exact}
`)
	var got []string
	for _, c := range Changes(base, head) {
		got = append(got, fmt.Sprintf("%s %s→%s %t", c.What, c.Base, c.Head, c.Raised))
	}
	want := []string{"samples 3→2 true", "a: margin 1→2 true", "c: kind exact→– true", "pairs 15→20 false", "b: threshold-percent 5→4 false",
		"b: see-percent 10→8 false", "d: kind shown→exact false", "e: kind –→exact false"}
	if strings.Join(got, "; ") != strings.Join(want, "; ") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if all := Changes(base, base); len(all) != 0 {
		t.Errorf("against itself: %v", all)
	}
}

func TestTheRepositorysOwnConfig(t *testing.T) {
	b, err := os.ReadFile("../gate.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if c := parse(t, string(b)); c.Metric("Fanout/x", "allocs/delivery").Kind != Exact || c.Metric("Fanout/x", "cpu-ns/delivery").Kind != Noisy {
		t.Errorf("%+v", c)
	}
}
