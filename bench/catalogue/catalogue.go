package catalogue

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"

	"peal/bench/record"
)

// Entry is the measurement of one table.
type Entry struct {
	Name  string // of the table and the record
	About string
	Long  bool                                              // takes hours: runs only if it is named
	run   func(*Kit, context.Context, *record.Record) error // completes the record
}

// Entries returns all entries, in the order in which they are measured. Without the
// long ones they take less than half an hour.
func Entries() []Entry {
	return []Entry{
		{Name: "ceiling", About: "Peal against a server in C that does the least possible", run: func(k *Kit, ctx context.Context, r *record.Record) error { return k.bench(ctx, r, "2s") }},
		{Name: "memory", About: "an idle connection: resident, Go heap, kernel", run: func(k *Kit, ctx context.Context, r *record.Record) error { return k.bench(ctx, r, "", "--memory") }},
		{Name: "transports", About: "the cost of a message on each transport", run: func(k *Kit, ctx context.Context, r *record.Record) error {
			return k.bench(ctx, r, "2s", "--transports")
		}},
		{Name: "latency-load", About: "latency from light load to saturation", run: (*Kit).latencyLoad},
		{Name: "correctness", About: "loss, duplicates and order, while all connections drop and while the server is killed", run: (*Kit).correctness},
		{Name: "generator", About: "the cost of the load generator itself", run: (*Kit).generator},
		{Name: "peers", About: "other servers under the same load", run: (*Kit).peers},
		{Name: "hundred-thousand", About: "100,000 connections on one machine", run: (*Kit).hundredThousand},
		{Name: "parts", About: "the micro-benchmarks of the code that each message passes", run: (*Kit).parts},
		{Name: "gate", About: "the regression gate's false and missed alarms", run: (*Kit).gate, Long: true},
	}
}

// Measure runs the entry and writes its record into the folder.
func (e *Entry) Measure(ctx context.Context, k *Kit, folder string) error {
	r, err := k.begin(ctx, e.Name)
	if err == nil {
		err = e.run(k, ctx, r)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", e.Name, err)
	}
	if r.Name != e.Name {
		return fmt.Errorf("%s: the record's name is %q", e.Name, r.Name)
	}
	return r.Write(filepath.Join(folder, e.Name+".json"))
}

// bench runs scripts/bench.sh, which writes the record itself. length is the duration
// of a run; "": the default.
func (k *Kit) bench(ctx context.Context, r *record.Record, length string, args ...string) error {
	command := []string{filepath.Join(k.Root, "scripts/bench.sh")}
	switch {
	case k.Quick:
		command = append(command, "--short")
	case length != "":
		command = append(command, "--length", length)
	}
	file, err := k.report(ctx, append(append(command, args...), "--pairs", strconv.Itoa(k.rounds(3))))
	if err != nil {
		return err
	}
	read, err := record.Read(file)
	if err == nil {
		*r = *read
	}
	return err
}

// rounds is how often each measurement is repeated.
func (k *Kit) rounds(full int) int {
	if k.Rounds > 0 {
		return k.Rounds
	}
	return k.number(full, 1)
}

// number returns full, or quick in a quick pass.
func (k *Kit) number(full, quick int) int {
	if k.Quick {
		return quick
	}
	return full
}

func (k *Kit) size(full, quick int) string { return strconv.Itoa(k.number(full, quick)) }

func (k *Kit) seconds(full, quick int) string { return k.size(full, quick) + "s" }
