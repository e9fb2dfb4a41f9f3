package catalogue

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"peal/bench/gate"
	"peal/bench/record"
)

// noisy are the plants that only timed figures show: nine of ten runs must find each,
// and all runs each other one.
var noisy = []string{"cpu", "tail", "accept"}

// gate runs scripts/gate-selftest.sh, for hours, and counts its results. If the
// environment has OUT, the folder with results of an earlier test, it only counts
// those. They must come from this machine.
func (k *Kit) gate(ctx context.Context, r *record.Record) error {
	folder := os.Getenv("OUT")
	if folder != "" {
		return countGate(r, folder)
	}
	folder = filepath.Join(k.Dir, "gate")
	script := filepath.Join(k.Root, "scripts/gate-selftest.sh")
	if err := k.command(ctx, "env", "OUT="+folder, script, "--aa", strconv.Itoa(k.rounds(40)), "--plants", strconv.Itoa(k.rounds(10))); err != nil {
		return fmt.Errorf("scripts/gate-selftest.sh: %w", err)
	}
	return countGate(r, folder)
}

// countGate adds the counts of the results in the folder to r, and copies their time
// and commit.
func countGate(r *record.Record, folder string) error {
	same, err := gateResults(r, folder, "aa")
	if err != nil {
		return err
	}
	if len(same) == 0 {
		return fmt.Errorf("results of the gate: no file aa-….json in %s", folder)
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
	add("of them a false alarm (exit code 1)", "", exits[gate.ExitRegression], nil)
	add("unstable (3)", "", exits[gate.ExitUnstable], nil)
	add("could not measure (4)", "", exits[gate.ExitFailed], nil)
	for _, plant := range gate.PlantNames() {
		all, err := gateResults(r, folder, plant)
		if err != nil {
			return err
		}
		if len(all) == 0 {
			continue // it was not planted
		}
		found, least := 0, 100.0
		if slices.Contains(noisy, plant) {
			least = 90
		}
		for _, s := range all {
			if s.Exit == gate.ExitRegression {
				found++
			}
		}
		add(fmt.Sprintf("planted: %s, found in %d of %d", plant, found, len(all)), "%", 100*float64(found)/float64(len(all)),
			record.AtLeast(record.Value, least))
	}
	return nil
}

// gateResults reads the results of one kind of run.
func gateResults(r *record.Record, folder, kind string) (all []*gate.Result, err error) {
	files, err := filepath.Glob(filepath.Join(folder, kind+"-[0-9]*.json"))
	if err != nil {
		return nil, fmt.Errorf("results of the gate: %w", err)
	}
	for _, file := range files {
		if info, err := os.Stat(file); err == nil && info.Size() == 0 {
			continue // a run that ended before it had a result
		}
		one, err := gate.ReadResult(file)
		if err != nil {
			return nil, err
		}
		if e := one.Environment; e.CPU != r.Environment.CPU || e.Kernel != r.Environment.Kernel {
			return nil, fmt.Errorf("result of the gate %s: from another machine, %s with Linux %s", filepath.Base(file), e.CPU, e.Kernel)
		}
		all = append(all, one)
	}
	return all, nil
}
