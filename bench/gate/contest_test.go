package gate

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"peal/bench"
)

// script is a macro whose runs are made up: nth counts those of its side from 0.
func script(name string, order *[]string, run func(side string, nth int) ([]bench.Measure, error)) bench.Macro {
	counts := map[string]int{}
	return bench.Macro{Name: name, Run: func(_ context.Context, l *bench.Command) ([]bench.Measure, error) {
		*order = append(*order, l.Label)
		counts[l.Label]++
		return run(l.Label, counts[l.Label]-1)
	}}
}

func contest(t *testing.T) *Contest {
	c := parse(t, judgeConfig)
	c.Pairs, c.P = 6, 0.1
	return &Contest{Config: c, Base: &bench.Command{Label: "A"}, Head: &bench.Command{Label: "B"}, Log: io.Discard}
}

// result is an empty one for c to judge in.
func (c *Contest) result() *Result {
	return &Result{Base: Build{Name: "base"}, Config: c.Config, ExactOnly: c.ExactOnly}
}

func TestSidesTakeTurns(t *testing.T) {
	check := func(exactOnly bool, unit, want string) {
		t.Helper()
		var order []string
		c := contest(t)
		c.ExactOnly, c.Config.P = exactOnly, 0.2 // so that 6 equal pairs decide
		_, err := c.Run(t.Context(), []bench.Macro{script("M", &order, func(string, int) ([]bench.Measure, error) {
			return []bench.Measure{{Unit: unit, Value: 1}}, nil
		})}, c.result())
		if got := strings.Join(order, ""); err != nil || got != want {
			t.Errorf("%s, exact only %t: %s (%v), want %s", unit, exactOnly, got, err, want)
		}
	}
	check(false, "cpu-ns/delivery", "ABBAABBAABBA")
	check(false, "allocs/delivery", "ABBAAB")
	check(true, "allocs/delivery", "ABBAAB")
	check(true, "cpu-ns/delivery", "AB") // nothing to judge: left out after one pair
}

func TestBenchmarksTakeTurns(t *testing.T) {
	var order []string
	macro := func(name, unit string) bench.Macro {
		return script(name, new([]string), func(side string, _ int) ([]bench.Measure, error) {
			order = append(order, name+side)
			return []bench.Measure{{Unit: unit, Value: 1}}, nil
		})
	}
	c := contest(t)
	var log bytes.Buffer
	c.Log = &log
	if _, err := c.Run(t.Context(), []bench.Macro{macro("m", "allocs/delivery"), macro("n", "allocs/delivery")}, c.result()); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(order, " "); got != "mA mB nA nB mB mA nB nA mA mB nA nB" || !strings.Contains(log.String(), " s left\n") {
		t.Errorf("%s\n%s", got, log.String())
	}
}

func TestTooFewPairsAreRefusedAfterTheFirst(t *testing.T) {
	c := contest(t)
	var order []string
	_, err := c.Run(t.Context(), []bench.Macro{script("M", &order, func(string, int) ([]bench.Measure, error) {
		return []bench.Measure{{Unit: "cpu-ns/delivery", Value: 1}, {Unit: "deliveries/s", Value: 1}}, nil
	})}, c.result())
	if !errors.Is(err, ErrPairs) || !strings.Contains(err.Error(), "6 pairs cannot decide about 2 noisy figures with p 0.1, at least 7 can: raise pairs") || len(order) != 2 {
		t.Errorf("%v after %v", err, order)
	}
}

func TestSamplesThatDoNotAgreeAreFollowedByMore(t *testing.T) {
	var order []string
	c := contest(t)
	r := c.result()
	_, err := c.Run(t.Context(), []bench.Macro{script("M", &order, func(side string, nth int) ([]bench.Measure, error) {
		value := 0.0
		if side == "B" && nth == 1 {
			value = 1
		}
		return []bench.Measure{{Unit: "allocs/delivery", Value: value}}, nil
	})}, r)
	if got := strings.Join(order, ""); err != nil || got != "ABBAABBAAB" {
		t.Errorf("%s (%v), want five of each", got, err)
	}
	if r.Exit != ExitPass {
		t.Errorf("exit %d: one of five may be out", r.Exit)
	}
}

