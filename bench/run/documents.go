package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"peal/bench/catalogue"
	"peal/bench/document"
)

var errDiffer = errors.New("the documents differ from the records: run scripts/benchmarks.sh")

// documents generates the tables of BENCHMARKS.md and docs/transports.md from the
// records in bench/results. With --measure it measures new records first.
func documents(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := flag.NewFlagSet("benchmarks", flag.ContinueOnError)
	f.SetOutput(stderr)
	root := f.String("root", ".", "`folder` of the repository")
	peal := f.String("peal", "", "Peal's `binary`, for --measure")
	check := f.Bool("check", false, "write nothing; print a diff and exit with 1 if a document differs from the records")
	measure := f.Bool("measure", false, "measure the named tables again, or all")
	quick := f.Bool("quick", false, "with --measure: small sizes, which the tables mention")
	rounds := f.Int("rounds", 0, "with --measure: how often each measurement is repeated; 0: the default of each table")
	list := f.Bool("list", false, "list the tables that can be measured")
	if err := f.Parse(args); err != nil {
		return errors.Join(errUsage, err)
	}
	if !*measure && (f.NArg() > 0 || *quick || *rounds > 0) || *measure && (*check || *peal == "") || *rounds < 0 {
		fmt.Fprintln(stderr, "benchmarks: names, --quick and --rounds need --measure, which needs --peal and excludes --check")
		return errUsage
	}
	if *list {
		for _, e := range catalogue.Entries() {
			about := e.About
			if e.Long {
				about += " (takes hours: runs only if named)"
			}
			fmt.Fprintf(stdout, "%-18s %s\n", e.Name, about)
		}
		return nil
	}
	if *measure {
		k := &catalogue.Kit{Peal: *peal, Quick: *quick, Rounds: *rounds, Log: stderr}
		if err := take(ctx, k, *root, f.Args()); err != nil {
			return err
		}
	}
	made, err := document.Update(*root)
	if *check {
		return errors.Join(err, compare(ctx, *root, made, stdout))
	}
	for name, text := range made { // also after an error: the regions without one
		if err := os.WriteFile(filepath.Join(*root, name), text, 0o644); err != nil {
			return err
		}
	}
	return err
}

// take measures the named entries, or all. After a failure it continues with the
// next entry.
func take(ctx context.Context, k *catalogue.Kit, root string, names []string) (err error) {
	entries := catalogue.Entries()
	for _, name := range names {
		if !slices.ContainsFunc(entries, func(e catalogue.Entry) bool { return e.Name == name }) {
			fmt.Fprintf(k.Log, "benchmarks: unknown table %q: see --list\n", name)
			return errUsage
		}
	}
	if k.Dir, err = os.MkdirTemp("", "peal-benchmarks-"); err != nil {
		return err
	}
	defer os.RemoveAll(k.Dir)
	if k.Root, err = filepath.Abs(root); err != nil {
		return err
	}
	var faults []error
	for _, e := range entries {
		if len(names) == 0 && e.Long || len(names) > 0 && !slices.Contains(names, e.Name) || ctx.Err() != nil {
			continue
		}
		fmt.Fprintf(k.Log, "\n== %s: %s\n", e.Name, e.About)
		faults = append(faults, e.Measure(ctx, k, filepath.Join(k.Root, document.Results)))
	}
	return errors.Join(append(faults, ctx.Err())...)
}

// compare prints the differences of the documents.
func compare(ctx context.Context, root string, made map[string][]byte, stdout io.Writer) error {
	differ := false
	for _, name := range document.Documents {
		file := filepath.Join(root, name)
		old, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if made[name] == nil || bytes.Equal(old, made[name]) {
			continue
		}
		differ = true
		c := exec.CommandContext(ctx, "diff", "-u", "--label", name, "--label", name+", from the records", file, "-")
		c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(made[name]), stdout, stdout
		if err := c.Run(); c.ProcessState == nil {
			return fmt.Errorf("diff: %w", err)
		}
	}
	if differ {
		return errDiffer
	}
	return nil
}
