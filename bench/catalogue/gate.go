package catalogue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"peal/bench/record"
)

// plants are the regressions that the gate's test of itself plants, and in how
// many of a hundred runs each must be found.
var plants = []struct {
	name  string
	least float64
}{{"allocation", 100}, {"copy", 100}, {"send", 100}, {"cpu", 90}}

// gateResult is what is needed of a result of peal-gate.
type gateResult struct {
	Schema int       `json:"schema"`
	Began  time.Time `json:"began"`
	Base   struct {
		Commit string `json:"commit"`
	} `json:"base"`
	Environment struct {
		CPU    string `json:"cpu"`
		Kernel string `json:"kernel"`
	} `json:"environment"`
	Exit int `json:"exit"`
}

// gate runs the gate's test of itself, for hours, and counts what it found. With
// OUT, the folder where that test was told to keep its results, it runs nothing
// and counts those: they must be of this machine.
func (k *Kit) gate(ctx context.Context) (*record.Record, error) {
	const script = "scripts/gate-selftest.sh"
	if _, err := os.Stat(filepath.Join(k.Root, script)); err != nil {
		return nil, fmt.Errorf("%w: %s", ErrAbsent, script)
	}
	r, err := k.begin(ctx, "gate")
	if err != nil {
		return nil, err
	}
	folder := os.Getenv("OUT")
	if folder == "" {
		folder = filepath.Join(k.Dir, "gate")
		for _, part := range []struct {
			what string
			runs int
		}{{"aa", 20}, {"planted", 10}} {
			err := k.command(ctx, "env", "OUT="+folder, filepath.Join(k.Root, script), part.what, strconv.Itoa(k.rounds(part.runs)))
			if err := errors.Join(err, ctx.Err()); err != nil {
				return nil, fmt.Errorf("%s: %w", script, err)
			}
		}
	}
	return r, countGate(r, folder)
}

// countGate adds to r what the results in the folder say, and takes over when and
// of what they are.
func countGate(r *record.Record, folder string) error {
	same, err := gateResults(r, folder, "aa")
	if err != nil {
		return err
	}
	commit := same[0].Base.Commit
	r.Environment.Time, r.Environment.Commit, r.Environment.Dirty = same[0].Began, commit[:min(len(commit), 10)], false
	exits := map[int]float64{}
	for _, s := range same {
		exits[s.Exit]++
	}
	add := func(what, unit string, v float64, target *record.Target) {
		r.Rows = append(r.Rows, record.Row{Key: "gate", What: what, Unit: unit, Target: target, A: []float64{v}})
	}
	add("runs of a commit against itself", "", float64(len(same)), nil)
	add("of them a false alarm (exit code 1)", "", exits[1], nil)
	add("unstable (3)", "", exits[3], nil)
	add("could not measure (4)", "", exits[4], nil)
	for _, p := range plants {
		all, err := gateResults(r, folder, p.name)
		if err != nil {
			return err
		}
		found := 0
		for _, s := range all {
			if s.Exit == 1 {
				found++
			}
		}
		add(fmt.Sprintf("planted: %s, found in %d of %d", p.name, found, len(all)), "%", 100*float64(found)/float64(len(all)),
			&record.Target{Of: "value", Limit: p.least})
	}
	return nil
}

// gateResults reads the results whose names begin with kind; none is an error.
func gateResults(r *record.Record, folder, kind string) (all []gateResult, err error) {
	files, err := filepath.Glob(filepath.Join(folder, kind+"-*.json"))
	if err != nil {
		return nil, fmt.Errorf("results of the gate: %w", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("results of the gate: %w", err)
		}
		if len(b) == 0 {
			continue // a run that ended before it had a result
		}
		var one gateResult
		if err := json.Unmarshal(b, &one); err != nil {
			return nil, fmt.Errorf("result of the gate %s: %w", filepath.Base(file), err)
		}
		switch e := one.Environment; {
		case one.Schema != 1:
			return nil, fmt.Errorf("result of the gate %s: %w %d", filepath.Base(file), record.ErrSchema, one.Schema)
		case e.CPU != r.Environment.CPU || e.Kernel != r.Environment.Kernel:
			return nil, fmt.Errorf("result of the gate %s: of another machine, %s with Linux %s", filepath.Base(file), e.CPU, e.Kernel)
		}
		all = append(all, one)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("results of the gate: there is no %s-….json", kind)
	}
	return all, nil
}
