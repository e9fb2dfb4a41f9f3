package gate

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"peal/bench/record"
)

// planted returns n values with that noise, the later ones at the levels that of gives.
func planted(seed uint64, n int, noise float64, of func(i int) float64) (v []float64) {
	random := rand.New(rand.NewPCG(seed, 1))
	for i := range n {
		v = append(v, 1000*of(i)*math.Exp(noise*random.NormFloat64()))
	}
	return v
}

func TestChangePointsAreFoundWhereTheyWerePlanted(t *testing.T) {
	check := func(name string, of func(i int) float64, want ...int) {
		t.Helper()
		found := 0
		for seed := range uint64(10) {
			got := changePoints(rand.New(rand.NewPCG(1, 2)), planted(seed, 60, 0.03, of), 0.005)
			near := func(a, b int) bool { return a-b <= 3 && b-a <= 3 }
			if slices.EqualFunc(got, want, near) {
				found++
			}
		}
		if found < 9 {
			t.Errorf("%s: found in %d of 10 series", name, found)
		}
	}
	check("none", func(int) float64 { return 1 })
	check("one step", func(i int) float64 { return 1 + 0.08*float64(i/30) }, 30)
	check("two steps", func(i int) float64 { return 1 + 0.08*float64(i/20) }, 20, 40)
	check("a step back", func(i int) float64 { return 1 + 0.1*float64(i/20%2) }, 20, 40)
}

func TestSeriesWithoutAChangeHaveNoChangePoint(t *testing.T) {
	const series = 300
	found := 0
	for seed := range uint64(series) {
		v := planted(seed, 50, 0.05, func(int) float64 { return 1 })
		if seed%2 == 1 { // a machine with two speeds
			v = planted(seed, 50, 0.05, func(i int) float64 { return 1 + 0.2*float64(i%2) })
		}
		if len(changePoints(rand.New(rand.NewPCG(seed, 2)), v, 0.01)) > 0 {
			found++
		}
	}
	if found > 10 { // 3 are expected, and 10 or more come once in 500
		t.Errorf("found in %d of %d series", found, series)
	}
	for _, v := range [][]float64{nil, {1}, {1, 9, 1, 9, 1, 9, 1, 9, 1}, make([]float64, 50)} {
		if at := changePoints(rand.New(rand.NewPCG(1, 2)), v, 0.01); at != nil {
			t.Errorf("%v: %v", v, at)
		}
	}
}

// TestManySmallStepsAreADrift lets a figure become worse by 0.5 % in each of 40 runs, which no
// single run can see.
func TestManySmallStepsAreADrift(t *testing.T) {
	file := filepath.Join(t.TempDir(), "history.jsonl")
	creep := planted(1, 60, 0.02, func(i int) float64 { return 1 + 0.005*float64(max(i-20, 0)) })
	steady := planted(2, 60, 0.02, func(int) float64 { return 1 })
	here := record.Machine{CPU: "this one"}
	var last *Result
	for i := range creep {
		machine, factor := here, 1.0
		if i%3 == 2 {
			machine, factor = record.Machine{CPU: "another"}, 5 // its runs do not count here
		}
		last = &Result{Began: time.Unix(int64(i), 0), Environment: machine, Head: Build{Commit: fmt.Sprintf("%010d", i)}, Config: parse(t, judgeConfig)}
		for unit, v := range map[string]float64{"creep": creep[i] * factor, "steady": steady[i] * factor, "constant": 7} {
			last.Figures = append(last.Figures, Figure{Benchmark: "B", Unit: unit, HeadMedian: &v})
		}
		if i == len(creep)-1 {
			last.Environment = here
		}
		if err := last.Record(file); err != nil {
			t.Fatal(err)
		}
	}
	if len(last.Drifts) != 1 || last.Drifts[0].Figure != "B: creep" || last.Drifts[0].Runs != 41 || *last.Drifts[0].ChangePercent < 8 {
		t.Fatalf("%+v, want one of the creeping figure", last.Drifts)
	}
	var b bytes.Buffer
	if err := last.WriteMarkdown(&b); err != nil || !strings.Contains(b.String(), "| B: creep | 41 |") {
		t.Errorf("%v\n%s", err, b.String())
	}
	if b, err := os.ReadFile(file); err != nil || bytes.Count(b, []byte("\n")) != 60 {
		t.Errorf("%d lines, %v", bytes.Count(b, []byte("\n")), err)
	}
}
