package bench

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"peal/loadtest"
)

// TestDuetTakesTurns: only one of the two samples runs at any moment, and each goes on
// when the other passes or ends. The order has no lock: the race detector finds what
// would run at the same time.
func TestDuetTakesTurns(t *testing.T) {
	broken := errors.New("broken")
	for _, tc := range []struct {
		name         string
		a, b         int // how often each passes
		failA, failB bool
		want         string
	}{
		{"equal", 2, 2, false, false, "ABABAB"},
		{"no turns", 0, 0, false, false, "AB"},
		{"the first ends early", 0, 2, false, false, "ABBB"},
		{"the second ends early", 3, 1, false, false, "ABABAA"},
		{"the first fails", 1, 2, true, false, "ABABB"},
		{"the second fails", 2, 0, false, true, "ABAA"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var order []string
			m := Macro{Name: "M", Run: func(_ context.Context, l *Command) ([]Measure, error) {
				n, fail := tc.a, tc.failA
				if l.Label == "B" {
					n, fail = tc.b, tc.failB
				}
				order = append(order, l.Label)
				for range n {
					l.turn.pass()
					order = append(order, l.Label)
				}
				if fail {
					return nil, broken
				}
				return []Measure{{Unit: l.Label, Value: 1}}, nil
			}}
			a, b := &Command{Label: "A"}, &Command{Label: "B"}
			both := m.Duet(t.Context(), a, b)
			if got := strings.Join(order, ""); got != tc.want {
				t.Errorf("order %s, want %s", got, tc.want)
			}
			for i, failed := range []bool{tc.failA, tc.failB} {
				if errors.Is(both[i].Err, broken) != failed || !failed && both[i].Measures[0].Unit != string("AB"[i]) {
					t.Errorf("side %d: %+v", i, both[i])
				}
			}
			if a.turn != nil || b.turn != nil {
				t.Error("the commands of the caller have turns now")
			}
		})
	}
}

// TestPartsAddUp: a load in parts is the sum of its parts, and one by itself is whole.
func TestPartsAddUp(t *testing.T) {
	latency := func(ms int64) *loadtest.Latency {
		l := loadtest.NewLatency()
		l.Record(ms * int64(time.Millisecond))
		return l
	}
	var fractions []int
	begun := -1 // after so many parts
	begin := func() error { begun = len(fractions); return nil }
	load := func(parts int) (loadtest.Result, error) {
		fractions = append(fractions, parts)
		r := loadtest.Result{Published: 3, ServerCPU: time.Second, Took: 2 * time.Second}
		r.Delivered, r.Latency = 30, latency(int64(len(fractions)))
		return r, nil
	}
	whole, err := (&Server{}).inParts(4, begin, load)
	if err != nil || begun != 0 || whole.Published != 3 || !slices.Equal(fractions, []int{1}) {
		t.Errorf("%+v, %v, of %v", whole, err, fractions)
	}
	fractions = nil
	gone := make(chan struct{})
	close(gone) // there is no other sample
	before, err := loadtest.CPUTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	sum, err := (&Server{PID: os.Getpid(), turn: &Turn{gone: gone}}).inParts(4, begin, load)
	if err != nil || begun != 1 || !slices.Equal(fractions, []int{4, 4, 4, 4, 4}) {
		t.Fatalf("%v, of %v", err, fractions)
	}
	after, err := loadtest.CPUTime(os.Getpid())
	if err != nil || sum.ServerCPU <= 0 || sum.ServerCPU > after-before {
		t.Errorf("%v of CPU time in %v, %v; want that of this process", sum.ServerCPU, after-before, err)
	}
	if sum.Published != 12 || sum.Delivered != 120 || sum.Took != 8*time.Second || sum.Latency.Count() != 4 {
		t.Errorf("%+v", sum)
	}
	if least := time.Duration(sum.Latency.Quantile(0)); least < 1900*time.Microsecond {
		t.Errorf("the part before the first has been measured: a latency of %v", least)
	}
	broken := errors.New("lost 3 messages")
	if _, err := (&Server{PID: os.Getpid(), turn: &Turn{gone: gone}}).inParts(4, nil, func(int) (loadtest.Result, error) { return loadtest.Result{}, broken }); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}
