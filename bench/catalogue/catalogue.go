package catalogue

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"peal/bench/record"
)

// Entry is one table's measurement.
type Entry struct {
	Name  string // of the table and the record
	About string
	Long  bool // takes hours: only when it is named
	run   func(*Kit, context.Context) (*record.Record, error)
}

// ErrAbsent means that what an entry runs is not there yet.
var ErrAbsent = errors.New("not there")

// Entries are all, in the order they are measured. Those that are not long take
// less than half an hour together.
func Entries() []Entry {
	return []Entry{
		{Name: "ceiling", About: "every row of the design's table, against C", run: (*Kit).ceiling},
		{Name: "memory", About: "an idle connection: resident, Go heap, kernel", run: (*Kit).memory},
		{Name: "transports", About: "what a message costs on each transport", run: (*Kit).transports},
		{Name: "latency-load", About: "latency from light load to saturation", run: (*Kit).latencyLoad},
		{Name: "correctness", About: "loss, repeats and order, while all drop and while the server is killed", run: (*Kit).correctness},
		{Name: "generator", About: "what the load generator itself costs", run: (*Kit).generator},
		{Name: "peers", About: "other servers under the same load", run: (*Kit).peers},
		{Name: "hundred-thousand", About: "100,000 connections on one machine", run: (*Kit).hundredThousand},
		{Name: "parts", About: "the micro-benchmarks of what each message passes", run: (*Kit).parts},
		{Name: "gate", About: "the regression gate's false and missed alarms", run: (*Kit).gate, Long: true},
	}
}

// Measure runs the entry and writes its record into the folder.
func (e *Entry) Measure(ctx context.Context, k *Kit, folder string) error {
	r, err := e.run(k, ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", e.Name, err)
	}
	if r.Name != e.Name {
		return fmt.Errorf("%s: the record's name is %q", e.Name, r.Name)
	}
	return r.Write(filepath.Join(folder, e.Name+".json"))
}

// rounds is how often each thing has its turn.
func (k *Kit) rounds(full int) int {
	switch {
	case k.Rounds > 0:
		return k.Rounds
	case k.Quick:
		return 1
	}
	return full
}

// The benches of bench/run, which write their records themselves.

func (k *Kit) ceiling(ctx context.Context) (*record.Record, error) {
	return k.bench(ctx, 3, "--length", "2s")
}

func (k *Kit) memory(ctx context.Context) (*record.Record, error) {
	return k.bench(ctx, 3, "--memory")
}

func (k *Kit) transports(ctx context.Context) (*record.Record, error) {
	return k.bench(ctx, 3, "--length", "2s", "--transports")
}

// bench runs scripts/bench.sh. A record with rows that failed is one.
func (k *Kit) bench(ctx context.Context, pairs int, args ...string) (*record.Record, error) {
	if k.Quick {
		args = append([]string{"--short"}, without(args, "--length")...)
	}
	args = append(args, "--pairs", strconv.Itoa(k.rounds(pairs)))
	return k.recorded(ctx, "scripts/bench.sh", args...)
}

// without leaves out a flag and its value.
func without(args []string, flag string) []string {
	for i, a := range args {
		if a == flag {
			return append(args[:i:i], args[i+2:]...)
		}
	}
	return args
}

// recorded runs a script that takes --json FILE and writes a record there.
func (k *Kit) recorded(ctx context.Context, script string, args ...string) (*record.Record, error) {
	file := filepath.Join(k.Dir, "record.json")
	if err := os.RemoveAll(file); err != nil {
		return nil, err
	}
	failed := k.command(ctx, append([]string{filepath.Join(k.Root, script)}, append(args, "--json", file)...)...)
	r, err := record.Read(file)
	if err != nil || ctx.Err() != nil {
		return nil, errors.Join(failed, err, ctx.Err())
	}
	if failed != nil {
		k.say("%s: %v; the record says which rows", script, failed)
	}
	return r, nil
}
