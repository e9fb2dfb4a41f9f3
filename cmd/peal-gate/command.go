package main

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"peal/bench"
	"peal/bench/gate"
)

// exitError is an error with an exit code.
type exitError struct {
	error
	code int
}

func (e exitError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error {
	return usage(fmt.Errorf(format+" (see: peal-gate --help)", args...))
}

// usage makes err a usage error.
func usage(err error) error { return exitError{err, gate.ExitUsage} }

// exitCode is 4 for errors without a code.
func exitCode(err error) int {
	var e exitError
	if errors.As(err, &e) {
		return e.code
	}
	return gate.ExitFailed
}

// options are the flags.
type options struct {
	base, head                 string
	baseCmd, headCmd, scenario string
	baseline, saveBaseline     string
	config, set                string
	allow                      []string
	pairs                      int
	only                       string
	exactOnly, unstableOK      bool
	history                    string
	json, markdown, benchOut   string
	plant                      string
	onlyRE                     *regexp.Regexp
	repository                 string
}

func command(macros []bench.Macro, stdout, stderr io.Writer) *cobra.Command {
	o := options{}
	c := &cobra.Command{
		Use:   "peal-gate",
		Short: "Fail when a change makes the server worse",
		Long: `Builds two commits in a temporary folder, measures both alternately with the
benchmarks of this checkout, and reports figures that are worse by more than
bench/gate.yaml allows. Progress goes to standard error, the result to standard
output.

Limits that head raises do not apply, unless --allow says so.

Exit codes: 0 pass, 1 regression, 2 usage error, 3 unstable (the samples vary too
much), 4 could not measure. See docs/gate.md.`,
		Example: `  peal-gate --base origin/main
  peal-gate --base v1.2.0 --head feature --only '^Fanout' --json r.json
  peal-gate --base HEAD~1 --deterministic
  peal-gate --base origin/main --set pull-request --history gate.jsonl
  peal-gate --deterministic --save-baseline bench/baseline.json
  peal-gate --deterministic --baseline bench/baseline.json
  peal-gate --base-cmd './old --port {port}' --head-cmd './new --port {port}' --scenario chat.yaml`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("%q: peal-gate takes flags only", args[0])
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.check(c.Flags().Changed); err != nil {
				return err
			}
			return judge(c.Context(), &o, macros, stdout, stderr)
		},
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	c.SetOut(stdout)
	c.SetErr(stderr)
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usagef("%w", err) })
	f := c.Flags()
	f.SortFlags = false
	f.StringVar(&o.base, "base", "", "commit, branch or tag to compare with")
	f.StringVar(&o.head, "head", "", "commit, branch or tag to judge (default: the working tree as it is)")
	f.IntVar(&o.pairs, "pairs", 0, "samples of each side for noisy figures (default: as configured)")
	f.StringVar(&o.set, "set", "", "only this selection, of those in the configuration")
	f.StringVar(&o.only, "only", "", "only the benchmarks whose name this regular expression matches")
	f.BoolVar(&o.exactOnly, "deterministic", false, "judge only counted figures: a few samples, on any machine")
	f.StringVar(&o.config, "config", "bench/gate.yaml", "file that sets what is judged, and how strictly")
	f.StringArrayVar(&o.allow, "allow", nil, "accept that head loosens this: gate.yaml, baseline.json, a benchmark or \"benchmark: unit\" that is gone")
	f.BoolVar(&o.unstableOK, "unstable-ok", false, "exit with 0 instead of 3")
	f.StringVar(&o.history, "history", "", "append the figures of head to this file, and report drifts over its runs")
	f.StringVar(&o.baseline, "baseline", "", "compare counted figures with those in this file instead of a commit")
	f.StringVar(&o.saveBaseline, "save-baseline", "", "write the figures of head to this file if they are stable")
	f.StringVar(&o.baseCmd, "base-cmd", "", "command line of another server to compare with; {port}, {admin} and {loops} are replaced")
	f.StringVar(&o.headCmd, "head-cmd", "", "command line of the server to judge")
	f.StringVar(&o.scenario, "scenario", "", "file that sets how --base-cmd and --head-cmd are measured and judged")
	f.StringVar(&o.json, "json", "", "file for the result as JSON; - for standard output")
	f.StringVar(&o.markdown, "markdown", "-", "file for the result as Markdown; - for standard output, '' for none")
	f.StringVar(&o.benchOut, "bench-out", "", "folder for the samples as Go benchmark results, base.txt and head.txt, for benchstat")
	f.StringVar(&o.repository, "repository", ".", "the checkout to work in")
	f.StringVar(&o.plant, "plant", "", "plant a regression in head: "+strings.Join(gate.PlantNames(), ", "))
	_ = f.MarkHidden("plant")      // it tests the gate
	_ = f.MarkHidden("repository") // cd does it
	c.AddCommand(newTally(stdout), &cobra.Command{
		Use: "list", Short: "Print the names of the benchmarks", Args: cobra.NoArgs,
		Run: func(*cobra.Command, []string) {
			for _, m := range macros {
				fmt.Fprintln(stdout, m.Name)
			}
		},
	})
	return c
}

// check reports all mistakes that are visible before any file is read.
func (o *options) check(given func(flag string) bool) (err error) {
	var faults []string
	must := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	others := o.baseCmd != "" || o.headCmd != "" || o.scenario != ""
	ways := slices.DeleteFunc([]string{o.base, o.baseline, o.baseCmd}, func(way string) bool { return way == "" })
	must(len(ways) <= 1, "--base, --baseline and --base-cmd: only one of them")
	must(len(ways) == 1 || o.saveBaseline != "", "--base is missing: what to compare with (or --baseline, --base-cmd, or --save-baseline alone)")
	must(!others || o.headCmd != "" && o.scenario != "", "--head-cmd and --scenario: other servers need both")
	must(!others || o.head == "" && o.base == "" && o.plant == "" && !given("config") && o.set == "", "--base, --head, --config and --set: not allowed with --scenario")
	must(!given("pairs") || o.pairs >= gate.MinPairs, "--pairs %d: at least %d", o.pairs, gate.MinPairs)
	must(!given("pairs") || !o.exactOnly, "--pairs: not allowed with --deterministic")
	must(o.json != "-" || o.markdown != "-" || !given("markdown"), "--json and --markdown: only one on standard output")
	if o.json == "-" && o.markdown == "-" {
		o.markdown = ""
	}
	if o.onlyRE, err = regexp.Compile(o.only); err != nil {
		faults = append(faults, "--only: "+err.Error())
	}
	if len(faults) > 0 {
		return usagef("%s", strings.Join(faults, "; "))
	}
	return nil
}