func TestUndecidedBenchmarksTakeAsManyPairsAgain(t *testing.T) {
	check := func(spread, shift float64, want int, verdict Verdict) {
		t.Helper()
		c := contest(t)
		c.Config.Pairs, c.Config.P = 12, 0.01
		random := rand.New(rand.NewPCG(3, 4))
		macros := []bench.Macro{
			script("Restless", new([]string), func(side string, _ int) ([]bench.Measure, error) {
				value := 1000 * (1 + spread*random.NormFloat64())
				if side == "B" {
					value *= shift
				}
				return []bench.Measure{{Unit: "cpu-ns/delivery", Value: value}}, nil
			}),
			script("Calm", new([]string), func(_ string, nth int) ([]bench.Measure, error) {
				return []bench.Measure{{Unit: "cpu-ns/delivery", Value: 1000 + float64(nth%5)}}, nil
			}),
		}
		r := c.result()
		all, err := c.Run(t.Context(), macros, r)
		if err != nil {
			t.Fatal(err)
		}
		if len(all[0].Base.Runs) != want || len(all[0].Head.Runs) != want || len(all[1].Base.Runs) != 12 {
			t.Errorf("spread %v, head × %v: %d, %d and %d samples, want %d, as many and 12",
				spread, shift, len(all[0].Base.Runs), len(all[0].Head.Runs), len(all[1].Base.Runs), want)
		}
		if len(r.Figures) != 2 || len(r.Figures[0].Base) != want || r.Figures[0].Verdict != verdict {
			t.Errorf("%d figures, the first %s of %d samples, want 2, %s and %d", len(r.Figures), r.Figures[0].Verdict, len(r.Figures[0].Base), verdict, want)
		}
	}
	check(0.01, 1, 12, Same)
	check(0.01, 2, 12, Worse)
	check(0.2, 1, 24, Unstable)
	check(0.2, 10, 12, Worse) // decided: each look has half of the error probability
}

func TestAFailedRunIsRepeatedAndTheOtherSideConfirms(t *testing.T) {
	good := []bench.Measure{{Unit: "allocs/delivery", Value: 0}}
	check := func(name string, fails func(side string, nth int) bool, wantOrder string, base, head [2]int) {
		t.Helper()
		var order []string
		c := contest(t)
		all, err := c.Run(t.Context(), []bench.Macro{script("M", &order, func(side string, nth int) ([]bench.Measure, error) {
			if fails(side, nth) {
				return nil, errors.New("lost 3 messages")
			}
			return good, nil
		})}, c.result())
		if err != nil {
			t.Fatal(err)
		}
		s := all[0]
		got := [][2]int{{len(s.Base.Runs), s.Base.Failed}, {len(s.Head.Runs), s.Head.Failed}}
		if strings.Join(order, "") != wantOrder || !slices.Equal(got, [][2]int{base, head}) {
			t.Errorf("%s: %s, passed and failed %v; want %s, %v %v", name, strings.Join(order, ""), got, wantOrder, base, head)
		}
	}
	check("once", func(s string, n int) bool { return s == "B" && n == 0 }, "ABBBAAB", [2]int{3, 0}, [2]int{3, 1})
	check("head always", func(s string, n int) bool { return s == "B" }, "ABBA", [2]int{2, 0}, [2]int{0, 2})
	check("head now and then", func(s string, n int) bool { return s == "B" && n%2 == 0 }, "ABBBAA", [2]int{2, 0}, [2]int{1, 2})
	check("both", func(string, int) bool { return true }, "ABABB", [2]int{0, 2}, [2]int{0, 2})
}

func TestAFigureThatIsNoNumberIsAFailure(t *testing.T) {
	for _, run := range [][]bench.Measure{nil, {{Unit: "allocs/delivery", Value: zero() / zero()}}} {
		c := contest(t)
		all, err := c.Run(t.Context(), []bench.Macro{script("M", new([]string), func(string, int) ([]bench.Measure, error) { return run, nil })}, c.result())
		if err != nil || all[0].Head.Failed != 2 {
			t.Errorf("%v: %+v, %v", run, all, err)
		}
	}
}

func zero() float64 { return 0 }

func TestTheEndOfTheContextEndsTheContest(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := contest(t)
	_, err := c.Run(ctx, []bench.Macro{script("M", new([]string), func(string, int) ([]bench.Measure, error) {
		cancel()
		return nil, ctx.Err()
	})}, c.result())
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestResultsAreReadAsTheyWereWritten(t *testing.T) {
	r := &Result{Schema: Schema, Base: Build{Name: "base"}, Config: parse(t, judgeConfig)}
	r.Judge([]Samples{{"B", side("cpu-ns/delivery", 1, 2, 3), side("cpu-ns/delivery", 0, 0, 0)}})
	file := filepath.Join(t.TempDir(), "result.json")
	var b bytes.Buffer
	if err := errors.Join(r.Write(&b), os.WriteFile(file, b.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
	got, err := ReadResult(file)
	if err != nil || got.Exit != r.Exit || !slices.Equal(got.Figures[0].Base, r.Figures[0].Base) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"", "[]", `{"schema": 1}`} {
		if err := os.WriteFile(file, []byte(bad), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadResult(file); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
